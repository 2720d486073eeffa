package strictjson

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seckill-go/seckill/internal/errs"
)

type sample struct {
	ID       string  `path:"id" json:"-"`
	Name     string  `json:"name"`
	Count    int64   `json:"count"`
	Note     string  `json:"note,optional"`
	Price    *int64  `json:"price,optional"`
	Nickname *string `json:"nickname,optional"`
}

func TestDecodeAccepts(t *testing.T) {
	price, nickname := int64(-7), ""
	for body, want := range map[string]sample{
		`{"name":"a","count":1}`:                                                 {Name: "a", Count: 1},
		" \t\r\n{ \"count\" : -0 , \"name\" : \"\" } \n":                         {},
		`{"n\u0061me":"\u00e9\ud83d\ude00","count":9223372036854775807}`:         {Name: "é😀", Count: 9223372036854775807},
		`{"name":"a","count":1,"note":"x","price":-7,"nickname":""}`:             {Name: "a", Count: 1, Note: "x", Price: &price, Nickname: &nickname},
		`{"name":"{\"count\":2}","count":-9223372036854775808,"note":"\u0000€"}`: {Name: `{"count":2}`, Count: -9223372036854775808, Note: "\x00€"},
	} {
		var got sample
		if err := Decode([]byte(body), &got); err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		g, w := must(t, got), must(t, want)
		if g != w {
			t.Errorf("%s: got %s, want %s", body, g, w)
		}
	}
}

