package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seckill-go/seckill/cmd/seckill/internal/buyers"
	"github.com/seckill-go/seckill/cmd/seckill/internal/gateway"
	"github.com/seckill-go/seckill/cmd/seckill/internal/load"
	"github.com/seckill-go/seckill/internal/accesstoken"
	"github.com/spf13/cobra"
	"github.com/zeromicro/go-zero/core/logx"
)

// defaultAddr is the gateway without --addr and without a data folder that knows better.
const defaultAddr = "http://127.0.0.1:8888"

// defaultBuyers come when neither --buyers nor --requests says how many.
const defaultBuyers = 1000

// demoSale is the --sale that stands for the platform's demo sale.
const demoSale = "demo"

type loadOptions struct {
	data, addr, sale               string
	stock, perUserLimit, requests  int64
	buyers, concurrency, quantity  int
	rate                           float64
	duration, timeout              time.Duration
	retryFor, settle               time.Duration
	register, keys, retry, noAudit bool
	progress                       bool
	accepted                       string
	format                         format
}

const loadHelp = `Hammer the purchase endpoint of a sale, print what each answer was and how long
it took, and prove from outside that nothing that was accepted is lost.

The sale is an existing one (--sale ID, or --sale demo), or a fresh one of
--stock N units, which takes the admin's password: SECKILL_ADMIN_PASSWORD, or
secrets.json in the data folder. The audit at the end takes it too.

Every buyer buys once; --requests above --buyers adds attempts of random buyers.
Buyers are made up (their tokens signed with SECKILL_JWT_SECRET, or the secret
of the data folder), or with --register really registered and logged in.
A load must be bounded by --requests, --duration or --buyers.

Closed loop (without --rate): --concurrency workers each send a request when the
one before is answered. Its percentiles are service times, not corrected for
coordinated omission: a platform that stalls also stalls the sending, so they
say how fast answers are, not how long people would wait.

Open loop (--rate R): request i is due at i/R seconds, whatever becomes of those
before, and its latency counts from then, so that a stall shows in all that was
due meanwhile. --concurrency bounds the connections; requests that are sent late
for want of one are counted.

A request that is answered 504, or not at all, is asked about again with its
Idempotency-Key. At the end each accepted order is asked for with its buyer's
token until it is in the database, and the platform audits the sale.

The first Ctrl-C ends the sending and still proves and prints; the second ends
all. Exit codes: 0 all holds, 1 a promise is broken (an accepted order is
missing, the audit does not hold, more was accepted than there is, ...), 2 the
load could not be run or the proof not be made.`

const loadExamples = `  # a fresh sale of 1000 units, 10000 buyers, each once, as fast as it goes
  seckill load --stock 1000 --buyers 10000 --concurrency 200

  # 2000 requests a second for half a minute, latencies as people would see them
  seckill load --stock 50000 --buyers 20000 --rate 2000 --duration 30s --concurrency 500

  # every buyer tries twice; keep the accepted orders' ids, print JSON
  seckill load --stock 500 --buyers 1000 --requests 2000 --accepted ids.txt -o json`

func newLoadCmd() *cobra.Command {
	o := &loadOptions{}
	cmd := &cobra.Command{
		Use:     "load (--sale ID | --stock N) [--buyers N] [--requests N] [--duration D]",
		Short:   "Hammer a sale, measure it, and prove that nothing is lost",
		Long:    loadHelp,
		Example: loadExamples,
		Args:    cobra.NoArgs,
	}
	data, output := dataFlag(cmd), outputFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&o.addr, "addr", "", "the gateway (default: that of the data folder, or "+defaultAddr+")")
	f.StringVar(&o.sale, "sale", "", `id of an existing sale, or "demo"`)
	f.Int64Var(&o.stock, "stock", 0, "make a fresh sale of so many units")
	f.Int64Var(&o.perUserLimit, "per-user-limit", 1, "units that a buyer may have of the fresh sale")
	f.IntVar(&o.buyers, "buyers", 0, fmt.Sprintf("number of buyers (default: --requests, or %d)", defaultBuyers))
	f.BoolVar(&o.register, "register", false, "really register the buyers and log them in")
	f.Int64Var(&o.requests, "requests", 0, "number of requests (default: --buyers, or no bound with --duration)")
	f.DurationVar(&o.duration, "duration", 0, "send nothing after so long")
	f.IntVar(&o.concurrency, "concurrency", 64, "number of connections")
	f.Float64Var(&o.rate, "rate", 0, "open loop: requests a second")
	f.IntVar(&o.quantity, "quantity", 1, "units of each request")
	f.BoolVar(&o.keys, "keys", true, "send an Idempotency-Key with each request")
	f.BoolVar(&o.retry, "retry", true, "ask again, with the same key, what is answered 504 or not at all")
	f.DurationVar(&o.retryFor, "retry-for", 30*time.Second, "for how long to ask again")
	f.StringVar(&o.accepted, "accepted", "", "append the id of each accepted order to this file, one a line")
	f.BoolVar(&o.noAudit, "no-audit", false, "prove nothing at the end")
	f.DurationVar(&o.settle, "settle", time.Minute, "at the end, count the rest as missing when nothing moves for so long")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "for how long to wait for each answer")
	f.BoolVar(&o.progress, "progress", false, "show progress each second even when stderr is no terminal")
	cmd.MarkFlagsMutuallyExclusive("sale", "stock")
	cmd.MarkFlagsOneRequired("sale", "stock")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		// go-zero logs each signal to stdout, into the report.
		logx.Disable()
		o.data, o.format = *data, *output
		if err := o.complete(f.Changed); err != nil {
			return err
		}
		return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// complete fills in what depends on other flags, and refuses what makes no sense before anything is
