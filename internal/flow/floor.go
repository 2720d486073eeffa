package flow

import (
	"fmt"
	"maps"
	"slices"
)

// Floor is the loosest that a service's rules may be, in the same shape. A limit of it that a document
// leaves out, or makes looser, is put in its place. It has no version.
type Floor Rules

// effective is what the rules make of each route and link, within the floor. clamped names the limits
// that the floor had to set.
type effective struct {
	routes  map[string]Route
	links   map[string]Breaker
	system  System
	clamped []string
}

// apply gives every route and every link its rules. Names that the service does not have are an error: a
// slip of the pen would leave a route without the limit that was meant for it.
func (f Floor) apply(r Rules, routes, links []string) (effective, error) {
	e := effective{routes: map[string]Route{}, links: map[string]Breaker{}}
	for _, name := range slices.Sorted(maps.Keys(r.Routes)) {
		if name != anyRoute && !slices.Contains(routes, name) {
			return e, fmt.Errorf("routes: this service has no %q", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Links)) {
		if !slices.Contains(links, name) {
			return e, fmt.Errorf("links: this service has no %q", name)
		}
	}
	for _, name := range routes {
		e.routes[name] = clampRoute(own(r.Routes, name), own(f.Routes, name), func(what string) {
			e.clamped = append(e.clamped, name+": "+what)
		})
	}
	for _, name := range links {
		b, set := r.Links[name]
		if least, ok := f.Links[name]; ok && (!set || b.looser(least)) {
			b, set = least, true
			e.clamped = append(e.clamped, name)
		}
		if set {
			e.links[name] = b
		}
	}
	note := func(what string) { e.clamped = append(e.clamped, "system: "+what) }
	e.system = System{
		LoadPerCore: clamp(r.System.LoadPerCore, f.System.LoadPerCore, "loadPerCore", note),
		CPU:         clamp(r.System.CPU, f.System.CPU, "cpu", note),
		Concurrency: clamp(r.System.Concurrency, f.System.Concurrency, "concurrency", note),
	}
	return e, nil
}

// own is a route's entry, or the one for any route.
func own(routes map[string]Route, name string) Route {
	if r, ok := routes[name]; ok {
		return r
	}
	return routes[anyRoute]
}

func clampRoute(r, floor Route, note func(string)) Route {
	return Route{
		PerSecond:   clamp(r.PerSecond, floor.PerSecond, "perSecond", note),
		Concurrency: clamp(r.Concurrency, floor.Concurrency, "concurrency", note),
		PerUser:     clampLimit(r.PerUser, floor.PerUser, "perUser", note),
		PerSale:     clampLimit(r.PerSale, floor.PerSale, "perSale", note),
		PerAddress:  clampLimit(r.PerAddress, floor.PerAddress, "perAddress", note),
	}
}

// clamp is n, or the floor where there is one and n is above it or, as 0, no limit.
func clamp[T int64 | float64](n, floor T, what string, note func(string)) T {
	if floor > 0 && (n == 0 || n > floor) {
		note(what)
		return floor
	}
	return n
}

func clampLimit(l, floor *Limit, what string, note func(string)) *Limit {
	if floor != nil && (l == nil || l.looser(*floor)) {
		note(what)
		return floor
	}
	return l
}

// looser tells whether l lets more pass than m, at once or over time.
func (l Limit) looser(m Limit) bool {
	return l.Count+l.Burst > m.Count+m.Burst || l.Count*m.Seconds > m.Count*l.Seconds
}

// looser tells whether b needs more than c before it opens.
func (b Breaker) looser(c Breaker) bool {
	return b.MinCalls > c.MinCalls || b.ErrorRatio > c.ErrorRatio || b.SlowRatio > c.SlowRatio || b.SlowMs > c.SlowMs
}
