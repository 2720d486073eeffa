package servercheck

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/dial"
	"github.com/seckill-go/seckill/internal/sqldb"
)

// connectLimit is for one connection to a server.
const connectLimit = 5 * time.Second

// MySQL connects as the services do and looks at the server, the database, the user's rights, and at what
// the migrations of the services would do.
func MySQL(schemas ...sqldb.Schema) func(context.Context, preflight.Task) preflight.Answer {
	return func(ctx context.Context, t preflight.Task) preflight.Answer {
		return mysqlCheck(ctx, t.Plan.MySQL, schemas)
	}
}

func mysqlCheck(ctx context.Context, p preflight.MySQLPlan, schemas []sqldb.Schema) (a preflight.Answer) {
	cfg, err := mysqlConfig(p)
	if err != nil {
		a.Add("mysql-dsn", "", "%v", err)
		return a
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		a.Add("mysql-dsn", cfg.Addr, "%v", err)
		return a
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }() // nothing was changed
	conn, err := db.Conn(ctx)
	if err != nil {
		refused(&a, cfg, err)
		return a
	}
	defer func() { _ = conn.Close() }()
	m := mysqlServer{conn: conn, cfg: cfg, a: &a}
	version, isolation, ok := m.settings(ctx, p)
	if !ok {
		return a
	}
	need := []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
	if p.Migrate {
		// Those of migrations to come, too.
		need = append(need, "CREATE", "ALTER", "INDEX", "DROP")
		need = append(need, m.dryRun(ctx, schemas)...)
	}
	m.grants(ctx, need)
	m.statement(ctx, p.Statement)
	if !slices.ContainsFunc(a.Findings, func(f preflight.Finding) bool { return f.Severity != preflight.Passed }) {
		a.Pass(preflight.CheckMySQL, cfg.Addr, "%s, %s, %s", version, isolation, cfg.DBName)
	}
	return a
}

// mysqlConfig reads the DSN; its errors do not hold the password.
func mysqlConfig(p preflight.MySQLPlan) (*mysql.Config, error) {
	cfg, err := mysql.ParseDSN(p.DSN)
	if err != nil {
		return nil, errors.New("the DSN cannot be read: user:password@tcp(host:port)/database is its form")
	}
	host, _, err := net.SplitHostPort(cfg.Addr)
	if cfg.Net != "tcp" || err != nil || cfg.DBName == "" || cfg.User == "" {
		return nil, errors.New("the DSN needs a user, tcp(host:port) and a database")
	}
	secure, err := p.TLS.Client()
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	if secure != nil {
		cfg.TLS = secure.Config(host)
	}
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = connectLimit, 2*connectLimit, 2*connectLimit
	cfg.AllowAllFiles, cfg.MultiStatements, cfg.ParseTime = false, false, false
	cfg.Logger = &mysql.NopLogger{}
	only := dial.To(cfg.Addr)
	cfg.DialFunc = only.DialContext
	return cfg, nil
}

// hostIn finds the address that MySQL saw, in its own words about a refusal.
var hostIn = regexp.MustCompile(`(?:Host '|@')([^']+)'`)

