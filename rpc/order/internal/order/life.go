package order

import (
	"context"
	"log/slog"
	"strings"
)

// life logs a step in the life of orders: one line a sale and a batch, with the ids of all its orders, so
// that the log shows an order's whole way across the processes at the price of some bytes an order. The
// sales are in the order in which they first come. traces are the orders' traceparents, in their order, or
// nil; the line has the ids of those traces that are sampled.
func life(logger *slog.Logger, step string, ids []ID, traces []string) {
	for len(ids) > 0 {
		sale := ids[0].Sale()
		mine := make([]string, 0, len(ids))
		var others []ID
		var sampled, otherTraces []string
		for i, id := range ids {
			if id.Sale() != sale {
				others = append(others, id)
				if traces != nil {
					otherTraces = append(otherTraces, traces[i])
				}
				continue
			}
			mine = append(mine, id.String())
			if traces != nil {
				if trace := sampledTrace(traces[i]); trace != "" {
					sampled = append(sampled, trace)
				}
			}
		}
		attrs := []slog.Attr{slog.Int64("sale", sale), slog.Any("orders", mine)}
		if len(sampled) > 0 {
			attrs = append(attrs, slog.Any("traces", sampled))
		}
		logger.LogAttrs(context.Background(), slog.LevelInfo, step, attrs...)
		ids, traces = others, otherTraces
	}
}

// sampledTrace is the id of the trace that a traceparent (version-id-span-flags) is of, if it is sampled.
func sampledTrace(traceparent string) string {
	rest, sampled := strings.CutSuffix(traceparent, "-01")
	if !sampled {
		return ""
	}
	_, rest, _ = strings.Cut(rest, "-")
	trace, _, _ := strings.Cut(rest, "-")
	return trace
}

// lifeOf is life for a single order and what one of its users did: the line has the call's trace.
func lifeOf(ctx context.Context, logger *slog.Logger, step string, id ID, more ...slog.Attr) {
	logger.LogAttrs(ctx, slog.LevelInfo, step, append([]slog.Attr{slog.Int64("sale", id.Sale()), slog.String("order", id.String())}, more...)...)
}