func must(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ name, body, field string }{
		{"empty", "", ""},
		{"blank", " \n", ""},
		{"array", `[{"name":"a","count":1}]`, ""},
		{"string", `"name"`, ""},
		{"null", `null`, ""},
		{"cut off", `{"name":"a","count":1`, ""},
		{"cut off in a value", `{"name":"a`, ""},
		{"cut off after a name", `{"name":`, ""},
		{"no value", `{"name":,"count":1}`, ""},
		{"trailing comma", `{"name":"a","count":1,}`, ""},
		{"comment", `{"name":"a","count":1}//`, ""},
		{"single quotes", `{'name':'a','count':1}`, ""},
		{"byte order mark", "\ufeff" + `{"name":"a","count":1}`, ""},
		{"UTF-16", "{\x00\"\x00n\x00", ""},
		{"invalid UTF-8 in a value", "{\"name\":\"\xff\",\"count\":1}", ""},
		{"invalid UTF-8 in a name", "{\"name\xff\":\"a\",\"count\":1}", ""},
		{"overlong UTF-8", "{\"name\":\"\xc0\xaf\",\"count\":1}", ""},
		{"half of a surrogate pair", `{"name":"\ud800","count":1}`, ""},
		{"control character", "{\"name\":\"a\nb\",\"count\":1}", ""},
		{"two objects", `{"name":"a","count":1}{"name":"a","count":1}`, ""},
		{"trailing bytes", `{"name":"a","count":1} x`, ""},
		{"trailing null byte", "{\"name\":\"a\",\"count\":1}\x00", ""},
		{"missing", `{"name":"a"}`, "count"},
		{"missing all", `{}`, "name"},
		{"unknown", `{"name":"a","count":1,"more":true}`, "more"},
		{"other case", `{"Name":"a","count":1}`, "Name"},
		{"not a body member", `{"ID":"1","name":"a","count":1}`, "ID"},
		{"dash", `{"-":"1","name":"a","count":1}`, "-"},
		{"twice", `{"name":"a","count":1,"name":"b"}`, "name"},
		{"twice, once escaped", `{"name":"a","count":1,"n\u0061me":"a"}`, "name"},
		{"null where required", `{"name":null,"count":1}`, "name"},
		{"null where optional", `{"name":"a","count":1,"price":null}`, "price"},
		{"number for text", `{"name":1,"count":1}`, "name"},
		{"text for number", `{"name":"a","count":"1"}`, "count"},
		{"truth for number", `{"name":"a","count":true}`, "count"},
		{"fraction", `{"name":"a","count":1.5}`, "count"},
		{"whole fraction", `{"name":"a","count":1.0}`, "count"},
		{"exponent", `{"name":"a","count":1e3}`, "count"},
		{"too large", `{"name":"a","count":9223372036854775808}`, "count"},
		{"too small", `{"name":"a","count":-9223372036854775809}`, "count"},
		{"leading zero", `{"name":"a","count":01}`, ""},
		{"plus", `{"name":"a","count":+1}`, "count"},
		{"object for text", `{"name":{"a":1},"count":1}`, "name"},
		{"array for number", `{"name":"a","count":[1]}`, "count"},
		{"deep", `{"name":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `,"count":1}`, "name"},
		{"deep unknown", `{"a":` + strings.Repeat(`{"a":`, 10000), "a"},
	} {
		var got sample
		err := Decode([]byte(c.body), &got)
		e := errs.From(err)
		if err == nil || e.Code != errs.InvalidRequest {
			t.Errorf("%s: got %v, want invalid_request", c.name, err)
			continue
		}
		// What is no JSON at all may be noticed before or after the member is known.
		if c.field != "" && e.Field != c.field && c.name != "plus" {
			t.Errorf("%s: the field is %q, want %q", c.name, e.Field, c.field)
		}
		if e.Message == "" {
			t.Errorf("%s: nothing is said", c.name)
		}
	}
}

func TestDecodeEchoesNoLongNames(t *testing.T) {
	var got sample
	err := Decode([]byte(`{"`+strings.Repeat("é", 5000)+`":1}`), &got)
	if e := errs.From(err); len(e.Field) > maxNameEcho+3 || !utf8.ValidString(e.Field) || e.Field == "" {
		t.Fatalf("got %q", e.Field)
	}
}

func TestDecodeKnowsItsLimits(t *testing.T) {
	var list struct {
		Items []string `json:"items"`
	}
	if err := Decode([]byte(`{"items":[]}`), &list); errs.CodeOf(err) != errs.Internal {
		t.Fatalf("a type that Decode cannot fill gave %v", err)
	}
}

// FuzzDecode holds Decode against the standard library: what Decode takes, that reads the same way,
// and it is UTF-8 with every required member once.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"name":"a","count":1}`, `{"name":"a","count":1,"price":5,"nickname":"b"}`, `{"name":"a","count":1}x`,
		`{"n\u0061me":"a","count":-0}`, "\ufeff{}", `{"name":"\ud800","count":1}`, `{"name":"a","name":"b","count":1}`, `{`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got, again sample
		if err := Decode(body, &got); err != nil {
			if errs.CodeOf(err) != errs.InvalidRequest {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if !utf8.Valid(body) {
			t.Fatalf("%q is not UTF-8 and passed", body)
		}
		dec := json.NewDecoder(strings.NewReader(string(body)))
		dec.DisallowUnknownFields()
		var std struct {
			Name     string  `json:"name"`
			Count    int64   `json:"count"`
			Note     string  `json:"note"`
			Price    *int64  `json:"price"`
			Nickname *string `json:"nickname"`
		}
		if err := dec.Decode(&std); err != nil {
			t.Fatalf("%q passed, and the standard library says %v", body, err)
		}
		again = sample{Name: std.Name, Count: std.Count, Note: std.Note, Price: std.Price, Nickname: std.Nickname}
		if must(t, got) != must(t, again) {
			t.Fatalf("%q: got %s, want %s", body, must(t, got), must(t, again))
		}
	})
}

func request(body string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, MaxBody)
	return r
}

func TestBodyMustBeDeclaredAsJSON(t *testing.T) {
	const ct, ce = "Content-Type", "Content-Encoding"
	for _, header := range [][]string{
		{ct, "application/json"}, {ct, "application/json; charset=utf-8"}, {ct, "application/json;charset=UTF-8"},
		{ct, `Application/JSON; Charset="utf-8"`}, {ct, "application/json", ce, "identity"},
	} {
		if body, err := Body(request("{}", header...)); err != nil || string(body) != "{}" {
			t.Errorf("%q: got %q, %v", header, body, err)
		}
	}
	for _, header := range [][]string{
		{}, {ct, ""}, {ct, "text/plain"}, {ct, "application/x-www-form-urlencoded"}, {ct, "multipart/form-data; boundary=x"},
		{ct, "application/json; charset=utf-16"}, {ct, "application/json; charset=latin1"}, {ct, "application/json; x=y"},
		{ct, "application/json;" + strings.Repeat(" ;", 100) + "="}, {ct, "application/problem+json"}, {ct, "application/jsonx"},
		{ct, "application/json", ct, "text/plain"}, {ct, "application/json", ce, "gzip"}, {ct, "application/json", ce, ""},
		{ct, "application/json", ce, "identity", ce, "gzip"},
	} {
		if _, err := Body(request("{}", header...)); errs.CodeOf(err) != errs.UnsupportedMediaType {
			t.Errorf("%q: got %v", header, err)
		}
	}
}

func TestBodyIsBounded(t *testing.T) {
	full := strings.Repeat("a", MaxBody)
	for _, chunked := range []bool{false, true} {
		for body, want := range map[string]errs.Code{full: "", full + "a": errs.TooLarge} {
			r := request(body, "Content-Type", "application/json")
			if chunked {
				r.ContentLength = -1
			}
			got, err := Body(r)
			if errs.CodeOf(err) != want {
				t.Errorf("chunked %v, %d bytes: %v", chunked, len(body), err)
			}
			if want == "" && string(got) != body {
				t.Errorf("chunked %v, %d bytes: %d were read", chunked, len(body), len(got))
			}
		}
	}
}

func TestBodyThatEndsEarly(t *testing.T) {
	r := request(`{"name"`, "Content-Type", "application/json")
	r.ContentLength = 100
	if _, err := Body(r); errs.CodeOf(err) != errs.InvalidRequest {
		t.Fatalf("got %v", err)
	}
}

func TestNothing(t *testing.T) {
	json := []string{"Content-Type", "application/json"}
	for _, r := range []*http.Request{request(""), request("", "Content-Type", "text/plain"), request("{}", json...), request(" { } ", json...)} {
		if err := Nothing(r); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct {
		r    *http.Request
		want errs.Code
	}{
		{request("{}"), errs.UnsupportedMediaType},
		{request("x=y", "Content-Type", "application/x-www-form-urlencoded"), errs.UnsupportedMediaType},
		{request(`{"a":1}`, json...), errs.InvalidRequest},
		{request(`junk`, json...), errs.InvalidRequest},
		{request(strings.Repeat(" ", MaxBody+1), json...), errs.TooLarge},
	} {
		if err := Nothing(c.r); errs.CodeOf(err) != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
