//go:build mutants

package mutants

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// limit bounds the tests of one mutant, which may hang as well as fail.
const limit = 6 * time.Minute

// edit replaces one text, which must be in the file exactly once, so that a mutant that no longer fits
// the code is noticed.
type edit struct{ file, from, to string }

// mutant is one way to break the platform, and the tests that must notice.
type mutant struct {
	name  string
	edits []edit
	// run and packages are go test's.
	run      string
	packages []string
	// audit matches a finding that the auditor must have on the state that the test ended in; "" where
	// the audit's word is printed and not demanded.
	audit string
}

const (
	internal = "rpc/order/internal/"
	proof    = "./rpc/order/internal/orderproof"
	domain   = "./rpc/order/internal/order"
	scripts  = "./rpc/order/internal/redisstock"
	tables   = "./rpc/order/internal/mysqlorders"
	memory   = "./api/internal/soldout"
	fitness  = "./internal/preflight/"

	reserveLua = internal + "redisstock/lua/reserve.lua"
	schema     = internal + "mysqlorders/migrations/00001_sales_and_orders.sql"
	admit      = internal + "order/admit.go"
	walk       = "TestWalk/embedded"
)

var (
	noUniqueUser = edit{schema, "  CONSTRAINT orders_one_active UNIQUE (sale_id, active_user),\n", ""}
	noUniqueKey  = edit{schema, "  CONSTRAINT orders_one_key UNIQUE (user_id, sale_id, key_hash)\n", "  CONSTRAINT orders_one_key UNIQUE (id)\n"}
)

