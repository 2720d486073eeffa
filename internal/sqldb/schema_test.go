package sqldb_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/seckill-go/seckill/internal/sqldb"
)

func TestSteps(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	s := sqldb.Schema{Service: "shop", Migrations: fstest.MapFS{
		"00010_second.sql": file("-- +goose Up\nALTER TABLE a ADD b INT;\n"),
		"00002_first.sql":  file("-- about; it\n-- +goose Up\n\n-- of a; kind\nCREATE TABLE a (\n  id INT\n) /*! ENGINE=InnoDB */;\nCREATE INDEX i ON a (id);\n-- +goose Down\nDROP TABLE a;\n"),
	}}
	steps, err := s.Steps()
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) != 2 || steps[0].Version != 2 || steps[1].Version != 10 || steps[1].File != "00010_second.sql" {
		t.Fatalf("%+v", steps)
	}
	if want := []string{"CREATE TABLE a (\nid INT\n) /*! ENGINE=InnoDB */", "CREATE INDEX i ON a (id)"}; !slices.Equal(steps[0].Statements, want) {
		t.Errorf("%q", steps[0].Statements)
	}
	for name, text := range map[string]string{
		"first.sql": "-- +goose Up\n", "1_no_way.sql": "CREATE TABLE a (id INT);\n", "1_cut.sql": "-- +goose Up\nCREATE TABLE a (id INT)\n",
		"1_block.sql": "-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n-- +goose StatementEnd\n",
	} {
		if _, err := (sqldb.Schema{Migrations: fstest.MapFS{name: file(text)}}).Steps(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
