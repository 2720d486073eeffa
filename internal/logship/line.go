package logship

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// TimeFormat is how a line's time is written: RFC 3339 in UTC with milliseconds.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// maxText is the most bytes of one text in a line. A stack fits; what is longer is cut, and the line has
// "truncated":true.
const maxText = 16 << 10

// The levels of lines, in their order.
const (
	LevelDebug = "debug"
	LevelInfo  = "info"
	LevelWarn  = "warn"
	LevelError = "error"
	LevelFatal = "fatal"
)

// levels are all of them, the least first.
var levels = []string{LevelDebug, LevelInfo, LevelWarn, LevelError, LevelFatal}

// Line is one line of the log. Of the texts an empty one is left out when it is written, but for level,
// service, instance and message. Ids are decimal.
type Line struct {
	Time     time.Time
	Level    string
	Service  string
	Instance string
	Message  string
	// Caller is file:line.
	Caller string
	// Trace and Span are in hex. TraceIDs are the sampled traces of a line about a batch.
	Trace, Span string
	TraceIDs    []string
	RequestID   string
	OrderID     string
	// OrderIDs are the orders of a line about a batch.
	OrderIDs []string
	SaleID   string
	UserID   string
	Error    string
	// Fields are all others, in JSON, by their names.
	Fields map[string]json.RawMessage
}

// names maps the names that fields have in the code to those of the schema.
var names = map[string]string{
	"order": "orderId", "orders": "orderIds", "traces": "traceIds", "sale": "saleId", "user": "userId", "request": "requestId",
	"err": "error",
}

// textNames are the members of a line that are texts, in the order in which they are written.
var textNames = []string{
	"level", "service", "instance", "message", "caller", "trace", "span", "requestId", "orderId", "saleId", "userId", "error",
}

// text is where the text of a name is, nil when the name is none of textNames.
func (l *Line) text(name string) *string {
	switch name {
	case "level":
		return &l.Level
	case "service":
		return &l.Service
	case "instance":
		return &l.Instance
	case "message":
		return &l.Message
	case "caller":
		return &l.Caller
	case "trace":
		return &l.Trace
	case "span":
		return &l.Span
	case "requestId":
		return &l.RequestID
	case "orderId":
		return &l.OrderID
	case "saleId":
		return &l.SaleID
	case "userId":
		return &l.UserID
	case "error":
		return &l.Error
	default:
		return nil
	}
}

// listNames are the members that are lists of ids, in the order in which they are written.
var listNames = []string{"orderIds", "traceIds"}

// list is where the ids of a name are, nil when the name is none of listNames.
func (l *Line) list(name string) *[]string {
	switch name {
	case "orderIds":
		return &l.OrderIDs
	case "traceIds":
		return &l.TraceIDs
	default:
		return nil
	}
}

// envelope are the members that the Writer gives each line; a field of such a name gets another, so that
// no field can pass for them.
var envelope = map[string]bool{"time": true, "level": true, "service": true, "instance": true, "message": true}

// nameOf is the schema's name for a field of the code.
func nameOf(field string) string {
	if name, ok := names[field]; ok {
		return name
	}
	if envelope[field] {
		return "field" + strings.ToUpper(field[:1]) + field[1:]
	}
	return field
}

// set puts a field with a value in JSON in its place.
func (l *Line) set(field string, value json.RawMessage) {
	name := nameOf(field)
	if into := l.text(name); into != nil {
		*into = textOf(value)
		return
	}
	if list := l.list(name); list != nil {
		if ids, ok := idsOf(value); ok {
			*list = ids
			return
		}
	}
	l.keep(name, value)
}

// setText puts a field with a text in its place.
func (l *Line) setText(field, value string) {
	name := nameOf(field)
	if into := l.text(name); into != nil {
		*into = value
		return
	}
	l.keep(name, appendText(nil, value))
}

func (l *Line) keep(name string, value json.RawMessage) {
	if l.Fields == nil {
		l.Fields = map[string]json.RawMessage{}
	}
	l.Fields[name] = value
}

// textOf is a JSON string's contents, or the JSON of anything else: a number of an id is its digits.
func textOf(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) == nil && len(value) > 0 && value[0] == '"' {
		return s
	}
	return string(value)
}

