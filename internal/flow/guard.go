package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alibaba/sentinel-golang/api"
	"github.com/alibaba/sentinel-golang/core/base"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/zeromicro/go-zero/core/logx"
)

// Source pushes documents. changed gets the newest content, one call at a time; nothing is pushed while
// there is no document. stop returns when no call is under way.
type Source interface {
	Watch(document string, changed func(content string)) (stop func())
}

// Options make a Guard.
type Options struct {
	// Defaults hold until a document is read, and say whose rules these are.
	Defaults Rules
	// Floor bounds every document, the defaults too.
	Floor Floor
	// Source pushes the Document; nil where there is none.
	Source   Source
	Document string
	// Addresses finds clients, for HTTP.
	Addresses Addresses
	// Sale is the id of the sale that a request is about, as its path has it; "" without one. For HTTP.
	Sale func(*http.Request) string
}

// guards numbers the guards of a process, so that two of one service keep their resources apart.
var guards atomic.Int64

// Guard holds the calls of one service within its rules. Before Start it lets everything pass.
type Guard struct {
	options Options
	prefix  string
	metrics *metrics
	gates   map[string]*gate
	links   map[string]*gate
	stop    func()
	shown   bool

	mu      sync.Mutex
	version int64 // 0 for the defaults
	rules   Rules
	acting  effective
}

// gate is where the calls of one route or link pass.
type gate struct {
	resource string
	options  []api.EntryOption
	passes   prometheus.Counter
	blocks   *prometheus.CounterVec
	retry    atomic.Pointer[map[string]time.Duration]
}

// New checks the defaults. What is guarded is declared next, by HTTP, Methods and UnaryClientInterceptor,
// all before Start.
func New(o Options) (*Guard, error) {
	if err := o.Defaults.validate(); err != nil {
		return nil, fmt.Errorf("flow: defaults: %w", err)
	}
	return &Guard{
		options: o, prefix: o.Defaults.Service + "#" + strconv.FormatInt(guards.Add(1), 10) + "|",
		metrics: newMetrics(o.Defaults.Service), gates: map[string]*gate{}, links: map[string]*gate{},
	}, nil
}

func (g *Guard) declare(in map[string]*gate, name, kind string, traffic base.TrafficType, resource base.ResourceType) *gate {
	if known, ok := in[name]; ok {
		return known
	}
	a := &gate{
		resource: g.prefix + kind + " " + name,
		options: []api.EntryOption{
			api.WithSlotChain(chain()), api.WithTrafficType(traffic), api.WithResourceType(resource),
		},
		passes: g.metrics.passes.WithLabelValues(name),
		blocks: g.metrics.blocks.MustCurryWith(prometheus.Labels{"resource": name}),
	}
	in[name] = a
	return a
}

// Start puts the defaults into force, and from then on each document that the source pushes. It registers
// the metrics: passes and blocks by resource and kind of rule, the version of the rules in force, how many
// of their limits the floor set, and what became of the documents. Of two guards of one service in a
// process the first shows its metrics.
func (g *Guard) Start(context.Context) error {
	g.mu.Lock()
	err := g.adopt(g.options.Defaults, 0)
	g.mu.Unlock()
	if err != nil {
		return errors.Join(fmt.Errorf("flow: defaults: %w", err), g.clear())
	}
	var already prometheus.AlreadyRegisteredError
	err = prometheus.Register(g.metrics)
	if g.shown = err == nil; !g.shown && !errors.As(err, &already) {
		return errors.Join(fmt.Errorf("flow: %w", err), g.clear())
	}
	if g.options.Source != nil {
		g.stop = g.options.Source.Watch(g.options.Document, func(content string) {
			// Apply has logged and counted what it refuses; the last good rules stay.
			_ = g.Apply(content)
		})
	}
	return nil
}

// Stop takes no more documents and lets everything pass.
func (g *Guard) Stop(context.Context) error {
	if g.stop != nil {
		g.stop()
		g.stop = nil
	}
	if g.shown {
		prometheus.Unregister(g.metrics)
		g.shown = false
	}
	return g.clear()
}

func (g *Guard) clear() error {
	var all []error
	for _, a := range g.everyGate() {
		all = append(all, sentinelRules{}.load(a.resource))
		forgetBuckets(a.resource)
	}
	return errors.Join(append(all, protect(g, nil))...)
}

func (g *Guard) everyGate() []*gate {
	return append(slices.Collect(maps.Values(g.gates)), slices.Collect(maps.Values(g.links))...)
}

