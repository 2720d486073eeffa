package sqldb

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"gorm.io/gorm"

	"github.com/seckill-go/seckill/internal/metrics"
)

// Metrics are the figures of the database's pool: go_sql_* with the label db_name.
func Metrics(db *gorm.DB, name string) (*metrics.Set, error) {
	pool, err := db.DB()
	if err != nil {
		return nil, fmt.Errorf("metrics of the database: %w", err)
	}
	return metrics.NewSet(collectors.NewDBStatsCollector(pool, name)), nil
}