// refused explains why there is no session. MySQL's numbers are stable; its words are not.
func refused(a *preflight.Answer, cfg *mysql.Config, err error) {
	var my *mysql.MySQLError
	if !errors.As(err, &my) {
		if errors.Is(err, syscall.ECONNREFUSED) {
			a.Add("mysql-bind", cfg.Addr, "connection refused: MySQL is down, or listens on another address such as 127.0.0.1")
			return
		}
		if errors.Is(err, mysql.ErrNoTLS) {
			a.Add("mysql-refused", cfg.Addr, "the server has no TLS, and the plan asks for it")
			return
		}
		a.Add("mysql-address", cfg.Addr, "%s", dial.Why(err))
		return
	}
	host := ""
	if m := hostIn.FindStringSubmatch(my.Message); m != nil {
		host = m[1]
	}
	create := fmt.Sprintf("CREATE USER '%s'@'%s' IDENTIFIED BY '…'; GRANT ALL ON `%s`.* TO '%s'@'%s';", cfg.User, from(host), cfg.DBName, cfg.User, from(host))
	switch my.Number {
	case 1130: // ER_HOST_NOT_PRIVILEGED
		a.Add("mysql-host", cfg.Addr, "no user may come from %s: %s", host, my.Message).Remedy = create
	case 1129: // ER_HOST_IS_BLOCKED
		a.Add("mysql-host", cfg.Addr, "too many broken connections came from %s: %s", host, my.Message).Remedy = "mysqladmin flush-hosts, and SET GLOBAL max_connect_errors = 100000"
	case 1045, 1698: // ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR
		a.Add("mysql-password", cfg.Addr, "%s", my.Message).Remedy = fmt.Sprintf(
			"ALTER USER '%s'@'%s' IDENTIFIED BY '…'; where SELECT user, host FROM mysql.user shows no such user for this host: %s; where it shows a user '' for it: DROP USER ''@'%s', which is taken first",
			cfg.User, host, create, host)
	case 1044: // ER_DBACCESS_DENIED_ERROR
		a.Add("mysql-database", cfg.Addr, "%s", my.Message).Remedy = fmt.Sprintf("GRANT ALL ON `%s`.* TO '%s'@'%s';", cfg.DBName, cfg.User, host)
	case 1049: // ER_BAD_DB_ERROR
		a.Add("mysql-database", cfg.Addr, "%s", my.Message).Remedy = fmt.Sprintf("CREATE DATABASE `%s` CHARACTER SET utf8mb4;", cfg.DBName)
	default:
		a.Add("mysql-refused", cfg.Addr, "%d: %s", my.Number, my.Message)
	}
}

// from is a host pattern for the neighbours of an address: pods change theirs.
func from(host string) string {
	if ip := net.ParseIP(host).To4(); ip != nil {
		return fmt.Sprintf("%d.%d.%%", ip[0], ip[1])
	}
	return "%"
}

type mysqlServer struct {
	conn *sql.Conn
	cfg  *mysql.Config
	a    *preflight.Answer
}

func (m mysqlServer) bad(id, format string, args ...any) *preflight.Finding {
	return m.a.Add(id, m.cfg.Addr, format, args...)
}

// settings holds those of the server and the database against what the promises need; not ok when they
// cannot be read.
func (m mysqlServer) settings(ctx context.Context, p preflight.MySQLPlan) (version, isolation string, ok bool) {
	var mode, charset, zone string
	var readOnly int
	var server float64
	start := time.Now()
	err := m.conn.QueryRowContext(ctx, `SELECT VERSION(), @@SESSION.sql_mode, @@character_set_database,
		TIMEDIFF(NOW(), UTC_TIMESTAMP()), @@GLOBAL.read_only, UNIX_TIMESTAMP(NOW(3))`).Scan(&version, &mode, &charset, &zone, &readOnly, &server)
	took := time.Since(start)
	if err == nil {
		isolation, err = m.isolation(ctx)
	}
	if err != nil {
		m.bad("mysql-refused", "%v", err)
		return "", "", false
	}
	if !recent(version) {
		m.bad("mysql-version", "%s; MySQL 8.0 and MariaDB 10.6 are the oldest that are taken", version)
	}
	if !strings.Contains(mode, "STRICT_TRANS_TABLES") && !strings.Contains(mode, "STRICT_ALL_TABLES") {
		m.bad("mysql-sql-mode", "sql_mode is %q", mode)
	}
	if charset != "utf8mb4" {
		m.bad("mysql-charset", "%s has %s", m.cfg.DBName, charset).Remedy = fmt.Sprintf("ALTER DATABASE `%s` CHARACTER SET utf8mb4;", m.cfg.DBName)
	}
	if isolation == "READ-UNCOMMITTED" {
		m.bad("mysql-isolation", "it is %s", isolation)
	}
	if strings.Trim(zone, "-0:.") != "" {
		m.bad("mysql-time-zone", "the session is %s from UTC", zone)
	}
	if readOnly != 0 {
		m.bad("mysql-read-only", "read_only is on")
	}
	// The server's clock was read somewhere in between: half of the question's time may be wrong.
	apart := time.Duration(server*1000)*time.Millisecond - time.Duration(start.Add(took/2).UnixMilli())*time.Millisecond
	if apart.Abs()-took/2 > p.MaxClockApart {
		m.bad("mysql-clock", "it is more than %v from this node's", apart.Abs().Truncate(time.Second))
	}
	return version, isolation, true
}

