package order

import (
	"context"
	"log/slog"
)

// life logs a step in the life of orders: one line a sale and a batch, with the ids of all its orders, so
// that the log shows an order's whole way across the processes at the price of some bytes an order. The
// sales are in the order in which they first come.
func life(logger *slog.Logger, step string, ids []ID) {
	for len(ids) > 0 {
		sale := ids[0].Sale()
		mine := make([]string, 0, len(ids))
		var others []ID
		for _, id := range ids {
			if id.Sale() == sale {
				mine = append(mine, id.String())
			} else {
				others = append(others, id)
			}
		}
		logger.LogAttrs(context.Background(), slog.LevelInfo, step, slog.Int64("sale", sale), slog.Any("orders", mine))
		ids = others
	}
}

// lifeOf is life for a single order and what one of its users did: the line has the call's trace.
func lifeOf(ctx context.Context, logger *slog.Logger, step string, id ID, more ...slog.Attr) {
	logger.LogAttrs(ctx, slog.LevelInfo, step, append([]slog.Attr{slog.Int64("sale", id.Sale()), slog.String("order", id.String())}, more...)...)
}
