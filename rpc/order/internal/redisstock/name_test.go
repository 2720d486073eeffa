package redisstock

import (
	"context"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// TestAnEmptiedEmbeddedServerKeepsItsName: an embedded server's name is a key, which FLUSHALL takes
// away. Whoever connects after a rebuild must not take it for another process, whether it connected
// before the rebuild began or after.
func TestAnEmptiedEmbeddedServerKeepsItsName(t *testing.T) {
	for _, early := range []bool{false, true} {
		server := miniredis.RunT(t)
		connect := func() *Stock {
			s, err := New(Config{Addr: server.Addr()}, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Shutdown(); err != nil {
					t.Error(err)
				}
			})
			return s
		}
		ctx := context.Background()
		seller := connect()
		build := func(generation int64) {
			t.Helper()
			b, err := seller.Begin(ctx, 1, generation)
			if err == nil {
				err = b.Open(ctx, order.Terms{SaleID: 1, Version: 1, Phase: order.PhaseLive, PerUserLimit: 1, Stock: 5}, 5)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		build(1)
		server.FlushAll()
		if early {
			if _, err := connect().State(ctx, 1); err != nil {
				t.Fatal(err)
			}
		}
		build(2)
		state, err := connect().State(ctx, 1)
		if err != nil || !state.Built || state.Fenced {
			t.Fatalf("connected early %t: %+v, %v", early, state, err)
		}
	}
}
