// Package configload reads a service's YAML file into its Config: strictly, so that a key that the
// Config does not know is an error instead of a setting that silently does nothing. Secrets come
// from the environment, by the env option of go-zero's field tags.
package configload

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/conf"
	"go.yaml.in/yaml/v3"
)

// Load reads the file into v, a pointer to a Config struct, and fills in defaults and environment
// variables as the field tags say. Unknown keys are refused and named with their path.
func Load(path string, v any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var tree map[string]any
	if err := yaml.Unmarshal(content, &tree); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if unknown := unknownKeys(tree, reflect.TypeOf(v), ""); len(unknown) > 0 {
		return fmt.Errorf("%s: unknown key %s", path, strings.Join(unknown, ", "))
	}
	if err := conf.LoadFromYamlBytes(content, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

var (
	durationType  = reflect.TypeFor[time.Duration]()
	textInterface = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// unknownKeys lists the keys of the tree that t has no field for, with their paths, sorted.
func unknownKeys(tree any, t reflect.Type, path string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == durationType || reflect.PointerTo(t).Implements(textInterface) {
		return nil
	}
	var unknown []string
	switch node := tree.(type) {
	case map[string]any:
		switch t.Kind() {
		case reflect.Map:
			for key, value := range node {
				unknown = append(unknown, unknownKeys(value, t.Elem(), path+key+".")...)
			}
		case reflect.Struct:
			fields := map[string]reflect.Type{}
			collect(t, fields)
			for key, value := range node {
				field, ok := fields[strings.ToLower(key)]
				if !ok {
					unknown = append(unknown, path+key)
					continue
				}
				unknown = append(unknown, unknownKeys(value, field, path+key+".")...)
			}
		}
	case []any:
		if t.Kind() == reflect.Slice {
			for i, value := range node {
				unknown = append(unknown, unknownKeys(value, t.Elem(), fmt.Sprintf("%s%d.", path, i))...)
			}
		}
	}
	slices.Sort(unknown)
	return unknown
}

// collect maps the lower-cased key of each field, embedded structs' fields included, to its type:
// go-zero compares keys without case.
func collect(t reflect.Type, fields map[string]reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		ft := f.Type
		for ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		if f.Anonymous && name == "" && ft.Kind() == reflect.Struct {
			collect(ft, fields)
			continue
		}
		if name == "" {
			name = f.Name
		}
		if name != "-" {
			fields[strings.ToLower(name)] = f.Type
		}
	}
}
