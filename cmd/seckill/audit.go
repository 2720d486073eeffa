package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/seckill-go/seckill/cmd/seckill/internal/platform"
	"github.com/seckill-go/seckill/internal/configload"
	"github.com/seckill-go/seckill/internal/embedded"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/rpc/order/orderapp"
	"github.com/spf13/cobra"
	"github.com/zeromicro/go-zero/core/logx"
)

// auditOptions are the flags of audit.
type auditOptions struct {
	data     string
	sales    []int64
	accepted string
	redis    string
	cluster  []string
	kafka    []string
	topic    string
	mysql    string
	wait     time.Duration
	repair   bool
	format   *format
	// config and settings are the order service's own; see configload.Sources.
	configFile string
	settings   []string
}

func newAuditCmd() *cobra.Command {
	var o auditOptions
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove from MySQL, Redis and Kafka that the promises hold",
		Long: `Prove for one sale or all of them, while the platform runs, that it was never
oversold, that nothing accepted was lost, that no user is over the limit and that
no unit is stranded. It reads MySQL, Redis and Kafka itself and asks no service.

While things move it waits for a quiet moment, for --wait at most; without one,
"quiet" is 0 and the sum of units could not be held against the stock. The rest is
proved all the same.

Exit codes: 0 the promises hold, 1 one is broken, 2 it could not be told.`,
		Example: `  seckill audit
  seckill audit --sale 7 --accepted accepted.txt -o json
  seckill audit --sale 7 --repair
  seckill audit --config rpc/order/etc/order.yaml
  seckill audit --redis 127.0.0.1:6379 --kafka 127.0.0.1:9092 \
    --mysql 'seckill:secret@tcp(127.0.0.1:3306)/seckill'`,
		Args: cobra.NoArgs,
	}
	data := dataFlag(cmd)
	o.format = outputFlag(cmd)
	f := cmd.Flags()
	f.Int64SliceVar(&o.sales, "sale", nil, "ids of the sales (default: all)")
	f.StringVar(&o.accepted, "accepted", "", "file of order ids that clients were told are accepted, one a line: each must be in MySQL")
	f.StringVar(&o.redis, "redis", "", "host:port of Redis (default: the running platform's)")
	f.StringSliceVar(&o.cluster, "redis-cluster", nil, "host:port of masters of a Redis Cluster, instead of --redis")
	cmd.MarkFlagsMutuallyExclusive("redis", "redis-cluster")
	f.StringSliceVar(&o.kafka, "kafka", nil, "host:port of Kafka brokers (default: the running platform's)")
	f.StringVar(&o.topic, "kafka-topic", "", "name of the orders topic (default: the running platform's, or "+platform.DefaultTopic+")")
	f.StringVar(&o.mysql, "mysql", os.Getenv(envMySQL), "DSN of the orders database (default: the running platform's; env "+envMySQL+")")
	f.Lookup("mysql").DefValue = ""
	f.StringVar(&o.configFile, "config", "", "configuration file of the order service, which says where the servers are, with TLS and passwords as it has them")
	f.StringArrayVar(&o.settings, "set", nil, "Key.Inner=value that goes over --config; may be given again")
	for _, other := range []string{"redis", "redis-cluster", "kafka", "kafka-topic", "mysql"} {
		cmd.MarkFlagsMutuallyExclusive("config", other)
	}
	f.DurationVar(&o.wait, "wait", 30*time.Second, "how long to wait for a quiet moment of a sale")
	f.BoolVar(&o.repair, "repair", false, "build the stock of a sale that is not in order anew from Kafka and MySQL")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.data = *data
		logx.Disable() // what the adapters would log is in the report
		return audit(cmd.Context(), o, cmd.OutOrStdout())
	}
	return cmd
}