// Apply puts a document into force, wholly or, with an error, not at all. It refuses what Parse refuses,
// rules for another service or for routes that this one does not have, a version that is older than the
// one in force, and the same version with other rules. What is looser than the floor is clamped to it, and
// reported.
func (g *Guard) Apply(document string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, err := Parse(document)
	switch {
	case err != nil:
	case r.Service != g.options.Defaults.Service:
		err = fmt.Errorf("the document is for %q", r.Service)
	case r.Version < g.version:
		err = fmt.Errorf("version %d is older than %d, which is in force", r.Version, g.version)
	case r.Version == g.version && reflect.DeepEqual(r, g.rules):
		return nil
	case r.Version == g.version:
		err = fmt.Errorf("version %d is in force with other rules: a change needs a higher one", r.Version)
	default:
		err = g.adopt(r, r.Version)
	}
	if err != nil {
		g.metrics.refused.Inc()
		logx.Errorw("flow: a rules document was refused, the last good rules stay", logx.Field("service", g.options.Defaults.Service),
			logx.Field("version", g.version), logx.Field("error", err.Error()))
		return fmt.Errorf("flow: %w", err)
	}
	g.metrics.applied.Inc()
	logx.Infow("flow: new rules are in force", logx.Field("service", g.options.Defaults.Service),
		logx.Field("version", r.Version), logx.Field("clamped", g.acting.clamped))
	return nil
}

// Version is that of the rules in force; 0 for the defaults.
func (g *Guard) Version() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.version
}

// Clamped names the limits in force that the floor set, because the rules had none or a looser one.
func (g *Guard) Clamped() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.acting.clamped)
}

// adopt loads rules, and those before them again when that fails.
func (g *Guard) adopt(r Rules, version int64) error {
	e, err := g.options.Floor.apply(r, slices.Sorted(maps.Keys(g.gates)), slices.Sorted(maps.Keys(g.links)))
	if err != nil {
		return err
	}
	if err := g.load(e); err != nil {
		return errors.Join(err, g.load(g.acting))
	}
	g.rules, g.version, g.acting = r, version, e
	g.metrics.version.Set(float64(version))
	g.metrics.clamped.Set(float64(len(e.clamped)))
	return nil
}

func (g *Guard) load(e effective) error {
	next := map[*gate]sentinelRules{}
	var all []error
	for name, a := range g.gates {
		next[a] = rulesOf(a.resource, e.routes[name])
		all = append(all, next[a].check())
	}
	for name, a := range g.links {
		next[a] = sentinelRules{}
		if b, ok := e.links[name]; ok {
			next[a] = breakerRules(a.resource, b)
		}
		all = append(all, next[a].check())
	}
	if err := errors.Join(all...); err != nil {
		return err
	}
	for a, rules := range next {
		all = append(all, rules.load(a.resource))
	}
	for name, a := range g.gates {
		a.retry.Store(retries(e.routes[name]))
	}
	for name, a := range g.links {
		a.retry.Store(&map[string]time.Duration{kindBreaker: time.Duration(e.links[name].OpenMs) * time.Millisecond})
	}
	return errors.Join(append(all, protect(g, &e.system))...)
}

// retries says when a call that a hot-parameter rule blocked may pass, at the latest.
func retries(r Route) *map[string]time.Duration {
	all := map[string]time.Duration{}
	for kind, l := range map[string]*Limit{kindUser: r.PerUser, kindSale: r.PerSale, kindAddress: r.PerAddress} {
		if l != nil {
			all[kind] = max(time.Second, l.interval())
		}
	}
	return &all
}

// enter lets a call pass, which ends with the entry's Exit, or says that it is blocked. args are its
// parameters in their positions.
func (a *gate) enter(args ...any) (*base.SentinelEntry, *errs.Error) {
	options := a.options
	if len(args) > 0 {
		options = append(options[:len(options):len(options)], api.WithArgs(args...))
	}
	entry, blocked := api.Entry(a.resource, options...)
	if blocked == nil {
		a.passes.Inc()
		return entry, nil
	}
	kind := kindOf(blocked)
	a.blocks.WithLabelValues(kind).Inc()
	e := errs.New(errs.RateLimited, "too many requests: the limit of this %s is reached", kind)
	switch kind {
	case kindBreaker:
		e = errs.New(errs.Unavailable, "the service is not answering")
	case kindSystem, kindConcurrency:
		e = errs.New(errs.RateLimited, "too many requests at once")
	}
	e.RetryAfter = time.Second
	if known := a.retry.Load(); known != nil && (*known)[kind] > 0 {
		e.RetryAfter = (*known)[kind]
	}
	return nil, e
}

// fault tells whether a call's error says that the other side is not well. A refusal, such as sold out,
// is an answer.
func fault(ctx context.Context, err error) bool {
	if err == nil || errors.Is(ctx.Err(), context.Canceled) {
		return false // who hangs up proves nothing
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	switch errs.CodeOf(err) {
	case errs.Unavailable, errs.Internal, errs.UnknownOutcome:
		return true
	default:
		return false
	}
}
