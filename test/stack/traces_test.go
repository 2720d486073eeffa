package stack

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/test/internal/topology"
)

// traced is how many purchases TestPurchasesAreTraced follows.
const traced = 100

// clientSpan is the span of the client in all of its traces; nobody reports it.
const clientSpan = "00f067aa0ba902b7"

// zipkinSpan is a span as Zipkin's API shows it.
type zipkinSpan struct {
	TraceID, ID, ParentID, Kind, Name string
	LocalEndpoint, RemoteEndpoint     struct{ ServiceName string }
	Timestamp, Duration               int64 // microseconds
	Tags                              map[string]string
}

// purchaseSpans is what a purchase reports: each span below the one before it that is a level less deep.
const purchaseSpans = `SERVER seckill-api post /api/v1/sales/:saleid/orders
  CLIENT seckill-api reserve
    SERVER order-rpc reserve
      CLIENT order-rpc redis reserve
      PRODUCER order-rpc kafka publish
        CONSUMER order-writer kafka consume
          CLIENT order-writer mysql write
`

// relayedSpans is a purchase's that Kafka did not take in time.
const relayedSpans = `SERVER seckill-api post /api/v1/sales/:saleid/orders
  CLIENT seckill-api reserve
    SERVER order-rpc reserve
      CLIENT order-rpc redis reserve
      PRODUCER order-rpc kafka publish error=unavailable
      PRODUCER order-relay kafka relay
        CONSUMER order-writer kafka consume
          CLIENT order-writer mysql write
`

// TestPurchasesAreTraced buys with traces of its own and asks Zipkin for each: one tree, from the gateway
// over Redis and Kafka to MySQL, from four processes; and one over the outbox, while Kafka is away. The
// log of the orders names the trace.
func TestPurchasesAreTraced(t *testing.T) {
	kafka := testservers.OwnKafka(t)
	p := topology.New(t, 1, nil, topology.WithKafka(kafka.Addr),
		topology.WithSettings("Tracing.SampleRatio=1", "Tracing.ClientSampledPerSecond=1000", "Tracing.FlushInterval=200ms"))
	p.Start(t)
	if out, err := command(t, p, "load", "--stock", "1000", "--buyers", "1", "--no-audit").CombinedOutput(); err != nil {
		t.Fatalf("make a sale: %v\n%s", err, out)
	}
	out, err := command(t, p, "tokens", "--count", fmt.Sprint(traced+1)).Output()
	if err != nil {
		t.Fatal(err)
	}
	tokens := strings.Fields(string(out))
	shop := openShop(t, p)

	orders := make([]string, traced)
	var buyers sync.WaitGroup
	for i := range traced {
		buyers.Go(func() { orders[i] = shop.buyTraced(t, tokens[i], traceID(i)) })
	}
	buyers.Wait()
	for i := range traced {
		spans := awaitTrace(t, p, i, purchaseSpans)
		for _, s := range spans {
			checkSpan(t, s, orders[i], shop.sale)
		}
	}

	kafka.Kill()
	relayed := shop.buyTraced(t, tokens[traced], traceID(traced))
	kafka.Start()
	for _, s := range awaitTrace(t, p, traced, relayedSpans) {
		checkSpan(t, s, relayed, shop.sale)
	}

	topology.Eventually(t, time.Minute, "the log of a trace", func() error {
		var seen []string
		for _, l := range readLogs(t, p, "logs-of-"+p.Group, "--trace", traceID(0)) {
			seen = append(seen, l.Service+": "+l.Message)
		}
		if !slices.Contains(seen, "order: orders accepted") || !slices.Contains(seen, "order: orders written") {
			return fmt.Errorf("it has %q", seen)
		}
		return nil
	})
	for _, service := range []string{"api", "order-rpc", "order-writer", "order-relay"} {
		process := p.Processes[service][0]
		if n := process.Metric(t, "seckill_trace_spans_total"); n == 0 {
			t.Errorf("%s counts no spans", process.Name)
		}
	}
}

// traceID is the id of the i-th purchase's trace.
func traceID(i int) string { return fmt.Sprintf("5ec1111a%024x", i+1) }

