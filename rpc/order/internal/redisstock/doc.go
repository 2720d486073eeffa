// Package redisstock implements order.Stock and order.Build on Redis (and on miniredis), with every
// decision in one Lua script that runs on the keys of one sale.
//
// # Keys
//
// S is the sale, G its generation; the braces are Redis Cluster's hash tag, so all keys of a sale
// are in one slot. With Config.Prefix, that stands before each.
//
//	sk:{S}:meta      hash    gen build fence closed version phase starts ends limit stock remaining seq changes lease
//	sk:{S}:G:buyers  hash    user → "generation-sequence:quantity:keyhash:holds;" for each order
//	sk:{S}:G:outbox  stream  one entry a script run, id <first sequence>-0, fields t (ms), n, d (a line an order)
//	sk:{S}:G:build   hash    token and number of users while the generation is being built; expires
//	sk:lease:NAME    string  owner; expires
//
// An accepted order costs about 90 bytes of Redis once its outbox entry is removed (one order a
// user, Redis 7.0, measured by TestMemoryPerOrder). The keys have no time to live once a generation
// is open: run Redis with maxmemory-policy noeviction.
//
// # The fence
//
// A generation belongs to the Redis process that it was built on, named by run_id and master_replid.
// Every connection reads that name when it is made; connections that saw the same name form an
// epoch, and a connection that sees another starts the next one. Each script carries the name of its
// connection's server and refuses the sale when the sale was built on another; it also asks the
// server for its replication id, since a server that is demoted and promoted again keeps its
// connections. So a restarted, restored or failed-over Redis sells nothing until the sale was built
// again.
//
// Redis also changes master_replid when the first replica attaches and when a master has been
// without replicas for repl-backlog-ttl (one hour by default). Both then cost a rebuild of every sale
// that is live, which is safe and short; set repl-backlog-ttl 0 and attach replicas before a sale.
//
// An embedded server has no INFO server. It keeps nothing over a restart, so a random value in the
// key sk:run_id names it.
//
// # Sold out
//
// While the field lease, a time in ms, has not come, reserve.lua sells nothing of the sale. soldout.lua sets
// it, for a second at most and only while nothing remains, so that gateways may say so by themselves; see
// order.SoldOuts. A rebuild leaves it where it is. A Redis that lost everything lost it too: whoever holds
// a lease has one that has run out when the sale is built again, which order.Rebuilder waits for.
//
// # What is certain
//
// The client never retries by itself. A call whose reply was lost is sent once more on a new
// connection, which is harmless because scripts find the key hashes of their first run. Whether a
// command was ever handed to a connection is known exactly (see stamp), so VerdictUnavailable is
// only said when the script cannot have run, and a refusal by the second run is not believed while
// the first may still be on its way: that is VerdictUnknown.
package redisstock
