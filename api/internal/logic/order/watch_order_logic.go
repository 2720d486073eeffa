// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package order

import (
	"context"
	"encoding/json"

	"github.com/seckill-go/seckill/api/internal/caller"
	"github.com/seckill-go/seckill/api/internal/convert"
	"github.com/seckill-go/seckill/api/internal/sse"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
)

// WatchOrderLogic follows an order.
type WatchOrderLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
}

// NewWatchOrderLogic makes the logic of one request.
func NewWatchOrderLogic(ctx context.Context, svcCtx *svc.ServiceContext) *WatchOrderLogic {
	return &WatchOrderLogic{ctx: ctx, svcCtx: svcCtx}
}

// WatchOrder sends the order's state and each later one to the stream. An error before the first event
// is for the client: not_found, forbidden, overloaded, unavailable.
func (l *WatchOrderLogic) WatchOrder(req *types.OrderPath, stream *sse.Stream) error {
	who, err := caller.From(l.ctx)
	if err != nil {
		return err
	}
	id, err := convert.PathID(req.OrderId)
	if err != nil {
		return err
	}
	return l.svcCtx.Watches.Follow(l.ctx, id, who.UserID, orderEvents{stream})
}

// orderEvents writes orders as events. An order never comes back to a state, so the state is the
// event's id.
type orderEvents struct{ *sse.Stream }

// Order sends one event.
func (e orderEvents) Order(o *orderpb.Order) error {
	data, err := json.Marshal(convert.Order(o))
	if err != nil {
		return err
	}
	return e.Event("order", o.GetState(), string(data))
}
