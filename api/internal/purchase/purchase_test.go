package purchase

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/breaker"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"
)

// reserver is a fake of gRPC's client: sent tells it to fill in the peer.
type reserver struct {
	sent  bool
	reply func(ctx context.Context, calls []*orderpb.ReserveCall) ([]*orderpb.ReserveOutcome, error)
}

func (f reserver) Reserve(ctx context.Context, in *orderpb.ReserveRequest, opts ...grpc.CallOption) (*orderpb.ReserveResponse, error) {
	for _, o := range opts {
		if p, ok := o.(grpc.PeerCallOption); ok && f.sent {
			p.PeerAddr.Addr = &net.TCPAddr{}
		}
	}
	outcomes, err := f.reply(ctx, in.GetCalls())
	if err != nil {
		return nil, err
	}
	return &orderpb.ReserveResponse{Outcomes: outcomes}, nil
}

func desk(t testing.TB, r Reserver, cfg Config) *Desk {
	t.Helper()
	d, err := New(r, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func small() Config { return Config{Lanes: 1, MaxBatch: 2, MaxWaiting: 4, Budget: 5 * time.Second} }

// eventually waits for a condition that another goroutine brings about.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestEveryCallGetsItsOwnOutcome: whatever is sent at once, in whatever batches, each caller gets the
// outcome of its own call.
func TestEveryCallGetsItsOwnOutcome(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := Config{
			Lanes: rapid.IntRange(1, 3).Draw(rt, "lanes"), MaxBatch: rapid.IntRange(1, 5).Draw(rt, "batch"),
			MaxWaiting: 100, Budget: 5 * time.Second,
		}
		var mu sync.Mutex
		seen := map[int64]int{}
		d := desk(t, reserver{sent: true, reply: func(_ context.Context, calls []*orderpb.ReserveCall) ([]*orderpb.ReserveOutcome, error) {
			if len(calls) > cfg.MaxBatch {
				return nil, fmt.Errorf("%d calls in one message", len(calls))
			}
			var all []*orderpb.ReserveOutcome
			mu.Lock()
			defer mu.Unlock()
			for _, c := range calls {
				seen[c.GetUserId()]++
				if c.GetUserId()%3 == 0 {
					all = append(all, &orderpb.ReserveOutcome{Code: "limit_reached", OrderId: c.GetUserId() + 1000})
				} else {
					all = append(all, &orderpb.ReserveOutcome{OrderId: c.GetUserId() + 1000})
				}
			}
			return all, nil
		}}, cfg)
		n := rapid.IntRange(1, 40).Draw(rt, "callers")
		failures := make([]error, n)
		var group sync.WaitGroup
		for i := range n {
			group.Go(func() {
				user := int64(i + 1)
				id, err := d.Buy(context.Background(), &orderpb.ReserveCall{UserId: user})
				switch {
				case user%3 == 0:
					if e := errs.From(err); e.Code != errs.LimitReached || e.OrderID != user+1000 {
						failures[i] = fmt.Errorf("user %d got %v with %d", user, err, e.OrderID)
					}
				case err != nil || id != user+1000:
					failures[i] = fmt.Errorf("user %d got %d, %v", user, id, err)
				}
			})
		}
		group.Wait()
		if err := errors.Join(failures...); err != nil {
			rt.Fatal(err)
		}
		for user, times := range seen {
			if times != 1 {
				rt.Fatalf("user %d was sent %d times", user, times)
			}
		}
		if len(seen) != n {
			rt.Fatalf("%d of %d calls were sent", len(seen), n)
		}
	})
}

func TestOutcomesBecomeTheContractsErrors(t *testing.T) {
	for code := range decided {
		o := &orderpb.ReserveOutcome{Code: string(code), OrderId: 7, Field: "quantity", Message: "why", RetryAfterMs: 1500}
		d := desk(t, reserver{sent: true, reply: func(context.Context, []*orderpb.ReserveCall) ([]*orderpb.ReserveOutcome, error) {
			return []*orderpb.ReserveOutcome{o}, nil
		}}, small())
		_, err := d.Buy(context.Background(), &orderpb.ReserveCall{})
		e := errs.From(err)
		if e.Code != code || e.OrderID != 7 || e.Field != "quantity" || e.Message != "why" || e.RetryAfter != 1500*time.Millisecond {
			t.Errorf("%s: got %+v", code, e)
		}
	}
}

