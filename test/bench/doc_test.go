// Package bench measures the platform on real servers, each service a process of its own, beside what an empty
// go-zero project does on the same machine. Everything is a Go benchmark that runs once, prints a table, and
// fails when a promise of docs/performance.md or of its issue is not kept:
//
//	make bench                       everything
//	make bench BENCH=Purchase        one of them
//
// Machines are noisy: what is compared is measured in turn, in one run, for several rounds
// (SECKILL_BENCH_ROUNDS, 5), and medians count.
package bench
