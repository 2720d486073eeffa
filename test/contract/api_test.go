package contract

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const (
	apiFile   = "../../api/seckill.api"
	typesFile = "../../api/internal/types/types.go"
	errsFile  = "../../internal/errs/errs.go"
)

// route is one call of seckill.api.
type route struct {
	handler, method, path string // path with {name}s, as OpenAPI writes it
	request, response     string // names of types, or ""
	authenticated         bool
}

var (
	apiPrefix     = regexp.MustCompile(`^\s*prefix:\s*(\S+)`)
	apiMiddleware = regexp.MustCompile(`^\s*middleware:\s*(\S+)`)
	apiHandler    = regexp.MustCompile(`^\s*@handler\s+(\w+)`)
	apiRoute      = regexp.MustCompile(`^\s*(get|post|put|patch|delete|head)\s+(/\S*)(?:\s+\((\w+)\))?(?:\s+returns\s+\((\w+)\))?\s*$`)
	apiVariable   = regexp.MustCompile(`:(\w+)`)
)

// routes reads the calls of seckill.api by their "METHOD path".
func routes(t *testing.T) map[string]route {
	t.Helper()
	text, err := os.ReadFile(apiFile)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]route{}
	prefix, middleware, handler := "", "", ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "@server"):
			prefix, middleware = "", ""
		case apiPrefix.MatchString(line):
			prefix = apiPrefix.FindStringSubmatch(line)[1]
		case apiMiddleware.MatchString(line):
			middleware = apiMiddleware.FindStringSubmatch(line)[1]
		case apiHandler.MatchString(line):
			handler = apiHandler.FindStringSubmatch(line)[1]
		case handler != "":
			m := apiRoute.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("%s: this is not understood as a route: %q", apiFile, line)
			}
			r := route{
				handler: handler, method: strings.ToUpper(m[1]), path: prefix + apiVariable.ReplaceAllString(m[2], "{$1}"),
				request: m[3], response: m[4], authenticated: strings.Contains(middleware, "Authenticate"),
			}
			found[r.method+" "+r.path] = r
			handler = ""
		}
	}
	if len(found) == 0 {
		t.Fatal("no route found in " + apiFile)
	}
	return found
}

// field is a member of a type of seckill.api, by where it travels.
type field struct {
	in       string // body, path, query or header
	name     string
	goType   string
	required bool
}

// structs reads the fields of each generated type.
func structs(t *testing.T) map[string][]field {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), typesFile, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]field{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		found[spec.Name.Name] = nil
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			found[spec.Name.Name] = append(found[spec.Name.Name], fieldOf(t, spec.Name.Name, f))
		}
		return false
	})
	return found
}

func fieldOf(t *testing.T, typeName string, f *ast.Field) field {
	t.Helper()
	tag, err := strconv.Unquote(f.Tag.Value)
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []struct{ key, in string }{{"path", "path"}, {"form", "query"}, {"header", "header"}, {"json", "body"}} {
		value, ok := reflect.StructTag(tag).Lookup(place.key)
		if !ok {
			continue
		}
		name, options, _ := strings.Cut(value, ",")
		return field{
			in: place.in, name: name, goType: goType(f.Type),
			required: options != "optional" && options != "omitempty",
		}
	}
	t.Fatalf("%s has a field without a tag", typeName)
	return field{}
}

func goType(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return goType(e.X)
	case *ast.ArrayType:
		return "[]" + goType(e.Elt)
	case *ast.MapType:
		return "map[" + goType(e.Key) + "]" + goType(e.Value)
	}
	return "?"
}

// errorCodes reads the constants of type Code of internal/errs.
func errorCodes(t *testing.T) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), errsFile, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "Code" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, value)
		}
		return true
	})
	return found
}
