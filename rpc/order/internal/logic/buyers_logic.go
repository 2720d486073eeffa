package logic

import (
	"context"

	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// BuyersLogic answers Buyers.
type BuyersLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewBuyersLogic is the logic of one call.
func NewBuyersLogic(ctx context.Context, svcCtx *svc.ServiceContext) *BuyersLogic {
	return &BuyersLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// Buyers reads who has an order, of whatever state, on a sale that is sold out, as a Bloom filter.
func (l *BuyersLogic) Buyers(in *orderpb.BuyersRequest) (*orderpb.BuyersResponse, error) {
	f, err := l.svcCtx.SoldOuts.Buyers(l.ctx, in.GetSaleId())
	if err != nil {
		return nil, err
	}
	resp := &orderpb.BuyersResponse{Generation: f.Generation, Sequence: f.Sequence}
	resp.Seed, resp.Hashes, resp.Bits = f.Users.Parts()
	return resp, nil
}
