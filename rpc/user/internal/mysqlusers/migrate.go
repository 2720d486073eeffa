package mysqlusers

import (
	"context"
	"embed"
	"io/fs"

	"github.com/seckill-go/seckill/internal/sqldb"
	"gorm.io/gorm"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Schema is the user service's migrations.
func Schema() sqldb.Schema {
	migrations, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	return sqldb.Schema{Service: "user", Migrations: migrations, Versions: "goose_user"}
}

// Migrate brings the schema up to date.
func Migrate(ctx context.Context, db *gorm.DB) error {
	s := Schema()
	return sqldb.Migrate(ctx, db, s.Migrations, s.Versions)
}

// Check fails when the schema is behind what this program needs.
func Check(ctx context.Context, db *gorm.DB) error {
	s := Schema()
	return sqldb.Check(ctx, db, s.Migrations, s.Versions)
}
