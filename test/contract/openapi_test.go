package contract

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/transport"
)

func operations(doc *openapi3.T) map[string]*openapi3.Operation {
	found := map[string]*openapi3.Operation{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			found[method+" "+path] = op
		}
	}
	return found
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func TestEveryRouteIsInTheDocumentAndNoOther(t *testing.T) {
	if got, want := sorted(operations(Load())), sorted(routes(t)); !slices.Equal(got, want) {
		t.Errorf("the document has\n%s\nseckill.api has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOperationsAreThoseOfTheRoutes(t *testing.T) {
	ops, types := operations(Load()), structs(t)
	for name, r := range routes(t) {
		op := ops[name]
		if op == nil {
			continue // reported by the test above
		}
		if op.OperationID != r.handler {
			t.Errorf("%s: operationId %q, want %q", name, op.OperationID, r.handler)
		}
		if secured := op.Security != nil && len(*op.Security) > 0; secured != r.authenticated {
			t.Errorf("%s: security %v, want %v", name, secured, r.authenticated)
		}
		if _, has401 := op.Responses.Map()["401"]; r.authenticated && !has401 {
			t.Errorf("%s: needs a token and has no 401", name)
		}
		checkParameters(t, name, op, types[r.request])
		checkBody(t, name, op, r, types[r.request])
		checkSuccess(t, name, op, r)
	}
}

// checkParameters compares what travels outside the body. A route without a type takes it from the
// raw request, so the document may say what it wants.
func checkParameters(t *testing.T, name string, op *openapi3.Operation, fields []field) {
	t.Helper()
	if fields == nil {
		return
	}
	want, got := map[string]bool{}, map[string]bool{}
	for _, f := range fields {
		if f.in != "body" {
			want[f.in+" "+f.name+" required="+strconv.FormatBool(f.required)] = true
		}
	}
	for _, p := range op.Parameters {
		got[p.Value.In+" "+p.Value.Name+" required="+strconv.FormatBool(p.Value.Required)] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s: parameters %q, want %q", name, sorted(got), sorted(want))
	}
}

func checkBody(t *testing.T, name string, op *openapi3.Operation, r route, fields []field) {
	t.Helper()
	hasBody := slices.ContainsFunc(fields, func(f field) bool { return f.in == "body" })
	if op.RequestBody == nil {
		if hasBody {
			t.Errorf("%s: no requestBody, want %s", name, r.request)
		}
		return
	}
	if r.method == "GET" {
		t.Errorf("%s: a GET has no body", name)
	}
	if r.request == "" {
		return
	}
	want := r.request
	if !hasBody {
		want = "Nothing"
	}
	if got := refName(op.RequestBody.Value.Content.Get("application/json").Schema); got != want {
		t.Errorf("%s: body %q, want %q", name, got, want)
	}
	if op.RequestBody.Value.Required != hasBody {
		t.Errorf("%s: body required %v, want %v", name, op.RequestBody.Value.Required, hasBody)
	}
}

func checkSuccess(t *testing.T, name string, op *openapi3.Operation, r route) {
	t.Helper()
	var codes []string
	for status, resp := range op.Responses.Map() {
		if status[0] != '2' {
			continue
		}
		codes = append(codes, status)
		if resp.Value.Content.Get("text/event-stream") != nil {
			continue
		}
		json := resp.Value.Content.Get("application/json")
		switch {
		case json == nil && r.response != "":
			t.Errorf("%s: %s has no JSON, want %s", name, status, r.response)
		case json != nil && refName(json.Schema) != r.response:
			t.Errorf("%s: %s answers %q, want %q", name, status, refName(json.Schema), r.response)
		}
	}
	if len(codes) != 1 {
		t.Errorf("%s: success is %v, want one status", name, codes)
	}
}

func refName(s *openapi3.SchemaRef) string {
	return strings.TrimPrefix(s.Ref, "#/components/schemas/")
}

func TestSchemasAreTheTypes(t *testing.T) {
	doc := Load()
	types := structs(t)
	types["Problem"] = reflected(reflect.TypeFor[transport.Problem]())
	types["FieldError"] = reflected(reflect.TypeFor[transport.FieldError]())
	for name, ref := range doc.Components.Schemas {
		if _, known := types[name]; !known && ref.Value.Type.Is("object") {
			t.Errorf("schema %s is no type of seckill.api", name)
		}
	}
	for name, fields := range types {
		body := slices.DeleteFunc(slices.Clone(fields), func(f field) bool { return f.in != "body" })
		if len(body) == 0 && len(fields) > 0 {
			continue // parameters only
		}
		ref := doc.Components.Schemas[name]
		if ref == nil {
			t.Errorf("type %s has no schema", name)
			continue
		}
		checkSchema(t, name, ref.Value, body)
	}
}

func checkSchema(t *testing.T, name string, s *openapi3.Schema, fields []field) {
	t.Helper()
	if s.AdditionalProperties.Has == nil || *s.AdditionalProperties.Has {
		t.Errorf("%s: additionalProperties must be false", name)
	}
	var required []string
	want := map[string]bool{}
	for _, f := range fields {
		want[f.name] = true
		if f.required {
			required = append(required, f.name)
		}
		if p := s.Properties[f.name]; p != nil {
			if got := schemaType(p); got != f.goType {
				t.Errorf("%s.%s: %s, want %s", name, f.name, got, f.goType)
			}
		}
	}
	if !slices.Equal(sorted(s.Properties), sorted(want)) {
		t.Errorf("%s: properties %q, want %q", name, sorted(s.Properties), sorted(want))
	}
	got := slices.Sorted(slices.Values(s.Required))
	slices.Sort(required)
	if !slices.Equal(got, required) {
		t.Errorf("%s: required %q, want %q", name, got, required)
	}
}

// schemaType says a schema's type as Go spells it.
func schemaType(s *openapi3.SchemaRef) string {
	switch v := s.Value; {
	case v.Type.Is("string"):
		return "string"
	case v.Type.Is("integer"):
		return "int64"
	case v.Type.Is("number"):
		return "float64"
	case v.Type.Is("boolean"):
		return "bool"
	case v.Type.Is("array"):
		return "[]" + schemaType(v.Items)
	case v.AdditionalProperties.Schema != nil:
		return "map[string]" + schemaType(v.AdditionalProperties.Schema)
	default:
		return refName(s)
	}
}

// reflected reads the fields of a struct that is written as JSON.
func reflected(t reflect.Type) []field {
	var fields []field
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		kind := strings.NewReplacer("transport.", "").Replace(f.Type.String())
		if kind == "int" {
			kind = "int64"
		}
		fields = append(fields, field{in: "body", name: name, goType: kind, required: options != "omitempty"})
	}
	return fields
}

func TestCodesAndStatusesAreTheTransports(t *testing.T) {
	doc := Load()
	documented := map[string]bool{}
	for name, resp := range doc.Components.Responses {
		problem := resp.Value.Content.Get("application/problem+json")
		if problem == nil {
			continue
		}
		status, codes := limits(t, name, problem)
		for _, code := range codes {
			documented[code] = true
			if want := transport.HTTPStatus(errs.Code(code)); status != want {
				t.Errorf("response %s: %s has status %d, want %d", name, code, status, want)
			}
		}
	}
	for _, code := range errorCodes(t) {
		if !documented[code] && code != string(errs.Internal) {
			t.Errorf("code %s is in no response", code)
		}
	}
	for name, op := range operations(doc) {
		for status, resp := range op.Responses.Map() {
			problem := resp.Value.Content.Get("application/problem+json")
			if problem == nil {
				continue
			}
			if said, _ := limits(t, name, problem); strconv.Itoa(said) != status {
				t.Errorf("%s: the response at %s says %d", name, status, said)
			}
		}
	}
}

// limits is what a response says about a problem: its status and the codes that it may have.
func limits(t *testing.T, name string, problem *openapi3.MediaType) (int, []string) {
	t.Helper()
	all := problem.Schema.Value.AllOf
	if len(all) != 2 || refName(all[0]) != "Problem" {
		t.Fatalf("%s: want allOf Problem and its limits", name)
	}
	status, ok := all[1].Value.Properties["status"].Value.Const.(float64)
	if !ok {
		t.Fatalf("%s: the status is not fixed", name)
	}
	var codes []string
	for _, code := range all[1].Value.Properties["code"].Value.Enum {
		codes = append(codes, code.(string))
	}
	return int(status), codes
}
