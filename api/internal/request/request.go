// Package request fills a request type of the HTTP contract from path, query, header and body. What
// it lets through, the gateway may hand on: ids are ids, text is text, numbers are in range.
package request

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/seckill-go/seckill/api/internal/strictjson"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/zeromicro/go-zero/rest/pathvar"
)

const (
	keyHeader = "Idempotency-Key"
	// maxKey and maxCursor are in bytes.
	maxKey    = 128
	maxCursor = 512
	maxLimit  = 100
)

// saleStates are the states that a list of sales can be asked for.
var saleStates = []string{"draft", "scheduled", "open", "paused", "sold_out", "ended"}

// source is where a field of a request type comes from, body members aside.
type source struct {
	field int
	kind  string // "path", "form" or "header"
	name  string
}

var plans sync.Map // reflect.Type to []source

func planOf(t reflect.Type) []source {
	if p, ok := plans.Load(t); ok {
		return p.([]source)
	}
	var plan []source
	for i := range t.NumField() {
		for _, kind := range []string{"path", "form", "header"} {
			if tag, ok := t.Field(i).Tag.Lookup(kind); ok {
				name, _, _ := strings.Cut(tag, ",")
				plan = append(plan, source{field: i, kind: kind, name: name})
			}
		}
	}
	actual, _ := plans.LoadOrStore(t, plan)
	return actual.([]source)
}

// Parse fills v, a pointer to a generated request type. A path id that no record can have is
// not_found. Query parameters that the type does not know are ignored. A type without body members
// takes no body, or an empty object, except that the body of a GET is not looked at. Errors:
// not_found, invalid_request with the field, and those of strictjson.
func Parse(r *http.Request, v any) error {
	target := reflect.ValueOf(v).Elem()
	var query url.Values
	for _, s := range planOf(target.Type()) {
		var (
			value string
			err   error
		)
		switch s.kind {
		case "path":
			value, err = PathID(r, s.name)
		case "header":
			value, err = IdempotencyKey(r)
		case "form":
			if query == nil {
				if query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
					return errs.Wrap(err, errs.InvalidRequest, "the query is malformed")
				}
			}
			value, err = parameter(query, s.name)
		}
		if err != nil {
			return err
		}
		target.Field(s.field).SetString(value)
	}
	if strictjson.HasMembers(v) {
		body, err := strictjson.Body(r)
		if err != nil {
			return err
		}
		return strictjson.Decode(body, v)
	}
	if r.Method == http.MethodGet {
		return nil
	}
	return strictjson.Nothing(r)
}

// PathID is the id in the request's path: a positive decimal int64 without sign or leading zeros.
// Anything else names nothing that could exist, so the error is not_found.
func PathID(r *http.Request, name string) (string, error) {
	value := pathvar.Vars(r)[name]
	if _, ok := ID(value); !ok {
		return "", errs.New(errs.NotFound, "there is nothing with this id")
	}
	return value, nil
}

// ID reads an id as the contract writes it.
func ID(s string) (int64, bool) {
	if s == "" || s[0] < '1' || s[0] > '9' { // no sign, no leading zero, not zero
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// IdempotencyKey is the request's Idempotency-Key, or "" when it has none. One that is empty, repeated,
// too long or not visible ASCII is an invalid_request.
func IdempotencyKey(r *http.Request) (string, error) {
	values := r.Header[keyHeader]
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", errs.Invalid(keyHeader, "is given more than once")
	case len(values[0]) == 0 || len(values[0]) > maxKey || !Visible(values[0]):
		return "", errs.Invalid(keyHeader, "must be 1 to %d visible ASCII characters", maxKey)
	}
	return values[0], nil
}

// Visible tells whether s is visible ASCII only, without spaces.
func Visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func parameter(query url.Values, name string) (string, error) {
	values, ok := query[name]
	if !ok {
		return "", nil
	}
	if len(values) > 1 {
		return "", errs.Invalid(name, "is given more than once")
	}
	value := values[0]
	switch name {
	case "limit":
		if n, ok := ID(value); !ok || n > maxLimit {
			return "", errs.Invalid(name, "must be an integer from 1 to %d", maxLimit)
		}
	case "cursor":
		if len(value) > maxCursor || !Visible(value) {
			return "", errs.Invalid(name, "is not a cursor of this list")
		}
	case "state":
		if !slices.Contains(saleStates, value) {
			return "", errs.Invalid(name, "must be one of %s", strings.Join(saleStates, ", "))
		}
	}
	return value, nil
}