// isolation has a name of its own in MariaDB before 11.1.
func (m mysqlServer) isolation(ctx context.Context) (level string, err error) {
	var my *mysql.MySQLError
	err = m.conn.QueryRowContext(ctx, "SELECT @@SESSION.transaction_isolation").Scan(&level)
	if errors.As(err, &my) && my.Number == 1193 { // ER_UNKNOWN_SYSTEM_VARIABLE
		err = m.conn.QueryRowContext(ctx, "SELECT @@SESSION.tx_isolation").Scan(&level)
	}
	return level, err
}

// recent tells whether a VERSION() is new enough.
func recent(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return false
	}
	if strings.Contains(version, "MariaDB") {
		return major > 10 || major == 10 && minor >= 6
	}
	return major >= 8
}

// grants reads SHOW GRANTS, and says what is missing and from where the user may come.
func (m mysqlServer) grants(ctx context.Context, need []string) {
	lines, err := m.strings(ctx, "SHOW GRANTS")
	if err != nil {
		m.bad("mysql-grants", "SHOW GRANTS: %v", err)
		return
	}
	account, missing := lacking(lines, m.cfg.DBName, need)
	if len(missing) > 0 {
		what := strings.Join(missing, ", ")
		m.bad("mysql-grants", "%s lacks %s on %s", account, what, m.cfg.DBName).Remedy = fmt.Sprintf("GRANT %s ON `%s`.* TO %s;", what, m.cfg.DBName, account)
	}
}

// grantLine is GRANT privileges ON database.table TO account.
var grantLine = regexp.MustCompile("(?i)^GRANT (.+) ON (?:TABLE )?(\\*|`[^`]+`)\\.(\\*|`[^`]+`) TO ([`'][^`']*[`']@[`'][^`']*[`'])")

// lacking gives the account as the server knows it, user and host, and which rights no line gives it on
// the whole database.
func lacking(lines []string, database string, need []string) (account string, missing []string) {
	account = "CURRENT_USER"
	for _, right := range need {
		if !slices.Contains(missing, right) {
			missing = append(missing, right)
		}
	}
	for _, line := range lines {
		g := grantLine.FindStringSubmatch(line)
		if g == nil {
			continue
		}
		account = strings.ReplaceAll(g[4], "`", "'")
		if g[3] != "*" || g[2] != "*" && !covers(strings.Trim(g[2], "`"), database) {
			continue
		}
		for _, right := range strings.Split(strings.ToUpper(g[1]), ", ") {
			if right == "ALL PRIVILEGES" || right == "ALL" {
				return account, nil
			}
			missing = slices.DeleteFunc(missing, func(n string) bool { return n == right })
		}
	}
	return account, missing
}

// covers matches a database by a grant's pattern, in which _ and % are wildcards unless escaped.
func covers(pattern, database string) bool {
	var b strings.Builder
	b.WriteString("^")
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && i+1 < len(pattern):
			i++
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		case c == '%':
			b.WriteString(".*")
		case c == '_':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	ok, err := regexp.MatchString(b.String()+"$", database)
	return err == nil && ok
}

// statement runs the plan's in a read-only transaction that is rolled back.
func (m mysqlServer) statement(ctx context.Context, text string) {
	if text == "" {
		return
	}
	tx, err := m.conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		m.bad("mysql-statement", "%v", err)
		return
	}
	defer func() { _ = tx.Rollback() }() // nothing can have been written
	rows, err := tx.QueryContext(ctx, text)
	if err != nil {
		m.bad("mysql-statement", "%v", err)
		return
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		continue // the rows are the runner's own business
	}
	if err := rows.Err(); err != nil {
		m.bad("mysql-statement", "%v", err)
	}
}
