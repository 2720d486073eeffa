package flow

import (
	"errors"
	"sync"

	"github.com/alibaba/sentinel-golang/api"
	"github.com/alibaba/sentinel-golang/core/base"
	"github.com/alibaba/sentinel-golang/core/circuitbreaker"
	sentinelflow "github.com/alibaba/sentinel-golang/core/flow"
	"github.com/alibaba/sentinel-golang/core/hotspot"
	"github.com/alibaba/sentinel-golang/core/isolation"
	sentinelsystem "github.com/alibaba/sentinel-golang/core/system"
	"github.com/alibaba/sentinel-golang/logging"
	"github.com/zeromicro/go-zero/core/logx"
)

// Positions of a call's parameters, and of how many values of each a rule knows at once what is missing in their
// buckets; see buckets.
const (
	userParam, users        = 0, 100_000
	saleParam, sales        = 1, 4096
	addressParam, addresses = 2, 100_000
)

// Kinds of rules, as metrics name them; a hot-parameter rule has its kind as its ID.
const (
	kindRoute       = "route"
	kindConcurrency = "concurrency"
	kindUser        = "user"
	kindSale        = "sale"
	kindAddress     = "address"
	kindSystem      = "system"
	kindBreaker     = "breaker"
)

// kindOf is the kind of the rule that blocked a call.
func kindOf(b *base.BlockError) string {
	switch b.BlockType() {
	case base.BlockTypeIsolation:
		return kindConcurrency
	case base.BlockTypeHotSpotParamFlow:
		if r, ok := b.TriggeredRule().(*hotspot.Rule); ok {
			return r.ID
		}
	case base.BlockTypeSystemFlow:
		return kindSystem
	case base.BlockTypeCircuitBreaking:
		return kindBreaker
	}
	return kindRoute
}

// sentinelRules are one resource's.
type sentinelRules struct {
	flow      []*sentinelflow.Rule
	isolation []*isolation.Rule
	hotspot   []*hotspot.Rule
	breakers  []*circuitbreaker.Rule
}

// rulesOf are a route's. A user's limit comes before the sale's and the address's, so that what one user
// sends beyond it takes nothing from others; the route's own counts only what all the others let pass.
func rulesOf(resource string, r Route) sentinelRules {
	var s sentinelRules
	if r.PerSecond > 0 {
		s.flow = append(s.flow, &sentinelflow.Rule{
			Resource: resource, TokenCalculateStrategy: sentinelflow.Direct, ControlBehavior: sentinelflow.Reject,
			Threshold: float64(r.PerSecond), StatIntervalInMs: 1000,
		})
	}
	if r.Concurrency > 0 {
		s.isolation = append(s.isolation, &isolation.Rule{
			Resource: resource, MetricType: isolation.Concurrency, Threshold: uint32(r.Concurrency),
		})
	}
	param := func(l *Limit, kind string, index int, capacity int64) {
		if l != nil {
			s.hotspot = append(s.hotspot, &hotspot.Rule{
				ID: kind, Resource: resource, MetricType: hotspot.QPS, ControlBehavior: flowingBucket,
				ParamIndex: index, Threshold: l.Count, BurstCount: l.Burst, DurationInSec: l.Seconds, ParamsMaxCapacity: capacity,
			})
		}
	}
	param(r.PerUser, kindUser, userParam, users)
	param(r.PerAddress, kindAddress, addressParam, addresses)
	param(r.PerSale, kindSale, saleParam, sales)
	return s
}

// breakerRules are a link's.
func breakerRules(resource string, b Breaker) sentinelRules {
	rule := func(strategy circuitbreaker.Strategy, threshold float64) *circuitbreaker.Rule {
		return &circuitbreaker.Rule{
			Resource: resource, Strategy: strategy, Threshold: threshold, MaxAllowedRtMs: uint64(b.SlowMs),
			RetryTimeoutMs: uint32(b.OpenMs), MinRequestAmount: uint64(b.MinCalls), StatIntervalMs: uint32(b.WindowMs),
		}
	}
	return sentinelRules{breakers: []*circuitbreaker.Rule{
		rule(circuitbreaker.ErrorRatio, b.ErrorRatio), rule(circuitbreaker.SlowRequestRatio, b.SlowRatio),
	}}
}

// check asks Sentinel whether it would take the rules: loading drops those that it does not like with no
// more than a line in its log, and so opens the gate.
func (s sentinelRules) check() error {
	var all []error
	for _, r := range s.flow {
		all = append(all, sentinelflow.IsValidRule(r))
	}
	for _, r := range s.isolation {
		all = append(all, isolation.IsValidRule(r))
	}
	for _, r := range s.hotspot {
		all = append(all, hotspot.IsValidRule(r))
	}
	for _, r := range s.breakers {
		all = append(all, circuitbreaker.IsValidRule(r))
	}
	return errors.Join(all...)
}

// load puts the rules in the place of those that the resource has.
func (s sentinelRules) load(resource string) error {
	_, a := sentinelflow.LoadRulesOfResource(resource, s.flow)
	_, b := isolation.LoadRulesOfResource(resource, s.isolation)
	_, c := hotspot.LoadRulesOfResource(resource, s.hotspot)
	_, d := circuitbreaker.LoadRulesOfResource(resource, s.breakers)
	return errors.Join(a, b, c, d)
}

// chain is Sentinel's own order of checks, which knows nothing of log files as long as its start-up is
// left alone.
var chain = sync.OnceValue(func() *base.SlotChain {
	// Not safe beside its use: here, before the first.
	_ = logging.ResetGlobalLogger(sentinelLog{}) // it refuses nil alone
	return api.BuildDefaultSlotChain()
})

// sentinelLog takes what Sentinel complains of; without it that goes to standard output.
type sentinelLog struct{}

// Debug and the others are logging.Logger's.
func (sentinelLog) Debug(string, ...any) {}

// DebugEnabled spares Sentinel the making of texts that nobody reads.
func (sentinelLog) DebugEnabled() bool { return false }

// Info drops: each loading of rules is one of ours, and logged by us.
func (sentinelLog) Info(string, ...any) {}

// InfoEnabled is DebugEnabled for Info.
func (sentinelLog) InfoEnabled() bool { return false }

// Warn is a line of our log.
func (sentinelLog) Warn(msg string, details ...any) {
	logx.Infow("sentinel: "+msg, logx.Field("details", details))
}

// WarnEnabled is true.
func (sentinelLog) WarnEnabled() bool { return true }

// Error is a line of our log.
func (sentinelLog) Error(err error, msg string, details ...any) {
	logx.Errorw("sentinel: "+msg, logx.Field("error", err), logx.Field("details", details))
}

// ErrorEnabled is true.
func (sentinelLog) ErrorEnabled() bool { return true }

// systemRules are Sentinel's for the process.
func systemRules(s System, cores int) []*sentinelsystem.Rule {
	var all []*sentinelsystem.Rule
	add := func(metric sentinelsystem.MetricType, trigger float64, strategy sentinelsystem.AdaptiveStrategy) {
		if trigger > 0 {
			all = append(all, &sentinelsystem.Rule{MetricType: metric, TriggerCount: trigger, Strategy: strategy})
		}
	}
	add(sentinelsystem.Load, s.LoadPerCore*float64(cores), sentinelsystem.BBR)
	add(sentinelsystem.CpuUsage, s.CPU, sentinelsystem.BBR)
	add(sentinelsystem.Concurrency, float64(s.Concurrency), sentinelsystem.NoAdaptive)
	return all
}