// begun.
func (o *loadOptions) complete(changed func(string) bool) error {
	if !changed("buyers") && !changed("requests") && !changed("duration") {
		return errors.New("a load needs a bound: --buyers, --requests or --duration")
	}
	for _, flag := range []struct {
		name     string
		positive bool
	}{
		{"stock", o.stock > 0}, {"per-user-limit", o.perUserLimit > 0}, {"buyers", o.buyers > 0},
		{"requests", o.requests > 0}, {"duration", o.duration > 0}, {"concurrency", o.concurrency > 0},
		{"rate", o.rate > 0}, {"quantity", o.quantity > 0}, {"retry-for", o.retryFor > 0},
		{"settle", o.settle > 0}, {"timeout", o.timeout > 0},
	} {
		if changed(flag.name) && !flag.positive {
			return fmt.Errorf("--%s is above 0", flag.name)
		}
	}
	if changed("per-user-limit") && o.stock == 0 {
		return errors.New("--per-user-limit is for a fresh sale, with --stock")
	}
	if o.concurrency > load.MaxConcurrency {
		return fmt.Errorf("--concurrency is at most %d", load.MaxConcurrency)
	}
	if o.buyers == 0 {
		o.buyers = defaultBuyers
		if o.requests > 0 {
			o.buyers = int(min(o.requests, buyers.MaxCount))
		}
	}
	if o.buyers > buyers.MaxCount {
		return fmt.Errorf("--buyers is at most %d", buyers.MaxCount)
	}
	if o.requests == 0 && o.duration == 0 {
		o.requests = int64(o.buyers)
	}
	if !o.keys || !o.retry {
		o.retryFor = 0
	}
	return nil
}

// run does the load and prints its report. A broken promise is a failedError.
func (o *loadOptions) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	platform, err := loadRun(o.data)
	if err != nil {
		return err
	}
	if o.sale == demoSale {
		if o.sale = platform.DemoSaleID; o.sale == "" {
			return fmt.Errorf("the data folder %s knows of no demo sale", o.data)
		}
	}
	client, err := gateway.New(cmp.Or(o.addr, platform.Addr, defaultAddr), o.concurrency, o.timeout)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := &adminSession{client: client}
	if !o.noAudit || o.stock > 0 {
		if admin.password, err = adminPassword(o.data); err != nil {
			return fmt.Errorf("a fresh sale and the audit need the admin: %w", err)
		}
		// Now, so that a wrong password does not cost a whole load.
		if _, err := admin.token(ctx); err != nil {
			return fmt.Errorf("logging in as admin: %w", err)
		}
	}
	plan := load.Plan{
		Quantity: o.quantity, Requests: o.requests, Duration: o.duration, Concurrency: o.concurrency,
		Rate: o.rate, RetryFor: o.retryFor, Seed: randomSeed(), Counters: &load.Counters{},
	}
	if o.keys {
		plan.KeyPrefix = "load-" + strings.ToLower(rand.Text()) + "-"
	}
	if o.accepted != "" {
		file, err := os.OpenFile(o.accepted, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		plan.Accepted = file
	}
	progress := newProgress(stderr, o.progress)
	if plan.Tokens, err = o.tokens(ctx, client, progress); err != nil {
		return err
	}
	sale, err := o.chooseSale(ctx, client, admin)
	if err != nil {
		return err
	}
	plan.SaleID = sale.SaleID

	stopProgress := progress.every(time.Second, plan.Counters)
	out, err := load.Run(ctx, client, plan)
	stopProgress()
	if err != nil && out.Sent == 0 {
		return err
	}
	// With an error all the same: what was accepted until then is no less accepted.
	return errors.Join(err, o.finish(context.WithoutCancel(ctx), client, admin, sale, &out, stdout))
}

