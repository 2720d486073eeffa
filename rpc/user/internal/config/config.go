package config

import (
	"time"

	"github.com/seckill-go/seckill/internal/flow"
	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/tlsconf"
	"github.com/zeromicro/go-zero/zrpc"
)

// Config is the user service's configuration. Its defaults come from the tags when it is read from
// a file, and from userapp.Defaults when it is built in code.
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
	Migrate     bool `json:",default=true"`
	AccessToken AccessToken
	// RefreshTokenTTL is how long a refresh token lasts from its issue.
	RefreshTokenTTL time.Duration `json:",default=720h"`
	// AdminPassword makes the account "admin" at the start, or sets its password and ends its sessions
	// when it is another. Empty: nothing is done about that account.
	AdminPassword string `json:",env=SECKILL_ADMIN_PASSWORD,optional"`
	Password      Password
}

// AccessToken says how access tokens are made.
type AccessToken struct {
	// Secret signs them; at least 32 bytes, and the same in every service that checks them.
	Secret string        `json:",env=SECKILL_JWT_SECRET,optional"`
	TTL    time.Duration `json:",default=15m"`
}

// Password is the cost of password hashes and how many may be computed at once.
type Password struct {
	// MemoryKiB, Iterations and Parallelism are argon2id's parameters.
	MemoryKiB   uint32 `json:",default=19456"`
	Iterations  uint32 `json:",default=2"`
	Parallelism uint8  `json:",default=1"`
	// AtOnce × MemoryKiB is the memory that logins can take.
	AtOnce int `json:",default=4"`
	// MaxWait is how long a login waits for its turn before it is told to come again; less than
	// Timeout.
	MaxWait time.Duration `json:",default=1500ms"`
}
