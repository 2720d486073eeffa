package request

import (
	"net/http"

	"github.com/seckill-go/seckill/api/internal/strictjson"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/internal/errs"
)

// maxQuantity is the most units of one purchase call.
const maxQuantity = 1000

// Purchase is a purchase call as far as the request tells it.
type Purchase struct {
	SaleID         int64
	Quantity       int64
	IdempotencyKey string
}

// PlaceOrder is Parse for the purchase call, without reflection on its usual form.
func PlaceOrder(r *http.Request) (Purchase, error) {
	var p Purchase
	id, err := PathID(r, "saleId")
	if err != nil {
		return p, err
	}
	p.SaleID, _ = ID(id)
	if p.IdempotencyKey, err = IdempotencyKey(r); err != nil {
		return p, err
	}
	body, err := strictjson.Body(r)
	if err != nil {
		return p, err
	}
	if p.Quantity, err = quantity(body); err != nil {
		return p, err
	}
	return p, nil
}

func quantity(body []byte) (int64, error) {
	n, ok := plainQuantity(body)
	if !ok {
		var req types.PlaceOrderReq
		if err := strictjson.Decode(body, &req); err != nil {
			return 0, err
		}
		n = req.Quantity
	}
	if n < 1 || n > maxQuantity {
		return 0, errs.Invalid("quantity", "must be from 1 to %d", maxQuantity)
	}
	return n, nil
}

// plainQuantity reads {"quantity":n} as clients usually write it, with n of at most four digits. It may
// refuse what strictjson accepts, and must accept nothing else.
func plainQuantity(body []byte) (int64, bool) {
	const head = `{"quantity":`
	if len(body) < len(head)+2 || string(body[:len(head)]) != head || body[len(body)-1] != '}' {
		return 0, false
	}
	digits := body[len(head) : len(body)-1]
	if digits[0] == ' ' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 4 || digits[0] == '0' {
		return 0, false
	}
	var n int64
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = 10*n + int64(d-'0')
	}
	return n, true
}
