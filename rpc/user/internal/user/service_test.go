package user_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/errs"
	"github.com/seckill-go/seckill/rpc/user/internal/user"
	"github.com/seckill-go/seckill/rpc/user/internal/user/usertest"
	"pgregory.net/rapid"
)

const password = "correct horse"

// plain is a Hasher that hashes to readable text and counts what it verified.
type plain struct {
	mu       sync.Mutex
	cost     int // what new hashes cost
	verified []string
	err      error
}

func (h *plain) Hash(_ context.Context, password string) (string, error) {
	return fmt.Sprintf("%d:%s", h.cost, password), h.err
}

func (h *plain) Verify(_ context.Context, password, hash string) (bool, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.verified = append(h.verified, hash)
	cost, of, _ := strings.Cut(hash, ":")
	return of == password, cost < fmt.Sprint(h.cost), h.err
}

func (h *plain) Decoy() string { return fmt.Sprintf("%d:\x00", h.cost) }

type mint struct{}

func (mint) Mint(id int64, role string, now time.Time) (string, error) {
	return fmt.Sprintf("%d/%s/%d", id, role, now.Unix()), nil
}

func (mint) TTL() time.Duration { return 15 * time.Minute }

type world struct {
	*user.Service
	store  *usertest.Memory
	hasher *plain
	now    time.Time
	warned []string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{store: &usertest.Memory{}, hasher: &plain{cost: 5}, now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	s, err := user.New(user.Config{
		Store: w.store, Hasher: w.hasher, Minter: mint{}, RefreshTTL: 30 * 24 * time.Hour,
		Now:  func() time.Time { return w.now },
		Warn: func(_ context.Context, what string, err error) { w.warned = append(w.warned, what+": "+err.Error()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Service = s
	return w
}

func (w *world) register(t testing.TB, name string) int64 {
	t.Helper()
	id, err := w.Register(context.Background(), name, password)
	if err != nil {
		t.Fatalf("Register(%q): %v", name, err)
	}
	return id
}

func (w *world) login(t testing.TB, name string) user.Session {
	t.Helper()
	s, err := w.Login(context.Background(), name, password)
	if err != nil {
		t.Fatalf("Login(%q): %v", name, err)
	}
	return s
}

func wantCode(t testing.TB, err error, code errs.Code, field string) {
	t.Helper()
	if e := errs.From(err); err == nil || e.Code != code || e.Field != field {
		t.Errorf("error %v; want %s (%s)", err, code, field)
	}
}

func TestNewRefusesGaps(t *testing.T) {
	if _, err := user.New(user.Config{}); err == nil {
		t.Error("an empty configuration was taken")
	}
	full := user.Config{
		Store: &usertest.Memory{}, Hasher: &plain{}, Minter: mint{}, Now: time.Now,
		Warn: func(context.Context, string, error) {},
	}
	if _, err := user.New(full); err == nil {
		t.Error("refresh tokens without a lifetime were taken")
	}
}

func TestUsername(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"ada", "ada"}, {"Ada_L.-9", "ada_l.-9"}, {strings.Repeat("Z", 32), strings.Repeat("z", 32)},
		{"", ""}, {"ab", ""}, {strings.Repeat("a", 33), ""}, {"ada lovelace", ""}, {" ada", ""}, {"ada\x00", ""},
		{"adä", ""}, {"\u212aelvin", ""} /* the Kelvin sign folds to k in Unicode */, {"ada\xff", ""}, {"a/b", ""},
	} {
		got, err := user.Username(c.raw)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("Username(%q) = %q, %v; want %q", c.raw, got, err, c.want)
		}
		if err != nil {
			wantCode(t, err, errs.InvalidRequest, "username")
		}
	}
}

func FuzzUsername(f *testing.F) {
	for _, seed := range []string{"ada", "ADA", "a.b-c_9", "\u212aelvin", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		name, err := user.Username(raw)
		if err != nil {
			return
		}
		if again, err := user.Username(name); err != nil || again != name {
			t.Errorf("%q folds to %q, and that to %q, %v", raw, name, again, err)
		}
		if !strings.EqualFold(raw, name) || len(raw) != len(name) {
			t.Errorf("%q became %q", raw, name)
		}
	})
}

func TestRegister(t *testing.T) {
	w := newWorld(t)
	id := w.register(t, "Ada")
	u, err := w.User(t.Context(), id)
	if err != nil || u.Username != "ada" || u.Role != user.RoleUser || !u.CreatedAt.Equal(w.now) {
		t.Errorf("User = %+v, %v", u, err)
	}
	for _, taken := range []string{"ada", "ADA", "admin", "Admin"} {
		_, err := w.Register(t.Context(), taken, password)
		wantCode(t, err, errs.UsernameTaken, "")
	}
	if _, err := w.User(t.Context(), 2); err == nil {
		t.Error("a refused registration left an account")
	}
	for _, bad := range []string{"", "1234567", strings.Repeat("x", 129), "not UTF-8: \xff"} {
		_, err := w.Register(t.Context(), "grace", bad)
		wantCode(t, err, errs.InvalidRequest, "password")
	}
	_, err = w.Register(t.Context(), "no", password)
	wantCode(t, err, errs.InvalidRequest, "username")
	for _, good := range []string{"12345678", strings.Repeat("x", 128), "пароль пароль"} {
		if _, err := w.Register(t.Context(), fmt.Sprint("user", len(good)), good); err != nil {
			t.Errorf("password of %d bytes: %v", len(good), err)
		}
	}
	_, err = w.User(t.Context(), 99)
	wantCode(t, err, errs.NotFound, "")
}

// The unique key decides when the name is taken between the look and the write.
func TestRegisterLosesRace(t *testing.T) {
	w := newWorld(t)
	w.store.Fail = func(method string) error {
		if method == "CreateUser" {
			return user.ErrUsernameTaken
		}
		return nil
	}
	_, err := w.Register(t.Context(), "ada", password)
	wantCode(t, err, errs.UsernameTaken, "")
}

func TestFailuresAreReturned(t *testing.T) {
	w := newWorld(t)
	w.register(t, "ada")
	session := w.login(t, "ada")
	broken := errors.New("broken")
	for method, call := range map[string]func() error{
		"UserByName":  func() error { _, err := w.Register(t.Context(), "grace", password); return err },
		"CreateUser":  func() error { _, err := w.Register(t.Context(), "grace", password); return err },
		"AddToken":    func() error { _, err := w.Login(t.Context(), "ada", password); return err },
		"RotateToken": func() error { _, err := w.Refresh(t.Context(), session.RefreshToken); return err },
		"User":        func() error { _, err := w.User(t.Context(), 1); return err },
		"Ping":        func() error { return w.Ping(t.Context()) },
	} {
		w.store.Fail = func(m string) error {
			if m == method {
				return broken
			}
			return nil
		}
		if err := call(); !errors.Is(err, broken) {
			t.Errorf("%s failed, and the caller was told %v", method, err)
		}
	}
}

func TestLogin(t *testing.T) {
	w := newWorld(t)
	id := w.register(t, "ada")
	s := w.login(t, "ADA")
	if s.AccessToken != fmt.Sprintf("%d/user/%d", id, w.now.Unix()) || s.ExpiresIn != 15*time.Minute || len(s.RefreshToken) != 43 {
		t.Errorf("session %+v", s)
	}
	_, err := w.Login(t.Context(), "", password)
	wantCode(t, err, errs.InvalidRequest, "username")
	_, err = w.Login(t.Context(), "ada", "")
	wantCode(t, err, errs.InvalidRequest, "password")
}

// Nothing may tell an unknown username from a wrong password: not the words, not the work done.
func TestLoginTellsNothing(t *testing.T) {
	w := newWorld(t)
	w.register(t, "ada")
	_, wrong := w.Login(t.Context(), "ada", "wrong password")
	wantCode(t, wrong, errs.Unauthenticated, "")
	for _, name := range []string{"nobody", "x", strings.Repeat("long", 20), "no such\nname"} {
		w.hasher.verified = nil
		_, err := w.Login(t.Context(), name, "wrong password")
		if err == nil || err.Error() != wrong.Error() {
			t.Errorf("%q: %v; a wrong password gives %v", name, err, wrong)
		}
		if len(w.hasher.verified) != 1 || w.hasher.verified[0] != w.hasher.Decoy() {
			t.Errorf("%q: verified %q", name, w.hasher.verified)
		}
	}
	if w.store.Tokens() != 0 {
		t.Error("a refused login left a token")
	}
	// Not even the decoy's own password opens anything.
	_, err := w.Login(t.Context(), "nobody", "\x00")
	wantCode(t, err, errs.Unauthenticated, "")
}

func TestOverloadIsPassedOn(t *testing.T) {
	w := newWorld(t)
	w.register(t, "ada")
	w.hasher.err = errs.New(errs.Overloaded, "busy")
	_, err := w.Login(t.Context(), "ada", password)
	wantCode(t, err, errs.Overloaded, "")
	_, err = w.Register(t.Context(), "grace", password)
	wantCode(t, err, errs.Overloaded, "")
}

func TestLoginStrengthensHash(t *testing.T) {
	w := newWorld(t)
	id := w.register(t, "ada")
	w.hasher.cost = 7
	if _, err := w.Login(t.Context(), "ada", "wrong password"); err == nil {
		t.Fatal("a wrong password was taken")
	}
	if u, _ := w.User(t.Context(), id); u.PasswordHash != "5:"+password {
		t.Errorf("a wrong password changed the hash to %q", u.PasswordHash)
	}
	w.login(t, "ada")
	if u, _ := w.User(t.Context(), id); u.PasswordHash != "7:"+password {
		t.Errorf("hash %q", u.PasswordHash)
	}
}

// Housekeeping that fails is reported and costs nobody the login.
func TestLoginStandsWithoutHousekeeping(t *testing.T) {
	w := newWorld(t)
	w.register(t, "ada")
	w.hasher.cost = 7
	w.store.Fail = func(m string) error {
		if m == "SweepTokens" || m == "Rehash" {
			return errors.New("broken")
		}
		return nil
	}
	w.login(t, "ada")
	if len(w.warned) != 2 {
		t.Errorf("warned of %q", w.warned)
	}
}

func TestLoginSweeps(t *testing.T) {
	w := newWorld(t)
	w.register(t, "ada")
	for range 30 {
		w.login(t, "ada")
	}
	w.now = w.now.Add(31 * 24 * time.Hour)
	for _, want := range []int{30 - 20 + 1, 2, 3} {
		w.login(t, "ada")
		if got := w.store.Tokens(); got != want {
			t.Errorf("%d tokens are stored, want %d", got, want)
		}
	}
}

func TestRefresh(t *testing.T) {
	w := newWorld(t)
	id := w.register(t, "ada")
	s := w.login(t, "ada")
	w.now = w.now.Add(time.Hour)
	next, err := w.Refresh(t.Context(), s.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if next.RefreshToken == s.RefreshToken || next.AccessToken != fmt.Sprintf("%d/user/%d", id, w.now.Unix()) {
		t.Errorf("session %+v after %+v", next, s)
	}
	_, err = w.Refresh(t.Context(), "")
	wantCode(t, err, errs.InvalidRequest, "refreshToken")
	for _, bad := range []string{"x", strings.Repeat("A", 43), user.Digest(next.RefreshToken), "\xff", strings.Repeat("long", 1<<12)} {
		_, err := w.Refresh(t.Context(), bad)
		wantCode(t, err, errs.Unauthenticated, "")
	}
	// The token lives 30 days from its own issue, not from the login.
	w.now = w.now.Add(30*24*time.Hour - time.Millisecond)
	last, err := w.Refresh(t.Context(), next.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(30 * 24 * time.Hour)
	_, err = w.Refresh(t.Context(), last.RefreshToken)
	wantCode(t, err, errs.Unauthenticated, "")
}

// TestSessions walks random histories of two devices: a token works exactly when it is the newest
// of its family, is not expired, and no older one of the family was presented again in its time.
func TestSessions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type token struct {
			text   string
			family int
			until  time.Time
		}
		w := newWorld(&nopTB{})
		if _, err := w.Register(context.Background(), "ada", password); err != nil {
			t.Fatal(err)
		}
		var (
			all    []token
			newest = map[int]string{}
			dead   = map[int]bool{}
		)
		t.Repeat(map[string]func(*rapid.T){
			"login": func(t *rapid.T) {
				s, err := w.Login(context.Background(), "ada", password)
				if err != nil {
					t.Fatal(err)
				}
				family := len(newest)
				newest[family] = s.RefreshToken
				all = append(all, token{s.RefreshToken, family, w.now.Add(30 * 24 * time.Hour)})
			},
			"days pass": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "days")) * 24 * time.Hour)
			},
			"refresh": func(t *rapid.T) {
				if len(all) == 0 {
					return
				}
				p := rapid.SampledFrom(all).Draw(t, "token")
				inTime := w.now.Before(p.until)
				want := inTime && !dead[p.family] && newest[p.family] == p.text
				s, err := w.Refresh(context.Background(), p.text)
				if (err == nil) != want || (err != nil && errs.CodeOf(err) != errs.Unauthenticated) {
					t.Fatalf("refresh: %v; want success %v", err, want)
				}
				if want {
					newest[p.family] = s.RefreshToken
					all = append(all, token{s.RefreshToken, p.family, w.now.Add(30 * 24 * time.Hour)})
				} else if inTime {
					dead[p.family] = true
				}
			},
		})
	})
}