// TestWhatIsNotCertainIsUnknown: nothing but a clear word of the order service or of gRPC lets the
// gateway say that nothing was reserved.
func TestWhatIsNotCertainIsUnknown(t *testing.T) {
	for name, reply := range map[string]func() ([]*orderpb.ReserveOutcome, error){
		"accepted without an id": func() ([]*orderpb.ReserveOutcome, error) { return []*orderpb.ReserveOutcome{{}}, nil },
		"nil outcome":            func() ([]*orderpb.ReserveOutcome, error) { return []*orderpb.ReserveOutcome{nil}, nil },
		"a code of the future":   func() ([]*orderpb.ReserveOutcome, error) { return []*orderpb.ReserveOutcome{{Code: "new"}}, nil },
		"internal":               func() ([]*orderpb.ReserveOutcome, error) { return []*orderpb.ReserveOutcome{{Code: "internal"}}, nil },
		"unknown": func() ([]*orderpb.ReserveOutcome, error) {
			return []*orderpb.ReserveOutcome{{Code: "unknown_outcome"}}, nil
		},
		"too few outcomes": func() ([]*orderpb.ReserveOutcome, error) { return nil, nil },
		"too many outcomes": func() ([]*orderpb.ReserveOutcome, error) {
			return []*orderpb.ReserveOutcome{{OrderId: 1}, {OrderId: 2}}, nil
		},
		"unavailable after sending": func() ([]*orderpb.ReserveOutcome, error) { return nil, status.Error(codes.Unavailable, "reset") },
		"the server's unavailable":  func() ([]*orderpb.ReserveOutcome, error) { return nil, errs.New(errs.Unavailable, "") },
		"deadline":                  func() ([]*orderpb.ReserveOutcome, error) { return nil, context.DeadlineExceeded },
		"internal error":            func() ([]*orderpb.ReserveOutcome, error) { return nil, errs.New(errs.Internal, "") },
	} {
		d := desk(t, reserver{sent: true, reply: func(context.Context, []*orderpb.ReserveCall) ([]*orderpb.ReserveOutcome, error) { return reply() }}, small())
		if _, err := d.Buy(context.Background(), &orderpb.ReserveCall{}); errs.CodeOf(err) != errs.UnknownOutcome {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestWhatNeverLeftIsUnavailable(t *testing.T) {
	for name, c := range map[string]struct {
		sent bool
		err  error
	}{
		"no connection":               {false, status.Error(codes.Unavailable, "connection refused")},
		"no connection in the budget": {false, status.Error(codes.DeadlineExceeded, "")},
		"breaker":                     {false, errs.Wrap(breaker.ErrServiceUnavailable, errs.Unavailable, "")},
	} {
		d := desk(t, reserver{sent: c.sent, reply: func(context.Context, []*orderpb.ReserveCall) ([]*orderpb.ReserveOutcome, error) { return nil, c.err }}, small())
		_, err := d.Buy(context.Background(), &orderpb.ReserveCall{})
		if e := errs.From(err); e.Code != errs.Unavailable || e.RetryAfter <= 0 {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestWhatWasHeldIsRateLimited: flow control of the order service holds a message before anything is
// reserved, so that its callers need not ask again with their keys.
func TestWhatWasHeldIsRateLimited(t *testing.T) {
	held := &errs.Error{Code: errs.RateLimited, RetryAfter: time.Second}
	d := desk(t, reserver{sent: true, reply: func(context.Context, []*orderpb.ReserveCall) ([]*orderpb.ReserveOutcome, error) { return nil, held }}, small())
	_, err := d.Buy(context.Background(), &orderpb.ReserveCall{})
	if e := errs.From(err); e.Code != errs.RateLimited || e.RetryAfter != time.Second {
		t.Errorf("got %v", err)
	}
}

// memory is a Memory of sale 1, which user 3 has no order on.
type memory struct {
	mu   sync.Mutex
	seen map[int64]error
}

func (m *memory) Answer(saleID, userID, _ int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if saleID == 1 && userID == 3 {
		return m.seen[1]
	}
	return nil
}

func (m *memory) Saw(saleID int64, answer error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[saleID] = answer
}

// TestMemoryIsAskedFirst: and hears of "sold out" alone, from the order service alone.
func TestMemoryIsAskedFirst(t *testing.T) {
	m := &memory{seen: map[int64]error{}}
	cfg := small()
	cfg.Memory = m
	asked := 0
	d := desk(t, reserver{sent: true, reply: func(_ context.Context, calls []*orderpb.ReserveCall) ([]*orderpb.ReserveOutcome, error) {
		asked++
		code := map[int64]errs.Code{1: errs.SoldOut, 2: errs.LimitReached, 3: errs.Unavailable}[calls[0].GetSaleId()]
		if code == "" {
			return nil, status.Error(codes.Unavailable, "reset")
		}
		return []*orderpb.ReserveOutcome{{Code: string(code), Message: "why"}}, nil
	}}, cfg)
	buy := func(sale, user int64) error {
		_, err := d.Buy(context.Background(), &orderpb.ReserveCall{SaleId: sale, UserId: user, Quantity: 1})
		return err
	}
	for sale := int64(1); sale <= 4; sale++ {
		if buy(sale, 3) == nil {
			t.Errorf("sale %d is sold", sale)
		}
	}
	if len(m.seen) != 1 || errs.CodeOf(m.seen[1]) != errs.SoldOut || asked != 4 {
		t.Fatalf("after %d calls it has seen %v", asked, m.seen)
	}
	if err := buy(1, 3); err != m.seen[1] || asked != 4 {
		t.Errorf("what it knows: %v after %d calls", err, asked)
	}
	if err := buy(1, 4); errs.CodeOf(err) != errs.SoldOut || asked != 5 {
		t.Errorf("what it does not: %v after %d calls", err, asked)
	}
}

// blocked is a desk whose only lane is taken by one call until release is called.
func blocked(t *testing.T, cfg Config) (d *Desk, inFlight chan error, release func()) {
	t.Helper()
	entered, open := make(chan struct{}, 16), make(chan struct{})
	d = desk(t, reserver{sent: true, reply: func(ctx context.Context, calls []*orderpb.ReserveCall) ([]*orderpb.ReserveOutcome, error) {
		entered <- struct{}{}
		select {
		case <-open:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		all := make([]*orderpb.ReserveOutcome, len(calls))
		for i := range all {
			all[i] = &orderpb.ReserveOutcome{OrderId: 1}
		}
		return all, nil
	}}, cfg)
	inFlight = make(chan error, 1)
	go func() {
		_, err := d.Buy(context.Background(), &orderpb.ReserveCall{})
		inFlight <- err
	}()
	<-entered
	return d, inFlight, sync.OnceFunc(func() { close(open) })
}

func TestTooManyWaitingAreOverloaded(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	d, first, release := blocked(t, small())
	var waiting sync.WaitGroup
	for range small().MaxWaiting {
		waiting.Go(func() {
			if _, err := d.Buy(context.Background(), &orderpb.ReserveCall{}); err != nil {
				t.Errorf("a call that waited: %v", err)
			}
		})
	}
	eventually(t, "all wait", func() bool { return d.Waiting() == small().MaxWaiting })
	_, err := d.Buy(context.Background(), &orderpb.ReserveCall{})
	if e := errs.From(err); e.Code != errs.Overloaded || e.RetryAfter <= 0 {
		t.Errorf("one too many: %v", err)
	}
	release()
	waiting.Wait()
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := d.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := d.Buy(context.Background(), &orderpb.ReserveCall{}); errs.CodeOf(err) != errs.Unavailable {
		t.Errorf("after Close: %v", err)
	}
}

func TestBudget(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cfg := small()
	cfg.Budget = 50 * time.Millisecond
	d, first, release := blocked(t, cfg)
	defer release()
	if err := <-first; errs.CodeOf(err) != errs.UnknownOutcome {
		t.Errorf("the call that was sent: %v", err)
	}

	cfg.Budget = time.Minute
	d2, first2, release2 := blocked(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	second := make(chan error, 1)
	go func() {
		_, err := d2.Buy(ctx, &orderpb.ReserveCall{})
		second <- err
	}()
	eventually(t, "the second waits", func() bool { return d2.Waiting() == 1 })
	cancel()
	if err := <-second; errs.CodeOf(err) != errs.Overloaded {
		t.Errorf("the call that never left: %v", err)
	}
	release2()
	if err := <-first2; err != nil {
		t.Error(err)
	}
	for _, d := range []*Desk{d, d2} {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// orderServer is a real gRPC server whose Reserve does what the test says.
type orderServer struct {
	orderpb.UnimplementedOrderServiceServer
	reserve func(ctx context.Context) error
}

func (s orderServer) Reserve(ctx context.Context, _ *orderpb.ReserveRequest) (*orderpb.ReserveResponse, error) {
	return &orderpb.ReserveResponse{Outcomes: []*orderpb.ReserveOutcome{{OrderId: 9}}}, s.reserve(ctx)
}

// TestWhatRealGRPCTells holds neverSent against gRPC itself.
func TestWhatRealGRPCTells(t *testing.T) {
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	buy := func(addr string) error {
		conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		d := desk(t, orderpb.NewOrderServiceClient(conn), Config{Lanes: 1, MaxBatch: 1, MaxWaiting: 1, Budget: 300 * time.Millisecond})
		_, err = d.Buy(context.Background(), &orderpb.ReserveCall{SaleId: 1})
		return err
	}
	serve := func(reserve func(context.Context) error) (string, *grpc.Server) {
		l, s := listen(), grpc.NewServer()
		orderpb.RegisterOrderServiceServer(s, orderServer{reserve: reserve})
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := s.Serve(l); err != nil {
				t.Error(err)
			}
		}()
		t.Cleanup(func() { s.Stop(); <-done })
		return l.Addr().String(), s
	}

	nobody := listen()
	addr := nobody.Addr().String()
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	if err := buy(addr); errs.CodeOf(err) != errs.Unavailable {
		t.Errorf("nobody listens: %v", err)
	}

	silent := listen() // takes the connection and never speaks HTTP/2
	defer silent.Close()
	if err := buy(silent.Addr().String()); errs.CodeOf(err) != errs.Unavailable && errs.CodeOf(err) != errs.UnknownOutcome {
		t.Errorf("a silent peer: %v", err)
	}

	addr, _ = serve(func(context.Context) error { return nil })
	if err := buy(addr); err != nil {
		t.Errorf("all well: %v", err)
	}
	addr, _ = serve(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	if err := buy(addr); errs.CodeOf(err) != errs.UnknownOutcome {
		t.Errorf("no answer in the budget: %v", err)
	}
	addr, _ = serve(func(context.Context) error { return status.Error(codes.Unavailable, "") })
	if err := buy(addr); errs.CodeOf(err) != errs.UnknownOutcome {
		t.Errorf("the server's own Unavailable: %v", err)
	}
	var dying *grpc.Server
	entered := make(chan struct{})
	addr, dying = serve(func(ctx context.Context) error { close(entered); <-ctx.Done(); return ctx.Err() })
	go func() { <-entered; dying.Stop() }()
	if err := buy(addr); errs.CodeOf(err) != errs.UnknownOutcome {
		t.Errorf("the server died over it: %v", err)
	}
}

func TestNewRefusesBoundsThatAreNotPositive(t *testing.T) {
	for _, n := range [][4]int{{}, {1, 0, 0, 0}, {1, 1, 1, 0}, {1, 1, 0, 1}, {1, 0, 1, 1}, {0, 1, 1, 1}} {
		cfg := Config{Lanes: n[0], MaxBatch: n[1], MaxWaiting: n[2], Budget: time.Duration(n[3])}
		if _, err := New(reserver{}, cfg); err == nil {
			t.Errorf("%+v passed", cfg)
		}
	}
}
