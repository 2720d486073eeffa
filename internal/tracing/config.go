package tracing

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Config is the block Tracing of a service. A zero duration or size means its default; SampleRatio and
// ClientSampledPerSecond have theirs in a file alone, since 0 says something.
type Config struct {
	// Endpoint is where spans are posted, http://host:9411/api/v2/spans; https for TLS. Empty: no spans are
	// made, and trace ids travel all the same.
	Endpoint string `json:",optional,env=SECKILL_ZIPKIN"`
	// SampleRatio is the part of the traces that begin here which are sampled, 0 to 1; 0: none but those
	// that clients ask for. Whether a trace is sampled follows from its id, so that every process decides alike.
	SampleRatio float64 `json:",default=0.01"`
	// Slow is how long a step may take; longer ones are kept in every trace.
	Slow time.Duration `json:",default=1s"`
	// ClientSampledPerSecond is how many traces a second the gateway samples because of what clients sent:
	// a flag, or an id that is sampled. 0: none.
	ClientSampledPerSecond int `json:",default=100"`

	// QueueSpans is how many spans wait at most, and so how many are sent a FlushInterval at most.
	QueueSpans int `json:",default=4096"`
	// BatchSpans is how many spans a request has at most.
	BatchSpans int `json:",default=512"`
	// FlushInterval is how often what waits is sent.
	FlushInterval time.Duration `json:",default=1s"`
	// RequestTimeout bounds a request, and FlushTimeout what the end of the process waits for the last ones.
	RequestTimeout time.Duration `json:",default=3s"`
	FlushTimeout   time.Duration `json:",default=3s"`
}

func (c Config) withDefaults() Config {
	c.Slow = cmp.Or(c.Slow, time.Second)
	c.QueueSpans = cmp.Or(c.QueueSpans, 4096)
	c.BatchSpans = cmp.Or(c.BatchSpans, 512)
	c.FlushInterval = cmp.Or(c.FlushInterval, time.Second)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 3*time.Second)
	c.FlushTimeout = cmp.Or(c.FlushTimeout, 3*time.Second)
	return c
}

// Validate says what is wrong with each field.
func (c Config) Validate() error {
	c = c.withDefaults()
	var all []error
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf("Tracing."+format, args...)) }
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		switch {
		case err != nil: // its text has the URL, which may have a password
			wrong("Endpoint is not a URL")
		case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
			wrong("Endpoint: %q is not an http or https URL with a host", u.Redacted())
		case u.Path == "" || u.Path == "/":
			wrong("Endpoint: %q has no path; Zipkin takes spans at /api/v2/spans", u.Redacted())
		}
	}
	if !(c.SampleRatio >= 0 && c.SampleRatio <= 1) { // so that NaN is out too
		wrong("SampleRatio: %v is not from 0 to 1", c.SampleRatio)
	}
	if c.ClientSampledPerSecond < 0 {
		wrong("ClientSampledPerSecond: %d is negative", c.ClientSampledPerSecond)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"Slow", c.Slow}, {"FlushInterval", c.FlushInterval}, {"RequestTimeout", c.RequestTimeout}, {"FlushTimeout", c.FlushTimeout},
	} {
		if d.value < time.Millisecond {
			wrong("%s: %v is shorter than 1ms", d.name, d.value)
		}
	}
	if c.QueueSpans < 1 || c.QueueSpans > 1_000_000 {
		wrong("QueueSpans: %d is not from 1 to 1000000", c.QueueSpans)
	}
	if c.BatchSpans < 1 || c.BatchSpans > 100_000 {
		wrong("BatchSpans: %d is not from 1 to 100000", c.BatchSpans)
	}
	return errors.Join(all...)
}
