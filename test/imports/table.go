package imports

import (
	"slices"
	"strings"
)

// module is the import path before every package of the project.
const module = "github.com/seckill-go/seckill/"

// std stands for the standard library in Allow.
const std = "$gostd"

// Layer is a set of packages and what they may import. Tests (_test.go) are free.
type Layer struct {
	// Name is the name of the depguard rule.
	Name string
	// Dirs are the folders concerned, relative to the root; "/**" at the end takes in those below.
	// "**" alone is every folder.
	Dirs []string
	// Except are folders that Dirs would take in but that are left out.
	Except []string
	// Allow, where it is not empty, lists all that may be imported, by prefix of the import path.
	Allow []string
	// Deny lists what may not be, by prefix.
	Deny []string
}

// drivers are the ways to a database, to Redis and to Kafka; our own sqldb is the first.
var drivers = []string{
	module + "internal/sqldb", "gorm.io/", "database/sql", "github.com/glebarez/", "github.com/go-sql-driver/",
	"github.com/redis/", "github.com/alicebob/miniredis", "github.com/segmentio/kafka-go", "github.com/twmb/franz-go",
}

// Table is the import table. A package may be in several layers; each must be content.
func Table() []Layer {
	table := []Layer{
		{
			// What every other layer may lean on leans on nothing.
			Name: "foundation", Dirs: []string{"internal/bloom", "internal/errs", "internal/failpoint", "internal/gather", "internal/lifecycle"},
			Allow: []string{std},
		},
		{
			Name: "transport", Dirs: []string{"internal/transport"},
			Allow: []string{
				std, module + "internal/errs", "google.golang.org/grpc", "google.golang.org/genproto/googleapis/rpc",
				"github.com/zeromicro/go-zero/core/logx", "github.com/zeromicro/go-zero/core/breaker",
				"go.opentelemetry.io/otel/trace",
			},
		},
		{
			Name: "tlsconf", Dirs: []string{"internal/tlsconf"},
			Allow: []string{std, "github.com/zeromicro/go-zero/core/logx"},
		},
		{
			// Every process is its caller, so that it knows no service.
			Name: "logship", Dirs: []string{"internal/logship"},
			Allow: []string{
				std, module + "internal/kafkaconn", module + "internal/tlsconf", "github.com/segmentio/kafka-go", "github.com/go-json-experiment/json",
				"github.com/zeromicro/go-zero/core/logx", "github.com/prometheus/client_golang/prometheus",
			},
		},
		{
			// The one place that knows Nacos; everybody else is handed a gRPC resolver or a document.
			Name: "registry", Dirs: []string{"internal/registry"},
			Allow: []string{
				std, module + "internal/tlsconf", "github.com/nacos-group/nacos-sdk-go/v2", "google.golang.org/grpc",
				"google.golang.org/protobuf", "github.com/zeromicro/go-zero/core/logx",
			},
		},
		{
			Name: "nacos", Dirs: []string{"**"}, Except: []string{"internal/registry", "test/**"},
			Deny: []string{"github.com/nacos-group/"},
		},
		{
			// The one place that knows Sentinel.
			Name: "flow", Dirs: []string{"internal/flow"},
			Allow: []string{
				std, module + "internal/errs", module + "internal/transport", "github.com/alibaba/sentinel-golang",
				"github.com/prometheus/client_golang/prometheus", "github.com/zeromicro/go-zero/core/logx", "google.golang.org/grpc",
			},
		},
		{
			Name: "sentinel", Dirs: []string{"**"}, Except: []string{"internal/flow"},
			Deny: []string{"github.com/alibaba/sentinel-golang"},
		},
		{
			// The one place that knows Zipkin; everybody else has OpenTelemetry's contexts.
			Name: "tracing", Dirs: []string{"internal/tracing/**"},
			Allow: []string{
				std, module + "internal/errs", module + "internal/metrics", module + "internal/transport",
				"github.com/openzipkin/zipkin-go", "go.opentelemetry.io/otel/trace", "golang.org/x/time/rate",
				"github.com/prometheus/client_golang/prometheus", "github.com/zeromicro/go-zero/core/logx", "google.golang.org/grpc",
			},
		},
		{
			Name: "zipkin", Dirs: []string{"**"}, Except: []string{"internal/tracing/**"},
			Deny: []string{"github.com/openzipkin/"},
		},
		{
			// The engines are for the all-in-one and for tests: production code never meets them.
			Name: "embedded", Dirs: []string{"**"},
			Except: []string{"cmd/seckill/**", "internal/embedded/**", "test/**"},
			Deny:   []string{module + "internal/embedded"},
		},
		{
			Name: "gateway", Dirs: []string{"api/**"},
			Deny: append([]string{
				module + "rpc/order/internal", module + "rpc/product/internal", module + "rpc/user/internal",
				module + "rpc/order/orderapp", module + "rpc/product/productapp", module + "rpc/user/userapp",
			}, drivers...),
		},
		{
			Name: "gateway-logic", Dirs: []string{"api/internal/logic/**", "api/internal/svc"},
			Allow: []string{
				std, module + "api/internal/", module + "internal/errs", module + "internal/gather",
				module + "internal/accesstoken",
				module + "rpc/order/orderpb", module + "rpc/order/orderservice",
				module + "rpc/product/productpb", module + "rpc/product/productservice",
				module + "rpc/user/userpb", module + "rpc/user/userservice",
				"github.com/zeromicro/go-zero/core/logx", "github.com/zeromicro/go-zero/rest",
				"github.com/zeromicro/go-zero/zrpc", "google.golang.org/grpc", "golang.org/x/sync/errgroup",
			},
		},
		{
			// It fills in sqldb.Config, and no more.
			Name: "command", Dirs: []string{"cmd/**"},
			Deny: drivers[1:],
		},
	}
	for _, name := range []string{"order", "product", "user"} {
		table = append(table, service(name)...)
	}
	return slices.Concat(table, adapters(), preflight())
}

