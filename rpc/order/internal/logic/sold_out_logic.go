package logic

import (
	"context"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/svc"
	"github.com/seckill-go/seckill/rpc/order/orderpb"
	"github.com/zeromicro/go-zero/core/logx"
)

// SoldOutLogic answers SoldOut.
type SoldOutLogic struct {
	ctx    context.Context
	svcCtx *svc.ServiceContext
	logx.Logger
}

// NewSoldOutLogic is the logic of one call.
func NewSoldOutLogic(ctx context.Context, svcCtx *svc.ServiceContext) *SoldOutLogic {
	return &SoldOutLogic{
		ctx:    ctx,
		svcCtx: svcCtx,
		Logger: logx.WithContext(ctx),
	}
}

// SoldOut asks for leases on sales that are sold out: until a lease ends nothing of its sale is sold.
func (l *SoldOutLogic) SoldOut(in *orderpb.SoldOutRequest) (*orderpb.SoldOutResponse, error) {
	questions := make([]order.SoldOutQuestion, len(in.GetQuestions()))
	for i, q := range in.GetQuestions() {
		questions[i] = order.SoldOutQuestion{SaleID: q.GetSaleId(), Generation: q.GetGeneration(), Sequence: q.GetSequence()}
	}
	// A longer one than there is would come out negative as a Duration.
	lease := time.Duration(min(in.GetLeaseMs(), order.MaxSoldOutLease.Milliseconds())) * time.Millisecond
	answers, err := l.svcCtx.SoldOuts.Ask(l.ctx, questions, lease)
	if err != nil {
		return nil, err
	}
	resp := &orderpb.SoldOutResponse{Answers: make([]*orderpb.SoldOutAnswer, len(answers))}
	for i, a := range answers {
		resp.Answers[i] = &orderpb.SoldOutAnswer{
			SoldOut: a.SoldOut, Generation: a.Generation, Sequence: a.Sequence,
			LeaseMs: a.Lease.Milliseconds(), PerUserLimit: a.PerUserLimit,
		}
	}
	return resp, nil
}
