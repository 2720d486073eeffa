package chaos

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/testservers"
)

// TestCrashes kills the platform's process at each of its fail points under load, again and again, at
// a random hit, and starts it again. The load asks again about what it had no answer to. In the end the sale
// is sold out to the last unit, and every order that was answered 202 is in the database.
func TestCrashes(t *testing.T) {
	for _, test := range []struct {
		point string
		// hits is the latest hit at which to crash: few enough to come before the sale is sold out.
		hits int
		// rebuilding: the point is passed when Redis is restarted, once for each of the open sales.
		rebuilding bool
	}{
		{point: "after-script", hits: 25},
		{point: "after-publish", hits: 25},
		{point: "before-answer", hits: 25},
		{point: "before-commit", hits: 5},
		{point: "after-commit", hits: 5},
		{point: "rebuild-after-close", hits: openSales, rebuilding: true},
		{point: "rebuild-after-snapshot", hits: openSales, rebuilding: true},
	} {
		t.Run(test.point, func(t *testing.T) {
			redis := testservers.Redis(t, "--appendonly", "yes", "--appendfsync", "everysec")
			p := newPlatform(t, testservers.MariaDB(t), redis.Addr)
			p.start("")
			if test.rebuilding {
				for range openSales - 1 {
					p.newSale(10, 15*time.Minute)
				}
			}
			var sum crashFigures
			for round := range rounds(t) {
				sale := p.newSale(crashStock, 15*time.Minute)
				p.kill() // so that making the sale does not count as hits
				p.start(fmt.Sprintf("%s:%d", test.point, 1+rand.IntN(test.hits)))
				if test.rebuilding {
					sum.add(crashInRebuild(p, redis, sale))
				} else {
					sum.add(crashSelling(p, sale))
				}
				if t.Failed() {
					t.Fatalf("round %d", round)
				}
				p.endSale(sale)
			}
			t.Logf("%s: %s", test.point, sum)
		})
	}
}

const (
	// crashStock is the stock of each sale that is sold while the platform crashes.
	crashStock = 1000
	// openSales is how many sales are open when Redis is restarted.
	openSales = 3
)

// crashSelling lets the platform crash while a sale is sold, and sells it out.
func crashSelling(p *platform, sale string) crashFigures {
	p.t.Helper()
	l := p.startLoad(sale, "--buyers", fmt.Sprint(crashStock*3/2), "--concurrency", "32")
	p.awaitCrash(time.Minute)
	before := l.accepted()
	crashed := time.Now()
	p.start("")
	up := time.Since(crashed)
	report := l.wait()
	if report.AcceptedOrders != crashStock {
		p.t.Errorf("%d orders of %d units were accepted, %d of them before the crash", report.AcceptedOrders, crashStock, before)
	}
	return p.prove(sale, l, before, up)
}

// crashInRebuild restarts Redis while a sale is sold, and lets the platform crash in building it anew.
func crashInRebuild(p *platform, redis *testservers.RedisServer, sale string) crashFigures {
	p.t.Helper()
	l := p.startLoad(sale, "--buyers", fmt.Sprint(crashStock*3/2), "--requests", fmt.Sprint(crashStock*3), "--rate", "400", "--concurrency", "64")
	l.await(crashStock / 10)
	redis.Kill()
	lost := time.Now()
	redis.Start()
	p.awaitCrash(time.Minute)
	before := l.accepted()
	p.start("")
	order, selling := p.sellsAgain(sale, lost)
	l.wait()
	l.add(order)
	return p.prove(sale, l, before, selling)
}

// crashFigures are what rounds of crashes and losses came to.
type crashFigures struct {
	crashes, accepted, before    int
	missing, duplicates          int
	rejected, orders             int64
	longest, again               time.Duration
	lost, roundsWithLost, losses int
}

// prove audits a sale after a round.
func (p *platform) prove(sale string, l *load, before int, again time.Duration) crashFigures {
	p.t.Helper()
	a := p.audit(sale, l)
	return crashFigures{
		crashes: 1, accepted: l.accepted(), before: before, missing: a.count("not_in_mysql", "lost"),
		duplicates: a.count("duplicate_key", "over_limit"), rejected: a.Figures["rejected"],
		orders: a.Figures["ordersInMysql"], again: again, longest: again,
	}
}

func (f *crashFigures) add(g crashFigures) {
	f.crashes += g.crashes
	f.accepted += g.accepted
	f.before += g.before
	f.missing += g.missing
	f.duplicates += g.duplicates
	f.rejected += g.rejected
	f.orders += g.orders
	f.again += g.again
	f.longest = max(f.longest, g.longest)
	f.lost += g.lost
	f.roundsWithLost += g.roundsWithLost
	f.losses += g.losses
}

func (f crashFigures) String() string {
	s := fmt.Sprintf("%d crashes, %d orders accepted (%d before the crashes), %d in MySQL, %d missing, %d duplicates, %d rejected; selling again after %.1f s on average, %.1f s at most",
		f.crashes, f.accepted, f.before, f.orders, f.missing, f.duplicates, f.rejected,
		f.again.Seconds()/float64(f.crashes), f.longest.Seconds())
	if f.losses > 0 {
		s += fmt.Sprintf("; Redis lost %d accepted orders, some in %d of %d rounds", f.lost, f.roundsWithLost, f.losses)
	}
	return s
}
