// Package configload reads a service's configuration: strictly, so that a key that the Config does not
// know is an error instead of a setting that silently does nothing. Secrets come from the
// environment, by the env option of go-zero's field tags.
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

// Document is a YAML document that does not come from a file, with a name for errors.
type Document struct{ Name, YAML string }

// Sources are where a configuration comes from. What is later in this list goes over what is earlier,
// key by key: the file, the documents in their order, the settings. The environment goes over all.
type Sources struct {
	// File is the path of a YAML file.
	File      string
	Documents []Document
	// Settings are Key.Inner=value, the value in YAML: Roles=[relay].
	Settings []string
}

// Load reads a file alone; see Sources.Load.
func Load(path string, v any) error { return Sources{File: path}.Load(v) }

// Load reads the sources into v, a pointer to a Config struct, and fills in defaults and environment
// variables as the field tags say. Unknown keys are refused and named with their path.
func (s Sources) Load(v any) error {
	tree, err := s.tree(func(name string, layer map[string]any) error {
		if unknown := unknownKeys(layer, reflect.TypeOf(v), ""); len(unknown) > 0 {
			return fmt.Errorf("%s: unknown key %s", name, strings.Join(unknown, ", "))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return fill(s.File, tree, v)
}

// LoadPart is Load for a struct that knows only some of the keys; the others are left out.
func (s Sources) LoadPart(v any) error {
	tree, err := s.tree(func(string, map[string]any) error { return nil })
	if err != nil {
		return err
	}
	return fill(s.File, tree, v)
}

func fill(file string, tree map[string]any, v any) error {
	text, err := yaml.Marshal(tree)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := conf.LoadFromYamlBytes(text, v); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// tree reads and merges the sources; each is shown to check with its name.
func (s Sources) tree(check func(name string, layer map[string]any) error) (map[string]any, error) {
	content, err := os.ReadFile(s.File)
	if err != nil {
		return nil, err
	}
	layers := append([]Document{{s.File, string(content)}}, s.Documents...)
	tree := map[string]any{}
	for _, l := range layers {
		var layer map[string]any
		if err := yaml.Unmarshal([]byte(l.YAML), &layer); err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		if err := check(l.Name, layer); err != nil {
			return nil, err
		}
		merge(tree, layer)
	}
	for _, setting := range s.Settings {
		layer, err := parseSetting(setting)
		if err == nil {
			err = check("setting "+setting, layer)
		}
		if err != nil {
			return nil, err
		}
		merge(tree, layer)
	}
	return tree, nil
}

// parseSetting makes a tree of Key.Inner=value.
func parseSetting(s string) (map[string]any, error) {
	path, text, ok := strings.Cut(s, "=")
	keys := strings.Split(path, ".")
	if !ok || slices.Contains(keys, "") {
		return nil, fmt.Errorf("setting %q: want Key.Inner=value", s)
	}
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return nil, fmt.Errorf("setting %q: %w", s, err)
	}
	for _, key := range slices.Backward(keys) {
		value = map[string]any{key: value}
	}
	return value.(map[string]any), nil
}

// merge puts the keys of from over those of into. go-zero compares keys without case, so that one that
// is only spelled differently is the same.
func merge(into, from map[string]any) {
	for key, value := range from {
		for there := range into {
			if there != key && strings.EqualFold(there, key) {
				key = there
				break
			}
		}
		below, ok := value.(map[string]any)
		if old, both := into[key].(map[string]any); ok && both {
			merge(old, below)
			continue
		}
		into[key] = value
	}
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
