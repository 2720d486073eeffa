package gatewayapp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

const eventsPath = "/api/v1/orders/9007199254740993/events"

// onWatch sets what the order service does with a watch.
func (p *platform) onWatch(f func(req *orderpb.WatchOrderRequest, s grpc.ServerStreamingServer[orderpb.Order]) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch = f
}

// events opens the stream as user 42.
func (p *platform) events(ctx context.Context) *http.Response {
	p.t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", p.base+eventsPath, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token(p.t, 42, "user"))
	r.Header.Set("Accept", "text/event-stream")
	resp, err := p.http.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func event(state string) string {
	return fmt.Sprintf("event: order\nid: %s\ndata: "+orderJSON+"\n\n", state, state)
}

func TestEventsUntilTheFinalState(t *testing.T) {
	p := start(t, nil)
	p.onWatch(func(req *orderpb.WatchOrderRequest, s grpc.ServerStreamingServer[orderpb.Order]) error {
		if !proto.Equal(req, &orderpb.WatchOrderRequest{OrderId: 9007199254740993, UserId: 42}) {
			return fmt.Errorf("asked %v", req)
		}
		for _, state := range []string{"accepted", "pending_payment", "paid"} {
			if err := s.Send(anOrder(state)); err != nil {
				return err
			}
		}
		return nil
	})
	resp := p.events(context.Background())
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if want := event("accepted") + event("pending_payment") + event("paid"); resp.StatusCode != 200 || string(body) != want {
		t.Errorf("%d\n got %s\nwant %s", resp.StatusCode, body, want)
	}
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
		if resp.Header.Get(name) != want {
			t.Errorf("%s: %q", name, resp.Header.Get(name))
		}
	}
}

// TestEventsComeAtOnce: each event is there before the next thing happens, with heartbeats between,
// and neither the body's deadline nor the server's write timeout ends a stream.
func TestEventsComeAtOnce(t *testing.T) {
	p := start(t, func(c *Config) {
		c.HTTP.Heartbeat = 10 * time.Millisecond
		c.HTTP.BodyTimeout, c.HTTP.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
		c.OrderRPC.Timeout = 50
	})
	next := make(chan string)
	p.onWatch(func(_ *orderpb.WatchOrderRequest, s grpc.ServerStreamingServer[orderpb.Order]) error {
		for {
			select {
			case state := <-next:
				if err := s.Send(anOrder(state)); err != nil {
					return err
				}
			case <-s.Context().Done():
				return s.Context().Err()
			}
		}
	})
	go func() { next <- "accepted" }()
	lines := bufio.NewReader(p.events(context.Background()).Body)
	begun := time.Now()
	read := func(want string) int {
		t.Helper()
		beats := 0
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("waiting for %q: %v", want, err)
			}
			if line == want+"\n" {
				return beats
			}
			if strings.HasPrefix(line, ":") {
				beats++
			}
		}
	}
	read("id: accepted")
	for time.Since(begun) < 150*time.Millisecond { // three times every timeout
		read(": ")
	}
	next <- "pending_payment"
	read("id: pending_payment")
	next <- "expired"
	read("id: expired")
	if rest, err := io.ReadAll(lines); err != nil || !strings.HasSuffix(string(rest), "\n\n") {
		t.Errorf("after the final state: %q, %v", rest, err)
	}
}

func TestEventsSurviveABrokenRPC(t *testing.T) {
	p := start(t, nil)
	turn := 0
	p.onWatch(func(_ *orderpb.WatchOrderRequest, s grpc.ServerStreamingServer[orderpb.Order]) error {
		turn++
		switch turn {
		case 1:
			if err := s.Send(anOrder("accepted")); err != nil {
				return err
			}
			return errs.New(errs.Unavailable, "going away")
		case 2:
			return s.Send(anOrder("accepted")) // the same again, then an end that is none
		default:
			return s.Send(anOrder("cancelled"))
		}
	})
	body, err := io.ReadAll(p.events(context.Background()).Body)
	if err != nil || string(body) != event("accepted")+event("cancelled") {
		t.Fatalf("got %s, %v", body, err)
	}
}

