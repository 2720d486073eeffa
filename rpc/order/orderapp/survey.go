package orderapp

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/seckill-go/seckill/rpc/order/internal/order"
)

// surveyCollector exports what the process's last look at the platform found. What a server did not
// answer is left out.
type surveyCollector struct{ surveyor *order.Surveyor }

var (
	surveyUp       = prometheus.NewDesc("seckill_survey_up", "1 when the last survey got all answers of a server.", []string{"part"}, nil)
	surveyTime     = prometheus.NewDesc("seckill_survey_timestamp_seconds", "When the last survey ended, Unix time.", nil, nil)
	surveyDuration = prometheus.NewDesc("seckill_survey_duration_seconds", "How long the last survey took.", nil, nil)

	outboxEntries   = prometheus.NewDesc("seckill_outbox_entries", "Outbox entries of all live sales.", nil, nil)
	outboxOldest    = prometheus.NewDesc("seckill_outbox_oldest_seconds", "Age of the oldest outbox entry.", nil, nil)
	backlogMessages = prometheus.NewDesc("seckill_writer_backlog_messages", "Messages that no writer has committed.", nil, nil)
	backlogSeconds  = prometheus.NewDesc("seckill_writer_backlog_seconds", "Age of the oldest message that no writer has committed.", nil, nil)
	returnsWaiting  = prometheus.NewDesc("seckill_returns_waiting", "Ended orders whose units are not back in Redis.", nil, nil)
	returnsOldest   = prometheus.NewDesc("seckill_returns_oldest_seconds", "Age of the oldest of them.", nil, nil)
	salesShown      = prometheus.NewDesc("seckill_sales_shown", "Sales with figures of their own.", nil, nil)
	salesNotShown   = prometheus.NewDesc("seckill_sales_not_shown", "Live sales without figures of their own.", nil, nil)

	bySale       = []string{"sale"}
	saleStock    = prometheus.NewDesc("seckill_sale_stock_units", "Stock of a sale.", bySale, nil)
	saleRemains  = prometheus.NewDesc("seckill_sale_remaining_units", "Units that can be bought.", bySale, nil)
	saleHeld     = prometheus.NewDesc("seckill_sale_held_units", "Units in orders that hold stock.", bySale, nil)
	saleLoose    = prometheus.NewDesc("seckill_sale_imbalance_units", "Stock - remaining - held; 0 once the sale is quiet.", bySale, nil)
	saleOversold = prometheus.NewDesc("seckill_sale_oversold_units", "Units held beyond the stock; 0 always.", bySale, nil)
	saleOrders   = prometheus.NewDesc("seckill_sale_orders", "Orders by state.", []string{"sale", "state"}, nil)
	saleEntries  = prometheus.NewDesc("seckill_sale_outbox_entries", "Outbox entries of a sale.", bySale, nil)
	saleOldest   = prometheus.NewDesc("seckill_sale_outbox_oldest_seconds", "Age of a sale's oldest outbox entry.", bySale, nil)
	saleSellable = prometheus.NewDesc("seckill_sale_sellable", "1 while the sale's state in Redis is whole.", bySale, nil)
)

// states are those that an order can have in MySQL.
var states = []order.State{
	order.StatePending, order.StatePaid, order.StateCancelled, order.StateExpired, order.StateRejected,
}

// Describe sends the metrics' descriptions.
func (surveyCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		surveyUp, surveyTime, surveyDuration, outboxEntries, outboxOldest, backlogMessages, backlogSeconds,
		returnsWaiting, returnsOldest, salesShown, salesNotShown, saleStock, saleRemains, saleHeld, saleLoose,
		saleOversold, saleOrders, saleEntries, saleOldest, saleSellable,
	} {
		ch <- d
	}
}

// Collect sends the metrics; none before the first survey.
func (c surveyCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.surveyor.Last()
	if s == nil {
		return
	}
	g := gauges{ch}
	g.send(surveyUp, truth(s.MySQL), "mysql")
	g.send(surveyUp, truth(s.Redis), "redis")
	g.send(surveyUp, truth(s.Kafka), "kafka")
	g.send(surveyTime, float64(s.EndedAt.UnixMilli())/1000)
	g.send(surveyDuration, s.Took.Seconds())
	if s.Redis {
		g.count(outboxEntries, s.OutboxEntries)
		g.age(outboxOldest, s.OldestEntry)
	}
	if s.Kafka {
		g.count(backlogMessages, s.Unwritten)
		g.age(backlogSeconds, s.OldestMessage)
	}
	if s.MySQL {
		g.count(returnsWaiting, s.Returns)
		g.age(returnsOldest, s.OldestReturn)
		g.count(salesShown, int64(len(s.Sales)))
		g.count(salesNotShown, int64(s.NotShown))
	}
	for _, f := range s.Sales {
		g.sale(f)
	}
}

// gauges sends gauges to a scrape.
type gauges struct{ ch chan<- prometheus.Metric }

func (g gauges) send(d *prometheus.Desc, v float64, labels ...string) {
	g.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (g gauges) count(d *prometheus.Desc, n int64, labels ...string) {
	g.send(d, float64(n), labels...)
}

func (g gauges) age(d *prometheus.Desc, age time.Duration, labels ...string) {
	g.send(d, age.Seconds(), labels...)
}

func (g gauges) sale(f order.SaleFigures) {
	id := strconv.FormatInt(f.SaleID, 10)
	g.count(saleStock, f.Stock, id)
	g.count(saleHeld, f.Held, id)
	g.count(saleOversold, f.Oversold(), id)
	for _, state := range states {
		g.count(saleOrders, f.Orders[state], id, string(state))
	}
	if f.Shelf == nil {
		return
	}
	g.send(saleSellable, truth(f.Sellable()), id)
	g.count(saleEntries, f.Shelf.OutboxEntries, id)
	g.age(saleOldest, f.Shelf.OldestEntry, id)
	if f.Sellable() {
		g.count(saleRemains, f.Shelf.Remaining, id)
		g.count(saleLoose, f.Imbalance(), id)
	}
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
