package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nacos-group/nacos-sdk-go/v2/common/remote/rpc/rpc_request"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// healthEvery is how often an idle connection is tried. The server gives one up after 20 s.
	healthEvery = 3 * time.Second
	// healthMisses in a row end a connection: one may be a pause of the server, and a new connection
	// takes the instances of the old one off for a moment.
	healthMisses = 2
	// connectPause is the first wait after a failed connection, connectPauseMax the longest.
	connectPause    = 200 * time.Millisecond
	connectPauseMax = 2 * time.Second
)

var (
	errClosed     = errors.New("the link to nacos is closed")
	errConnecting = errors.New("the first connection is being made")
)

// link keeps one connection to one of the servers and makes a new one when it breaks.
type link struct {
	servers   []endpoint
	namespace string
	timeout   time.Duration
	health    time.Duration // healthEvery, less in tests
	tls       *tlsconf.Client
	login     *login

	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	session *session // nil while there is none
	server  endpoint // of the session
	epoch   uint64   // of the session, or of the last one
	why     error    // there is no session
	// watchers are told of what the server pushed, by key, and all of them of every connection made
	// or lost.
	watchers map[string]map[chan struct{}]struct{}
}

func openLink(cfg Config, health time.Duration) (*link, error) {
	servers, err := cfg.endpoints()
	if err != nil {
		return nil, err
	}
	secure, err := cfg.TLS.Client()
	if err != nil {
		return nil, fmt.Errorf("registry TLS: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &link{
		servers: servers, namespace: cfg.Namespace, timeout: cfg.Timeout, health: health, tls: secure,
		login:  &login{username: cfg.Username, password: cfg.Password, tls: secure},
		cancel: cancel, ended: make(chan struct{}),
		why:      errConnecting,
		watchers: map[string]map[chan struct{}]struct{}{},
	}
	go l.run(ctx)
	return l, nil
}

// close ends the connection, and with it what is registered over it.
func (l *link) close() {
	l.cancel()
	<-l.ended
}

// run connects, to one server after another, until ctx ends.
func (l *link) run(ctx context.Context) {
	defer close(l.ended)
	next, pause := rand.IntN(len(l.servers)), connectPause
	for {
		at := l.servers[next%len(l.servers)]
		next++
		s, err := l.open(ctx, at)
		if err == nil {
			pause = connectPause
			l.set(s, at, nil)
			logx.Infow("nacos: connected", logx.Field("server", at.grpc))
			err = l.keep(ctx, s)
			l.set(nil, at, err)
			s.close()
			if ctx.Err() == nil {
				logx.Errorw("nacos: connection lost", logx.Field("server", at.grpc), logx.Field("error", err))
			}
		} else if ctx.Err() == nil && l.changed(err) {
			logx.Errorw("nacos: no connection", logx.Field("server", at.grpc), logx.Field("error", err))
		}
		if ctx.Err() != nil {
			l.set(nil, at, errClosed)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)): // apart, when a server comes back to many clients
		}
		pause = min(2*pause, connectPauseMax)
	}
}

func (l *link) open(ctx context.Context, at endpoint) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	creds := insecure.NewCredentials()
	if l.tls != nil {
		creds = credentials.NewTLS(l.tls.Config(at.host)) // the files as they are now
	}
	return openSession(ctx, at, creds, l.namespace, l.push)
}

// keep tries the session now and then and returns why it is of no more use.
func (l *link) keep(ctx context.Context, s *session) error {
	every := time.NewTicker(l.health)
	defer every.Stop()
	misses := 0
	for {
		select {
		case <-ctx.Done():
			return errClosed
		case <-s.dead:
			return s.why
		case <-every.C:
		}
		try, cancel := context.WithTimeout(ctx, l.timeout)
		err := s.healthy(try)
		cancel()
		switch {
		case err == nil:
			misses = 0
		case unregistered(err):
			return err
		default:
			if misses++; misses == healthMisses {
				return fmt.Errorf("the server does not answer: %w", err)
			}
		}
	}
}

// set makes s, or with nil none, the session in use and tells all watchers.
func (l *link) set(s *session, at endpoint, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session, l.server = s, at
	if s != nil {
		l.epoch++
	} else {
		l.why = why
	}
	for _, watchers := range l.watchers {
		notify(watchers)
	}
}

// changed takes note of why there is no connection and tells whether the log does not have it yet.
func (l *link) changed(why error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.why
	l.why = why
	return before == nil || before.Error() != why.Error()
}

// push tells the watchers of the key.
func (l *link) push(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	notify(l.watchers[key])
}

func notify(watchers map[chan struct{}]struct{}) {
	for w := range watchers {
		select {
		case w <- struct{}{}:
		default: // it has a signal that it has not taken yet
		}
	}
}

// watch returns a channel that gets a signal when something under the key may have changed, and when a
// connection was made or lost.
func (l *link) watch(key string) (<-chan struct{}, func()) {
	signal := make(chan struct{}, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watchers[key] == nil {
		l.watchers[key] = map[chan struct{}]struct{}{}
	}
	l.watchers[key][signal] = struct{}{}
	return signal, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers[key], signal)
		if len(l.watchers[key]) == 0 {
			delete(l.watchers, key)
		}
	}
}

// connection numbers the connection in use, from 1; without one the error says why.
func (l *link) connection() (uint64, error) {
	_, _, epoch, err := l.current()
	return epoch, err
}

func (l *link) current() (*session, endpoint, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session == nil {
		return nil, endpoint{}, 0, fmt.Errorf("nacos is away: %w", l.why)
	}
	return l.session, l.server, l.epoch, nil
}

// call sends a request over the connection in use and returns its number. It does not wait for a
// connection, and is bounded by the configured timeout beside ctx.
func (l *link) call(ctx context.Context, req rpc_request.IRequest, answer any) (uint64, error) {
	s, at, epoch, err := l.current()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	for again := false; ; again = true {
		token, err := l.login.get(ctx, at)
		if err != nil {
			return 0, err
		}
		err = s.request(ctx, req, token, answer)
		if refused(err, codeForbidden) && token != "" && !again {
			l.login.forget(token)
			continue
		}
		if unregistered(err) {
			s.fail(err)
		}
		if err != nil {
			return 0, fmt.Errorf("nacos %s: %w", req.GetRequestType(), err)
		}
		return epoch, nil
	}
}

func refused(err error, code int) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Code == code
}

func unregistered(err error) bool { return refused(err, codeUnregistered) }
