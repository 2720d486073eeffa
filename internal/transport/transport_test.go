package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/zeromicro/go-zero/core/breaker"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestEveryCodeTravels: what a service returns is what the gateway sees, for every code.
func TestEveryCodeTravels(t *testing.T) {
	for code := range table {
		in := &errs.Error{Code: code, Message: "why", Field: "f", OrderID: 1 << 60, RetryAfter: 1250 * time.Millisecond}
		err := ToStatus(fmt.Errorf("doing: %w", in))
		out := errs.From(FromStatus(err))
		if out.Code != code || out.Message != "why" || out.Field != "f" || out.OrderID != 1<<60 || out.RetryAfter != in.RetryAfter {
			t.Errorf("%s came back as %+v", code, out)
		}
	}
}

// TestBusinessAnswersTripNoBreaker: go-zero's breakers count these codes as failures of the peer.
func TestBusinessAnswersTripNoBreaker(t *testing.T) {
	failures := map[codes.Code]bool{
		codes.DeadlineExceeded: true, codes.Internal: true, codes.Unavailable: true,
		codes.DataLoss: true, codes.Unimplemented: true, codes.ResourceExhausted: true,
	}
	faults := map[errs.Code]bool{errs.Unavailable: true, errs.UnknownOutcome: true, errs.Internal: true}
	for code, m := range table {
		if failures[m.grpc] != faults[code] {
			t.Errorf("%s travels as %s", code, m.grpc)
		}
	}
}

func TestWhatIsNotOursIsInternalOrUnavailable(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want errs.Code
	}{
		"plain error":       {ToStatus(errors.New("password=x")), errs.Internal},
		"deadline":          {ToStatus(context.DeadlineExceeded), errs.Unavailable},
		"cancelled":         {ToStatus(context.Canceled), errs.Unavailable},
		"breaker":           {breaker.ErrServiceUnavailable, errs.Unavailable},
		"connection":        {status.Error(codes.Unavailable, "refused"), errs.Unavailable},
		"foreign":           {status.Error(codes.Internal, "boom"), errs.Internal},
		"not from gRPC":     {errors.New("boom"), errs.Internal},
		"already an errs":   {errs.New(errs.SoldOut, "x"), errs.SoldOut},
		"a status, wrapped": {ToStatus(status.Error(codes.NotFound, "x")), errs.Internal},
	} {
		got := FromStatus(c.err)
		if errs.CodeOf(got) != c.want {
			t.Errorf("%s: got %v", name, got)
		}
		if strings.Contains(errs.From(got).Message, "password") {
			t.Errorf("%s: the cause travelled: %v", name, got)
		}
	}
	if FromStatus(nil) != nil || ToStatus(nil) != nil {
		t.Error("nil became an error")
	}
}

// noting is a writer behind another that is told what a problem is.
type noting struct {
	http.ResponseWriter
	codes *[]errs.Code
}

func (n noting) NoteProblem(code errs.Code) { *n.codes = append(*n.codes, code) }

type wrapping struct{ http.ResponseWriter }

func (w wrapping) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestAWriterIsToldTheCode(t *testing.T) {
	var codes []errs.Code
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
	w := wrapping{noting{httptest.NewRecorder(), &codes}}
	WriteProblem(w, r, errs.New(errs.SoldOut, "none left"))
	WriteProblem(w, r, errors.New("odd"))
	if !slices.Equal(codes, []errs.Code{errs.SoldOut, errs.Internal}) {
		t.Errorf("got %v", codes)
	}
}

func TestProblems(t *testing.T) {
	at := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{15: 0xa1}, SpanID: trace.SpanID{7: 1}})
	write := func(err error) (*httptest.ResponseRecorder, Problem) {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(WithRequest(t.Context(), "id-1", at), http.MethodGet, "/x", nil)
		WriteProblem(w, r, err)
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if w.Header().Get("Content-Type") != "application/problem+json" || p.RequestID != "id-1" || p.TraceID != "000000000000000000000000000000a1" || p.Status != w.Code || p.Title == "" {
			t.Errorf("%v: %s %+v", err, w.Header(), p)
		}
		return w, p
	}
	if w, p := write(errs.Invalid("quantity", "must be from 1 to %d", 1000)); w.Code != 400 || p.Code != "invalid_request" ||
		len(p.Errors) != 1 || p.Errors[0] != (FieldError{"quantity", "must be from 1 to 1000"}) {
		t.Errorf("%d %+v", w.Code, p)
	}
	if w, p := write(&errs.Error{Code: errs.LimitReached, OrderID: 42}); w.Code != 409 || p.OrderID != "42" {
		t.Errorf("%d %+v", w.Code, p)
	}
	for _, after := range []time.Duration{0, time.Millisecond, time.Second, 1500 * time.Millisecond} {
		w, _ := write(&errs.Error{Code: errs.SaleRebuilding, RetryAfter: after})
		want := "1"
		if after > time.Second {
			want = "2"
		}
		if w.Code != 503 || w.Header().Get("Retry-After") != want {
			t.Errorf("after %s: %d, Retry-After %q", after, w.Code, w.Header().Get("Retry-After"))
		}
	}
	if w, _ := write(errs.New(errs.Unauthenticated, "x")); w.Code != 401 || w.Header().Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w, p := write(errors.New("secret")); w.Code != 500 || p.Code != "internal" || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
