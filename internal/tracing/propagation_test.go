package tracing

import (
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"
)

const (
	id128 = "4bf92f3577b34da6a3ce929d0e0e4736"
	id64  = "a3ce929d0e0e4736"
	span  = "00f067aa0ba902b7"
	w3c   = "00-" + id128 + "-" + span + "-01"
)

func TestExtract(t *testing.T) {
	padded := strings.Repeat("0", 16) + id64
	for name, c := range map[string]struct {
		header []string // name, value, ...
		id     string   // "" for none
		wish   wish
	}{
		"nothing":                {},
		"w3c":                    {[]string{"traceparent", w3c}, id128, wanted},
		"w3c unsampled":          {[]string{"traceparent", w3c[:53] + "00"}, id128, unwanted},
		"w3c other flags":        {[]string{"traceparent", w3c[:53] + "03"}, id128, wanted},
		"w3c even flags":         {[]string{"traceparent", w3c[:53] + "fe"}, id128, unwanted},
		"w3c version":            {header: []string{"traceparent", "01" + w3c[2:]}},
		"w3c version ff":         {header: []string{"traceparent", "ff" + w3c[2:]}},
		"w3c upper case":         {header: []string{"traceparent", strings.ToUpper(w3c)}},
		"w3c longer":             {header: []string{"traceparent", w3c + "-x"}},
		"w3c shorter":            {header: []string{"traceparent", w3c[:54]}},
		"w3c no trace":           {header: []string{"traceparent", "00-" + strings.Repeat("0", 32) + "-" + span + "-01"}},
		"w3c no span":            {header: []string{"traceparent", "00-" + id128 + "-" + strings.Repeat("0", 16) + "-01"}},
		"w3c not hex":            {header: []string{"traceparent", strings.Replace(w3c, "b", "g", 1)}},
		"w3c bytes":              {header: []string{"traceparent", strings.Replace(w3c, "b", "\xff", 1)}},
		"w3c separators":         {header: []string{"traceparent", strings.ReplaceAll(w3c, "-", "_")}},
		"w3c twice":              {header: []string{"traceparent", w3c, "traceparent", w3c}},
		"w3c before b3":          {[]string{"b3", id64 + "-" + span + "-0", "traceparent", w3c}, id128, wanted},
		"b3 where w3c is bad":    {[]string{"b3", id64 + "-" + span + "-0", "traceparent", "x"}, padded, unwanted},
		"b3":                     {[]string{"b3", id128 + "-" + span + "-1"}, id128, wanted},
		"b3 64 bit":              {[]string{"b3", id64 + "-" + span + "-1"}, padded, wanted},
		"b3 deferred":            {[]string{"b3", id128 + "-" + span}, id128, undecided},
		"b3 debug":               {[]string{"b3", id128 + "-" + span + "-d"}, id128, wanted},
		"b3 parent":              {[]string{"b3", id128 + "-" + span + "-1-" + span}, id128, wanted},
		"b3 64 bit, parent":      {[]string{"b3", id64 + "-" + span + "-1-" + span}, padded, wanted},
		"b3 decision alone":      {header: []string{"b3", "0"}, wish: unwanted},
		"b3 no decision":         {header: []string{"b3", "x"}},
		"b3 empty":               {header: []string{"b3", ""}},
		"b3 zeros":               {header: []string{"b3", strings.Repeat("0", 16) + "-" + span + "-1"}, wish: wanted},
		"b3 40 digits":           {header: []string{"b3", strings.Repeat("a", 40)}},
		"b3 bad decision":        {header: []string{"b3", id128 + "-" + span + "-2"}},
		"b3 long":                {header: []string{"b3", strings.Repeat("a", 1000)}},
		"b3 twice":               {header: []string{"b3", "0", "b3", "0"}},
		"multi":                  {[]string{"X-B3-TraceId", id128, "X-B3-SpanId", span, "X-B3-ParentSpanId", span, "X-B3-Sampled", "1"}, id128, wanted},
		"multi 64 bit":           {[]string{"X-B3-TraceId", id64, "X-B3-SpanId", span, "X-B3-Sampled", "0"}, padded, unwanted},
		"multi deferred":         {[]string{"X-B3-TraceId", id128, "X-B3-SpanId", span}, id128, undecided},
		"multi debug":            {[]string{"X-B3-TraceId", id128, "X-B3-SpanId", span, "X-B3-Flags", "1"}, id128, wanted},
		"multi old true":         {[]string{"X-B3-TraceId", id128, "X-B3-SpanId", span, "X-B3-Sampled", "true"}, id128, wanted},
		"multi decision alone":   {header: []string{"X-B3-Sampled", "0"}, wish: unwanted},
		"multi without span":     {header: []string{"X-B3-TraceId", id128, "X-B3-Sampled", "1"}},
		"multi without trace":    {header: []string{"X-B3-SpanId", span}},
		"multi short trace":      {header: []string{"X-B3-TraceId", "a1", "X-B3-SpanId", span}},
		"multi short span":       {header: []string{"X-B3-TraceId", id128, "X-B3-SpanId", "a1"}},
		"multi long trace":       {header: []string{"X-B3-TraceId", id128 + "00", "X-B3-SpanId", span}},
		"multi not hex":          {header: []string{"X-B3-TraceId", strings.Repeat("x", 32), "X-B3-SpanId", span}},
		"multi bad decision":     {header: []string{"X-B3-TraceId", id128, "X-B3-SpanId", span, "X-B3-Sampled", "maybe"}},
		"multi bad parent":       {header: []string{"X-B3-TraceId", id128, "X-B3-SpanId", span, "X-B3-ParentSpanId", "zz"}},
		"multi trace sent twice": {header: []string{"X-B3-TraceId", id128, "X-B3-TraceId", id128, "X-B3-SpanId", span}},
	} {
		h := http.Header{}
		for i := 0; i < len(c.header); i += 2 {
			h.Add(c.header[i], c.header[i+1])
		}
		at, w := extract(h)
		if w != c.wish || at.IsValid() != (c.id != "") || c.id != "" && (at.TraceID().String() != c.id || at.SpanID().String() != span) {
			t.Errorf("%s: got %v %v, wish %v", name, at.TraceID(), at.SpanID(), w)
		}
	}
}

