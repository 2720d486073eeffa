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
	"github.com/seckill-go/seckill/internal/transport"
	"github.com/zeromicro/go-zero/core/logx"
)

const requestIDHeader = "X-Request-Id"

// Edge is what every request passes first: it gets an id, safe headers, a body that is bounded in
// bytes, and a problem instead of a cut connection when next panics. While draining, answers close
// their connections, so that clients come back by new ones, to another gateway.
func Edge(next http.Handler, draining *atomic.Bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestID(r)
		h := w.Header()
		h[requestIDHeader] = []string{id}
		h["X-Content-Type-Options"] = noSniff
		if draining.Load() {
			h["Connection"] = connectionClose
		}
		r = r.WithContext(transport.WithRequestID(r.Context(), id))
		tracked := &trackedWriter{ResponseWriter: w}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, strictjson.MaxBody)
		}
		defer recoverTo(tracked, r)
		next.ServeHTTP(tracked, r)
	})
}

var (
	noSniff         = []string{"nosniff"}
	connectionClose = []string{"close"}
)

// requestID is the caller's own id for the request where it is harmless in headers and logs, otherwise
// a new one.
func requestID(r *http.Request) string {
	if values := r.Header[requestIDHeader]; len(values) == 1 && safeID(values[0]) {
		return values[0]
	}
	var b [16]byte
	for i := range 2 {
		for j, n := 0, rand.Uint64(); j < 8; j++ {
			b[8*i+j] = byte(n >> (8 * j))
		}
	}
	return hex.EncodeToString(b[:])
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
		panic(http.ErrAbortHandler)
	}
	transport.WriteProblem(w, r, errs.New(errs.Internal, "internal error"))
}

// trackedWriter knows whether the answer has begun.
type trackedWriter struct {
	http.ResponseWriter
	started bool
}

// WriteHeader begins the answer.
func (w *trackedWriter) WriteHeader(status int) {
	w.started = true
	w.ResponseWriter.WriteHeader(status)
}

// Write begins the answer if WriteHeader has not.
func (w *trackedWriter) Write(b []byte) (int, error) {
	w.started = true
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *trackedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
