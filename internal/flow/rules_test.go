package flow

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDefaultsAreTheDocuments(t *testing.T) {
	for _, r := range []Rules{
		GatewayDefaults("seckill-api"), RPCDefaults("user.rpc"), RPCDefaults("product.rpc"), RPCDefaults("order.rpc"),
	} {
		file := filepath.Join("..", "..", "docs", "flow", r.Service+".json")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != r.Document() {
			t.Errorf("%s is not what the code has:\n%s", file, r.Document())
		}
		if _, err := Parse(string(text)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestDefaultsKeepTheFloor: for every route that the floor or the defaults name, and for one that neither does.
func TestDefaultsKeepTheFloor(t *testing.T) {
	routes := []string{"GET /other", routePurchase, routeRegister, routeLogin, routeRefresh, routeWebhook}
	links := []string{LinkUsers, LinkProducts, LinkOrders}
	e, err := GatewayFloor().apply(GatewayDefaults("g"), routes, links)
	if err != nil || len(e.clamped) > 0 {
		t.Errorf("the gateway: %v, %v", e.clamped, err)
	}
	e, err = RPCFloor().apply(RPCDefaults("s"), []string{"/s/M"}, nil)
	if err != nil || len(e.clamped) > 0 {
		t.Errorf("a service: %v, %v", e.clamped, err)
	}
}

// refused are documents that no guard may take.
var refused = map[string]string{
	"nothing":             ``,
	"blanks":              " \n",
	"an empty object":     `{}`,
	"null":                `null`,
	"a list":              `[]`,
	"a number":            `1`,
	"broken":              `{"service":"s","version":1,"routes":{"*":{`,
	"not JSON":            `service: s`,
	"two":                 `{"service":"s","version":9,"routes":{"*":{}}} {}`,
	"unknown field":       `{"service":"s","version":9,"routes":{"*":{"qps":1}}}`,
	"unknown top":         `{"service":"s","version":9,"rules":[],"routes":{"*":{}}}`,
	"twice":               `{"service":"s","version":9,"version":10,"routes":{"*":{}}}`,
	"a route twice":       `{"service":"s","version":9,"routes":{"*":{"perSecond":1},"*":{}}}`,
	"twice in capitals":   `{"service":"s","version":9,"routes":{"*":{"perSecond":1,"PerSecond":9}}}`,
	"no version":          `{"service":"s","routes":{"*":{}}}`,
	"version 0":           `{"service":"s","version":0,"routes":{"*":{}}}`,
	"version -1":          `{"service":"s","version":-1,"routes":{"*":{}}}`,
	"half a version":      `{"service":"s","version":1.5,"routes":{"*":{}}}`,
	"no routes":           `{"service":"s","version":9}`,
	"empty routes":        `{"service":"s","version":9,"routes":{}}`,
	"no other routes":     `{"service":"s","version":9,"routes":{"GET /a":{}}}`,
	"another service":     `{"service":"t","version":9,"routes":{"*":{}}}`,
	"no service":          `{"version":9,"routes":{"*":{}}}`,
	"unknown route":       `{"service":"s","version":9,"routes":{"*":{},"GET /nowhere":{}}}`,
	"unknown link":        `{"service":"s","version":9,"routes":{"*":{}},"links":{"L2":{"windowMs":1000,"minCalls":1,"openMs":1000,"errorRatio":1,"slowMs":1,"slowRatio":1}}}`,
	"zero":                `{"service":"s","version":9,"routes":{"*":{"perSecond":0}}}`,
	"negative":            `{"service":"s","version":9,"routes":{"*":{"perSecond":-1}}}`,
	"huge":                `{"service":"s","version":9,"routes":{"*":{"concurrency":4294967297}}}`,
	"a limit of null":     `{"service":"s","version":9,"routes":{"*":{"perUser":null}}}`,
	"an empty limit":      `{"service":"s","version":9,"routes":{"*":{"perUser":{}}}}`,
	"a limit of no time":  `{"service":"s","version":9,"routes":{"*":{"perUser":{"count":1,"burst":1}}}}`,
	"a text":              `{"service":"s","version":9,"routes":{"*":{"perSecond":"1"}}}`,
	"half a breaker":      `{"service":"s","version":9,"routes":{"*":{}},"links":{"L":{"windowMs":1000}}}`,
	"a ratio above 1":     `{"service":"s","version":9,"routes":{"*":{}},"links":{"L":{"windowMs":1000,"minCalls":1,"openMs":1000,"errorRatio":1.5,"slowMs":1,"slowRatio":1}}}`,
	"CPU in percent":      `{"service":"s","version":9,"system":{"cpu":80},"routes":{"*":{}}}`,
	"a negative load":     `{"service":"s","version":9,"system":{"loadPerCore":-1},"routes":{"*":{}}}`,
	"older":               `{"service":"s","version":4,"routes":{"*":{"perSecond":1}}}`,
	"the version, others": `{"service":"s","version":5,"routes":{"*":{"perSecond":8}}}`,
	"too long":            `{"service":"s","version":9,"routes":{"*":{}}}` + strings.Repeat(" ", maxDocument),
}

func FuzzParse(f *testing.F) {
	for _, text := range refused {
		f.Add(text)
	}
	f.Add(GatewayDefaults("seckill-api").Document())
	f.Add(RPCDefaults("order.rpc").Document())
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		if r.Service == "" || r.Version < 1 || len(r.Routes) == 0 {
			t.Fatalf("%q gave %+v", text, r)
		}
		again, err := Parse(r.Document())
		if err != nil || again.Document() != r.Document() {
			t.Fatalf("%q became %q: %v", text, r.Document(), err)
		}
		// What Parse takes Sentinel takes too, or it would drop it and open the gate.
		for name, route := range r.Routes {
			if err := rulesOf("r", route).check(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for name, b := range r.Links {
			if err := breakerRules("l", b).check(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	})
}

func TestFloor(t *testing.T) {
	limit := func(count, seconds, burst int64) *Limit { return &Limit{count, seconds, burst} }
	floor := Route{Concurrency: 10, PerUser: limit(10, 1, 10)}
	for name, c := range map[string]struct {
		in, want Route
		clamped  int
	}{
		"stricter":          {Route{PerSecond: 5, Concurrency: 9, PerUser: limit(5, 1, 0)}, Route{PerSecond: 5, Concurrency: 9, PerUser: limit(5, 1, 0)}, 0},
		"equal":             {floor, floor, 0},
		"none":              {Route{}, floor, 2},
		"looser":            {Route{Concurrency: 11, PerUser: limit(11, 1, 0)}, floor, 2},
		"looser by burst":   {Route{Concurrency: 10, PerUser: limit(1, 1, 20)}, floor, 1},
		"looser by seconds": {Route{Concurrency: 10, PerUser: limit(600, 50, 0)}, floor, 1},
		"slow and strict":   {Route{Concurrency: 10, PerUser: limit(20, 60, 0)}, Route{Concurrency: 10, PerUser: limit(20, 60, 0)}, 0},
		"beyond the floor":  {Route{Concurrency: 10, PerUser: limit(1, 1, 0), PerSale: limit(1, 1, 1)}, Route{Concurrency: 10, PerUser: limit(1, 1, 0), PerSale: limit(1, 1, 1)}, 0},
	} {
		var clamped []string
		got := clampRoute(c.in, floor, func(what string) { clamped = append(clamped, what) })
		a := Rules{Routes: map[string]Route{"r": got}}.Document()
		if b := (Rules{Routes: map[string]Route{"r": c.want}}).Document(); a != b || len(clamped) != c.clamped {
			t.Errorf("%s: %v\n%s", name, clamped, a)
		}
	}
	for name, b := range map[string]Breaker{
		"calls": {MinCalls: 11, ErrorRatio: .5, SlowRatio: .5, SlowMs: 10}, "errors": {MinCalls: 10, ErrorRatio: .6, SlowRatio: .5, SlowMs: 10},
		"slow": {MinCalls: 10, ErrorRatio: .5, SlowRatio: .6, SlowMs: 10}, "how slow": {MinCalls: 10, ErrorRatio: .5, SlowRatio: .5, SlowMs: 11},
	} {
		least := Breaker{MinCalls: 10, ErrorRatio: .5, SlowRatio: .5, SlowMs: 10}
		e, err := Floor{Links: map[string]Breaker{"L": least}}.apply(Rules{Links: map[string]Breaker{"L": b}}, nil, []string{"L"})
		if err != nil || e.links["L"] != least || len(e.clamped) != 1 {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
	e, err := Floor{System: System{Concurrency: 5}}.apply(Rules{System: System{Concurrency: 6, CPU: 1}}, nil, nil)
	if err != nil || e.system != (System{Concurrency: 5, CPU: 1}) || len(e.clamped) != 1 {
		t.Errorf("%+v, %v", e, err)
	}
}