// buyTraced buys one unit in a trace, and returns the order.
func (c *customers) buyTraced(t *testing.T, token, trace string) string {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+c.p.Addr+"/api/v1/sales/"+c.sale+"/orders", strings.NewReader(`{"quantity":1}`))
	if err != nil {
		t.Error(err)
		return ""
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Traceparent", "00-"+trace+"-"+clientSpan+"-01")
	res, err := c.http.Do(req)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = res.Body.Close() }()
	var order struct{ OrderID string }
	if err := json.NewDecoder(res.Body).Decode(&order); err != nil || res.StatusCode != http.StatusAccepted {
		t.Errorf("buy in trace %s: %s: %v", trace, res.Status, err)
	}
	return order.OrderID
}

// awaitTrace waits until the i-th purchase's trace is the tree, and returns its spans.
func awaitTrace(t *testing.T, p *topology.Topology, i int, want string) []zipkinSpan {
	t.Helper()
	var spans []zipkinSpan
	topology.Eventually(t, time.Minute, "trace "+traceID(i)+" is whole", func() (err error) {
		if spans, err = getTrace(t, p.Zipkin, traceID(i)); err != nil {
			return err
		}
		// How often the relay tries while Kafka is away is nobody's concern.
		spans = slices.DeleteFunc(spans, func(s zipkinSpan) bool { return s.Name == "kafka relay" && s.Tags["error"] != "" })
		if got := drawn(spans, clientSpan, ""); got != want {
			return fmt.Errorf("it has %d spans:\n%swant\n%s", len(spans), got, want)
		}
		if n := strings.Count(want, "\n"); len(spans) != n {
			return fmt.Errorf("it has %d spans, some of no parent, want %d: %+v", len(spans), n, spans)
		}
		return nil
	})
	return spans
}

func getTrace(t *testing.T, zipkin, id string) ([]zipkinSpan, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, zipkin+"/api/v2/trace/"+id, nil)
	if err != nil {
		return nil, err
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", res.Status, b)
	}
	var spans []zipkinSpan
	return spans, json.Unmarshal(b, &spans)
}

// drawn is the tree of the spans below a parent, siblings by what they are.
func drawn(spans []zipkinSpan, parent, indent string) string {
	var lines []string
	for _, s := range spans {
		if s.ParentID != parent {
			continue
		}
		line := indent + s.Kind + " " + s.LocalEndpoint.ServiceName + " " + s.Name
		if e := s.Tags["error"]; e != "" {
			line += " error=" + e
		}
		lines = append(lines, line+"\n"+drawn(spans, s.ID, indent+"  "))
	}
	// CLIENT before PRODUCER, and order-rpc before order-relay: in the order of the purchase.
	slices.SortFunc(lines, func(a, b string) int {
		return strings.Compare(strings.Replace(a, "order-relay", "then", 1), strings.Replace(b, "order-relay", "then", 1))
	})
	return strings.Join(lines, "")
}

// checkSpan says what is missing in a span.
func checkSpan(t *testing.T, s zipkinSpan, order, sale string) {
	t.Helper()
	remote := map[string]string{
		"reserve": "order", "redis reserve": "redis", "kafka publish": "kafka", "kafka relay": "kafka", "kafka consume": "kafka", "mysql write": "mysql",
	}[s.Name]
	if s.Kind == "SERVER" {
		remote = ""
	}
	if s.RemoteEndpoint.ServiceName != remote || s.Timestamp <= 0 || s.Duration <= 0 {
		t.Errorf("%s %s: remote %q, timestamp %d, duration %d", s.Kind, s.Name, s.RemoteEndpoint.ServiceName, s.Timestamp, s.Duration)
	}
	want := map[string]string{"order": order}
	switch {
	case strings.HasPrefix(s.Name, "post "):
		want = map[string]string{"sale": sale, "http.status_code": "202", "http.method": "POST"}
	case s.Kind == "CLIENT" && s.Name == "reserve":
		want = nil
	case s.Name == "redis reserve":
		want["verdict"], want["sale"] = "accepted", sale
	case s.Name == "mysql write":
		want["written"] = "new"
	}
	for name, value := range want {
		if s.Tags[name] != value {
			t.Errorf("%s %s: %s is %q, want %q", s.Kind, s.Name, name, s.Tags[name], value)
		}
	}
	if !strings.HasPrefix(s.Name, "post ") && s.Name != "kafka consume" && s.Tags["batch"] == "" {
		t.Errorf("%s %s says nothing of its batch: %v", s.Kind, s.Name, s.Tags)
	}
}
