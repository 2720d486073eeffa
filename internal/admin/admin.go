// Package admin is a process's second listener, for those who run it: health, readiness with what is
// wrong in plain words, metrics, and Go's profiles. It shows addresses and errors of the servers behind
// the process, and its memory, so it belongs on a network of the platform's own.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seckill-go/seckill/internal/metrics"
	"github.com/seckill-go/seckill/internal/process"
)

// patience bounds the parts' answers of one question about readiness.
const patience = 2 * time.Second

// profileLimit is for the longest profile that may be asked for.
const profileLimit = 90 * time.Second

// Server serves GET /healthz, /readyz, /metrics and /debug/pprof/.
type Server struct {
	listen string
	http   *http.Server
	addr   string
	served chan struct{}

	readiness *readiness
	metrics   *metrics.Set
	unwatch   context.CancelFunc
	watched   chan struct{}
}

// New prepares a server on the address (host:port) that reads the board.
func New(listen string, board *process.Board) *Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, true, nil)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		parts, ready := board.Ready(ctx)
		answer(w, ready, parts)
	})
	mux.Handle("GET /metrics", promhttp.Handler())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	ready := &readiness{board: board}
	return &Server{
		listen: listen, served: make(chan struct{}), readiness: ready, metrics: metrics.NewSet(ready), watched: make(chan struct{}),
		http: &http.Server{
			Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: profileLimit, IdleTimeout: time.Minute,
		},
	}
}

// health is the body of /healthz and /readyz.
type health struct {
	Status string `json:"status"` // ok, unavailable
	Parts  []part `json:"parts,omitempty"`
}

type part struct {
	Name     string `json:"name"`
	Up       bool   `json:"up"`
	Optional bool   `json:"optional,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

func answer(w http.ResponseWriter, ok bool, parts []process.Part) {
	h := health{Status: "ok"}
	for _, p := range parts {
		h.Parts = append(h.Parts, part{p.Name, p.Up, p.Optional, p.Detail})
	}
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		h.Status = "unavailable"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(h) // the asker went away
}

// Start opens the port and serves until Stop.
func (s *Server) Start(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.listen)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	if err := s.metrics.Start(ctx); err != nil {
		return errors.Join(fmt.Errorf("admin: %w", err), l.Close())
	}
	s.addr = l.Addr().String()
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.unwatch = cancel
	go func() {
		defer close(s.watched)
		s.readiness.watch(watching)
	}()
	go func() {
		defer close(s.served)
		_ = s.http.Serve(l) // it says that Stop closed it
	}()
	return nil
}

// Addr is where it listens, host and port; "" before Start.
func (s *Server) Addr() string { return s.addr }

// Stop ends it, cutting off the questions that are not answered when ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	if s.addr == "" {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.served
	s.unwatch()
	<-s.watched
	return errors.Join(err, s.metrics.Stop(ctx))
}

// Check asks the admin listener of a process on this machine whether it is ready. listen is that
// listener's address; an unspecified host is asked on loopback.
func Check(ctx context.Context, listen string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var h health
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil {
		return fmt.Errorf("admin: %s: %w", resp.Status, err)
	}
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	for _, p := range h.Parts {
		if !p.Up && !p.Optional {
			return fmt.Errorf("not ready: %s: %s", p.Name, p.Detail)
		}
	}
	return errors.New("not ready")
}
