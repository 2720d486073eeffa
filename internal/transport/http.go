package transport

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/zeromicro/go-zero/core/logx"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Problem is the body of every error answer, application/problem+json (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Code is stable; clients decide by it.
	Code      string `json:"code"`
	Detail    string `json:"detail,omitempty"`
	RequestID string `json:"requestId"`
	// TraceID is the request's trace, 32 hex digits.
	TraceID string `json:"traceId"`
	// Errors names the fields at fault, with invalid_request.
	Errors []FieldError `json:"errors,omitempty"`
	// OrderID is the standing order, with limit_reached.
	OrderID string `json:"orderId,omitempty"`
}

// FieldError is what is wrong with one field of the input.
type FieldError struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// request is what a request's context holds: its id, and where it is in its trace. It is a span of
// OpenTelemetry's API so that go-zero's log, which takes the trace from there, needs no second value.
type request struct {
	trace.Span
	id string
	at trace.SpanContext
}

// SpanContext is where the request is in its trace.
func (r *request) SpanContext() trace.SpanContext { return r.at }

var nothing trace.Span = noop.Span{}

// WithRequest keeps a request's id and where it is in its trace, for WriteProblem and for logs.
func WithRequest(ctx context.Context, id string, at trace.SpanContext) context.Context {
	return trace.ContextWithSpan(ctx, &request{nothing, id, at})
}

// RequestID is the id that WithRequest kept, or "".
func RequestID(ctx context.Context) string {
	if r, ok := trace.SpanFromContext(ctx).(*request); ok {
		return r.id
	}
	return ""
}

// problemNoter is a writer that wants to know of what code a problem is.
type problemNoter interface{ NoteProblem(code errs.Code) }

// note tells the code to the writer, or to one that it wraps.
func note(w http.ResponseWriter, code errs.Code) {
	for {
		if n, ok := w.(problemNoter); ok {
			n.NoteProblem(code)
			return
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return
		}
		w = u.Unwrap()
	}
}

// WriteProblem answers with the problem that err stands for. What is behind an internal error goes
// to the log, never to the client. A writer with a method NoteProblem(errs.Code) is told its code.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	e := errs.From(err)
	m, ok := table[e.Code]
	if !ok {
		m = table[errs.Internal]
	}
	p := Problem{
		Type: "about:blank", Title: m.title, Status: m.status,
		Code: string(e.Code), Detail: e.Message, RequestID: RequestID(r.Context()),
	}
	if m.status == http.StatusInternalServerError {
		logx.WithContext(r.Context()).Errorw("request failed", logx.Field("path", r.URL.Path),
			logx.Field("requestId", p.RequestID), logx.Field("error", err.Error()))
		p.Code, p.Detail = string(errs.Internal), ""
	}
	if e.Field != "" {
		p.Errors = []FieldError{{Field: e.Field, Detail: e.Message}}
	}
	if at := trace.SpanContextFromContext(r.Context()); at.HasTraceID() {
		p.TraceID = at.TraceID().String()
	}
	if e.OrderID != 0 {
		p.OrderID = strconv.FormatInt(e.OrderID, 10)
	}
	note(w, errs.Code(p.Code))
	h := w.Header()
	switch m.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(e.RetryAfter.Seconds())))))
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(m.status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone when this fails
}
