package sqldb

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
)

// Schema is one service's migrations, for those who look at them without applying them.
type Schema struct {
	// Service is whose they are.
	Service string
	// Migrations and Versions are what Migrate takes: the files, and the table that keeps the versions.
	Migrations fs.FS
	Versions   string
}

// Step is one migration.
type Step struct {
	Version int64
	// File is NNNNN_name.sql.
	File string
	// Statements are those of the way up, in order, without comments and semicolons.
	Statements []string
}

// Steps are the migrations, the oldest first. The error names the file that is none.
func (s Schema) Steps() ([]Step, error) {
	files, err := fs.Glob(s.Migrations, "*.sql")
	if err != nil {
		return nil, err
	}
	steps := make([]Step, 0, len(files))
	for _, name := range files {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, fmt.Errorf("migrations of %s: %s: %w", s.Service, name, err)
		}
		text, err := fs.ReadFile(s.Migrations, name)
		if err != nil {
			return nil, fmt.Errorf("migrations of %s: %w", s.Service, err)
		}
		statements, ok := up(string(text))
		if !ok {
			return nil, fmt.Errorf("migrations of %s: %s has no single way up, or blocks of statements", s.Service, name)
		}
		steps = append(steps, Step{Version: version, File: name, Statements: statements})
	}
	slices.SortFunc(steps, func(a, b Step) int { return cmp.Compare(a.Version, b.Version) })
	return steps, nil
}

// up are the statements between goose's marks. Our migrations end a statement with a semicolon at the end
// of a line and have no blocks, which goose would need marks for.
func up(text string) (statements []string, ok bool) {
	_, rest, ok := strings.Cut(text, "-- +goose Up")
	rest, _, _ = strings.Cut(rest, "-- +goose Down")
	if !ok || strings.Contains(rest, "-- +goose") {
		return nil, false
	}
	var b strings.Builder
	for line := range strings.Lines(rest) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "--") {
			continue
		}
		b.WriteString(line)
		if strings.HasSuffix(line, ";") {
			statements = append(statements, strings.TrimSuffix(b.String(), ";"))
			b.Reset()
			continue
		}
		b.WriteByte('\n')
	}
	return statements, b.Len() == 0
}