// Constants are no conditions for the scripts: the embedded interpreter miscompiles some.
var mutants = []mutant{
	// While Admit stands before them, a missing key lets nothing through: no state is wrong, and the audit
	// has nothing to find.
	{
		name: "no UNIQUE over a sale's active users", run: "TestDatabaseRefusesByItself/sqlite", packages: []string{tables},
		edits: []edit{noUniqueUser},
	},
	{
		name: "no UNIQUE over keys", run: "TestDatabaseRefusesByItself/sqlite", packages: []string{tables},
		edits: []edit{noUniqueKey},
	},
	{
		name: "neither UNIQUE nor Admit counts a user's orders", run: "TestForgedOrders/embedded", packages: []string{proof},
		edits: []edit{noUniqueUser, {admit, "case held[e.UserID]+e.Quantity > sale.PerUserLimit:", "case false:"}},
		audit: "over_limit",
	},
	{
		name: "neither UNIQUE nor Admit looks for the key", run: "TestForgedOrders/embedded", packages: []string{proof},
		edits: []edit{noUniqueKey, {admit, "case keys[k]:", "case false:"}},
		audit: "duplicate_key",
	},
	{
		name: "reserve.lua does not compare the fence", run: walk, packages: []string{proof},
		edits: []edit{{reserveLua, "if not m[1] or m[2] ~= fence or m[3] then", "if not m[1] or m[3] then"}},
	},
	{
		name: "reserve.lua accepts on a closed generation", run: walk, packages: []string{proof},
		edits: []edit{{reserveLua, "if not m[1] or m[2] ~= fence or m[3] then", "if not m[1] or m[2] ~= fence then"}},
	},
	{
		name: "reserve.lua does not compare the generation", run: walk, packages: []string{proof},
		edits: []edit{{reserveLua, "if tonumber(m[1]) ~= gen then", "if gen == nil then"}},
		audit: "lost|not_in_mysql|units_wrong|sequence_gap",
	},
	{
		name: "no script asks for the server's replication id", run: "TestWalk/servers", packages: []string{proof},
		edits: []edit{{internal + "redisstock/lua/prelude.lua", "  if not replid then", "  if fence then"}},
	},
	{
		name: "reserve.lua does not look for the key", run: "(TestWalk|TestOneUserInParallel)/embedded", packages: []string{proof},
		edits: []edit{{reserveLua, "if kept_gen then", "if kept_gen == -1 then"}},
		audit: "rejected",
	},
	{
		name: "reserve.lua sells while gateways say sold out", run: walk, packages: []string{proof},
		edits: []edit{{reserveLua, "elseif leased or remaining < qty then", "elseif remaining < qty then"}},
	},
	{
		name: "a gateway says sold out to buyers", run: "TestNoAnswerFromMemoryIsWrong", packages: []string{memory},
		edits: []edit{{"api/internal/soldout/soldout.go", " || l.users.Has(userID) {", " {"}},
	},
	{
		name: "the writer commits offsets before the insert", run: walk, packages: []string{proof},
		edits: []edit{
			{internal + "order/writer.go", "func(ctx context.Context) error { return w.handle(ctx, messages) }); err != nil {\n			return err\n",
				"func(ctx context.Context) error { return c.feed.Commit(ctx, messages) }); err != nil {\n			return err\n"},
			{internal + "order/writer.go", "return c.feed.Commit(ctx, messages) })\n		w.stats", "return w.handle(ctx, messages) })\n		w.stats"},
		},
		audit: "lost|not_in_mysql",
	},
	{
		name: "release.lua gives units back again", run: walk, packages: []string{proof},
		edits: []edit{{internal + "redisstock/lua/release.lua", "      if o.holds then", "      if o.holds ~= nil then"}},
		audit: "returned_twice|units_wrong",
	},
	{
		name: "no guard of the stock in SQL", run: "TestForgedOrders/embedded", packages: []string{proof},
		edits: []edit{
			{internal + "mysqlorders/write.go", `sold = sold + ? WHERE id = ? AND sold + ? <= stock", units, saleID, units)`, `sold = sold + ? WHERE id = ?", units, saleID)`},
			{admit, "case sale.Sold+units+e.Quantity > sale.Stock:", "case false:"},
			{schema, "CHECK (sold >= 0 AND sold <= stock)", "CHECK (sold >= 0)"},
		},
	},
	{
		name: "Admit takes orders below the floor", run: walk, packages: []string{proof},
		edits: []edit{{admit, "case e.OrderID.Generation() < sale.Floor:", "case false:"}},
	},
	{
		name: "the outbox entry goes before the produce", run: walk, packages: []string{proof},
		edits: []edit{{internal + "order/reserver.go", "	if len(events) > 0 && r.publish(events) {\n", "	r.removals.add(entries)\n	if len(events) > 0 && r.publish(events) {\n"}},
	},
	{
		name: "the relay removes entries that Kafka did not take", run: walk, packages: []string{proof},
		edits: []edit{{internal + "order/relay.go", "		if err := r.publish(ctx, events); err != nil {\n			return done, err\n		}\n",
			"		_ = r.publish(ctx, events)\n"}},
	},
	{
		name: "a rebuild does not close the old generation", run: walk, packages: []string{proof},
		edits: []edit{{internal + "order/rebuild.go", "	if old.Built {\n		if err := b.stock.Close(ctx, saleID); err != nil {", "	if false {\n		if err := b.stock.Close(ctx, saleID); err != nil {"}},
	},
	{
		name: "a rebuild leaves an earlier build alone", run: "TestABuildThatWasOvertakenNeverSells/embedded", packages: []string{proof, domain},
		edits: []edit{{internal + "order/rebuild.go", "	if sale.Floor > 0 {", "	if sale.Floor < 0 {"}},
	},
	{
		name: "a rebuild does not drain the outbox", run: walk, packages: []string{proof},
		edits: []edit{{internal + "order/rebuild.go", "	for old.Built {\n		n, err := b.relay.Drain", "	for false {\n		n, err := b.relay.Drain"}},
	},
	{
		name: "a rebuild does not wait for the writers", run: walk, packages: []string{proof},
		edits: []edit{{internal + "order/rebuild.go", "	return b.passed(ctx, end)", "	_ = end\n	return nil"}},
	},
	{
		name: "open.lua opens an older generation over a newer one", run: "(TestAnOlderBuildNeverOpens|TestBuild$)/embedded", packages: []string{proof, scripts},
		edits: []edit{{internal + "redisstock/lua/open.lua", "if current >= gen then", "if current == nil then"}},
	},
	{
		name: "sync.lua takes older terms", run: walk, packages: []string{proof},
		edits: []edit{{internal + "redisstock/lua/sync.lua", "if tonumber(m[4]) >= tonumber(ARGV[2]) then", "if m[4] == nil then"}},
	},
	{
		name: "an ended order ends again", run: "(TestPayRaces|TestWalk)/embedded", packages: []string{proof},
		edits: []edit{{internal + "mysqlorders/orders.go", `Where("id = ? AND state = ?", int64(id), string(order.StatePending))`, `Where("id = ?", int64(id))`}},
	},
	{
		name: "a capture pays whatever the order's state is", run: "(TestPayRaces|TestWalk)/embedded", packages: []string{proof},
		edits: []edit{{internal + "mysqlorders/payments.go",
			`Where("id = ? AND state = ?", row.OrderID, string(order.StatePending)).`, `Where("id = ?", row.OrderID).`}},
	},
	{
		name: "take.lua takes a bucket's units again", run: "TestTransfers", packages: []string{scripts},
		edits: []edit{{internal + "redisstock/lua/take.lua", "if n <= tonumber(redis.call('HGET', KEYS[2], 'in:' .. from) or 0) then", "if n == nil then"}},
	},
	{
		name: "one empty bucket is a sale that is sold out", run: "TestTheLastUnitSells", packages: []string{scripts},
		edits: []edit{{internal + "redisstock/reserve.go", "if short := soldOut(decisions, at); len(short) > 0 {", "if short := soldOut(decisions, at); len(short) < 0 {"}},
	},
	{
		name: "a bucket's refusal is believed from before the proof", run: "TestARefusalFromBeforeIsNotBelieved", packages: []string{scripts},
		edits: []edit{{internal + "redisstock/fetch.go", "			ask(short)\n			if len(short) == 0 {\n				return refs //", "			if len(short) == 0 {\n				return refs //"}},
	},
	{
		name: "a preflight agent takes a request again", run: "TestARequestIsTakenOnce|TestReplaysAndForgeriesDoNothing",
		packages: []string{fitness + "seal", fitness + "runner"},
		edits:    []edit{{"internal/preflight/seal/seal.go", "_, again := g.seen[e.Nonce]; again {", "_, again := g.seen[e.Nonce]; again && len(e.Path) == 0 {"}},
	},
	{
		name: "a preflight agent takes a request for another agent", run: "TestARequestIsTakenOnce|TestReplaysAndForgeriesDoNothing",
		packages: []string{fitness + "seal", fitness + "runner"},
		edits:    []edit{{"internal/preflight/seal/seal.go", "e.Method, e.Path, e.Agent, e.Time", `e.Method, e.Path, "", e.Time`}},
	},
	{
		name: "a preflight agent calls what the plan does not name", run: "TestOnlyTargetsAreCalled|TestKafka",
		packages: []string{fitness + "dial", fitness + "servercheck"},
		edits:    []edit{{"internal/preflight/dial/dial.go", "if !d.allowed[address] {", "if d.allowed == nil {"}},
	},
	{
		name: "a preflight agent calls addresses that no plan may", run: "TestOnlyTargetsAreCalled", packages: []string{fitness + "dial"},
		edits: []edit{{"internal/preflight/dial/dial.go", " || ip.IsUnspecified()", ""}},
	},
	{
		name: "preflight asks one address of the ingress name", run: "TestTheRoundRobinTrap", packages: []string{fitness + "netcheck"},
		edits: []edit{{"internal/preflight/netcheck/ingress.go", "	answers := make([]preflight.Answer, len(ips))\n", "	ips = ips[:1]\n	answers := make([]preflight.Answer, len(ips))\n"}},
	},
}

