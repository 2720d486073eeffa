// Package redisstock implements order.Stock and order.Build on Redis (and on miniredis), with every
// decision in one Lua script that runs on the keys of one sale, or of one bucket of it.
//
// # Keys
//
// S is the sale, G its generation; the braces are Redis Cluster's hash tag, so all keys with one are in one
// slot. With Config.Prefix, that stands before each.
//
//	sk:{S}:meta         hash    gen build fence closed version phase starts ends limit stock remaining seq changes lease
//	sk:{S}:G:buyers     hash    user → "generation-sequence:quantity:keyhash:holds;" for each order
//	sk:{S}:G:outbox     stream  one entry a script run, id <first n>-0, fields t (ms), n, d (a line an order)
//	sk:{S}:G:build      hash    token and number of users while the generation is being built; expires
//	sk:{S}:G:transfers  hash    out:BUCKET last:BUCKET in:BUCKET, see below
//	sk:lease:NAME       string  owner; expires
//
// An accepted order costs about 90 bytes of Redis once its outbox entry is removed (one order a
// user, Redis 7.0, measured by TestMemoryPerOrder). The keys have no time to live once a generation
// is open: run Redis with maxmemory-policy noeviction.
//
// # Buckets
//
// The stock of a sale may be spread over B buckets, so that several masters of a Redis Cluster sell one sale. Bucket
// b has all of the keys above under the tag {S:b/B-k}, with k so that the buckets lie far apart (tagsOf), and each is what a whole sale is otherwise: terms, units, buyers,
// outbox, generation and fence of its own. A user's home is a fixed hash of the id, so that record, key and limit
// are in one bucket, and only units move. B belongs to the sale for ever (Buckets), or a rebuild might miss a
// bucket that still sells. A bucket counts its orders, n = 1, 2, …; their sequence is n·B + b.
//
// Units move by a transfer of three scripts: the donor takes them out of remaining and writes "out:TO = n:units"
// (give.lua), the receiver adds them if n is above its "in:FROM" (take.lua), the donor forgets it (done.lua). Each
// may run twice or much later, and where the next never comes, whoever looks for units finds the transfer open and
// goes on with it. So at every moment the units are those that remain, those under way, and those in orders.
//
// A bucket that is too empty for a ticket says nothing about the sale. The others are looked at (look.lua), units
// are brought, and the ticket is decided again; it is sold out when all together held too few at one moment,
// which two looks with the same count of changes prove, if its bucket refused it once more in between: refused
// before, a call with the same key may have got an order since. If nothing at all was left the proof is a short lease on all
// buckets, under which the process believes the next refusals as they are.
//
// A generation opens bucket by bucket. One that is missing a bucket, or has one of an older generation, is torn
// (order.StockState): what there is may sell, since each unit was given to one bucket, until it is built again.
//
// # Cluster
//
// go-redis's ClusterClient knows the topology; every script goes to its master by connections of this package, so
// that what was sent, and to which process, is known as without a cluster. After a redirection, which promises
// that nothing ran, and after a lost connection the topology is read again. A slot that moved, and a master that
// failed over, fence the buckets there, and the whole sale is built again. While a slot moves, or has no master,
// its buckets are unavailable and the others sell what they have.
//
// Masters have clocks of their own: a sale in several buckets begins and ends with as much difference as these have.
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
