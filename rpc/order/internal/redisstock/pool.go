package redisstock

// PoolFigures are what a Stock's connections have done since New, to all masters and those of Redis processes
// that are gone included. The few connections with which a generation is built, and with which the topology of
// a cluster is read, are not among them.
type PoolFigures struct {
	// Hits are uses that found an idle connection, Misses those that found none, Waits those that had to
	// wait for one since all were busy, Timeouts those that waited in vain.
	Hits, Misses, Waits, Timeouts uint64
	// Busy and Idle are the connections now, Max how many there may be.
	Busy, Idle, Max int
	// Epochs is how many times another Redis process was found behind an address.
	Epochs uint64
}

// Pool reads the figures. They come from counters in the process: Redis is not asked.
func (s *Stock) Pool() PoolFigures { return s.servers.figures() }

// add counts what an epoch's connections did. go-redis counts in 32 bits, which one epoch may overflow:
// a counter that begins anew, as Prometheus knows it.
func (f *PoolFigures) add(e *epoch) {
	stats := e.client.PoolStats()
	f.Hits += uint64(stats.Hits)
	f.Misses += uint64(stats.Misses)
	f.Waits += uint64(stats.WaitCount)
	f.Timeouts += uint64(stats.Timeouts)
}

// sum adds counters of the past.
func (f *PoolFigures) sum(past PoolFigures) {
	f.Hits += past.Hits
	f.Misses += past.Misses
	f.Waits += past.Waits
	f.Timeouts += past.Timeouts
	f.Epochs += past.Epochs
}
