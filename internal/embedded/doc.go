// Package embedded runs stand-ins for Redis, Kafka and MySQL inside the process, for a platform
// with nothing to install and for tests without servers. The services reach them over loopback
// through the same drivers as the real ones.
//
// What each keeps, and what carries the promises where it keeps nothing:
//
//   - Redis is miniredis. It keeps nothing on disk: every start is a Redis that lost all its data.
//     Accepted orders survive it in Kafka and in the database, and every sale's state is built anew
//     from there under a raised generation, as after any loss of Redis. It has no CONFIG, and WAIT
//     does nothing.
//   - Kafka is kfake, one broker. It keeps topics, records and the consumer groups' committed
//     offsets under its folder and syncs each write before it acknowledges it, so what was
//     acknowledged survives kill -9. Replication is one: the disk carries the promise alone.
//   - SQLite stands in for MySQL. It keeps its database file, with a write-ahead log that is synced
//     at every commit, so a commit survives kill -9 and a loss of power.
//
// LockDir keeps two processes from sharing one folder. Only cmd/seckill and tests import this
// package.
package embedded