// idsOf reads an array of ids, each a string or a number.
func idsOf(value json.RawMessage) ([]string, bool) {
	var all []json.RawMessage
	if err := json.Unmarshal(value, &all); err != nil || all == nil {
		return nil, false
	}
	ids := make([]string, len(all))
	for i, v := range all {
		ids[i] = textOf(v)
	}
	return ids, true
}

// Append appends the line to b as one JSON object without a line break. What it writes, Decode reads.
func (l *Line) Append(b []byte) []byte {
	b = append(b, `{"time":"`...)
	b = l.Time.UTC().AppendFormat(b, TimeFormat)
	b = append(b, '"')
	for _, name := range textNames {
		text := *l.text(name)
		if text == "" && !envelope[name] {
			continue
		}
		b = appendText(appendName(b, name), text)
	}
	for _, name := range listNames {
		ids := *l.list(name)
		if ids == nil {
			continue
		}
		b = append(appendName(b, name), '[')
		for i, id := range ids {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(b, id)
		}
		b = append(b, ']')
	}
	for _, name := range slices.Sorted(maps.Keys(l.Fields)) {
		b = appendName(b, name)
		b = append(b, l.Fields[name]...)
	}
	return append(b, '}')
}

func appendName(b []byte, name string) []byte {
	b = append(b, ',')
	b = appendText(b, name)
	return append(b, ':')
}

func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // the error is of bytes that are no UTF-8, which it has replaced
	return b
}

// ErrNoLine says that a record of the topic is no line of this schema.
var ErrNoLine = errors.New("logship: not a line of the log")

// Decode reads a line. Members that the schema does not name are kept in Fields. The error is
// ErrNoLine, with the reason.
func Decode(record []byte) (Line, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(record, &members); err != nil {
		return Line{}, fmt.Errorf("%w: %w", ErrNoLine, err)
	}
	var l Line
	at, err := time.Parse(time.RFC3339Nano, textOf(members["time"]))
	if err != nil {
		return Line{}, fmt.Errorf("%w: time: %w", ErrNoLine, err)
	}
	// A year of five digits is no RFC 3339 and could not be read again.
	if l.Time = at.UTC(); l.Time.Year() < 1 || l.Time.Year() > 9999 {
		return Line{}, fmt.Errorf("%w: time: year %d", ErrNoLine, l.Time.Year())
	}
	delete(members, "time")
	for _, name := range textNames {
		value, ok := members[name]
		if !ok && envelope[name] {
			return Line{}, fmt.Errorf("%w: it has no %s", ErrNoLine, name)
		}
		if ok {
			*l.text(name) = textOf(value)
			delete(members, name)
		}
	}
	for _, name := range listNames {
		if ids, ok := idsOf(members[name]); ok {
			*l.list(name) = ids
			delete(members, name)
		}
	}
	for name, value := range members {
		var compact bytes.Buffer
		if err := json.Compact(&compact, value); err != nil {
			return Line{}, fmt.Errorf("%w: %s: %w", ErrNoLine, name, err)
		}
		members[name] = compact.Bytes()
	}
	if len(members) > 0 {
		l.Fields = members
	}
	return l, nil
}

// About tells whether the line is about the order: its own, or one of its batch.
func (l *Line) About(order string) bool {
	return l.OrderID == order || slices.Contains(l.OrderIDs, order)
}

// OfTrace tells whether the line is of the trace: its own, or one of its batch.
func (l *Line) OfTrace(trace string) bool {
	return l.Trace == trace || slices.Contains(l.TraceIDs, trace)
}

// Of is the line as the one order sees it: of a batch the order alone, with the batch's size in the field
// "batch", and without the batch's traces.
func (l Line) Of(order string) Line {
	if l.OrderID == order || !slices.Contains(l.OrderIDs, order) {
		return l
	}
	fields := maps.Clone(l.Fields)
	if fields == nil {
		fields = map[string]json.RawMessage{}
	}
	fields["batch"] = strconv.AppendInt(nil, int64(len(l.OrderIDs)), 10)
	l.OrderID, l.OrderIDs, l.TraceIDs, l.Fields = order, nil, nil, fields
	return l
}