// finish proves, prints and judges.
func (o *loadOptions) finish(ctx context.Context, client *gateway.Client, admin *adminSession, sale gateway.Sale, out *load.Outcome, stdout io.Writer) error {
	var proof *load.Proof
	if !o.noAudit {
		made := load.Prover{Client: client, Token: admin.token, Patience: o.settle, Fresh: o.stock > 0}.Prove(ctx, out)
		// The stock may have been raised meanwhile.
		now, err := client.Sale(ctx, sale.SaleID)
		if err != nil {
			made.Untold = append(made.Untold, "the sale's stock: "+err.Error())
		} else {
			sale.Stock = max(sale.Stock, now.Stock)
		}
		proof = &made
	}
	report := load.NewReport(client.Addr(), sale, out, proof)
	write := report.WriteText
	if o.format == formatJSON {
		write = report.WriteJSON
	}
	if err := write(stdout); err != nil {
		return err
	}
	switch {
	case len(report.Findings) > 0:
		return failed("%s", strings.Join(report.Findings, "; "))
	case !report.OK:
		return errors.New("could not tell: " + strings.Join(proof.Untold, "; "))
	default:
		return nil
	}
}

// tokens are the buyers'.
func (o *loadOptions) tokens(ctx context.Context, client *gateway.Client, p *progress) ([]string, error) {
	if o.register {
		var ready atomic.Int64
		stop := p.everyLine(time.Second, func() string {
			return fmt.Sprintf("registered %d of %d buyers", ready.Load(), o.buyers)
		})
		defer stop()
		return buyers.Register(ctx, client, o.buyers, o.concurrency, &ready)
	}
	key, err := jwtSecret(o.data)
	if err != nil {
		return nil, fmt.Errorf("made-up buyers need to be signed for (--register makes real ones): %w", err)
	}
	minter, err := accesstoken.NewMinter([]byte(key), 2*time.Hour+o.duration)
	if err != nil {
		return nil, err
	}
	return buyers.Mint(minter, buyers.RandomFirst(), o.buyers, time.Now())
}

// openWithin is how long a fresh sale may take to open after its preheating.
const openWithin = 30 * time.Second

// chooseSale is the existing sale, or a fresh one that is open.
func (o *loadOptions) chooseSale(ctx context.Context, client *gateway.Client, admin *adminSession) (gateway.Sale, error) {
	if o.sale != "" {
		return client.Sale(ctx, o.sale)
	}
	token, err := admin.token(ctx)
	if err != nil {
		return gateway.Sale{}, err
	}
	const price, currency = 100, "EUR"
	now := time.Now().UTC().Truncate(time.Millisecond)
	title := "Load " + now.Format("2006-01-02 15:04:05.000")
	product, err := client.CreateProduct(ctx, token, gateway.NewProduct{Title: title, Price: 2 * price, Currency: currency})
	if err != nil {
		return gateway.Sale{}, err
	}
	sale, err := client.CreateSale(ctx, token, gateway.NewSale{
		ProductID: product, Title: title, Price: price, Currency: currency, Stock: o.stock, PerUserLimit: o.perUserLimit,
		// A minute ago by our clock is in the past by the platform's too.
		StartsAt: now.Add(-time.Minute), EndsAt: now.Add(24*time.Hour + o.duration),
		PaymentTimeoutSeconds: 900,
	})
	if err != nil {
		return gateway.Sale{}, err
	}
	if err := client.Preheat(ctx, token, sale.SaleID); err != nil {
		return gateway.Sale{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	for {
		made, err := client.Sale(ctx, sale.SaleID)
		if err == nil && made.State == "open" {
			return made, nil
		}
		select {
		case <-ctx.Done():
			return gateway.Sale{}, fmt.Errorf("the fresh sale %s does not open (state %q): %w",
				sale.SaleID, made.State, errors.Join(ctx.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// adminSession logs in when it is needed.
type adminSession struct {
	client   *gateway.Client
	password string
	session  gateway.Session
	at       time.Time
}

// token is an access token with at least half its life ahead. It is not safe for concurrent use.
func (a *adminSession) token(ctx context.Context) (string, error) {
	half := time.Duration(a.session.ExpiresIn) * time.Second / 2
	if a.session.AccessToken == "" || time.Since(a.at) > half {
		session, err := a.client.Login(ctx, gateway.Credentials{Username: "admin", Password: a.password})
		if err != nil {
			return "", err
		}
		a.session, a.at = session, time.Now()
	}
	return a.session.AccessToken, nil
}

func randomSeed() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}