func TestErrorsBeforeTheFirstEventAreProblems(t *testing.T) {
	p := start(t, nil)
	for code, status := range map[errs.Code]int{errs.NotFound: 404, errs.Forbidden: 403, errs.Unavailable: 503, errs.Internal: 500} {
		p.onWatch(func(*orderpb.WatchOrderRequest, grpc.ServerStreamingServer[orderpb.Order]) error {
			return errs.New(code, "why")
		})
		if got := p.call("GET", eventsPath, "user", ""); got.status != status || got.problem(t).Code != string(code) {
			t.Errorf("%s: %+v", code, got)
		}
	}
	if got := p.call("GET", eventsPath, "", ""); got.status != 401 {
		t.Errorf("nobody: %+v", got)
	}
	if got := p.call("GET", "/api/v1/orders/x/events", "user", ""); got.status != 404 {
		t.Errorf("no order: %+v", got)
	}
}

func TestTheServiceHearsThatTheClientLeft(t *testing.T) {
	p := start(t, nil)
	left := make(chan error, 1)
	p.onWatch(func(_ *orderpb.WatchOrderRequest, s grpc.ServerStreamingServer[orderpb.Order]) error {
		if err := s.Send(anOrder("accepted")); err != nil {
			return err
		}
		<-s.Context().Done()
		left <- s.Context().Err()
		return s.Context().Err()
	})
	ctx, leave := context.WithCancel(context.Background())
	resp := p.events(ctx)
	if _, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	leave()
	select {
	case err := <-left:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it was never told")
	}
}

func TestStreamsAreBounded(t *testing.T) {
	p := start(t, func(c *Config) { c.HTTP.MaxStreams = 1 })
	p.onWatch(func(_ *orderpb.WatchOrderRequest, s grpc.ServerStreamingServer[orderpb.Order]) error {
		if err := s.Send(anOrder("accepted")); err != nil {
			return err
		}
		<-s.Context().Done()
		return s.Context().Err()
	})
	ctx, leave := context.WithCancel(context.Background())
	p.events(ctx)
	if got := p.call("GET", eventsPath, "user", ""); got.status != 503 || got.problem(t).Code != "overloaded" {
		t.Errorf("the second: %+v", got)
	}
	leave()
}

// TestStopEndsStreamsAndDrainsCalls: at the end, streams end as streams do, a purchase under way gets
// its answer, and nobody new gets in.
func TestStopEndsStreamsAndDrainsCalls(t *testing.T) { drains(t, start(t, nil)) }

func drains(t *testing.T, p *platform) {
	t.Helper()
	entered, release := make(chan struct{}), make(chan struct{})
	p.set(func(ctx context.Context, req proto.Message) (proto.Message, error) {
		close(entered)
		<-release
		return truth(ctx, req)
	})
	p.onWatch(func(_ *orderpb.WatchOrderRequest, s grpc.ServerStreamingServer[orderpb.Order]) error {
		if err := s.Send(anOrder("accepted")); err != nil {
			return err
		}
		<-s.Context().Done()
		return s.Context().Err()
	})
	stream := p.events(context.Background())
	purchase := make(chan reply, 1)
	go func() { purchase <- p.call("POST", purchasePath, "user", `{"quantity":1}`) }()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- p.app.Stop(context.Background()) }()
	body, err := io.ReadAll(stream.Body)
	if err != nil || string(body) != event("accepted") {
		t.Errorf("the stream ended with %q, %v", body, err)
	}
	unconnected := p.http.Transport.(*http.Transport).Clone()
	unconnected.DisableKeepAlives = true
	other := &http.Client{Transport: unconnected}
	eventually(t, "nobody new gets in", func() bool {
		resp, err := other.Get(p.base + "/healthz")
		if err == nil {
			resp.Body.Close()
		}
		return err != nil
	})
	select {
	case err := <-stopped:
		t.Fatalf("stopped before the purchase was answered: %v", err)
	default:
	}
	close(release)
	if got := <-purchase; got.status != 202 {
		t.Errorf("the purchase under way: %+v", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestStopHasALimit: what does not end is cut off, and Stop says so.
func TestStopHasALimit(t *testing.T) {
	p := start(t, func(c *Config) { c.HTTP.DrainTimeout = 50 * time.Millisecond })
	entered := make(chan struct{})
	p.set(func(ctx context.Context, req proto.Message) (proto.Message, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	cut := make(chan error, 1)
	go func() {
		resp, err := p.http.Get(p.base + "/api/v1/sales/5")
		if err == nil {
			resp.Body.Close()
		}
		cut <- err
	}()
	<-entered
	if err := p.app.Stop(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := <-cut; err == nil {
		t.Error("the call was answered")
	}
}

func TestAServerThatDiesIsReported(t *testing.T) {
	p := start(t, nil)
	if err := p.app.listener.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.app.Failed():
		if err == nil {
			t.Error("without a reason")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("never")
	}
}
