// Code scaffolded by goctl. Safe to edit.
// goctl 1.10.1

package order

import (
	"net/http"

	"github.com/seckill-go/seckill/api/internal/logic/order"
	"github.com/seckill-go/seckill/api/internal/request"
	"github.com/seckill-go/seckill/api/internal/sse"
	"github.com/seckill-go/seckill/api/internal/svc"
	"github.com/seckill-go/seckill/api/internal/types"
	"github.com/seckill-go/seckill/internal/transport"
)

// WatchOrderHandler streams an order's states until a final one.
func WatchOrderHandler(svcCtx *svc.ServiceContext) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req types.OrderPath
		if err := request.Parse(r, &req); err != nil {
			transport.WriteProblem(w, r, err)
			return
		}

		stream := sse.New(w, svcCtx.StreamWriteTimeout)
		err := order.NewWatchOrderLogic(r.Context(), svcCtx).WatchOrder(&req, stream)
		// Once events were sent, an error only says that the client is gone.
		if err != nil && !stream.Started() {
			transport.WriteProblem(w, r, err)
			return
		}
		_ = stream.End() // it fails on a connection that is gone, where nothing needs closing
	}
}
