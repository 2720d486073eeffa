package gatewayapp

import (
	"context"

	"github.com/seckill-go/seckill/api/internal/purchase"
	"github.com/seckill-go/seckill/api/internal/soldout"
)

// newMemory makes the memory of sales that are sold out, or a nil one where it is off.
func (a *App) newMemory(orders soldout.Orders) (purchase.Memory, error) {
	c := a.cfg.SoldOut
	if c.Off {
		return nil, nil
	}
	var err error
	a.memory, err = soldout.New(orders, soldout.Config{
		Lease: c.Lease, Busy: c.Busy, MaxSales: c.MaxSales, MaxBytes: c.MaxMegabytes << 20,
	})
	if err != nil {
		return nil, err
	}
	a.meter.more = append(a.meter.more, a.memory.Collectors()...)
	return a.memory, nil
}

func (a *App) startMemory() {
	if a.memory != nil {
		a.memory.Start()
	}
}

func (a *App) stopMemory(ctx context.Context) error {
	if a.memory == nil {
		return nil
	}
	return a.memory.Stop(ctx)
}
