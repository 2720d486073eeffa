// Package agent is the side of preflight that runs on every node: it makes the checks that a runner with
// the key asks for, one task a request. It runs no program and passes nothing on.
package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/seal"
)

const (
	// maxBody is of a request, in bytes.
	maxBody = 1 << 20
	// atOnce is how many tasks run at a time; one more is refused.
	atOnce = 4
	// grace is what a check gets beyond its limit to give its answer.
	grace = 500 * time.Millisecond
)

// Check makes one check. It ends soon after its context does.
type Check func(ctx context.Context, t preflight.Task) preflight.Answer

// Options are what an Agent is made of.
type Options struct {
	// Node is the name under which it reports.
	Node string
	// Host is what the ports of an offer are opened on, as that of its HTTP port; "" is every address.
	Host string
	// Key is shared with the runner; see seal.MinKey.
	Key string
	// Checks are what it can do, by name.
	Checks map[string]Check
	// Now is its clock; time.Now when nil.
	Now func() time.Time
}

// Agent answers runners. Make it with New, serve it with Serve or as an http.Handler, end it with Close.
type Agent struct {
	opt    Options
	boot   string
	guard  *seal.Guard
	sealer *seal.Sealer
	mux    *http.ServeMux
	slots  chan struct{}
	tasks  sync.WaitGroup
	offers offers
}

// New makes an Agent. The error is a key that is too short.
func New(opt Options) (*Agent, error) {
	s, err := seal.New(opt.Key)
	if err != nil {
		return nil, err
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	a := &Agent{
		opt: opt, boot: rand.Text(), sealer: s, guard: seal.NewGuard(s, opt.Now),
		mux: http.NewServeMux(), slots: make(chan struct{}, atOnce),
	}
	a.offers.node, a.offers.address = opt.Node, opt.Host
	a.mux.HandleFunc("GET "+preflight.HelloPath, a.hello)
	a.mux.HandleFunc("GET "+preflight.ValuePath, a.offers.value)
	a.mux.HandleFunc("POST "+preflight.RunPath, sealed(a, a.run))
	a.mux.HandleFunc("POST "+preflight.OfferPath, sealed(a, a.offer))
	a.mux.HandleFunc("POST "+preflight.ReleasePath, sealed(a, a.release))
	return a, nil
}

// ServeHTTP implements http.Handler.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// Serve answers on l until ctx ends, then closes everything.
func (a *Agent) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{
		Handler: a, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: preflight.MaxLimit + 10*time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = s.Close() // the checks under way end with their requests
		if why := <-ended; !errors.Is(why, http.ErrServerClosed) {
			err = why
		}
	}
	a.Close()
	return err
}

// Close takes back what is offered and waits for checks under way, whose requests must have ended.
func (a *Agent) Close() {
	a.offers.close()
	a.tasks.Wait()
}

func (a *Agent) hello(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	// A client that went away has nobody to be told.
	_ = json.NewEncoder(w).Encode(preflight.Hello{Node: a.opt.Node, Boot: a.boot, Time: a.opt.Now()})
}

// busyError is a task more than the agent makes at a time.
type busyError struct{ error }

// sealed opens a request, decodes it strictly, and seals the answer. Nothing but the status tells a
// caller without the key what was wrong.
func sealed[In, Out any](a *Agent, do func(context.Context, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "the body is too large or broken", http.StatusRequestEntityTooLarge)
			return
		}
		e := seal.Envelope{Method: r.Method, Path: r.URL.Path, Agent: a.boot}
		if err = seal.ParseHeader(r.Header.Get("Authorization"), &e); err == nil {
			body, err = a.guard.Open(e, body)
		}
		if err != nil {
			http.Error(w, "refused", http.StatusUnauthorized)
			return
		}
		var in In
		if err := decode(body, &in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out, err := do(r.Context(), in)
		if err != nil {
			status := http.StatusBadRequest
			if errors.As(err, new(busyError)) {
				status = http.StatusServiceUnavailable
			}
			http.Error(w, err.Error(), status)
			return
		}
		answer, err := json.Marshal(out)
		if err != nil {
			http.Error(w, "the answer cannot be written", http.StatusInternalServerError)
			return
		}
		// A runner that went away has nobody to be told.
		_, _ = w.Write(a.sealer.SealAnswer(e, answer))
	}
}

// decode takes one JSON value without unknown fields.
func decode(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("request: more than one value")
	}
	return nil
}

// run makes one check within its limit, even where the check itself does not heed it.
func (a *Agent) run(ctx context.Context, t preflight.Task) (preflight.Answer, error) {
	if err := t.Valid(); err != nil {
		return preflight.Answer{}, err
	}
	check, ok := a.opt.Checks[t.Check]
	if !ok {
		return preflight.Answer{}, fmt.Errorf("this agent has no check %s", t.Check)
	}
	select {
	case a.slots <- struct{}{}:
	default:
		return preflight.Answer{}, busyError{fmt.Errorf("%d checks are under way", atOnce)}
	}
	ctx, cancel := context.WithTimeout(ctx, t.Plan.Limit)
	defer cancel()
	done := make(chan preflight.Answer, 1)
	// The slot stays taken until the check has really ended, so that ones that hang cannot pile up.
	a.tasks.Go(func() {
		defer func() { <-a.slots }()
		done <- a.guarded(ctx, check, t)
	})
	late := time.NewTimer(t.Plan.Limit + grace)
	defer late.Stop()
	select {
	case answer := <-done:
		for i := range answer.Findings {
			answer.Findings[i].Node = a.opt.Node
		}
		for i := range answer.Links {
			answer.Links[i].From = a.opt.Node
		}
		return answer, nil
	case <-late.C:
		var answer preflight.Answer
		answer.Add("check-late", t.Check, "%s took more than %v", t.Check, t.Plan.Limit).Node = a.opt.Node
		return answer, nil
	}
}

// guarded turns a panic of a check into a finding: the other checks go on.
func (a *Agent) guarded(ctx context.Context, check Check, t preflight.Task) (answer preflight.Answer) {
	defer func() {
		if p := recover(); p != nil {
			answer = preflight.Answer{}
			answer.Add("check-failed", t.Check, "%s: a fault in the check itself: %v", t.Check, p)
		}
	}()
	return check(ctx, t)
}

func (a *Agent) offer(ctx context.Context, o preflight.Offer) (preflight.Offered, error) {
	if err := o.Valid(); err != nil {
		return preflight.Offered{}, err
	}
	return a.offers.open(ctx, o)
}

func (a *Agent) release(_ context.Context, o preflight.Offer) (preflight.Offered, error) {
	a.offers.release(o.Run)
	return preflight.Offered{}, nil
}
