package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// GetSaleStatsLogic answers GetSaleStats.
type GetSaleStatsLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewGetSaleStatsLogic is the logic of one call.
func NewGetSaleStatsLogic(ctx context.Context, svcCtx *svc.ServiceContext) *GetSaleStatsLogic {
	return &GetSaleStatsLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// GetSaleStats reads a sale's figures.
func (l *GetSaleStatsLogic) GetSaleStats(in *orderpb.GetSaleStatsRequest) (*orderpb.SaleStats, error) {
	f, err := l.svcCtx.Sales.Figures(l.ctx, in.GetSaleId())
	if err != nil {
		return nil, err
	}
	s := &orderpb.SaleStats{
		SaleId: f.Sale.ID, Stock: f.Sale.Stock, Remaining: f.Stock.Remaining, Reserved: f.Stock.Stock - f.Stock.Remaining,
		PendingOrders: f.Orders[order.StatePending], PaidOrders: f.Orders[order.StatePaid],
		CancelledOrders: f.Orders[order.StateCancelled], ExpiredOrders: f.Orders[order.StateExpired],
		RejectedOrders: f.Orders[order.StateRejected], OutboxEntries: f.Stock.OutboxEntries, QueueLag: f.Lag,
		AcceptedPerSecond: f.AcceptedPerSecond, PersistedPerSecond: f.PersistedPerSecond, Generation: f.Sale.Generation,
	}
	for _, n := range f.Orders {
		s.PersistedOrders += n
	}
	return s, nil
}
