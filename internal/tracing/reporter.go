package tracing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/openzipkin/zipkin-go/model"
	zipkin "github.com/openzipkin/zipkin-go/reporter"
	"github.com/zeromicro/go-zero/core/logx"
)

const (
	dialTimeout = 2 * time.Second
	// maxAnswer is how much of an answer is read, in bytes, so that its connection can be kept.
	maxAnswer = 4 << 10
)

// reporter sends spans to Zipkin in the background. What waits is bounded, and is sent once an interval,
// so that the spans of a second are bounded too, however many calls fail in it. Spans that Zipkin did not
// take are not sent again.
type reporter struct {
	cfg      Config
	client   *http.Client
	queue    chan *model.SpanModel
	stopping chan struct{}
	done     chan struct{}
	started  atomic.Bool
	// ctx is that of all requests; cancel ends one under way.
	ctx    context.Context
	cancel context.CancelFunc

	sent, dropped, failed atomic.Int64
	// failing is the sending goroutine's: Zipkin did not take the last spans.
	failing bool
}

func newReporter(cfg Config) *reporter {
	r := &reporter{
		cfg: cfg, queue: make(chan *model.SpanModel, cfg.QueueSpans),
		stopping: make(chan struct{}), done: make(chan struct{}),
		client: &http.Client{
			Transport: &http.Transport{
				DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, TLSHandshakeTimeout: dialTimeout,
				MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
			},
			// Spans are posted where the configuration says, or nowhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// room tells whether the queue takes another span, and counts it as dropped when not: whoever asks makes
// none then.
func (r *reporter) room() bool {
	if len(r.queue) < cap(r.queue) {
		return true
	}
	r.dropped.Add(1)
	return false
}

// put queues a span, or drops it.
func (r *reporter) put(s *model.SpanModel) {
	select {
	case r.queue <- s:
	default:
		r.dropped.Add(1)
	}
}

func (r *reporter) start() {
	r.started.Store(true)
	go func() {
		defer close(r.done)
		tick := time.NewTicker(r.cfg.FlushInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.flush()
			case <-r.stopping:
				r.flush()
				return
			}
		}
	}()
}

// stop sends what waits and ends the goroutine.
func (r *reporter) stop(ctx context.Context) {
	if !r.started.Swap(false) {
		return
	}
	close(r.stopping)
	limit := time.NewTimer(r.cfg.FlushTimeout)
	defer limit.Stop()
	select {
	case <-r.done:
	case <-limit.C:
	case <-ctx.Done():
	}
	r.cancel()
	<-r.done
	r.client.CloseIdleConnections()
}

// flush sends what waits now; after the end of ctx it is dropped.
func (r *reporter) flush() {
	for left := len(r.queue); left > 0; {
		batch := make([]*model.SpanModel, 0, min(left, r.cfg.BatchSpans))
		for range cap(batch) {
			batch = append(batch, <-r.queue) // nobody else takes any
		}
		left -= len(batch)
		if r.ctx.Err() != nil {
			r.dropped.Add(int64(len(batch)))
			continue
		}
		if err := r.send(batch); err != nil {
			r.failed.Add(int64(len(batch)))
			r.tell(err)
			continue
		}
		r.sent.Add(int64(len(batch)))
		r.tell(nil)
	}
}

// tell logs that Zipkin takes no spans, once, and that it takes them again.
func (r *reporter) tell(err error) {
	switch failing := err != nil; {
	case failing == r.failing || r.ctx.Err() != nil:
	case failing:
		r.failing = true
		logx.Errorw("zipkin takes no spans; they are dropped", logx.Field("error", err.Error()))
	default:
		r.failing = false
		logx.Infow("zipkin takes spans again", logx.Field("failed", r.failed.Load()))
	}
}

func (r *reporter) send(batch []*model.SpanModel) error {
	var serializer zipkin.JSONSerializer
	body, err := serializer.Serialize(batch)
	if err != nil {
		return fmt.Errorf("tracing: %w", err)
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.RequestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.cfg.Endpoint, bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	req.Header.Set("Content-Type", serializer.ContentType())
	req.Header.Set("b3", "0") // a proxy on the way should not trace the tracing
	res, err := r.client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer))
	_ = res.Body.Close() // the status is there already
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("tracing: zipkin answers %s", res.Status)
	}
	return err
}

// withoutURL is the error without the endpoint, which may have a password in it.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return fmt.Errorf("tracing: %w", err)
}
