package config

import (
	"github.com/seckill-go/seckill/internal/flow"
	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/zeromicro/go-zero/zrpc"
)

// Config is the product service's configuration. Its defaults come from the tags when it is read
// from a file, and from productapp.Defaults when it is built in code.
type Config struct {
	zrpc.RpcServerConf
	process.Config
	// TLS is what the service listens with; with CAFile it answers only callers whose certificate these
	// authorities signed.
	TLS tlsconf.Config `json:",optional"`
	// Flow is flow control; see docs/flow.md.
	Flow     flow.Config
	Database sqldb.Config
	// Migrate brings the schema up to date at the start; without it the service waits until another has.
	Migrate bool `json:",default=true"`
}