// service is the layers that every RPC service has.
func service(name string) []Layer {
	home := module + "rpc/" + name + "/"
	domain := home + "internal/" + name
	allow := []string{std, module + "internal/errs", module + "internal/gather"}
	if name == "order" {
		// Marks at which tests crash it, and nothing in a program that is built for use; and a set of buyers.
		allow = append(allow, module+"internal/failpoint", module+"internal/bloom")
	}
	if name == "product" {
		// The list of currencies: data, as unicode is.
		allow = append(allow, "golang.org/x/text/currency")
	}
	return []Layer{
		{
			Name: name + "-domain", Dirs: []string{"rpc/" + name + "/internal/" + name},
			Allow: allow,
		},
		{
			Name: name + "-logic", Dirs: []string{"rpc/" + name + "/internal/logic"},
			Allow: []string{
				std, domain, home + name + "pb", home + "internal/svc", module + "internal/errs",
				"github.com/zeromicro/go-zero/core/logx",
			},
		},
		{
			// What the use cases are, for logic.
			Name: name + "-svc", Dirs: []string{"rpc/" + name + "/internal/svc"},
			Allow: []string{std, domain, module + "internal/errs"},
		},
		{
			// The assembly carries the pool that sqldb opened to the adapters: hence gorm's name here.
			Name: name + "-app",
			Dirs: []string{
				"rpc/" + name + "/" + name + "app", "rpc/" + name + "/internal/config", "rpc/" + name + "/internal/server",
			},
			Allow: []string{
				std, home, module + "internal/", "github.com/zeromicro/go-zero/", "google.golang.org/grpc",
				"gorm.io/gorm", "github.com/prometheus/client_golang/prometheus",
			},
		},
	}
}

// adapters each know their domain and one driver.
func adapters() []Layer {
	adapter := func(dir, domain string, more ...string) Layer {
		name := dir[len("rpc/"+domain+"/internal/"):]
		return Layer{Name: name, Dirs: []string{dir}, Allow: append([]string{
			std, module + "rpc/" + domain + "/internal/" + domain, module + "internal/errs",
		}, more...)}
	}
	sql := []string{module + "internal/sqldb", "gorm.io/gorm"}
	return []Layer{
		adapter("rpc/order/internal/redisstock", "order", module+"internal/tlsconf", "github.com/redis/go-redis/v9"),
		adapter("rpc/order/internal/kafkaevents", "order", module+"internal/tlsconf", module+"internal/kafkaconn",
			"github.com/segmentio/kafka-go", module+"rpc/order/orderpb", "google.golang.org/protobuf"),
		adapter("rpc/order/internal/mysqlorders", "order", append(sql[:2:2], module+"internal/failpoint")...),
		adapter("rpc/order/internal/sandboxpay", "order"),
		adapter("rpc/order/internal/ordertrace", "order", module+"internal/tracing", "go.opentelemetry.io/otel/trace"),
		// In-memory fakes of the ports, for tests.
		adapter("rpc/order/internal/ordertest", "order"),
		{
			// Tests alone, and a sentence.
			Name: "orderproof", Dirs: []string{"rpc/order/internal/orderproof"},
			Allow: []string{std},
		},
		adapter("rpc/product/internal/mysqlproducts", "product", sql...),
		adapter("rpc/user/internal/mysqlusers", "user", sql...),
		adapter("rpc/user/internal/argon2id", "user", "golang.org/x/crypto/argon2"),
	}
}

// preflight is the check of a cluster: its words, who carries them between runner and agents, and the three
// kinds of checks. None knows a service; cmd/seckill hands the migrations in.
func preflight() []Layer {
	const home = "internal/preflight/"
	words := module + strings.TrimSuffix(home, "/")
	parts := []string{"agent", "dial", "hostcheck", "netcheck", "runner", "seal", "servercheck"}
	// part allows the words and, of the parts, those named.
	part := func(name string, use []string, more ...string) Layer {
		l := Layer{Name: "preflight-" + name, Dirs: []string{home + name}, Allow: append([]string{std, words}, more...)}
		for _, other := range parts {
			if !slices.Contains(use, other) {
				l.Deny = append(l.Deny, module+home+other)
			}
		}
		return l
	}
	return []Layer{
		{
			Name: "preflight", Dirs: []string{strings.TrimSuffix(home, "/")},
			Allow: []string{std, module + "internal/configload", module + "internal/tlsconf"},
		},
		{
			// Who decides what is let in and what is called leans on nothing.
			Name: "preflight-guards", Dirs: []string{home + "dial", home + "seal"},
			Allow: []string{std},
		},
		part("agent", []string{"seal"}),
		part("runner", []string{"seal"}),
		part("hostcheck", nil),
		part("netcheck", []string{"dial"}, "github.com/miekg/dns"),
		part("servercheck", []string{"dial"}, module+"internal/kafkaconn", module+"internal/registry", module+"internal/sqldb",
			"github.com/go-sql-driver/mysql", "github.com/redis/go-redis/v9", "github.com/segmentio/kafka-go"),
		{
			Name: "dns", Dirs: []string{"**"}, Except: []string{home + "netcheck", "test/**"},
			Deny: []string{"github.com/miekg/dns"},
		},
	}
}
