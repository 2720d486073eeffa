package stack

import (
	"bufio"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/test/internal/topology"
)

// surveyed is how soon a survey must show what has happened; it is made every 10 s.
const surveyed = 40 * time.Second

// unseen are metrics marked † for which nothing happens in TestMetricsAreDocumented.
var unseen = map[string]string{
	"seckill_flow_blocks_total": "nobody sends more than the rules allow",
}

// family is a metric as a process exports it or as the table has it.
type family struct {
	kind   string
	labels []string // sorted
}

// documented is one row of docs/metrics.md.
type documented struct {
	family
	who []string // names of topology.Services
	// happens: series come with what they tell of.
	happens bool
}

// TestMetricsAreDocumented: after a purchase, one that finds nothing left, and a cancellation, each process exports what
// docs/metrics.md says that it does, and nothing of the platform's own that is not in there.
func TestMetricsAreDocumented(t *testing.T) {
	table := readTable(t)
	p := topology.New(t, 1, nil)
	p.Start(t)
	out, err := command(t, p, "load", "--stock", "3", "--buyers", "4", "--concurrency", "1", "--no-audit").CombinedOutput()
	if err != nil {
		t.Fatalf("load: %v\n%s", err, out)
	}
	shop := openShop(t, p)
	sale := cancelOne(t, p, shop)

	relay := p.Processes["order-relay"][0]
	topology.Eventually(t, surveyed, "the survey shows the sale", func() error {
		_, values := scrape(t, relay)
		for series, want := range map[string]string{
			"seckill_sale_stock_units": "9", "seckill_sale_remaining_units": "9", "seckill_sale_held_units": "0",
			"seckill_sale_imbalance_units": "0", "seckill_sale_oversold_units": "0", "seckill_sale_sellable": "1",
		} {
			if got := values[fmt.Sprintf("%s{sale=%q}", series, sale)]; got != want {
				return fmt.Errorf("%s is %q, not %s", series, got, want)
			}
		}
		if got := values[fmt.Sprintf("seckill_sale_orders{sale=%q,state=%q}", sale, "cancelled")]; got != "1" {
			return fmt.Errorf("%q cancelled orders", got)
		}
		if values["seckill_writer_backlog_messages"] != "0" || values["seckill_returns_waiting"] != "0" {
			return fmt.Errorf("%s messages and %s returns are on their way", values["seckill_writer_backlog_messages"], values["seckill_returns_waiting"])
		}
		return nil
	})
	_, values := scrape(t, p.Processes["api"][0])
	for series, want := range map[string]string{
		`seckill_purchases_total{outcome="accepted"}`: "4", `seckill_purchases_total{outcome="sold_out"}`: "1",
		`seckill_link_ready{link="OrderRPC"}`: "1", "seckill_ready": "1", `seckill_part_up{part="registration"}`: "1",
	} {
		if values[series] != want {
			t.Errorf("%s is %q, not %s", series, values[series], want)
		}
	}

	happened := map[string]bool{}
	for _, service := range topology.Services {
		exported, _ := scrape(t, p.Processes[service][0])
		compare(t, service, table, exported)
		for name := range exported {
			happened[name] = true
		}
	}
	for name, row := range table {
		if _, ok := unseen[name]; row.happens && !happened[name] && !ok {
			t.Errorf("%s is documented and nobody exports it", name)
		}
	}
}

