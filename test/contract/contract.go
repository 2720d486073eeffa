// Package contract holds the HTTP contract in a form that tests can use: the OpenAPI document in
// docs/openapi, and an http.RoundTripper that fails a test when an answer of the gateway is not one
// that the document allows.
package contract

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// document reads and validates docs/openapi/seckill.yaml once a process.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return nil, fmt.Errorf("contract: where is the source tree?")
	}
	path := filepath.Join(filepath.Dir(here), "..", "..", "docs", "openapi", "seckill.yaml")
	doc, err := openapi3.NewLoader().LoadFromFile(path)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
})

// Load is the OpenAPI document, checked against the specification. It panics when the document is
// not there or not valid: no test that asked for it could go on. Callers must not change it.
func Load() *openapi3.T {
	doc, err := document()
	if err != nil {
		panic(fmt.Sprintf("contract: %v", err))
	}
	return doc
}

// Validator wraps next, or http.DefaultTransport when it is nil. Every answer that passes is held to
// the document: its status, its required headers, its media type, its body. What was answered with
// success must have been a request that the document allows. Requests outside the document must be
// answered with a problem, 404 or 405. Each breach is an error of the test, and the answer is handed
// on unchanged. A text/event-stream is not read, only its status and headers are checked.
func Validator(t testing.TB, next http.RoundTripper) http.RoundTripper {
	t.Helper()
	if next == nil {
		next = http.DefaultTransport
	}
	v, err := newValidator(Load(), next, func(format string, args ...any) { t.Errorf(format, args...) })
	if err != nil {
		t.Fatalf("contract: %v", err)
	}
	return v
}

type validator struct {
	doc    *openapi3.T
	router routers.Router
	next   http.RoundTripper
	errorf func(format string, args ...any)
}

func newValidator(doc *openapi3.T, next http.RoundTripper, errorf func(string, ...any)) (*validator, error) {
	router, err := legacy.NewRouter(doc)
	if err != nil {
		return nil, err
	}
	return &validator{doc, router, next, errorf}, nil
}

// RoundTrip is next's, with the answer held to the document.
func (v *validator) RoundTrip(req *http.Request) (*http.Response, error) {
	sent, err := drain(&req.Body)
	if err != nil {
		return nil, err
	}
	resp, err := v.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	stream := isStream(resp)
	var got []byte
	if !stream {
		if got, err = drain(&resp.Body); err != nil {
			return nil, err
		}
	}
	// The request as a server sees it: the router matches the path, whatever the host.
	seen := httptest.NewRequestWithContext(req.Context(), req.Method, req.URL.RequestURI(), bytes.NewReader(sent))
	seen.Header = req.Header.Clone()
	if err := v.check(seen, resp, got, stream); err != nil {
		v.errorf("contract: %s %s answered %d: %v\n%s", req.Method, req.URL.Path, resp.StatusCode, err, got)
	}
	return resp, nil
}

// check is the first breach of the document, or nil.
func (v *validator) check(req *http.Request, resp *http.Response, body []byte, stream bool) error {
	route, params, err := v.router.FindRoute(req)
	if err != nil {
		return v.outside(resp, body)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true},
	}
	if resp.StatusCode < 300 {
		if err := openapi3filter.ValidateRequest(req.Context(), input); err != nil {
			return fmt.Errorf("the request is not one that the document allows: %w", err)
		}
	}
	return openapi3filter.ValidateResponse(req.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input,
		Status:                 resp.StatusCode,
		Header:                 resp.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: stream},
	})
}

// outside checks the answer to a call that the document does not have.
func (v *validator) outside(resp *http.Response, body []byte) error {
	var name string
	switch resp.StatusCode {
	case http.StatusNotFound:
		name = "NotFound"
	case http.StatusMethodNotAllowed:
		name = "MethodNotAllowed"
	default:
		return fmt.Errorf("the document has no such call, so 404 or 405 was due")
	}
	media := resp.Header.Get("Content-Type")
	content := v.doc.Components.Responses[name].Value.Content.Get(media)
	if content == nil {
		return fmt.Errorf("Content-Type %q is no problem", media)
	}
	value, err := decode(body)
	if err != nil {
		return err
	}
	return content.Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020())
}

func isStream(resp *http.Response) bool {
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && media == "text/event-stream"
}
