package orderapp

import (
	"reflect"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/conf"

	"github.com/seckill-go/seckill/api/gatewayapp"
	"github.com/seckill-go/seckill/internal/servicemain"
	domain "github.com/seckill-go/seckill/rpc/order/internal/order"
)

// TestDefaultBudgetsNest: who waits for another waits longer than the other may take, as docs/links.md
// says; otherwise the caller gives up on an answer that was on its way.
func TestDefaultBudgetsNest(t *testing.T) {
	gateway := gatewayapp.Config{}.WithDefaults()
	order := Defaults("127.0.0.1:1")
	accept := order.Accept
	reserve := time.Duration(0)
	for _, m := range withTimeouts(order).MethodTimeouts {
		reserve = max(reserve, m.Timeout)
	}
	for _, c := range []struct {
		outer, inner string
		more, less   time.Duration
	}{
		{"gateway Purchase.Budget", "Accept.Budget", gateway.Purchase.Budget, accept.Budget + time.Millisecond},
		{"Accept.Budget", "ScriptBudget and PublishBudget", accept.Budget, accept.ScriptBudget + accept.PublishBudget},
		{"Accept.Quiet", "Accept.Budget", accept.Quiet, accept.Budget},
		{"Accept.Quiet", "a lease on a sale that is sold out", accept.Quiet, domain.MaxSoldOutLease},
		{"the longest lease", "gateway SoldOut.Lease", domain.MaxSoldOutLease, gateway.SoldOut.Lease},
		{"Accept.RelayAge", "Accept.Budget", accept.RelayAge, accept.Budget},
		{"gateway HTTP.WriteTimeout", "an audit", gateway.HTTP.WriteTimeout, order.AuditWait + auditTimeout},
		{"gateway HTTP.WriteTimeout", "a purchase", gateway.HTTP.WriteTimeout, gateway.Purchase.Budget},
		{"gateway HTTP.BodyTimeout", "HTTP.HeaderTimeout", gateway.HTTP.BodyTimeout, gateway.HTTP.HeaderTimeout},
		{"the longest call", "an action on a sale", reserve, actionTimeout},
		{"a call", "a question for health", time.Duration(order.Timeout) * time.Millisecond, healthTimeout},
		{"the end of a process", "gateway HTTP.DrainTimeout", servicemain.Drain, gateway.HTTP.DrainTimeout},
		{"the end of a process", "a purchase", servicemain.Drain, gateway.Purchase.Budget},
	} {
		if c.more < c.less {
			t.Errorf("%s (%s) ends before %s (%s)", c.outer, c.more, c.inner, c.less)
		}
	}
}

// TestDefaultsInCodeAreThoseOfFiles: what budgets a process has does not depend on who started it.
func TestDefaultsInCodeAreThoseOfFiles(t *testing.T) {
	var file Config
	err := conf.LoadFromYamlBytes([]byte(`
Name: order.rpc
ListenOn: 127.0.0.1:1
Database: {}
Stock: {Addr: "127.0.0.1:1"}
Kafka: {Brokers: ["127.0.0.1:1"]}
`), &file)
	if err != nil {
		t.Fatal(err)
	}
	code := Defaults("127.0.0.1:1")
	if !reflect.DeepEqual(file.Accept, code.Accept) || file.Writer != code.Writer || file.AuditWait != code.AuditWait || file.Spread != code.Spread || file.Timeout != code.Timeout {
		t.Errorf("a file has %+v %+v, code %+v %+v", file.Accept, file.Writer, code.Accept, code.Writer)
	}
}
