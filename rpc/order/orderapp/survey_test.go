package orderapp

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

// TestWhatDidNotAnswerIsNotExported: a figure is that of the last survey, or absent.
func TestWhatDidNotAnswerIsNotExported(t *testing.T) {
	store, stock, log := ordertest.NewStore(), ordertest.NewStock(time.Now), ordertest.NewLog(time.Now)
	now := time.Now()
	sale, err := store.CreateSale(t.Context(), order.Sale{
		ProductID: 1, Title: "Kettle", Currency: "EUR", Stock: 3, PerUserLimit: 1, StartsAt: now.Add(-time.Hour), EndsAt: now.Add(time.Hour),
		PaymentTimeout: time.Minute,
	}, now)
	if err == nil {
		_, err = store.ChangeSale(t.Context(), sale.ID, now, func(s *order.Sale) error { s.Phase = order.PhaseLive; return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	surveyor := order.NewSurveyor(store, stock, log, order.SurveyConfig{Interval: time.Millisecond, Timeout: time.Minute, Sales: 5},
		time.Now, slog.New(slog.DiscardHandler))
	c := surveyCollector{surveyor}
	if n := testutil.CollectAndCount(c); n != 0 {
		t.Errorf("%d series before the first survey", n)
	}
	surveyor.Start()
	defer func() {
		if err := surveyor.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if n := testutil.CollectAndCount(c); n != 0 {
			t.Errorf("%d series after the last survey", n)
		}
	}()
	awaits(t, c, map[string]bool{
		"seckill_survey_up": true, "seckill_outbox_entries": true, "seckill_writer_backlog_seconds": true, "seckill_returns_waiting": true,
		"seckill_sale_stock_units": true, "seckill_sale_oversold_units": true, "seckill_sale_sellable": true,
		// Nothing was built in Redis yet: how much remains is not known.
		"seckill_sale_remaining_units": false, "seckill_sale_imbalance_units": false,
	})
	stock.FailNext("Ping", ordertest.Forever, nil)
	log.FailNext("End", ordertest.Forever, nil)
	awaits(t, c, map[string]bool{
		"seckill_survey_up": true, "seckill_outbox_entries": false, "seckill_writer_backlog_seconds": false, "seckill_returns_waiting": true,
		"seckill_sale_stock_units": true, "seckill_sale_sellable": false,
	})
	store.FailNext("LiveSales", ordertest.Forever, nil)
	stock.Heal("Ping")
	awaits(t, c, map[string]bool{
		"seckill_outbox_entries": true, "seckill_returns_waiting": false, "seckill_sales_shown": false, "seckill_sale_stock_units": false,
	})
}

// awaits waits until metrics are there, or are not.
func awaits(t *testing.T, c prometheus.Collector, want map[string]bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		wrong := ""
		for name, there := range want {
			if (testutil.CollectAndCount(c, name) > 0) != there {
				wrong = name
			}
		}
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is there: %v", wrong, !want[wrong])
		}
		<-tick.C
	}
}
