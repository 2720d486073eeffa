package transport

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/zeromicro/go-zero/core/logx"
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

type requestIDKey struct{}

// WithRequestID keeps a request's id for WriteProblem and for logs.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID is the id that WithRequestID kept, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// WriteProblem answers with the problem that err stands for. What is behind an internal error goes
// to the log, never to the client.
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
	if e.OrderID != 0 {
		p.OrderID = strconv.FormatInt(e.OrderID, 10)
	}
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
