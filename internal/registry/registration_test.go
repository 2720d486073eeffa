package registry

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nacos-group/nacos-sdk-go/v2/model"
)

var order1 = Instance{Service: "order.rpc", Host: "10.0.0.1", Port: 1, Weight: 1}

func register(t *testing.T, c *Client) *Registration {
	t.Helper()
	r, err := c.Register(order1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func expect(t *testing.T, r *Registration, want State, problem string) {
	t.Helper()
	synctest.Wait()
	if got := r.State(); got != want {
		t.Fatalf("it is %s, not %s (%s)", got, want, r.Problem())
	}
	if got := r.Problem(); (problem == "") != (got == "") || !strings.Contains(got, problem) {
		t.Fatalf("problem %q", got)
	}
}

func TestAnInstanceRegistersOnEveryConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.up = false
		r := register(t, fakeClient(t, f))
		expect(t, r, Waiting, "away")
		for restart := range 3 {
			f.connect(true, true)
			expect(t, r, Registered, "")
			if n, _ := f.counts(); n != restart+1 {
				t.Fatalf("registered %d times after %d restarts", n, restart)
			}
			f.connect(false, false)
			expect(t, r, Waiting, "away")
		}
	})
}

func TestAMissingInstanceRegistersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.silent = true
		r := register(t, fakeClient(t, f))
		expect(t, r, Registered, "")
		f.list(order1.Service)
		time.Sleep(hiddenRetry)
		expect(t, r, Registered, "")
		if n, _ := f.counts(); n != 2 {
			t.Fatalf("registered %d times", n)
		}
	})
}

// What the server accepts and does not list was disabled: that is told, and not fought over at every
// look.
func TestADisabledInstanceIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.onRegister = func(model.Instance) error { return nil }
		r := register(t, fakeClient(t, f))
		time.Sleep(3 * hiddenRetry)
		expect(t, r, Hidden, "disabled")
		if n, _ := f.counts(); n < 2 || n > 4 {
			t.Fatalf("registered %d times in %v", n, 3*hiddenRetry)
		}
		weightless := host(order1.Host)
		weightless.Weight = 0
		before, _ := f.counts()
		f.list(order1.Service, weightless)
		expect(t, r, Registered, "")
		time.Sleep(3 * hiddenRetry)
		if n, _ := f.counts(); n != before {
			t.Fatal("an instance that is listed with weight 0 was registered again")
		}
	})
}

func TestARefusedRegistrationIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		refusals := 2
		f.onRegister = func(in model.Instance) error {
			if refusals--; refusals >= 0 {
				return &Refusal{Code: 500, Message: "not now"}
			}
			f.listed[order1.Service] = []model.Instance{in}
			return nil
		}
		r := register(t, fakeClient(t, f))
		expect(t, r, Waiting, "not now (500)")
		time.Sleep(2 * pollEvery)
		expect(t, r, Registered, "")
	})
}

func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		c := fakeClient(t, f)
		r := register(t, c)
		expect(t, r, Registered, "")
		if _, err := c.Register(order1); err == nil {
			t.Fatal("a second instance of the service took the place of the first")
		}
		refusals := 3
		f.onDeregister = func() error {
			if refusals--; refusals >= 0 {
				return errors.New("not now")
			}
			return nil
		}
		for range 2 {
			if err := r.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
			expect(t, r, Left, "")
		}
		f.connect(true, true)
		time.Sleep(time.Hour)
		if n, left := f.counts(); n != 1 || left != 1 {
			t.Fatalf("registered %d times, left %d times", n, left)
		}
		expect(t, register(t, c), Registered, "")
	})
}

func TestLeaveEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		stuck := errors.New("not now")
		f.onDeregister = func() error { return stuck }
		r := register(t, fakeClient(t, f))
		expect(t, r, Registered, "")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Leave(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, stuck) {
			t.Fatalf("got %v", err)
		}
		// Without a connection there is nothing left to take off.
		f.connect(false, false)
		if err := r.Leave(t.Context()); err != nil || r.State() != Left {
			t.Fatalf("got %v, %s", err, r.State())
		}
	})
}

func TestInstancesThatNobodyCouldCallAreRefused(t *testing.T) {
	c := fakeClient(t, newFake())
	for name, spoil := range map[string]func(*Instance){
		"no service":      func(i *Instance) { i.Service = "" },
		"no host":         func(i *Instance) { i.Host = "" },
		"no port":         func(i *Instance) { i.Port = 0 },
		"no such port":    func(i *Instance) { i.Port = 65536 },
		"no weight":       func(i *Instance) { i.Weight = 0 },
		"negative weight": func(i *Instance) { i.Weight = -1 },
		"NaN":             func(i *Instance) { i.Weight = math.NaN() },
		"endless weight":  func(i *Instance) { i.Weight = math.Inf(1) },
	} {
		in := order1
		spoil(&in)
		if _, err := c.Register(in); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
