package gatewayapp

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seckill-go/seckill/internal/bloom"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"google.golang.org/protobuf/proto"
)

// soldOutService answers for a sale that is sold out, on which user 42 alone has an order, and counts the
// purchases that reach it.
type soldOutService struct {
	purchases atomic.Int64
}

func (s *soldOutService) answer(ctx context.Context, req proto.Message) (proto.Message, error) {
	switch r := req.(type) {
	case *orderpb.ReserveRequest:
		s.purchases.Add(int64(len(r.GetCalls())))
		out := &orderpb.ReserveResponse{}
		for _, c := range r.GetCalls() {
			o := &orderpb.ReserveOutcome{Code: "sold_out", Message: "none is left"}
			if c.GetUserId() == 42 {
				o = &orderpb.ReserveOutcome{OrderId: 77}
			}
			out.Outcomes = append(out.Outcomes, o)
		}
		return out, nil
	case *orderpb.SoldOutRequest:
		out := &orderpb.SoldOutResponse{}
		for _, q := range r.GetQuestions() {
			a := &orderpb.SoldOutAnswer{SoldOut: true, Generation: 1, Sequence: 1, PerUserLimit: 2}
			if q.GetGeneration() == 1 && q.GetSequence() == 1 {
				a.LeaseMs = r.GetLeaseMs()
			}
			out.Answers = append(out.Answers, a)
		}
		return out, nil
	case *orderpb.BuyersRequest:
		out := &orderpb.BuyersResponse{Generation: 1, Sequence: 1}
		out.Seed, out.Hashes, out.Bits = bloom.Of([]int64{42}, 1<<10).Parts()
		return out, nil
	default:
		return truth(ctx, req)
	}
}

// purchase is one of a user's, with whatever change does to it.
func (p *platform) purchase(user int64, change func(*http.Request)) reply {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodPost, p.base+"/api/v1/sales/5/orders", strings.NewReader(`{"quantity":1}`))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token(p.t, user, "user"))
	r.Header.Set("Idempotency-Key", "k")
	change(r)
	return p.do(r)
}

func asItIs(*http.Request) {}

// ids are what no two answers have in common.
var ids = regexp.MustCompile(`"(requestId|traceId)":"[^"]*"`)

// TestSoldOutFromMemory: byte for byte the order service's answer, to those alone for whom it is, and after
// everything else that can be wrong with a call.
func TestSoldOutFromMemory(t *testing.T) {
	p := start(t, func(c *Config) { c.SoldOut.Lease = time.Second })
	s := &soldOutService{}
	p.set(s.answer)
	asked := p.purchase(100, asItIs)
	if got := asked.problem(t); asked.status != 409 || got.Code != "sold_out" || got.Detail != "none is left" {
		t.Fatalf("got %d %s", asked.status, asked.body)
	}
	user := int64(100)
	var remembered reply
	eventually(t, "a call is answered from memory", func() bool {
		user++
		before := s.purchases.Load()
		remembered = p.purchase(user, asItIs)
		return s.purchases.Load() == before
	})
	if remembered.status != 409 || ids.ReplaceAllString(remembered.body, "") != ids.ReplaceAllString(asked.body, "") {
		t.Errorf("memory says %d %s\nthe order service says %s", remembered.status, remembered.body, asked.body)
	}
	for name := range asked.header {
		if name != "X-Request-Id" && name != "Date" && remembered.header.Get(name) != asked.header.Get(name) {
			t.Errorf("%s: memory says %q, the order service %q", name, remembered.header.Get(name), asked.header.Get(name))
		}
	}
	if n := exported(t, "seckill_soldout_answers_total"); n < 1 {
		t.Errorf("%v answers were counted", n)
	}

	before := s.purchases.Load()
	if got := p.purchase(42, asItIs); got.status != 202 || !strings.Contains(got.body, `"orderId":"77"`) || s.purchases.Load() != before+1 {
		t.Errorf("a buyer with the same key: %d %s", got.status, got.body)
	}
	for name, c := range map[string]struct {
		status int
		change func(*http.Request)
	}{
		"no token":   {401, func(r *http.Request) { r.Header.Del("Authorization") }},
		"no JSON":    {415, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }},
		"a bad key":  {400, func(r *http.Request) { r.Header.Set("Idempotency-Key", strings.Repeat("k", 129)) }},
		"a bad sale": {404, func(r *http.Request) { r.URL.Path = "/api/v1/sales/x/orders" }},
	} {
		user++
		if got := p.purchase(user, c.change); got.status != c.status {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	for _, quantity := range []int{0, 1001} {
		if got := p.call("POST", "/api/v1/sales/5/orders", "user", fmt.Sprintf(`{"quantity":%d}`, quantity)); got.status != 400 {
			t.Errorf("a quantity of %d: %d %s", quantity, got.status, got.body)
		}
	}
}

func TestSoldOutMemoryThatIsOff(t *testing.T) {
	p := start(t, func(c *Config) { c.SoldOut.Off = true })
	s := &soldOutService{}
	p.set(s.answer)
	for user := range int64(50) {
		if got := p.purchase(100+user, asItIs); got.status != 409 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
	}
	if n := s.purchases.Load(); n != 50 {
		t.Errorf("%d of 50 purchases reached the order service", n)
	}
}

func TestLeasesThatCannotWork(t *testing.T) {
	for _, lease := range []time.Duration{-1, time.Millisecond, 2 * time.Second} {
		cfg := testConfig("127.0.0.1:1")
		cfg.SoldOut.Lease = lease
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "SoldOut.Lease") {
			t.Errorf("%s: %v", lease, err)
		}
	}
}

// exported is the value of a counter or gauge without labels.
func exported(t *testing.T, name string) float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("%s is not exported", name)
	return 0
}