func audit(ctx context.Context, o auditOptions, out io.Writer) error {
	expected, err := readAccepted(o.accepted)
	if err != nil {
		return err
	}
	cfg, err := o.config()
	if err != nil {
		return err
	}
	a, err := orderapp.NewAuditor(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	sales := o.sales
	if len(sales) == 0 {
		if sales, err = a.Sales(ctx); err != nil {
			return err
		}
		slices.Sort(sales)
	}
	for id := range expected {
		if !slices.Contains(sales, id) && len(o.sales) == 0 {
			return failed("%d accepted orders are on sale %d, which does not exist", len(expected[id]), id)
		}
	}
	if len(sales) == 0 {
		return errors.New("there is no sale to audit")
	}
	broken := 0
	reports := make([]auditReport, 0, len(sales))
	for _, id := range sales {
		rep, rebuilt, err := auditOne(ctx, a, id, expected[id], o.repair)
		if err != nil {
			return fmt.Errorf("sale %d: %w", id, err)
		}
		if !rep.OK() {
			broken++
		}
		reports = append(reports, reportOf(rep, rebuilt, len(expected[id])))
	}
	if err := printReports(out, *o.format, reports); err != nil {
		return err
	}
	if broken > 0 {
		return failed("%d of %d sales break a promise", broken, len(sales))
	}
	return nil
}

func auditOne(ctx context.Context, a *orderapp.Auditor, id int64, expected []int64, repair bool) (orderapp.Report, bool, error) {
	if repair {
		return a.Repair(ctx, id, expected)
	}
	rep, err := a.Audit(ctx, id, expected)
	return rep, false, err
}

// config finds the engines: by the order service's file, by flags, or where the running platform of the data folder has them.
func (o auditOptions) config() (orderapp.Config, error) {
	if o.configFile != "" {
		var cfg orderapp.Config
		err := configload.Sources{File: o.configFile, Settings: o.settings}.Load(&cfg)
		cfg.AuditWait = o.wait
		return cfg, err
	}
	if len(o.settings) > 0 {
		return orderapp.Config{}, errors.New("--set goes with --config")
	}
	cfg := orderapp.Defaults("")
	cfg.AuditWait = o.wait
	run, err := loadRun(o.data)
	if err != nil {
		return cfg, err
	}
	cfg.Stock.Addr, cfg.Stock.Cluster, cfg.Stock.Password = run.Redis, run.RedisCluster, os.Getenv(envRedisPassword)
	if o.redis != "" || len(o.cluster) > 0 {
		cfg.Stock.Addr, cfg.Stock.Cluster = o.redis, o.cluster
	}
	cfg.Kafka.Brokers = run.Kafka
	if len(o.kafka) > 0 {
		cfg.Kafka.Brokers = o.kafka
	}
	platform.UseTopic(&cfg, or(o.topic, run.Topic))
	cfg.Database = sqldb.Config{DSN: or(o.mysql, run.MySQL)}
	if cfg.Stock.Addr == "" && len(cfg.Stock.Cluster) == 0 || len(cfg.Kafka.Brokers) == 0 || cfg.Database.DSN == "" {
		return cfg, fmt.Errorf("no platform runs on %s: start one with seckill up, or give --redis, --kafka and --mysql", o.data)
	}
	if file, ok := strings.CutPrefix(cfg.Database.DSN, "sqlite:"); ok {
		cfg.Database.MaxOpen = embedded.SQLiteMaxOpen
		if _, err := os.Stat(file); err != nil {
			return cfg, err
		}
		_, err = embedded.SQLiteDSN(file) // makes sqldb know the scheme
	}
	return cfg, err
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// readAccepted reads order ids, one a line, by sale.
func readAccepted(file string) (map[int64][]int64, error) {
	ids := map[int64][]int64{}
	if file == "" {
		return ids, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || id < 1 {
			return nil, fmt.Errorf("%s:%d: %q is no order id", file, n, text)
		}
		sale := orderapp.SaleOf(id)
		ids[sale] = append(ids[sale], id)
	}
	return ids, lines.Err()
}

// auditReport is what is printed of a sale.
type auditReport struct {
	SaleID   string           `json:"saleId"`
	OK       bool             `json:"ok"`
	Rebuilt  bool             `json:"rebuilt,omitzero"`
	Accepted int              `json:"acceptedByClients,omitzero"`
	Figures  map[string]int64 `json:"figures"`
	Findings []auditFinding   `json:"findings"`
}

type auditFinding struct {
	Promise int    `json:"promise"`
	Code    string `json:"code"`
	OrderID string `json:"orderId,omitzero"`
	UserID  string `json:"userId,omitzero"`
	Detail  string `json:"detail"`
}

func reportOf(rep orderapp.Report, rebuilt bool, accepted int) auditReport {
	out := auditReport{
		SaleID: strconv.FormatInt(rep.SaleID, 10), OK: rep.OK(), Rebuilt: rebuilt, Accepted: accepted,
		Figures: rep.Figures, Findings: []auditFinding{},
	}
	for _, f := range rep.Findings {
		x := auditFinding{Promise: f.Promise, Code: f.Code, Detail: f.Detail}
		if f.OrderID != 0 {
			x.OrderID = f.OrderID.String()
		}
		if f.UserID != 0 {
			x.UserID = strconv.FormatInt(f.UserID, 10)
		}
		out.Findings = append(out.Findings, x)
	}
	return out
}

func printReports(out io.Writer, as format, reports []auditReport) error {
	if as == formatJSON {
		return json.MarshalWrite(out, reports, jsontext.WithIndent("  "), json.Deterministic(true))
	}
	for _, r := range reports {
		verdict := "the promises hold"
		switch {
		case !r.OK:
			verdict = "A PROMISE IS BROKEN"
		case r.Figures["quiet"] == 0:
			verdict = "the promises hold as far as they can be proved while things move"
		}
		fmt.Fprintf(out, "sale %s: %s\n", r.SaleID, verdict)
		if r.Rebuilt {
			fmt.Fprintln(out, "  its stock was built anew")
		}
		if r.Accepted > 0 {
			fmt.Fprintf(out, "  %d orders that clients were told are accepted were looked for\n", r.Accepted)
		}
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		for _, name := range slices.Sorted(maps.Keys(r.Figures)) {
			fmt.Fprintf(w, "  %s\t%d\t\n", name, r.Figures[name])
		}
		if err := w.Flush(); err != nil {
			return err
		}
		for _, f := range r.Findings {
			fmt.Fprintf(out, "  promise %d: %s", f.Promise, f.Code)
			if f.OrderID != "" {
				fmt.Fprintf(out, ", order %s", f.OrderID)
			}
			if f.UserID != "" {
				fmt.Fprintf(out, ", user %s", f.UserID)
			}
			fmt.Fprintf(out, ": %s\n", f.Detail)
		}
	}
	return nil
}
