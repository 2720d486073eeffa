package stack

import (
	"testing"

	"github.com/seckill-go/seckill/test/internal/topology"
)

// TestClusterMasterDies kills one master of a Redis Cluster, over which the sale is spread, under load: once it is
// back the whole sale is built anew, since the master may have lost its last writes, and sells on; no accepted order
// is lost and none sold twice.
func TestClusterMasterDies(t *testing.T) {
	p := topology.New(t, instances, nil, topology.WithCluster(3, 8))
	p.Start(t)
	l := startLoad(t, p, "--retry-for", "60s")
	for _, m := range p.Cluster.Masters {
		m.Kill()
		m.Start()
		p.Cluster.Await()
		t.Logf("%d more orders %s after a master was back", rate, l.goesOn(rebuiltWithin))
	}
	l.finish().wantAllKnown(t)
	l.audit()
}