// nopTB lets a world be made inside rapid, whose T is no testing.TB.
type nopTB struct{ testing.TB }

func (*nopTB) Helper() {}

func (*nopTB) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func TestEnsureAdmin(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{"", "short", strings.Repeat("x", 129)} {
		wantCode(t, w.EnsureAdmin(t.Context(), bad), errs.InvalidRequest, "password")
	}
	ensure := func(password string) {
		t.Helper()
		if err := w.EnsureAdmin(t.Context(), password); err != nil {
			t.Fatal(err)
		}
	}
	ensure(password)
	s := w.login(t, "admin")
	if !strings.HasPrefix(s.AccessToken, "1/admin/") {
		t.Errorf("access token %q", s.AccessToken)
	}
	ensure(password) // nothing changes
	s, err := w.Refresh(t.Context(), s.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	w.hasher.cost = 8
	ensure(password)
	if u, _ := w.User(t.Context(), 1); u.PasswordHash != "8:"+password {
		t.Errorf("hash %q", u.PasswordHash)
	}
	if s, err = w.Refresh(t.Context(), s.RefreshToken); err != nil {
		t.Errorf("a stronger hash ended a session: %v", err)
	}
	ensure("another password")
	_, err = w.Login(t.Context(), "admin", password)
	wantCode(t, err, errs.Unauthenticated, "")
	_, err = w.Refresh(t.Context(), s.RefreshToken)
	wantCode(t, err, errs.Unauthenticated, "")
}

// Another instance makes the account between the look and the write.
func TestEnsureAdminLosesRace(t *testing.T) {
	w := newWorld(t)
	made := false
	w.store.Fail = func(method string) error {
		if method != "CreateUser" || made {
			return nil
		}
		made = true
		return w.EnsureAdmin(context.Background(), password)
	}
	// The inner call stores the account, so the outer CreateUser finds the name taken.
	if err := w.EnsureAdmin(t.Context(), password); err != nil {
		t.Fatal(err)
	}
	w.login(t, "admin")
	if _, err := w.User(t.Context(), 2); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("there is a second account: %v", err)
	}
}
