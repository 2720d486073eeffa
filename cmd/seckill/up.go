package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/seckill-go/seckill/cmd/seckill/internal/demo"
	"github.com/seckill-go/seckill/cmd/seckill/internal/platform"
	"github.com/seckill-go/seckill/internal/logship"
	"github.com/spf13/cobra"
)

// Environment variables that only up reads.
const (
	envWebhookSecret = "SECKILL_WEBHOOK_SECRET"
	envMySQL         = "SECKILL_MYSQL_DSN"
	envRedisPassword = "SECKILL_REDIS_PASSWORD"
)

// clientTraces is how many traces a second clients may ask for.
const clientTraces = 100

// upTimeout bounds a start, stopTimeout a stop.
const (
	upTimeout   = 2 * time.Minute
	stopTimeout = 30 * time.Second
)

func newUpCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the whole platform in one process",
		Long: `Run the whole platform in one process: the gateway and the user, product and
order services, over gRPC on loopback, on embedded engines, with a demo sale that
is open. Nothing has to be installed.

The data lies in a folder (--data). A restart, also after kill -9, loses no
accepted order: Kafka's and the database's stand-ins keep what they acknowledged
on disk; the stand-in for Redis keeps nothing, and every start builds the sales'
stock anew from the other two.

Each engine can be a real server instead: --redis, --kafka, --mysql. The database
must exist; its tables are made. Passwords: SECKILL_REDIS_PASSWORD, and the DSN
may come from SECKILL_MYSQL_DSN.

The admin account is "admin", with the password in SECKILL_ADMIN_PASSWORD or one
that is made, and printed, at the first start.`,
		Example: `  seckill up
  seckill up --addr 0.0.0.0:8888 --data /var/lib/seckill
  seckill up --redis 127.0.0.1:6379 --kafka 127.0.0.1:9092 \
    --mysql 'seckill:secret@tcp(127.0.0.1:3306)/seckill'`,
		Args: cobra.NoArgs,
	}
	var o platform.Options
	data := dataFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&o.Addr, "addr", "127.0.0.1:8888", "host:port of the gateway")
	f.StringVar(&o.Redis, "redis", "", "host:port of a Redis server (default: embedded)")
	f.StringSliceVar(&o.Kafka, "kafka", nil, "host:port of Kafka brokers, comma separated (default: embedded)")
	f.StringVar(&o.Topic, "kafka-topic", platform.DefaultTopic, "name of the orders topic, the same at every start; platforms that share a Kafka need one each")
	f.StringVar(&o.LogTopic, "log-topic", "", "name of the log's topic in Kafka, - for none (default: "+logship.DefaultTopic+", or with --kafka-topic that name with -logs)")
	f.StringVar(&o.MySQL, "mysql", os.Getenv(envMySQL), "DSN of a MySQL server, user:password@tcp(host:port)/database (default: embedded; env "+envMySQL+")")
	f.Lookup("mysql").DefValue = "" // a password in the environment stays out of the help
	f.StringVar(&o.Tracing.Endpoint, "zipkin", "", "URL at which Zipkin takes spans, http://127.0.0.1:9411/api/v2/spans (default: none are reported)")
	f.Float64Var(&o.Tracing.SampleRatio, "trace-sample", 0.01, "part of the purchases and other calls that are traced with --zipkin, 0 to 1; failed and slow ones always are")
	o.Tracing.ClientSampledPerSecond = clientTraces
	f.BoolVar(&o.NoDemo, "no-demo", false, "make no demo product and sale")
	log := f.String("log", "", "file for the log, - for stderr (default: seckill.log in the data folder)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.Dir = *data
		o.JWTSecret, o.AdminPassword = os.Getenv(envJWTSecret), os.Getenv(envAdminPassword)
		o.WebhookSecret, o.RedisPassword = os.Getenv(envWebhookSecret), os.Getenv(envRedisPassword)
		return up(cmd.Context(), o, *log, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

func up(ctx context.Context, o platform.Options, logFile string, stdout, stderr io.Writer) (err error) {
	begin := time.Now()
	logs := &upLog{stderr: stderr}
	o.ShipLogs, o.UnshipLogs = logs.ship, logs.unship
	p, err := platform.New(o)
	if err != nil {
		return err
	}
	if err := logs.begin(o.Dir, logFile); err != nil {
		return errors.Join(err, p.Stop(ctx))
	}
	defer logs.end(ctx)
	starting, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	if err := p.Start(starting); err != nil {
		return errors.Join(err, p.Stop(context.WithoutCancel(ctx)))
	}
	welcome(stdout, p, o, time.Since(begin))
	failure := p.Wait(ctx)
	fmt.Fprintln(stdout, "stopping")
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(failure, p.Stop(stopping))
}

// upLog is the log of the platform in one process.
type upLog struct {
	logs *logship.Logs
	file *os.File // nil: it goes to stderr
	// stderr is the command's.
	stderr io.Writer
}

// begin has the log in the file, one JSON object a line.
func (l *upLog) begin(dir, file string) (err error) {
	out := l.stderr
	if file != "-" {
		if file == "" {
			file = filepath.Join(dir, "seckill.log")
		}
		if l.file, err = os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return err
		}
		out = l.file
	}
	l.logs = logship.New(logship.ThisProcess("seckill"), out, out)
	return l.logs.Start("info")
}

// ship has the log in Kafka as well.
func (l *upLog) ship(brokers []string, topic string) error {
	return l.logs.Ship(logship.Config{Brokers: brokers, Topic: topic})
}

// unship ends that. Lines that Kafka did not take are no failure of the platform, but are told.
func (l *upLog) unship(ctx context.Context) {
	if err := l.logs.Unship(ctx); err != nil {
		fmt.Fprintf(l.stderr, "seckill: %v\n", err)
	}
}

func (l *upLog) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := l.logs.Stop(ctx); err != nil {
		fmt.Fprintf(l.stderr, "seckill: %v\n", err)
	}
	if l.file != nil {
		_ = l.file.Close() // the writes told what went wrong
	}
}

// welcome says where to go, and how to buy.
func welcome(w io.Writer, p *platform.Platform, o platform.Options, took time.Duration) {
	run := p.Run()
	engine := func(given bool) string {
		if given {
			return "server"
		}
		return "embedded"
	}
	fmt.Fprintf(w, "seckill is up at %s after %.1f s\n\n", run.Addr, took.Seconds())
	fmt.Fprintf(w, "  data    %s\n", o.Dir)
	fmt.Fprintf(w, "  redis   %-9s %s\n", engine(o.Redis != ""), run.Redis)
	fmt.Fprintf(w, "  kafka   %-9s %s\n", engine(len(o.Kafka) > 0), run.Kafka[0])
	fmt.Fprintf(w, "  mysql   %s\n", engine(o.MySQL != ""))
	if password, made := p.AdminPassword(); made {
		fmt.Fprintf(w, "  admin   user admin, password %s (made now; it stays in %s)\n", password, filepath.Join(o.Dir, "secrets.json"))
	}
	if run.DemoSaleID != "" {
		fmt.Fprintln(w)
		_ = demo.Explain(w, run.Addr, run.DemoSaleID) // to a terminal
	}
	fmt.Fprintln(w, "\nCtrl-C stops it.")
}
