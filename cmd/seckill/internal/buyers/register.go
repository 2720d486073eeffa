package buyers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seckill-go/seckill/cmd/seckill/internal/gateway"
	"golang.org/x/sync/errgroup"
)

// Bounds of asking again when the gateway says that it is too busy for a registration or a login.
const (
	registerAttempts = 20
	registerPause    = 200 * time.Millisecond
)

// Register makes count users through the API, logs each in, and returns their access tokens. It
// does workers users at a time, and asks again what is answered with 429 or 503. done, when not nil,
// counts the users that are ready.
func Register(ctx context.Context, client *gateway.Client, count, workers int, done *atomic.Int64) ([]string, error) {
	if count < 1 || count > MaxCount {
		return nil, fmt.Errorf("the number of buyers is 1 to %d, not %d", MaxCount, count)
	}
	run := strings.ToLower(rand.Text())
	password := rand.Text()
	tokens := make([]string, count)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range count {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() error {
			who := gateway.Credentials{Username: fmt.Sprintf("load%s%07d", run[:12], i), Password: password}
			asked := false
			err := patiently(groupCtx, func() error {
				err := client.Register(groupCtx, who)
				var p *gateway.Problem
				if asked && errors.As(err, &p) && p.Code == "username_taken" {
					return nil // the call that was answered "later" had made the account
				}
				asked = true
				return err
			})
			if err != nil {
				return err
			}
			err = patiently(groupCtx, func() error {
				session, err := client.Login(groupCtx, who)
				tokens[i] = session.AccessToken
				return err
			})
			if err == nil && done != nil {
				done.Add(1)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	// Without a failure only the caller can have stopped the loop early.
	return tokens, ctx.Err()
}

// patiently calls f again while the gateway says "later".
func patiently(ctx context.Context, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		var p *gateway.Problem
		if err == nil || attempt == registerAttempts || !errors.As(err, &p) ||
			(p.Status != http.StatusTooManyRequests && p.Status != http.StatusServiceUnavailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(p.RetryAfter, registerPause)):
		}
	}
}