// compare holds what a process exports to the table, both ways.
func compare(t *testing.T, service string, table map[string]documented, exported map[string]family) {
	t.Helper()
	for name, row := range table {
		got, ok := exported[name]
		switch mine := slices.Contains(row.who, service); {
		case ok && !mine:
			t.Errorf("%s exports %s, which is documented for %v", service, name, row.who)
		case !ok && mine && !row.happens:
			t.Errorf("%s does not export %s", service, name)
		case ok && (got.kind != row.kind || !slices.Equal(got.labels, row.labels)):
			t.Errorf("%s of %s is a %s with the labels %v, documented as a %s with %v", name, service, got.kind, got.labels, row.kind, row.labels)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(exported)) {
		if _, ok := table[name]; !ok {
			t.Errorf("%s exports %s, which is not documented", service, name)
		}
	}
}

// cancelOne makes a sale of 9 units, buys one and cancels that, until its unit is back, and returns the sale.
func cancelOne(t *testing.T, p *topology.Topology, shop *customers) string {
	t.Helper()
	must := func(r reply, err error) reply {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	call := func(method, path, token, body string, want int) reply {
		t.Helper()
		return must(shop.call(t.Context(), method, path, token, body, want))
	}
	product := call(http.MethodPost, "/admin/products", shop.admin, `{"title":"Kettle","description":"","imageUrl":"","price":1999,"currency":"EUR"}`, http.StatusCreated)
	now := time.Now().UTC()
	sale := call(http.MethodPost, "/admin/sales", shop.admin, fmt.Sprintf(
		`{"productId":%q,"title":"Kettles","price":999,"currency":"EUR","stock":9,"perUserLimit":1,"startsAt":%q,"endsAt":%q,"paymentTimeoutSeconds":900}`,
		product.text("productId"), now.Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339)), http.StatusCreated).text("saleId")
	call(http.MethodPost, "/admin/sales/"+sale+"/actions", shop.admin, `{"action":"preheat"}`, http.StatusOK)
	out, err := command(t, p, "tokens", "--count", "1").Output()
	if err != nil {
		t.Fatal(err)
	}
	buyer := strings.TrimSpace(string(out))
	order := call(http.MethodPost, "/sales/"+sale+"/orders", buyer, `{"quantity":1}`, http.StatusAccepted).text("orderId")
	if err := shop.await(t.Context(), order, buyer, "pending_payment"); err != nil {
		t.Fatal(err)
	}
	call(http.MethodPost, "/orders/"+order+"/cancellation", buyer, "", http.StatusOK)
	topology.Eventually(t, startedWithin, "the unit is back", func() error {
		if r := call(http.MethodGet, "/sales/"+sale, "", "", http.StatusOK); r.fields["remaining"] != 9.0 {
			return fmt.Errorf("%v remain", r.fields["remaining"])
		}
		return nil
	})
	return sale
}

var (
	row  = regexp.MustCompile("^\\| `((?:seckill|go_sql)_[a-z_]+)`( †)? \\| (counter|gauge|histogram) \\|([^|]*)\\| ([^|]+) \\| [^|]+ \\|$")
	name = regexp.MustCompile("`([a-z_]+)`")
)

// readTable reads the tables of docs/metrics.md.
func readTable(t *testing.T) map[string]documented {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]documented{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| `seckill_") && !strings.HasPrefix(line, "| `go_sql_") {
			continue
		}
		m := row.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("docs/metrics.md has a row that is none: %s", line)
		}
		if _, ok := table[m[1]]; ok {
			t.Errorf("docs/metrics.md has %s twice", m[1])
		}
		d := documented{family: family{kind: m[3]}, happens: m[2] != ""}
		for _, label := range name.FindAllStringSubmatch(m[4], -1) {
			d.labels = append(d.labels, label[1])
		}
		slices.Sort(d.labels)
		for who := range strings.SplitSeq(m[5], ", ") {
			d.who = append(d.who, processes(t, who)...)
		}
		table[m[1]] = d
	}
	if len(table) < 50 {
		t.Fatalf("docs/metrics.md has %d metrics", len(table))
	}
	return table
}

// processes are those that a word of the table stands for.
func processes(t *testing.T, who string) []string {
	t.Helper()
	switch {
	case who == "all":
		return topology.Services
	case who == "rpc":
		return []string{"user", "product", "order-rpc"}
	case who == "order":
		return []string{"order-rpc", "order-relay", "order-writer", "order-expirer"}
	case slices.Contains(topology.Services, who):
		return []string{who}
	}
	t.Fatalf("docs/metrics.md: %q is no process", who)
	return nil
}

var label = regexp.MustCompile(`([a-z_]+)="`)

// scrape is what a process exports of the platform's own, and the value of each series.
func scrape(t *testing.T, p *topology.Process) (map[string]family, map[string]string) {
	t.Helper()
	exported, values := map[string]family{}, map[string]string{}
	current := ""
	for lines := bufio.NewScanner(strings.NewReader(p.Metrics(t))); lines.Scan(); {
		text := lines.Text()
		if typed, ok := strings.CutPrefix(text, "# TYPE "); ok {
			var kind string
			current, kind, _ = strings.Cut(typed, " ")
			if strings.HasPrefix(current, "seckill_") || strings.HasPrefix(current, "go_sql_") {
				exported[current] = family{kind: kind}
			}
			continue
		}
		f, ours := exported[current]
		if !ours || strings.HasPrefix(text, "#") {
			continue
		}
		end := strings.LastIndex(text, " ")
		values[text[:end]] = text[end+1:]
		for _, l := range label.FindAllStringSubmatch(text[:end], -1) {
			if l[1] != "le" && !slices.Contains(f.labels, l[1]) {
				f.labels = append(f.labels, l[1])
			}
		}
		slices.Sort(f.labels)
		exported[current] = f
	}
	return exported, values
}
