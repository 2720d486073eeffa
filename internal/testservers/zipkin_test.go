package testservers

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestZipkin(t *testing.T) {
	base := Zipkin(t)
	if again := Zipkin(t); again != base {
		t.Fatalf("a second call gave %v after %v", again, base)
	}
	ctx := within(t, time.Minute)
	span := `[{"traceId":"a1","id":"a1","name":"buy","timestamp":1,"duration":2,"localEndpoint":{"serviceName":"shop"}}]`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v2/spans", strings.NewReader(span))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusAccepted {
		t.Fatalf("a span got %s: %v", res.Status, err)
	}
	err = zipkin.server.process.await(30*time.Second, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v2/trace/a1", http.NoBody)
		if err != nil {
			return err
		}
		return get(req)
	})
	if err != nil {
		t.Fatalf("read the trace: %v", err)
	}
}
