package stack

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/test/internal/topology"
)

// pushLimit is how soon rules that were put into the registry act.
const pushLimit = 3 * time.Second

// TestRulesArePushed: what an operator puts into the registry acts in every gateway within 3 s and without a restart,
// and what is no rules changes nothing and is reported.
func TestRulesArePushed(t *testing.T) {
	p := start(t)
	gateways := p.Processes["api"]
	pids := []int{gateways[0].PID(), gateways[1].PID()}
	inForce := func(version float64) {
		t.Helper()
		for _, g := range gateways {
			topology.Eventually(t, pushLimit, g.Name+" has the rules", func() error {
				if v := g.Metric(t, "seckill_flow_rules_version"); v != version {
					return fmt.Errorf("version %v is in force", v)
				}
				return nil
			})
		}
	}
	// held has one client list products until the limit holds it, at most so often; it says how many passed.
	held := func(g *topology.Process, most int) int {
		t.Helper()
		for passed := range most + 1 {
			resp, err := http.Get("http://" + g.Listen + "/api/v1/products")
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusOK:
			case http.StatusTooManyRequests:
				if resp.Header.Get("Retry-After") == "" {
					t.Error("429 without Retry-After")
				}
				return passed
			default:
				t.Fatal(resp.Status)
			}
		}
		return most + 1
	}
	inForce(0)

	const route = "GET /api/v1/products"
	rules := topology.GatewayRules(t)
	limit := rules.Routes["*"]
	limit.PerSecond = 5
	rules.Routes[route] = limit
	rules.Version = 2
	p.Publish(t, topology.GatewayRulesDocument, rules.Document())
	inForce(2)
	for _, g := range gateways {
		// However fast the calls come, a second's worth and one of the next at most: the window slides.
		if passed := held(g, 1000); passed < 1 || passed > 1000 {
			t.Errorf("%s: %d calls passed a limit of 5 a second", g.Name, passed)
		}
	}

	refused := func(what, document string) {
		t.Helper()
		before := map[*topology.Process]float64{}
		for _, g := range gateways {
			before[g] = g.Metric(t, "seckill_flow_documents_total", `result="refused"`)
		}
		p.Publish(t, topology.GatewayRulesDocument, document)
		for _, g := range gateways {
			topology.Eventually(t, pushLimit, g.Name+" refuses "+what, func() error {
				if g.Metric(t, "seckill_flow_documents_total", `result="refused"`) == before[g] {
					return fmt.Errorf("it did not")
				}
				return nil
			})
			if passed := held(g, 1000); passed > 1000 {
				t.Errorf("%s: the limit is gone after %s", g.Name, what)
			}
		}
		inForce(2)
	}
	refused("an empty object", "{}")
	refused("half a document", rules.Document()[:100])
	older := rules
	older.Version = 1
	refused("an older version", older.Document())
	other := rules
	other.Service, other.Version = "order.rpc", 9
	refused("another service's rules", other.Document())

	// Nacos takes no empty document; without one, the last good rules stay, and the log says so.
	const gone = "there is no such document"
	told := strings.Count(p.Log(t), gone)
	p.Publish(t, topology.GatewayRulesDocument, "")
	topology.Eventually(t, pushLimit, "the gateways tell that the document is gone", func() error {
		if n := strings.Count(p.Log(t), gone); n < told+len(gateways) {
			return fmt.Errorf("told %d times, and %d before", n, told)
		}
		return nil
	})
	inForce(2)
	for _, g := range gateways {
		if passed := held(g, 1000); passed > 1000 {
			t.Errorf("%s: the limit is gone with the document", g.Name)
		}
	}

	limit.PerSecond = 100_000
	rules.Routes[route] = limit
	rules.Version = 3
	p.Publish(t, topology.GatewayRulesDocument, rules.Document())
	inForce(3)
	for _, g := range gateways {
		// Another second begins while this waits: a limit that was still 5 would hold one of 50 in any second.
		topology.Eventually(t, pushLimit, g.Name+" is not limited any more", func() error {
			if passed := held(g, 50); passed <= 50 {
				return fmt.Errorf("held after %d", passed)
			}
			return nil
		})
	}

	for i, g := range gateways {
		if g.PID() != pids[i] {
			t.Errorf("%s was restarted", g.Name)
		}
	}
}
