package servercheck

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/sqldb"
)

// dryRun tells which migrations each service would apply and what stands in their way, and gives the
// rights that they take. It reads, and changes nothing: MySQL commits a CREATE whatever transaction it is in.
func (m mysqlServer) dryRun(ctx context.Context, schemas []sqldb.Schema) (rights []string) {
	tables, err := m.strings(ctx, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()")
	if err != nil {
		m.bad("mysql-migrations", "the tables cannot be listed: %v", err)
		return nil
	}
	for _, s := range schemas {
		more, err := m.dryRunOf(ctx, s, &tables)
		if err != nil {
			m.bad("mysql-migrations", "%s: %v", s.Service, err)
		}
		rights = append(rights, more...)
	}
	return rights
}

// dryRunOf is dryRun for one service. tables are those that are there; what the service would make is
// added for the next one.
func (m mysqlServer) dryRunOf(ctx context.Context, s sqldb.Schema, tables *[]string) (rights []string, err error) {
	steps, err := s.Steps()
	if err != nil {
		return nil, err
	}
	var applied []string
	if slices.Contains(*tables, s.Versions) {
		// goose adds a row each time that a version comes and goes: the newest counts.
		applied, err = m.strings(ctx, fmt.Sprintf("SELECT version_id FROM `%[1]s` a WHERE is_applied AND id = (SELECT MAX(id) FROM `%[1]s` b WHERE b.version_id = a.version_id)", s.Versions))
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read: %w", s.Versions, err)
		}
	}
	var pending []string
	for _, step := range steps {
		if slices.Contains(applied, fmt.Sprint(step.Version)) {
			continue
		}
		pending = append(pending, step.File)
		for _, statement := range step.Statements {
			needs, err := effect(statement, tables)
			if err != nil {
				return rights, fmt.Errorf("%s: %w", step.File, err)
			}
			rights = append(rights, needs...)
		}
	}
	if len(pending) == 0 {
		m.a.Pass(preflight.CheckMySQL, "migrations of "+s.Service, "all %d are applied", len(steps))
		return rights, nil
	}
	m.a.Pass(preflight.CheckMySQL, "migrations of "+s.Service, "would apply %s", strings.Join(pending, ", "))
	return rights, nil
}

// strings are the rows of a question for one column.
func (m mysqlServer) strings(ctx context.Context, question string) (all []string, err error) {
	rows, err := m.conn.QueryContext(ctx, question)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err has what is worth telling
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// kinds of statements that migrations have, and the rights that each takes.
var kinds = []struct {
	is     *regexp.Regexp
	rights []string
}{
	{createTable, []string{"CREATE"}},
	{dropTable, []string{"DROP"}},
	{regexp.MustCompile(`(?i)^(CREATE\s+(UNIQUE\s+)?|DROP\s+)INDEX\b`), []string{"INDEX"}},
	{regexp.MustCompile(`(?i)^ALTER\s+TABLE\b`), []string{"ALTER"}},
	{regexp.MustCompile(`(?i)^INSERT\b`), []string{"INSERT", "SELECT"}},
	{regexp.MustCompile(`(?i)^UPDATE\b`), []string{"UPDATE", "SELECT"}},
	{regexp.MustCompile(`(?i)^DELETE\b`), []string{"DELETE", "SELECT"}},
}

var (
	createTable = regexp.MustCompile("(?i)^CREATE\\s+TABLE\\s+(IF\\s+NOT\\s+EXISTS\\s+)?`?(\\w+)")
	dropTable   = regexp.MustCompile("(?i)^DROP\\s+TABLE\\s+(IF\\s+EXISTS\\s+)?`?(\\w+)")
	foreignKey  = regexp.MustCompile(`(?i)\bREFERENCES\b`)
)

// effect gives the rights that a statement takes and follows the tables that it makes and drops. The
// error is a table that is in the way, or a statement of a kind that is not known here.
func effect(statement string, tables *[]string) (rights []string, err error) {
	for _, k := range kinds {
		if k.is.MatchString(statement) {
			rights = slices.Clone(k.rights)
			break
		}
	}
	if rights == nil {
		return nil, fmt.Errorf("it cannot be told what %.40q takes", statement)
	}
	if foreignKey.MatchString(statement) {
		rights = append(rights, "REFERENCES")
	}
	if made := createTable.FindStringSubmatch(statement); made != nil {
		there := slices.Contains(*tables, made[2])
		if there && made[1] == "" {
			return rights, fmt.Errorf("it makes the table %s, which is there already", made[2])
		}
		if !there {
			*tables = append(*tables, made[2])
		}
	}
	if dropped := dropTable.FindStringSubmatch(statement); dropped != nil {
		*tables = slices.DeleteFunc(*tables, func(t string) bool { return t == dropped[2] })
	}
	return rights, nil
}
