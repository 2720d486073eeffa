package order

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
)

func TestLifeIsALineASale(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	id := func(sale, seq int64) ID {
		id, err := MakeID(sale, 1, seq)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	life(logger, "orders written", []ID{id(2, 1), id(1, 1), id(2, 2)}, nil)
	life(logger, "orders returned", nil, nil)
	life(logger, "orders accepted", []ID{id(2, 1), id(1, 1), id(2, 2), id(2, 3), id(3, 1)}, []string{"00-a1-b-01", "00-a2-b-01", "", "00-a3-b-01", "00-a4-b-00"})
	lifeOf(context.Background(), logger, "order paid", id(1, 3), slog.String("payment", "pay_1"))
	want := `level=INFO msg="orders written" sale=2 orders="[2199090364417 2199090364418]"
level=INFO msg="orders written" sale=1 orders=[1099578736641]
level=INFO msg="orders accepted" sale=2 orders="[2199090364417 2199090364418 2199090364419]" traces="[a1 a3]"
level=INFO msg="orders accepted" sale=1 orders=[1099578736641] traces=[a2]
level=INFO msg="orders accepted" sale=3 orders=[3298601992193]
level=INFO msg="order paid" sale=1 order=1099578736643 payment=pay_1
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
