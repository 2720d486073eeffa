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

// versions is the table in which the schema's version is kept.
const versions = "goose_user"

// Migrate brings the schema up to date.
func Migrate(ctx context.Context, db *gorm.DB) error {
	migrations, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return err
	}
	return sqldb.Migrate(ctx, db, migrations, versions)
}

// Check fails when the schema is behind what this program needs.
func Check(ctx context.Context, db *gorm.DB) error {
	migrations, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return err
	}
	return sqldb.Check(ctx, db, migrations, versions)
}
