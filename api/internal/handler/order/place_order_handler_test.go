package order

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/api/internal/caller"
	"github.com/seckill-go/seckill/api/internal/purchase"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/internal/accesstoken"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/rest/pathvar"
	"google.golang.org/grpc"
)

// accepting accepts every call as order 9223372036854775807.
type accepting struct{}

func (accepting) Reserve(_ context.Context, in *orderpb.ReserveRequest, _ ...grpc.CallOption) (*orderpb.ReserveResponse, error) {
	outcomes := make([]*orderpb.ReserveOutcome, len(in.GetCalls()))
	for i := range outcomes {
		outcomes[i] = &orderpb.ReserveOutcome{OrderId: 1<<63 - 1}
	}
	return &orderpb.ReserveResponse{Outcomes: outcomes}, nil
}

// authenticated is the handler behind its middleware, with a valid token to use.
func authenticated(t testing.TB) (http.Handler, string) {
	t.Helper()
	ctx, token := service(t)
	return ctx.Authenticate(PlaceOrderHandler(ctx)), token
}

func service(t testing.TB) (*svc.ServiceContext, string) {
	t.Helper()
	secret := []byte("0123456789abcdef0123456789abcdef")
	verifier, err := accesstoken.NewVerifier(secret)
	if err != nil {
		t.Fatal(err)
	}
	minter, err := accesstoken.NewMinter(secret, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	token, err := minter.Mint(42, accesstoken.RoleUser, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	desk, err := purchase.New(accepting{}, purchase.Config{Lanes: 2, MaxBatch: 256, MaxWaiting: 8192, Budget: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return svc.NewServiceContext(svc.ServiceContext{Purchases: desk, Now: time.Now}, verifier), token
}

func purchaseRequest(token string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/sales/5/orders", strings.NewReader(`{"quantity":1}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Idempotency-Key", "8f14e45f-ceea-467f-a9d0-1e2f3a4b5c6d")
	return pathvar.WithVars(r, map[string]string{"saleId": "5"})
}

// TestTheHandMadeAnswerIsTheTypesOwn holds the bytes against what encoding the generated type gives.
func TestTheHandMadeAnswerIsTheTypesOwn(t *testing.T) {
	h, token := authenticated(t)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, purchaseRequest(token))
	want, err := json.Marshal(types.PlaceOrderResp{OrderId: "9223372036854775807", State: "accepted"})
	if err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusAccepted || !bytes.Equal(bytes.TrimSuffix(w.Body.Bytes(), []byte("\n")), want) {
		t.Fatalf("%d %s, want %s", w.Code, w.Body, want)
	}
}

// discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkPlaceOrder is one purchase without network: with its token checked, and behind that.
func BenchmarkPlaceOrder(b *testing.B) {
	ctx, token := service(b)
	known := PlaceOrderHandler(ctx)
	b.Run("token", func(b *testing.B) { benchmark(b, ctx.Authenticate(known), purchaseRequest(token)) })
	b.Run("known", func(b *testing.B) {
		r := purchaseRequest(token)
		benchmark(b, known, r.WithContext(caller.With(r.Context(), accesstoken.Claims{UserID: 42, Role: accesstoken.RoleUser})))
	})
}

func benchmark(b *testing.B, h http.Handler, r *http.Request) {
	body := []byte(`{"quantity":1}`)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := r.Clone(r.Context())
		reader := bytes.NewReader(body)
		r.Body = readCloser{reader}
		w := discard{http.Header{}}
		for pb.Next() {
			reader.Reset(body)
			clear(w.header)
			h.ServeHTTP(w, r)
			if w.header.Get("Location") == "" {
				b.Error("not accepted")
				return
			}
		}
	})
}

type readCloser struct{ *bytes.Reader }

// Close does nothing.
func (readCloser) Close() error { return nil }
