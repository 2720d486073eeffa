package config

import (
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/zeromicro/go-zero/zrpc"
)

// Config is the product service's configuration. Its defaults come from the tags when it is read
// from a file, and from productapp.Defaults when it is built in code.
type Config struct {
	zrpc.RpcServerConf
	Database sqldb.Config
	// Migrate brings the schema up to date at the start; without it a schema that is behind is an
	// error.
	Migrate bool `json:",default=true"`
}
