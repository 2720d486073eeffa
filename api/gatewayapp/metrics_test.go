package gatewayapp

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// series is how many series each metric on /metrics has.
func series(t *testing.T) map[string]int {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, f := range families {
		out[f.GetName()] = len(f.GetMetric())
	}
	return out
}

// TestTheGatewayShowsItsMetrics from its start to its end.
func TestTheGatewayShowsItsMetrics(t *testing.T) {
	t.Run("while it runs", func(t *testing.T) {
		p := start(t, nil)
		p.call("POST", "/api/v1/sales/5/orders", "user", `{"quantity":1}`)
		p.call("GET", "/nowhere", "", "")
		got := series(t)
		for name, want := range map[string]int{
			"seckill_purchases_total": 1, "seckill_purchase_duration_seconds": 3, "seckill_http_requests_total": 2,
			"seckill_purchase_waiting_calls": 1, "seckill_purchase_message_calls": 1, "seckill_link_ready": 3,
		} {
			if got[name] != want {
				t.Errorf("%s has %d series, want %d", name, got[name], want)
			}
		}
	})
	for name, n := range series(t) {
		if name == "seckill_purchases_total" || name == "seckill_link_ready" {
			t.Errorf("%s has %d series after the gateways ended", name, n)
		}
	}
}
