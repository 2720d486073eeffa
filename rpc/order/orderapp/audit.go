package orderapp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/seckill-go/seckill/rpc/order/internal/mysqlorders"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// Report is the outcome of an audit.
type Report = order.Report

// Auditor audits a running platform from outside: it reads MySQL, Redis and Kafka itself and asks
// no service.
type Auditor struct {
	engines *engines
	store   *mysqlorders.Store
	auditor *order.Auditor
	rebuild *order.Rebuilder
}

// NewAuditor makes an Auditor from the order service's configuration, of which it uses Database,
// Stock, Kafka, Accept.Quiet and AuditWait. Nothing is connected to before its first use.
func NewAuditor(cfg Config) (*Auditor, error) {
	e, err := open(cfg)
	if err != nil {
		return nil, err
	}
	var (
		store  = e.store
		stats  = new(order.Stats)
		logger = slog.New(slog.DiscardHandler)
		owner  = instanceID()
	)
	relay := order.NewRelay(store, e.stock, e.publisher, stats, owner, 0, cfg.Accept.PublishBudget, time.Now, logger, func() {})
	return &Auditor{
		engines: e, store: store, auditor: order.NewAuditor(store, e.stock, e.log, cfg.AuditWait),
		rebuild: order.NewRebuilder(store, e.stock, relay, e.log, e.catalog,
			order.RebuilderConfig{Quiet: cfg.Accept.Quiet}, stats, owner, time.Now, logger),
	}, nil
}

// Close closes every connection.
func (a *Auditor) Close() error { return a.engines.close() }

// Sales lists the ids of all sales, newest first.
func (a *Auditor) Sales(ctx context.Context) ([]int64, error) {
	var ids []int64
	page := order.Page{Limit: order.MaxPageLimit}
	for {
		sales, next, err := a.store.Sales(ctx, page)
		if err != nil {
			return nil, fmt.Errorf("read MySQL: %w", err)
		}
		for _, s := range sales {
			ids = append(ids, s.ID)
		}
		if next == "" {
			return ids, nil
		}
		page.Cursor = next
	}
}

// Audit checks one sale; expected are the ids of orders that clients were told are accepted.
func (a *Auditor) Audit(ctx context.Context, saleID int64, expected []int64) (Report, error) {
	return a.auditor.Audit(ctx, saleID, idsOf(expected))
}

// Repair is Audit, and where the sale is not in order, orders that MySQL lost are written again from
// Kafka, its state in Redis is built anew, and it is audited again. It tells whether it rebuilt.
func (a *Auditor) Repair(ctx context.Context, saleID int64, expected []int64) (Report, bool, error) {
	rep, rebuilt, err := order.Repair(ctx, a.auditor, a.rebuild, a.engines.publisher, saleID, idsOf(expected))
	if errors.Is(err, order.ErrSuperseded) {
		err = fmt.Errorf("the platform rebuilds the sale itself at this moment: %w", err)
	}
	return rep, rebuilt, err
}

// SaleOf is the sale that an order is on, by its id.
func SaleOf(orderID int64) int64 { return order.ID(orderID).Sale() }

func idsOf(ids []int64) []order.ID {
	out := make([]order.ID, len(ids))
	for i, id := range ids {
		out[i] = order.ID(id)
	}
	return out
}
