package httpserve

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"sync/atomic"

	"github.com/seckill-go/seckill/api/internal/strictjson"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/tracing"
	"github.com/seckill-go/seckill/internal/transport"
	"github.com/zeromicro/go-zero/core/logx"
)

const requestIDHeader = "X-Request-Id"

// Edge is what every request passes first: it gets an id, safe headers, a body that is bounded in
// bytes, and a problem instead of a cut connection when next panics. While draining, answers close
// their connections, so that clients come back by new ones, to another gateway. Each request has a trace
// id; one of a Routed handler has a span.
func Edge(next http.Handler, draining *atomic.Bool, tracer *tracing.Tracer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, made := requestID(r)
		span := tracer.Accept(r.Header, id, made)
		h := w.Header()
		h[requestIDHeader] = []string{id}
		h["X-Content-Type-Options"] = noSniff
		if draining.Load() {
			h["Connection"] = connectionClose
		}
		r = r.WithContext(transport.WithRequest(r.Context(), id, span.Context()))
		tracked := &trackedWriter{ResponseWriter: w}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, strictjson.MaxBody)
		}
		defer endSpan(tracer, &span, tracked, r)
		defer recoverTo(tracked, r)
		next.ServeHTTP(tracked, r)
	})
}

var (
	noSniff         = []string{"nosniff"}
	connectionClose = []string{"close"}
)

// requestID is the caller's own id for the request where it is harmless in headers and logs, otherwise
// a new one, which could be a trace's.
func requestID(r *http.Request) (id string, made bool) {
	if values := r.Header[requestIDHeader]; len(values) == 1 && safeID(values[0]) {
		return values[0], false
	}
	var b [16]byte
	for i := range 2 {
		for j, n := 0, rand.Uint64(); j < 8; j++ {
			b[8*i+j] = byte(n >> (8 * j))
		}
	}
	return hex.EncodeToString(b[:]), true
}

func safeID(s string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}

// recoverTo turns a panic into an answer, or cuts the connection when an answer has begun. Neither the
// log nor the client gets anything of the request but its method, path and id.
func recoverTo(w *trackedWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	logx.WithContext(r.Context()).Errorw("handler panicked",
		logx.Field("method", r.Method), logx.Field("path", r.URL.Path),
		logx.Field("requestId", transport.RequestID(r.Context())),
		logx.Field("panic", fmt.Sprint(p)), logx.Field("stack", string(debug.Stack())))
	if w.started {
		w.code = errs.Internal
		panic(http.ErrAbortHandler)
	}
	transport.WriteProblem(w, r, errs.New(errs.Internal, "internal error"))
}

// trackedWriter knows whether the answer has begun, and what it is.
type trackedWriter struct {
	http.ResponseWriter
	started bool
	// status is 0 as long as none was set.
	status int
	// code is a problem's.
	code errs.Code
	// route is that of a Routed handler.
	route string
}

// NoteProblem keeps the code of the problem that is the answer.
func (w *trackedWriter) NoteProblem(code errs.Code) { w.code = code }

// WriteHeader begins the answer.
func (w *trackedWriter) WriteHeader(status int) {
	w.started = true
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write begins the answer if WriteHeader has not.
func (w *trackedWriter) Write(b []byte) (int, error) {
	w.started = true
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *trackedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
