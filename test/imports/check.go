package imports

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Check reads the imports of every Go file below root that is no test and returns, sorted, a line
// for each import that the table forbids. Modules of their own (folders with a go.mod) and folders
// that the go command ignores are left out.
func Check(root string, table []Layer) ([]string, error) {
	var wrong []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && ignored(rel) {
				return filepath.SkipDir
			}
			return nil
		}
		if path.Ext(rel) != ".go" || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			for _, layer := range table {
				if layer.holds(path.Dir(rel)) && !layer.permits(imported) {
					wrong = append(wrong, fmt.Sprintf("%s: %s may not import %s", rel, layer.Name, imported))
				}
			}
		}
		return nil
	})
	slices.Sort(wrong)
	return wrong, err
}

// ignored tells whether a folder holds nothing of this module's packages.
func ignored(rel string) bool {
	base := path.Base(rel)
	return strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") ||
		base == "testdata" || base == "node_modules" || rel == "tools"
}

// holds tells whether a folder is one of the layer's.
func (l Layer) holds(dir string) bool {
	return matches(l.Dirs, dir) && !matches(l.Except, dir)
}

func matches(patterns []string, dir string) bool {
	for _, p := range patterns {
		below, deep := strings.CutSuffix(p, "**")
		below = strings.TrimSuffix(below, "/")
		if dir == below || deep && (below == "" || strings.HasPrefix(dir, below+"/")) {
			return true
		}
	}
	return false
}

// permits tells whether the layer may import a path. As in depguard, an import has to be allowed where
// there is a list of what is, and must not be denied.
func (l Layer) permits(imported string) bool {
	if hasPrefix(l.Deny, imported) {
		return false
	}
	return len(l.Allow) == 0 || hasPrefix(l.Allow, imported)
}

// hasPrefix compares whole elements of a path, so that .../order is no prefix of .../orderpb.
func hasPrefix(prefixes []string, imported string) bool {
	for _, p := range prefixes {
		if p == std {
			if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
				return true
			}
			continue
		}
		p = strings.TrimSuffix(p, "/")
		if imported == p || strings.HasPrefix(imported, p+"/") {
			return true
		}
	}
	return false
}
