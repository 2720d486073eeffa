// Package stack holds the platform against what happens to production's topology: every service as
// two processes of its own on real servers with a registry, under a steady load, while processes are
// killed and replaced, the registry is lost and emptied, and operators take instances out of use.
//
// SECKILL_TEST_LONG=1 has Nacos away for a minute instead of 15 s.
package stack

import (
	"os"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/test/internal/topology"
)

// instances of each service: one may go while the other works.
const instances = 2

// recovery is how soon calls must succeed again after a process was lost.
const recovery = 5 * time.Second

// rebuiltWithin is how soon a sale must sell again whose Redis was lost.
const rebuiltWithin = 30 * time.Second

// stopLimit is how long a process may take to end in order: longer than its longest drain.
const stopLimit = 40 * time.Second

func TestMain(m *testing.M) {
	code := m.Run()
	testservers.StopNacos()
	testservers.StopZipkin()
	testservers.StopKafka()
	testservers.StopMariaDB()
	topology.Remove()
	os.Exit(code)
}

// start is a topology that is ready.
func start(t *testing.T) *topology.Topology {
	t.Helper()
	p := topology.New(t, instances, nil)
	p.Start(t)
	return p
}
