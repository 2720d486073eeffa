package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/alicebob/miniredis/v2"
)

// Redis is an in-process Redis. It keeps nothing beyond Stop.
type Redis struct {
	listen string
	server *miniredis.Miniredis
}

// NewRedis makes a Redis that will listen on a loopback host:port; port 0 takes a free one.
func NewRedis(listen string) (*Redis, error) {
	if err := checkLoopback(listen); err != nil {
		return nil, fmt.Errorf("embedded redis: %w", err)
	}
	return &Redis{listen: listen}, nil
}

// Start returns once Redis takes connections. A Redis starts at most once: use a new one after Stop.
func (r *Redis) Start(context.Context) error {
	if r.server != nil {
		return errors.New("embedded redis: started before")
	}
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(r.listen); err != nil {
		return fmt.Errorf("embedded redis: listen on %s: %w", r.listen, err)
	}
	server.ClockTTL(true) // without it keys expire only when a test says so
	r.server = server
	return nil
}

// Addr is the host:port that Redis listens on, once it was started.
func (r *Redis) Addr() string { return r.server.Addr() }

// Stop ends Redis with all its data.
func (r *Redis) Stop(context.Context) error {
	if r.server != nil {
		r.server.Close()
	}
	return nil
}
