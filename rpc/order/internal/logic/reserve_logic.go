package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// ReserveLogic answers Reserve.
type ReserveLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewReserveLogic is the logic of one call.
func NewReserveLogic(ctx context.Context, svcCtx *svc.ServiceContext) *ReserveLogic {
	return &ReserveLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// Reserve decides a batch of purchase calls. Each call has an outcome of its own, at the same
// index.
func (l *ReserveLogic) Reserve(in *orderpb.ReserveRequest) (*orderpb.ReserveResponse, error) {
	calls := make([]order.Call, len(in.GetCalls()))
	for i, c := range in.GetCalls() {
		calls[i] = order.Call{
			SaleID: c.GetSaleId(), UserID: c.GetUserId(), Quantity: c.GetQuantity(),
			Key: c.GetIdempotencyKey(), Trace: c.GetTraceparent(),
		}
	}
	outcomes := l.svcCtx.Reserver.Reserve(l.ctx, calls)
	resp := &orderpb.ReserveResponse{Outcomes: make([]*orderpb.ReserveOutcome, len(outcomes))}
	for i, o := range outcomes {
		resp.Outcomes[i] = outcomePB(o)
	}
	return resp, nil
}

func outcomePB(o order.Outcome) *orderpb.ReserveOutcome {
	if o.Err == nil {
		return &orderpb.ReserveOutcome{OrderId: int64(o.OrderID)}
	}
	return &orderpb.ReserveOutcome{
		Code: string(o.Err.Code), OrderId: o.Err.OrderID, Field: o.Err.Field, Message: o.Err.Message,
		RetryAfterMs: o.Err.RetryAfter.Milliseconds(),
	}
}
