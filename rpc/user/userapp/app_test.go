package userapp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/seckill-go/seckill/internal/accesstoken"
	"github.com/seckill-go/seckill/internal/embedded"
	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/internal/process"
	"github.com/seckill-go/seckill/internal/sqldb"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/seckill-go/seckill/internal/transport"
	"github.com/seckill-go/seckill/rpc/user/userapp"
	"github.com/seckill-go/seckill/rpc/user/userpb"
	"github.com/zeromicro/go-zero/core/logx"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	secret        = "an access token secret for tests"
	password      = "correct horse battery"
	adminPassword = "the admin's own password"
)

func TestMain(m *testing.M) {
	code := m.Run()
	testservers.StopMariaDB()
	if code == 0 {
		if err := goleak.Find(ignored...); err != nil {
			_, _ = os.Stderr.WriteString(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}

// ignored are goroutines of libraries that last as long as the process: gorm's, which ages a pool's
// prepared statements, and go-zero's signal handler, what waits for it behind every server, and CPU meter.
var ignored = []goleak.Option{
	goleak.IgnoreTopFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"),
	goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/proc.init.1.func1"),
	goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/stat.init.1.func1"),
	goleak.IgnoreAnyFunction("github.com/zeromicro/go-zero/core/proc.(*listenerManager).addListener.func2"),
}

func sqliteDSN(t *testing.T) string {
	t.Helper()
	dsn, err := embedded.SQLiteDSN(filepath.Join(t.TempDir(), "users.db"))
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// config is a valid one on a free port, with hashes that cost next to nothing.
func config(t *testing.T, dsn string) userapp.Config {
	t.Helper()
	cfg := userapp.Defaults(testservers.FreeAddr(t))
	cfg.Database.DSN = dsn
	cfg.AccessToken.Secret = secret
	cfg.Password.MemoryKiB, cfg.Password.Iterations = 64, 1
	cfg.Timeout = 20_000 // the machine may be busy
	cfg.Password.MaxWait = 10 * time.Second
	return cfg
}

// start runs a service until the test ends and returns a client of it.
func start(t *testing.T, cfg userapp.Config) userpb.UserServiceClient {
	t.Helper()
	app, err := userapp.New(cfg, process.Process{})
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(cfg.ListenOn, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(transport.UnaryClientInterceptor))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(conn.Close(), app.Stop(ctx)); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return userpb.NewUserServiceClient(conn)
}

func wantCode(t *testing.T, err error, code errs.Code, field string) {
	t.Helper()
	var e *errs.Error
	if !errors.As(err, &e) || e.Code != code || e.Field != field {
		t.Errorf("error %v; want %s (%s)", err, code, field)
	}
}

func register(t *testing.T, c userpb.UserServiceClient, name string) int64 {
	t.Helper()
	r, err := c.Register(t.Context(), &userpb.RegisterRequest{Username: name, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return r.GetUserId()
}

func login(t *testing.T, c userpb.UserServiceClient, name, password string) *userpb.Session {
	t.Helper()
	s, err := c.CreateSession(t.Context(), &userpb.CreateSessionRequest{Username: name, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func claims(t *testing.T, s *userpb.Session) accesstoken.Claims {
	t.Helper()
	v, err := accesstoken.NewVerifier([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Verify(s.GetAccessToken(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOnSQLite(t *testing.T) { scenario(t, sqliteDSN(t)) }

func TestOnMariaDB(t *testing.T) { scenario(t, testservers.MariaDB(t)) }

// scenario calls every method, for what it gives and for every error that it has.
func scenario(t *testing.T, dsn string) {
	cfg := config(t, dsn)
	cfg.AdminPassword = adminPassword
	c := start(t, cfg)
	ctx := t.Context()

	id := register(t, c, "Ada")
	if u, err := c.GetUser(ctx, &userpb.GetUserRequest{UserId: id}); err != nil || u.GetUserId() != id || u.GetUsername() != "ada" || u.GetRole() != "user" {
		t.Errorf("GetUser = %v, %v", u, err)
	}
	_, err := c.GetUser(ctx, &userpb.GetUserRequest{UserId: id + 1000})
	wantCode(t, err, errs.NotFound, "")
	for _, bad := range []struct {
		name, password, field string
		code                  errs.Code
	}{
		{"ada", password, "", errs.UsernameTaken},
		{"admin", password, "", errs.UsernameTaken},
		{"a", password, "username", errs.InvalidRequest},
		{"grace", "short", "password", errs.InvalidRequest},
	} {
		_, err := c.Register(ctx, &userpb.RegisterRequest{Username: bad.name, Password: bad.password})
		wantCode(t, err, bad.code, bad.field)
	}

	phone, desk := login(t, c, "ada", password), login(t, c, "ADA", password)
	if got := claims(t, phone); got.UserID != id || got.Role != accesstoken.RoleUser || phone.GetExpiresIn() != 900 {
		t.Errorf("claims %+v, expiresIn %d", got, phone.GetExpiresIn())
	}
	if got := claims(t, login(t, c, "admin", adminPassword)); got.Role != accesstoken.RoleAdmin {
		t.Errorf("the admin's claims %+v", got)
	}
	_, err = c.CreateSession(ctx, &userpb.CreateSessionRequest{Username: "ada", Password: "wrong password"})
	wantCode(t, err, errs.Unauthenticated, "")
	_, unknown := c.CreateSession(ctx, &userpb.CreateSessionRequest{Username: "nobody", Password: "wrong password"})
	wantCode(t, unknown, errs.Unauthenticated, "")
	_, err = c.CreateSession(ctx, &userpb.CreateSessionRequest{Username: "ada"})
	wantCode(t, err, errs.InvalidRequest, "password")

	next, err := c.RefreshSession(ctx, &userpb.RefreshSessionRequest{RefreshToken: phone.GetRefreshToken()})
	if err != nil || claims(t, next).UserID != id || next.GetRefreshToken() == phone.GetRefreshToken() {
		t.Fatalf("RefreshSession = %v, %v", next, err)
	}
	for _, dead := range []string{phone.GetRefreshToken(), next.GetRefreshToken(), "never issued"} { // the first is presented again, and takes the second with it
		_, err := c.RefreshSession(ctx, &userpb.RefreshSessionRequest{RefreshToken: dead})
		wantCode(t, err, errs.Unauthenticated, "")
	}
	if _, err := c.RefreshSession(ctx, &userpb.RefreshSessionRequest{RefreshToken: desk.GetRefreshToken()}); err != nil {
		t.Errorf("the other device: %v", err)
	}
	_, err = c.RefreshSession(ctx, &userpb.RefreshSessionRequest{})
	wantCode(t, err, errs.InvalidRequest, "refreshToken")

	h, err := c.Health(ctx, &userpb.HealthRequest{})
	if err != nil || len(h.GetParts()) != 1 || h.GetParts()[0].GetName() != "mysql" || !h.GetParts()[0].GetUp() || h.GetParts()[0].GetDetail() != "" {
		t.Errorf("Health = %v, %v", h, err)
	}
}

func TestOneRefreshWins(t *testing.T) {
	c := start(t, config(t, sqliteDSN(t)))
	register(t, c, "ada")
	token := login(t, c, "ada", password).GetRefreshToken()
	failures := make([]error, 6)
	var all sync.WaitGroup
	for i := range failures {
		all.Go(func() {
			_, failures[i] = c.RefreshSession(context.Background(), &userpb.RefreshSessionRequest{RefreshToken: token})
		})
	}
	all.Wait()
	winners := 0
	for _, err := range failures {
		if err == nil {
			winners++
		} else {
			wantCode(t, err, errs.Unauthenticated, "")
		}
	}
	if winners != 1 {
		t.Errorf("%d of %d calls won", winners, len(failures))
	}
}

func TestOverloaded(t *testing.T) {
	cfg := config(t, sqliteDSN(t))
	cfg.Password.MemoryKiB, cfg.Password.Iterations = 64<<10, 2
	cfg.Password.AtOnce, cfg.Password.MaxWait = 1, time.Millisecond
	c := start(t, cfg)
	failures := make([]error, 8)
	var all sync.WaitGroup
	for i := range failures {
		all.Go(func() {
			_, failures[i] = c.CreateSession(context.Background(), &userpb.CreateSessionRequest{Username: "nobody", Password: password})
		})
	}
	all.Wait()
	codes := map[errs.Code]int{}
	for _, err := range failures {
		codes[errs.CodeOf(err)]++
		if e := errs.From(err); e.Code == errs.Overloaded && e.RetryAfter <= 0 {
			t.Errorf("%v does not say when to come again", err)
		}
	}
	if codes[errs.Overloaded] == 0 || codes[errs.Unauthenticated] == 0 || len(codes) != 2 {
		t.Errorf("answers %v", codes)
	}
}

func TestAdminPassword(t *testing.T) {
	dsn := sqliteDSN(t)
	c := start(t, config(t, dsn))
	_, err := c.CreateSession(t.Context(), &userpb.CreateSessionRequest{Username: "admin", Password: adminPassword})
	wantCode(t, err, errs.Unauthenticated, "") // without a password there is no such account

	cfg := config(t, dsn)
	cfg.AdminPassword = adminPassword
	c = start(t, cfg)
	old := login(t, c, "admin", adminPassword)

	cfg = config(t, dsn)
	cfg.AdminPassword = "a changed password"
	c = start(t, cfg)
	login(t, c, "admin", "a changed password")
	_, err = c.RefreshSession(t.Context(), &userpb.RefreshSessionRequest{RefreshToken: old.GetRefreshToken()})
	wantCode(t, err, errs.Unauthenticated, "")

	c = start(t, config(t, dsn)) // and without one nothing is changed
	login(t, c, "admin", "a changed password")

	cfg = config(t, dsn)
	cfg.AdminPassword = "short"
	app, err := userapp.New(cfg, process.Process{})
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Start(t.Context()); errs.CodeOf(err) != errs.InvalidRequest {
		t.Errorf("started with a password that is too short: %v", err)
	}
}

func TestSchemaIsChecked(t *testing.T) {
	dsn := sqliteDSN(t)
	cfg := config(t, dsn)
	cfg.Migrate = false
	board := new(process.Board)
	app, err := userapp.New(cfg, process.Process{Board: board})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		// It says what it waits for, until somebody migrates or it is stopped.
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			parts, _ := board.Ready(ctx)
			if slices.ContainsFunc(parts, func(p process.Part) bool { return strings.Contains(p.Detail, "migration") }) {
				break
			}
		}
		cancel()
	}()
	if err := app.Start(ctx); err == nil || !strings.Contains(err.Error(), "migration") {
		t.Errorf("started on an empty database: %v", err)
	}
	start(t, config(t, dsn))
	cfg.ListenOn = config(t, dsn).ListenOn
	register(t, start(t, cfg), "ada")
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*userapp.Config){
		"no secret":           func(c *userapp.Config) { c.AccessToken.Secret = "" },
		"a short secret":      func(c *userapp.Config) { c.AccessToken.Secret = "short" },
		"no token lifetime":   func(c *userapp.Config) { c.AccessToken.TTL = 0 },
		"no refresh lifetime": func(c *userapp.Config) { c.RefreshTokenTTL = 0 },
		"no hash slots":       func(c *userapp.Config) { c.Password.AtOnce = 0 },
		"no hash cost":        func(c *userapp.Config) { c.Password.MemoryKiB = 0 },
		"no database":         func(c *userapp.Config) { c.Database.DSN = "" },
	} {
		cfg := config(t, sqliteDSN(t))
		change(&cfg)
		if _, err := userapp.New(cfg, process.Process{}); err == nil {
			t.Errorf("%s: taken", name)
		} else if strings.Contains(err.Error(), "short") && name == "a short secret" {
			t.Errorf("the error holds the secret: %v", err)
		}
	}
}

// line is a TCP relay that can be cut.
type line struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
	ended sync.WaitGroup
}

func relayTo(t *testing.T, target string) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &line{Listener: l}
	r.ended.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				_ = near.Close() // the client sees it
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, near, far)
			r.mu.Unlock()
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				r.ended.Go(func() {
					_, _ = io.Copy(way[0], way[1]) // ends with the line
					_ = way[0].Close()
				})
			}
		}
	})
	t.Cleanup(r.cut)
	return r
}

// cut ends the relay and every connection over it.
func (r *line) cut() {
	_ = r.Close()
	r.mu.Lock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.ended.Wait()
}

func TestDatabaseGoesAway(t *testing.T) {
	dsn, err := mysql.ParseDSN(testservers.MariaDB(t))
	if err != nil {
		t.Fatal(err)
	}
	relay := relayTo(t, dsn.Addr)
	dsn.Addr = relay.Addr().String()
	c := start(t, config(t, dsn.FormatDSN()))
	register(t, c, "ada")
	session := login(t, c, "ada", password)
	relay.cut()
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"Register": func() error {
			_, err := c.Register(ctx, &userpb.RegisterRequest{Username: "grace", Password: password})
			return err
		},
		"CreateSession": func() error {
			_, err := c.CreateSession(ctx, &userpb.CreateSessionRequest{Username: "ada", Password: password})
			return err
		},
		"RefreshSession": func() error {
			_, err := c.RefreshSession(ctx, &userpb.RefreshSessionRequest{RefreshToken: session.GetRefreshToken()})
			return err
		},
		"GetUser": func() error { _, err := c.GetUser(ctx, &userpb.GetUserRequest{UserId: 1}); return err },
	} {
		if err := call(); errs.CodeOf(err) != errs.Unavailable || errs.From(err).RetryAfter <= 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	h, err := c.Health(ctx, &userpb.HealthRequest{})
	if err != nil || len(h.GetParts()) != 1 {
		t.Fatalf("Health = %v, %v", h, err)
	}
	if p := h.GetParts()[0]; p.GetUp() || p.GetDetail() == "" || strings.Contains(p.GetDetail(), "127.0.0.1") {
		t.Errorf("part %v", p)
	}
}

// logged is a writer for logx that keeps what it is given.
type logged struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func TestNoSecretsInLogs(t *testing.T) {
	dsn := sqliteDSN(t)
	cfg := config(t, dsn)
	cfg.AdminPassword = adminPassword
	var log logged
	before := logx.Reset()
	logx.SetWriter(logx.NewWriter(&log))
	t.Cleanup(func() { logx.Reset(); logx.SetWriter(before) })
	c := start(t, cfg)
	ctx := t.Context()

	const wrong = "a wrong password"
	register(t, c, "ada")
	_, err := c.Register(ctx, &userpb.RegisterRequest{Username: "ada", Password: password})
	wantCode(t, err, errs.UsernameTaken, "")
	session := login(t, c, "ada", password)
	_, err = c.CreateSession(ctx, &userpb.CreateSessionRequest{Username: "ada", Password: wrong})
	wantCode(t, err, errs.Unauthenticated, "")
	next, err := c.RefreshSession(ctx, &userpb.RefreshSessionRequest{RefreshToken: session.GetRefreshToken()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.RefreshSession(ctx, &userpb.RefreshSessionRequest{RefreshToken: session.GetRefreshToken()})
	wantCode(t, err, errs.Unauthenticated, "")

	// Internal errors are logged, with what the database said; each with a secret in the request.
	db, err := sqldb.Open(sqldb.Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"users", "refresh_tokens"} {
		if err := db.Exec("DROP TABLE " + table).Error; err != nil {
			t.Fatal(err)
		}
	}
	if err := sqldb.Close(db); err != nil {
		t.Fatal(err)
	}
	_, err = c.Register(ctx, &userpb.RegisterRequest{Username: "grace", Password: password})
	wantCode(t, err, errs.Internal, "")
	_, err = c.CreateSession(ctx, &userpb.CreateSessionRequest{Username: "ada", Password: password})
	wantCode(t, err, errs.Internal, "")
	_, err = c.RefreshSession(ctx, &userpb.RefreshSessionRequest{RefreshToken: next.GetRefreshToken()})
	wantCode(t, err, errs.Internal, "")

	text := log.String()
	if strings.Count(text, "call failed") != 3 {
		t.Errorf("the log was not caught: %s", text)
	}
	for _, s := range []string{
		password, wrong, adminPassword, secret, session.GetAccessToken(), session.GetRefreshToken(),
		next.GetAccessToken(), next.GetRefreshToken(), "$argon2id$",
	} {
		if strings.Contains(text, s) {
			t.Errorf("the log holds the secret %q", s)
		}
	}
}
