package flow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Bounds of what a document may say.
const (
	maxDocument = 256 << 10 // bytes
	maxCount    = 10_000_000
	maxSeconds  = 3600
	maxMillis   = 600_000
)

// anyRoute is the entry of Rules.Routes for the routes that have none of their own.
const anyRoute = "*"

// Rules are the limits of one service. A number that is left out sets no limit, but for what the floor
// sets.
type Rules struct {
	// Service is the name of the service that the rules are for.
	Service string `json:"service"`
	// Version rises with every change; a document that is not newer than the rules in force is refused.
	Version int64  `json:"version"`
	System  System `json:"system"`
	// Routes are "METHOD /path/:name" at the gateway and full method names of gRPC elsewhere. The entry
	// "*" holds for each route that has none of its own: the limits are per route, not for all together.
	Routes map[string]Route `json:"routes"`
	// Links are the circuit breakers, by the name of the link to another service.
	Links map[string]Breaker `json:"links,omitempty"`
}

// Route is what one route of one process may take.
type Route struct {
	// PerSecond is how many calls pass in a second.
	PerSecond int64 `json:"perSecond,omitempty"`
	// Concurrency is how many calls may be under way. Streams do not count once they are open.
	Concurrency int64 `json:"concurrency,omitempty"`
	// PerUser, PerSale and PerAddress are for each user, sale and client address; what a call does not
	// have is not limited by it.
	PerUser    *Limit `json:"perUser,omitempty"`
	PerSale    *Limit `json:"perSale,omitempty"`
	PerAddress *Limit `json:"perAddress,omitempty"`
}

// Limit is a bucket of Count + Burst calls, into which Count flow every Seconds.
type Limit struct {
	Count   int64 `json:"count"`
	Seconds int64 `json:"seconds"`
	Burst   int64 `json:"burst"`
}

// Breaker opens a link when, of at least MinCalls calls within WindowMs, the share that failed reaches
// ErrorRatio or the share that took longer than SlowMs reaches SlowRatio. It tries again after OpenMs.
type Breaker struct {
	WindowMs   int64   `json:"windowMs"`
	MinCalls   int64   `json:"minCalls"`
	OpenMs     int64   `json:"openMs"`
	ErrorRatio float64 `json:"errorRatio"`
	SlowMs     int64   `json:"slowMs"`
	SlowRatio  float64 `json:"slowRatio"`
}

// System protects the process as a whole.
type System struct {
	// LoadPerCore and CPU start the adaptive protection: above them calls are refused while more are under
	// way than the process has lately been able to answer at its best speed. LoadPerCore is the machine's
	// load average of the last minute for each CPU that the process may use. CPU is the share, up to 1, of
	// these CPUs that the process itself uses, so it heeds the limit of its container.
	LoadPerCore float64 `json:"loadPerCore,omitempty"`
	CPU         float64 `json:"cpu,omitempty"`
	// Concurrency is how many calls may be under way in the process, of all its services.
	Concurrency int64 `json:"concurrency,omitempty"`
}

// Parse reads a rules document. It is strict: one object, no unknown and no repeated names, no null,
// no number below 1 where that would not be a limit.
func Parse(document string) (Rules, error) {
	if len(document) > maxDocument {
		return Rules{}, fmt.Errorf("the document has %d bytes, more than %d", len(document), maxDocument)
	}
	if strings.TrimSpace(document) == "" {
		return Rules{}, errors.New("the document is empty")
	}
	if err := unambiguous(json.NewDecoder(strings.NewReader(document)), ""); err != nil {
		return Rules{}, err
	}
	var r Rules
	d := json.NewDecoder(strings.NewReader(document))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Rules{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Rules{}, errors.New("there is something behind the object")
	}
	return r, r.validate()
}

// Document is the rules as Parse reads them.
func (r Rules) Document() string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	_ = e.Encode(r) // numbers, strings and maps of them; a ratio that is no number does not pass validate
	return b.String()
}

// unambiguous refuses what encoding/json would silently choose from: repeated names, whatever their
// case, and null and 0, which read like no limit to one person and like a closed gate to another. name
// is what the value belongs to.
func unambiguous(d *json.Decoder, name string) error {
	t, err := d.Token()
	switch {
	case err != nil:
		return err
	case t == nil:
		return errors.New("null is no limit: leave the name out")
	case t == json.Delim('{'):
		names := map[string]bool{}
		for d.More() {
			t, err := d.Token()
			if err != nil {
				return err
			}
			inner, _ := t.(string) // a name is always one
			if names[strings.ToLower(inner)] {
				return fmt.Errorf("%q is there twice", inner)
			}
			names[strings.ToLower(inner)] = true
			if err := unambiguous(d, inner); err != nil {
				return err
			}
		}
		_, err = d.Token()
	case t == json.Delim('['):
		return errors.New("a list has no place here")
	case t == float64(0) && name != "burst":
		return fmt.Errorf("%q is 0: leave the name out for no limit", name)
	}
	return err
}

func (r Rules) validate() error {
	var all []error
	complain := func(where string, err error) {
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", where, err))
		}
	}
	if r.Service == "" {
		all = append(all, errors.New("service is missing"))
	}
	if r.Version < 1 {
		all = append(all, errors.New("version must be at least 1"))
	}
	if _, ok := r.Routes[anyRoute]; !ok {
		all = append(all, fmt.Errorf("routes: %q is missing", anyRoute))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Routes)) {
		complain("routes: "+name, r.Routes[name].validate())
	}
	for _, name := range slices.Sorted(maps.Keys(r.Links)) {
		complain("links: "+name, r.Links[name].validate())
	}
	complain("system", r.System.validate())
	return errors.Join(all...)
}

func (r Route) validate() error {
	return errors.Join(
		within("perSecond", r.PerSecond, 0, maxCount), within("concurrency", r.Concurrency, 0, maxCount),
		r.PerUser.validate("perUser"), r.PerSale.validate("perSale"), r.PerAddress.validate("perAddress"),
	)
}

// interval is the time in which one call flows in.
func (l *Limit) interval() time.Duration {
	return time.Second * time.Duration(l.Seconds) / time.Duration(l.Count)
}

func (l *Limit) validate(name string) error {
	if l == nil {
		return nil
	}
	return errors.Join(
		within(name+".count", l.Count, 1, maxCount), within(name+".seconds", l.Seconds, 1, maxSeconds),
		within(name+".burst", l.Burst, 0, maxCount),
	)
}

func (b Breaker) validate() error {
	return errors.Join(
		within("windowMs", b.WindowMs, 100, maxMillis), within("minCalls", b.MinCalls, 1, maxCount),
		within("openMs", b.OpenMs, 100, maxMillis), within("slowMs", b.SlowMs, 1, maxMillis),
		share("errorRatio", b.ErrorRatio), share("slowRatio", b.SlowRatio),
	)
}

func (s System) validate() error {
	var all []error
	if !(s.LoadPerCore >= 0 && s.LoadPerCore <= 1000) {
		all = append(all, errors.New("loadPerCore must be from 0 to 1000"))
	}
	if s.CPU != 0 {
		all = append(all, share("cpu", s.CPU))
	}
	return errors.Join(append(all, within("concurrency", s.Concurrency, 0, maxCount))...)
}

func within(name string, n, least, most int64) error {
	if n < least || n > most {
		return fmt.Errorf("%s must be from %d to %d", name, least, most)
	}
	return nil
}

func share(name string, n float64) error {
	if !(n > 0 && n <= 1) { // also what is no number
		return fmt.Errorf("%s must be above 0 and at most 1", name)
	}
	return nil
}
