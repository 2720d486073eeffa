package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seckill-go/seckill/internal/logship"
	"github.com/spf13/cobra"
	"github.com/zeromicro/go-zero/core/logx"
)

// logsOptions are the flags of logs.
type logsOptions struct {
	data         string
	kafka        logship.Config
	query        logship.Query
	since, until string
	format       *format
}

func newLogsCmd() *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Read the platform's log in Kafka",
		Long: `Read the log of every process of the platform from its topic in Kafka, in the
order of time: by service, level, order, sale, trace, request and time.

--order shows the order's whole way across the services: accepted by the order
service, written to MySQL by a writer, paid, cancelled or expired, its units given
back. A batch of orders is one line of the log; of such a line the one order is
shown, with the size of the batch.

Times of --since and --until are RFC 3339, or a duration before now such as 15m.
Without --follow it ends at what is there now; with it, at Ctrl-C.

The password of Kafka, where it asks for one, comes from the environment:
SECKILL_KAFKA_USERNAME and SECKILL_KAFKA_PASSWORD with --sasl.

Exit codes: 0 the log was read, also when no line fits, 2 it could not be.`,
		Example: `  seckill logs --since 15m --level error
  seckill logs --follow --service order --service api
  seckill logs --order 1100585369601 -o json
  seckill logs --kafka 127.0.0.1:9092 --trace 0af7651916cd43dd8448eb211c80319c`,
		Args: cobra.NoArgs,
	}
	data := dataFlag(cmd)
	o.format = outputFlag(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.kafka.Brokers, "kafka", nil, "host:port of Kafka brokers (default: the running platform's)")
	f.StringVar(&o.kafka.Topic, "log-topic", "", "name of the log's topic (default: the running platform's, or "+logship.DefaultTopic+")")
	f.BoolVar(&o.kafka.TLS.Enabled, "tls", false, "reach Kafka by TLS")
	f.StringVar(&o.kafka.TLS.CAFile, "tls-ca", "", "PEM file of the authorities to trust with --tls (default: the system's)")
	f.StringVar(&o.kafka.TLS.CertFile, "tls-cert", "", "PEM file of the own certificate, where Kafka asks for one")
	f.StringVar(&o.kafka.TLS.KeyFile, "tls-key", "", "PEM file of its key")
	f.StringVar(&o.kafka.SASL.Mechanism, "sasl", "", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, where Kafka asks for a password")
	f.BoolVarP(&o.query.Follow, "follow", "f", false, "go on with new lines")
	f.StringSliceVar(&o.query.Services, "service", nil, "programs: api, user, product, order, or seckill for a platform in one process")
	f.StringVar(&o.query.Level, "level", "", "least level: debug, info, warn, error or fatal")
	f.StringVar(&o.query.Order, "order", "", "id of an order")
	f.StringVar(&o.query.Sale, "sale", "", "id of a sale")
	f.StringVar(&o.query.Trace, "trace", "", "id of a trace")
	f.StringVar(&o.query.Request, "request", "", "id of a request, as in a problem answer")
	f.StringVar(&o.since, "since", "", "first moment")
	f.StringVar(&o.until, "until", "", "first moment that is too late")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.data = *data
		logx.Disable() // what is to be said is an error, or in the log that is read
		return readLogs(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

func readLogs(ctx context.Context, o logsOptions, out, errOut io.Writer) error {
	now := time.Now()
	var err error
	if o.query.Since, err = moment(o.since, now); err != nil {
		return fmt.Errorf("--since: %w", err)
	}
	if o.query.Until, err = moment(o.until, now); err != nil {
		return fmt.Errorf("--until: %w", err)
	}
	if err := o.query.Check(); err != nil {
		return err
	}
	run, err := loadRun(o.data)
	if err != nil {
		return err
	}
	if len(o.kafka.Brokers) == 0 {
		o.kafka.Brokers = run.Kafka
	}
	if len(o.kafka.Brokers) == 0 {
		return fmt.Errorf("no platform runs on %s: start one with seckill up, or give --kafka", o.data)
	}
	o.kafka.Topic = or(o.kafka.Topic, run.LogTopic)
	o.kafka.SASL.Username, o.kafka.SASL.Password = kafkaCredentials()
	found, err := logship.Read(ctx, o.kafka, o.query, func(l logship.Line) error { return printLine(out, *o.format, l) })
	if found.Foreign > 0 {
		fmt.Fprintf(errOut, "seckill: %d records of the topic are no lines of the log\n", found.Foreign)
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return errors.New("it was interrupted before the end of the log")
	}
	return err
}

// moment reads a time, or a duration before now; the zero time for an empty text.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time such as 2026-01-02T15:04:05Z and no duration such as 15m", text)
	}
	return t, nil
}

// printLine prints one line of the log, JSON or text, as one line.
func printLine(out io.Writer, as format, l logship.Line) error {
	if as == formatJSON {
		_, err := out.Write(append(l.Append(nil), '\n'))
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-5s %-7s %s", l.Time.UTC().Format(logship.TimeFormat), strings.ToUpper(l.Level), oneLine(l.Service), oneLine(l.Message))
	for _, f := range []struct{ name, value string }{
		{"sale", l.SaleID}, {"order", l.OrderID}, {"orders", strings.Join(l.OrderIDs, ",")}, {"user", l.UserID},
		{"error", l.Error}, {"request", l.RequestID}, {"trace", l.Trace}, {"traces", strings.Join(l.TraceIDs, ",")}, {"span", l.Span},
	} {
		if f.value != "" {
			fmt.Fprintf(&b, " %s=%s", f.name, quoted(f.value))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.Fields)) {
		fmt.Fprintf(&b, " %s=%s", oneLine(name), oneLine(string(l.Fields[name])))
	}
	fmt.Fprintf(&b, " instance=%s", quoted(l.Instance))
	if l.Caller != "" {
		fmt.Fprintf(&b, " caller=%s", quoted(l.Caller))
	}
	_, err := fmt.Fprintln(out, b.String())
	return err
}

// quoted quotes a text that would not be one word.
func quoted(s string) string {
	if q := fmt.Sprintf("%q", s); s == "" || q[1:len(q)-1] != s || strings.Contains(s, " ") {
		return q
	}
	return s
}

// oneLine keeps what the log holds, which may have come from a client, from moving the terminal's cursor.
func oneLine(s string) string {
	q := fmt.Sprintf("%q", s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
