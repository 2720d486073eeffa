// Package strictjson reads the JSON bodies of the HTTP contract: one flat object in UTF-8 with known
// members, each once, each of its type, and nothing after it. A body passes as a whole or is refused
// with the member at fault named.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/seckill-go/seckill/internal/errs"
)

// maxNameEcho bounds how much of a client's own member name is sent back to it, in bytes.
const maxNameEcho = 64

// Decode reads body into v, a pointer to a struct whose body members are strings, int64s and pointers
// to them. A member is required unless its json tag has the option "optional"; null is never a value.
// The error is an invalid_request that names the member where one is at fault. v is left half-filled
// after an error.
func Decode(body []byte, v any) error {
	target := reflect.ValueOf(v).Elem()
	shape, err := shapeOf(target.Type())
	if err != nil {
		return err
	}
	// Names repeat only at the top level, where seen below finds them: nested values are refused.
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true))
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return errs.New(errs.InvalidRequest, "the body is empty and must be one JSON object")
	}
	if dec.PeekKind() != '{' {
		return errs.New(errs.InvalidRequest, "the body must be one JSON object in UTF-8")
	}
	if _, err := dec.ReadToken(); err != nil {
		return malformed(err)
	}
	var seen uint64
	for dec.PeekKind() != '}' {
		token, err := dec.ReadToken()
		if err != nil {
			return malformed(err)
		}
		name := token.String()
		i, known := shape.index[name]
		if !known {
			return errs.Invalid(echo(name), "is not a field of this request")
		}
		if seen&(1<<i) != 0 {
			return errs.Invalid(name, "is given more than once")
		}
		seen |= 1 << i
		if err := shape.members[i].read(dec, target); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return malformed(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errs.New(errs.InvalidRequest, "something follows the JSON object")
	}
	for i, m := range shape.members {
		if m.required && seen&(1<<i) == 0 {
			return errs.Invalid(m.name, "is required")
		}
	}
	return nil
}

// member is one body member of a request type.
type member struct {
	name     string
	field    int
	pointer  bool
	text     bool // a string; otherwise an int64
	required bool
}

func (m member) read(dec *jsontext.Decoder, target reflect.Value) error {
	kind := dec.PeekKind()
	switch {
	case kind == 0:
		_, err := dec.ReadToken()
		return malformed(err)
	case kind == 'n':
		return errs.Invalid(m.name, "must not be null")
	case m.text && kind != '"':
		return errs.Invalid(m.name, "must be a string")
	case !m.text && kind != '0':
		return errs.Invalid(m.name, "must be an integer")
	}
	token, err := dec.ReadToken()
	if err != nil {
		return malformed(err)
	}
	value := target.Field(m.field)
	if m.pointer {
		value.Set(reflect.New(value.Type().Elem()))
		value = value.Elem()
	}
	if m.text {
		value.SetString(token.String())
		return nil
	}
	n, err := strconv.ParseInt(token.String(), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return errs.Invalid(m.name, "is out of range")
	case err != nil: // JSON, but with a fraction or an exponent
		return errs.Invalid(m.name, "must be an integer")
	}
	value.SetInt(n)
	return nil
}

func malformed(err error) error {
	if err == nil {
		err = errors.New("unexpected end")
	}
	return errs.Wrap(err, errs.InvalidRequest, "the body is not one well-formed JSON object in UTF-8")
}

// echo makes a name that a client made up fit to be sent back.
func echo(name string) string {
	if len(name) > maxNameEcho {
		name = strings.ToValidUTF8(name[:maxNameEcho], "") + "..."
	}
	return name
}

type shape struct {
	members []member
	index   map[string]int
}

var shapes sync.Map // reflect.Type to *shape

// HasMembers tells whether v, a pointer to a struct, has body members at all.
func HasMembers(v any) bool {
	s, err := shapeOf(reflect.TypeOf(v).Elem())
	return err == nil && len(s.members) > 0
}

func shapeOf(t reflect.Type) (*shape, error) {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape), nil
	}
	s := &shape{index: map[string]int{}}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		m := member{name: name, field: i, required: !strings.Contains(","+options+",", ",optional,")}
		ft := f.Type
		if ft.Kind() == reflect.Pointer {
			m.pointer, ft = true, ft.Elem()
		}
		switch ft.Kind() {
		case reflect.String:
			m.text = true
		case reflect.Int64:
		default:
			return nil, fmt.Errorf("strictjson: %s.%s is a %s, neither string nor int64", t, f.Name, f.Type)
		}
		s.index[name] = len(s.members)
		s.members = append(s.members, m)
	}
	if len(s.members) > 64 {
		return nil, fmt.Errorf("strictjson: %s has more than 64 members", t)
	}
	actual, _ := shapes.LoadOrStore(t, s)
	return actual.(*shape), nil
}
