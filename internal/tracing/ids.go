package tracing

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/openzipkin/zipkin-go/model"
	"go.opentelemetry.io/otel/trace"
)

// newTraceID makes an id. Ids need not be secret, only different.
func newTraceID() trace.TraceID {
	return traceID(model.TraceID{High: rand.Uint64(), Low: notZero()})
}

func newSpanID() trace.SpanID { return spanID(notZero()) }

// notZero: an id of zeros is none.
func notZero() uint64 { return rand.Uint64N(math.MaxUint64) + 1 }

func traceID(of model.TraceID) (id trace.TraceID) {
	binary.BigEndian.PutUint64(id[:8], of.High)
	binary.BigEndian.PutUint64(id[8:], of.Low)
	return id
}

func spanID(of uint64) (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], of)
	return id
}

func modelTraceID(id trace.TraceID) model.TraceID {
	return model.TraceID{High: binary.BigEndian.Uint64(id[:8]), Low: binary.BigEndian.Uint64(id[8:])}
}

func modelID(id trace.SpanID) model.ID { return model.ID(binary.BigEndian.Uint64(id[:])) }

// sampledRange is the number of values that sampledBy tells apart.
const sampledRange = 1 << 63

// sampledBy decides about a trace by the low bits of its id, which every generator of ids makes random.
func sampledBy(id trace.TraceID, ratio float64) bool {
	return ratio >= 1 || float64(binary.BigEndian.Uint64(id[8:])>>1) < ratio*sampledRange
}