// TestWhatIsFormattedIsParsed for every context.
func TestWhatIsFormattedIsParsed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var id trace.TraceID
		var span trace.SpanID
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "trace"))
		copy(span[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "span"))
		sampled := rapid.Bool().Draw(t, "sampled")
		at := trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span, TraceFlags: trace.TraceFlags(0).WithSampled(sampled)})
		text := Format(at)
		if !at.IsValid() {
			if text != "" {
				t.Fatalf("no context is %q", text)
			}
			return
		}
		got, ok := Parse(text)
		if !ok || got.TraceID() != id || got.SpanID() != span || got.IsSampled() != sampled || Sampled(text) != sampled || len(text) != traceparentLen {
			t.Fatalf("%q came back as %v", text, got)
		}
	})
}

// FuzzExtract: nothing that a client sends can do more than be ignored. zipkin-go alone panics on some.
func FuzzExtract(f *testing.F) {
	f.Add(w3c, "", "", "", "")
	f.Add("", id128+"-"+span+"-1-"+span, "", "", "")
	f.Add("", strings.Repeat("a", 40), "", "", "")
	f.Add("", strings.Repeat("a", 16)+"-"+strings.Repeat("a", 20), "", "", "")
	f.Add("", "", id64, span, "1")
	f.Fuzz(func(t *testing.T, traceparent, single, id, span, sampled string) {
		h := http.Header{}
		for name, value := range map[string]string{
			headerW3C: traceparent, headerB3: single, headerB3Trace: id, headerB3Span: span, headerB3Sampled: sampled,
		} {
			if value != "" {
				h[name] = []string{value}
			}
		}
		at, _ := extract(h)
		if again, ok := Parse(Format(at)); at.IsValid() != ok || ok && (again.TraceID() != at.TraceID() || again.SpanID() != at.SpanID()) {
			t.Errorf("%v became %v", at, again)
		}
	})
}
