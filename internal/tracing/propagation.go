package tracing

import (
	"encoding/hex"
	"net/http"

	"github.com/openzipkin/zipkin-go/model"
	"github.com/openzipkin/zipkin-go/propagation/b3"
	"go.opentelemetry.io/otel/trace"
)

// Header is the name of the W3C header, also as gRPC metadata and as a header of Kafka's records.
const Header = "traceparent"

// traceparentLen is the length of a traceparent of version 00: 00-<32 hex>-<16 hex>-<2 hex>.
const traceparentLen = 55

// Parse reads a W3C traceparent of version 00, all that is defined today. Anything else is no context of a
// trace, and is as good as none.
func Parse(text string) (trace.SpanContext, bool) {
	var (
		id    trace.TraceID
		span  trace.SpanID
		flags [1]byte
	)
	if len(text) != traceparentLen || text[:3] != "00-" || text[35] != '-' || text[52] != '-' ||
		!unhex(id[:], text[3:35]) || !unhex(span[:], text[36:52]) || !unhex(flags[:], text[53:]) {
		return trace.SpanContext{}, false
	}
	at := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: span, TraceFlags: trace.TraceFlags(flags[0]) & trace.FlagsSampled, Remote: true,
	})
	return at, at.IsValid()
}

// unhex reads lowercase digits, the only ones that W3C allows.
func unhex(into []byte, text string) bool {
	digit := func(c byte) (byte, bool) {
		switch {
		case c >= '0' && c <= '9':
			return c - '0', true
		case c >= 'a' && c <= 'f':
			return c - 'a' + 10, true
		default:
			return 0, false
		}
	}
	for i := range into {
		high, ok := digit(text[2*i])
		low, also := digit(text[2*i+1])
		if !ok || !also {
			return false
		}
		into[i] = high<<4 | low
	}
	return true
}

// Format is the traceparent of a context, or "" of one that is not valid.
func Format(at trace.SpanContext) string {
	if !at.IsValid() {
		return ""
	}
	return string(AppendFormat(make([]byte, 0, traceparentLen), at))
}

// AppendFormat appends the traceparent of a valid context.
func AppendFormat(b []byte, at trace.SpanContext) []byte {
	id, span := at.TraceID(), at.SpanID()
	b = hex.AppendEncode(append(b, "00-"...), id[:])
	b = hex.AppendEncode(append(b, '-'), span[:])
	if at.IsSampled() {
		return append(b, "-01"...)
	}
	return append(b, "-00"...)
}

// Sampled tells whether a traceparent that Format made is of a sampled trace.
func Sampled(traceparent string) bool {
	return len(traceparent) == traceparentLen && traceparent[traceparentLen-1] == '1'
}

// wish is what a client says about sampling.
type wish int

const (
	undecided wish = iota
	wanted
	unwanted
)

func wishOf(sampled bool) wish {
	if sampled {
		return wanted
	}
	return unwanted
}

// The names of the headers as net/http keeps them.
const (
	headerW3C       = "Traceparent"
	headerB3        = "B3"
	headerB3Trace   = "X-B3-Traceid"
	headerB3Span    = "X-B3-Spanid"
	headerB3Parent  = "X-B3-Parentspanid"
	headerB3Sampled = "X-B3-Sampled"
	headerB3Flags   = "X-B3-Flags"
)

// extract reads where a client is in its trace, W3C before B3 in one header before B3 in several, and what
// it wants; a context that is not valid where it says nothing that can be understood. B3 may also say
// what it wants without naming a trace.
func extract(h http.Header) (trace.SpanContext, wish) {
	if value, ok := only(h, headerW3C); ok {
		if at, ok := Parse(value); ok {
			return at, wishOf(at.IsSampled())
		}
	}
	if value, ok := only(h, headerB3); ok && isB3(value) {
		if c, err := b3.ParseSingleHeader(value); err == nil {
			return fromB3(c)
		}
	}
	if at, w, ok := extractB3(h); ok {
		return at, w
	}
	return trace.SpanContext{}, undecided
}

// extractB3 reads B3 in several headers.
func extractB3(h http.Header) (trace.SpanContext, wish, bool) {
	id, hasID := only(h, headerB3Trace)
	sampled, hasSampled := only(h, headerB3Sampled)
	flags, hasFlags := only(h, headerB3Flags)
	if !hasID && !hasSampled && !hasFlags {
		return trace.SpanContext{}, undecided, false
	}
	span, _ := only(h, headerB3Span)
	parent, _ := only(h, headerB3Parent)
	if id != "" && len(id) != 16 && len(id) != 32 || span != "" && len(span) != 16 {
		return trace.SpanContext{}, undecided, false
	}
	c, err := b3.ParseHeaders(id, span, parent, sampled, flags)
	if err != nil {
		return trace.SpanContext{}, undecided, false
	}
	at, w := fromB3(c)
	return at, w, true
}

// only is the value of a header that is there once.
func only(h http.Header, name string) (string, bool) {
	values := h[name]
	if len(values) != 1 {
		return "", false
	}
	return values[0], true
}

// isB3 tells whether the value has a length that B3 in one header can have: zipkin-go cuts it without
// looking (v0.4.3 panics on 40 hex digits), and it comes from outside. The trace id has 16 or 32 digits, a
// dash and the span id's 16 follow, then, if at all, a dash and the decision, then a dash and the parent's id.
func isB3(value string) bool {
	const ids, decision, parent = 16 + 1 + 16, 2, 1 + 16
	if len(value) == 1 {
		return true
	}
	n := len(value)
	if n > 16 && value[16] != '-' {
		n -= 16
	}
	return n == ids || n == ids+decision || n == ids+decision+parent
}

func fromB3(c *model.SpanContext) (trace.SpanContext, wish) {
	w := undecided
	switch {
	case c.Debug:
		w = wanted
	case c.Sampled != nil:
		w = wishOf(*c.Sampled)
	}
	id, span := traceID(c.TraceID), spanID(uint64(c.ID))
	if !id.IsValid() || !span.IsValid() {
		return trace.SpanContext{}, w
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span, Remote: true}), w
}