func TestMutants(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	if err := copyTree(root, tree); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		if _, err := fmt.Fprintln(table, strings.Join(cells, "\t| ")); err != nil {
			t.Fatal(err)
		}
	}
	row("mutant", "test that went red", "what the audit says")
	for _, m := range mutants {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			red, found := infect(t, tree, m)
			row(m.name, strings.Join(red, ", "), cmp.Or(strings.Join(found, ", "), "(not asked)"))
			if m.audit != "" && !slices.ContainsFunc(found, regexp.MustCompile("^("+m.audit+")$").MatchString) {
				t.Errorf("the audit finds %q, and should find %s", found, m.audit)
			}
		})
	}
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("what went red:\n%s", text.String())
}

// infect applies a mutant, runs its tests, and undoes it. It returns the tests that failed, and what the
// auditor found on the states that they ended in; nothing where they asked no auditor.
func infect(t *testing.T, tree string, m mutant) (red, found []string) {
	before := map[string][]byte{}
	defer func() {
		for name, text := range before {
			if err := os.WriteFile(name, text, 0o600); err != nil {
				t.Error(err)
			}
		}
	}()
	for _, e := range m.edits {
		name := filepath.Join(tree, filepath.FromSlash(e.file))
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), e.from); n != 1 {
			t.Fatalf("%s has %d times the text that the mutant replaces: %s", e.file, n, e.from)
		}
		if before[name] == nil {
			before[name] = text
		}
		if err := os.WriteFile(name, []byte(strings.Replace(string(text), e.from, e.to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit+time.Minute)
	defer cancel()
	args := append([]string{"test", "-tags", "no_k8s", "-count=1", "-failfast", "-timeout", limit.String(), "-run", m.run}, m.packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = tree
	// The long runs cost a mutant that is caught nothing, and a random walk comes to what a short one misses.
	cmd.Env = append(os.Environ(), "SECKILL_TEST_LONG=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		t.Fatalf("survived: go %s", strings.Join(args, " "))
	case !errors.As(err, &exit):
		t.Fatal(err)
	}
	red = failed(string(out))
	if len(red) == 0 {
		t.Fatalf("no test failed by itself:\n%s", out)
	}
	for _, line := range strings.Split(string(out), "\n") {
		if reason.MatchString(line) && !onlySeed.MatchString(line) {
			t.Log(strings.TrimSpace(line))
			break
		}
	}
	return red, audited(string(out))
}

var (
	failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	// reason is the first line of what a test says.
	reason   = regexp.MustCompile(`^\s+\w+_test\.go:\d+: `)
	onlySeed = regexp.MustCompile(`: seed \d+$`)
	// verdict is what orderproof prints of an audit.
	verdict = regexp.MustCompile(`(?m)^\s+\w+_test\.go:\d+: the audit: (.+)$`)
)

// audited lists the codes of all findings of all audits that tests print.
func audited(out string) []string {
	var codes []string
	for _, m := range verdict.FindAllStringSubmatch(out, -1) {
		codes = append(codes, strings.Split(m[1], ", ")...)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// failed lists the tests that failed, without their seeds.
func failed(out string) []string {
	var names []string
	for _, m := range failure.FindAllStringSubmatch(out, -1) {
		parts := strings.Split(m[1], "/")
		names = append(names, strings.Join(parts[:min(2, len(parts))], "/"))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	// A test that has failed subtests says nothing more than they.
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return slices.ContainsFunc(names, func(o string) bool { return strings.HasPrefix(o, n+"/") })
	})
}

// copyTree copies what git knows of a tree, and what it would add.
func copyTree(from, to string) error {
	list := exec.Command("git", "ls-files", "-co", "--exclude-standard", "-z")
	list.Dir = from
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("list the tree: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted and not committed yet
		}
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(target, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
