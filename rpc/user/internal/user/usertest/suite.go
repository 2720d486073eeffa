package usertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seckill-go/seckill/rpc/user/internal/user"
	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, int(678*time.Millisecond), time.UTC)

// Run runs the tests that every user.Store must pass on a store that is empty and stays the test's.
func Run(t *testing.T, store user.Store) {
	s := suite{store: store}
	t.Run("accounts", s.accounts)
	t.Run("one username, many calls", s.race)
	t.Run("rehash", s.rehash)
	t.Run("rotation", s.rotation)
	t.Run("one token, many calls", s.rotationRace)
	t.Run("families", s.families)
	t.Run("a changed password ends sessions", s.changePassword)
	t.Run("sweep", s.sweep)
	t.Run("model", s.model)
	t.Run("a caller that is gone", s.cancelled)
}

type suite struct{ store user.Store }

func (s suite) add(t *testing.T, name string) user.User {
	t.Helper()
	u := user.User{Username: name, PasswordHash: "hash of " + name, Role: user.RoleUser, CreatedAt: epoch}
	id, err := s.store.CreateUser(t.Context(), u)
	if err != nil {
		t.Fatalf("CreateUser(%q): %v", name, err)
	}
	u.ID = id
	return u
}

// first stores the first token of a new family.
func (s suite) first(t *testing.T, userID int64, token string) user.RefreshToken {
	t.Helper()
	d := user.Digest(token)
	r := user.RefreshToken{Digest: d, Family: d, UserID: userID, IssuedAt: epoch, ExpiresAt: epoch.Add(time.Hour)}
	if err := s.store.AddToken(t.Context(), r); err != nil {
		t.Fatalf("AddToken: %v", err)
	}
	return r
}

func successor(token string) user.RefreshToken {
	return user.RefreshToken{Digest: user.Digest(token), IssuedAt: epoch, ExpiresAt: epoch.Add(time.Hour)}
}

func (s suite) rotate(t *testing.T, token, next string, want user.Rotation) {
	t.Helper()
	_, got, err := s.store.RotateToken(t.Context(), user.Digest(token), successor(next), epoch)
	if err != nil || got != want {
		t.Fatalf("RotateToken(%q) = %v, %v; want outcome %v", token, got, err, want)
	}
}

func (s suite) accounts(t *testing.T) {
	u := s.add(t, "ada")
	if u.ID < 1 {
		t.Fatalf("id %d", u.ID)
	}
	for what, read := range map[string]func() (user.User, error){
		"User":       func() (user.User, error) { return s.store.User(t.Context(), u.ID) },
		"UserByName": func() (user.User, error) { return s.store.UserByName(t.Context(), "ada") },
	} {
		if got, err := read(); err != nil || got != u {
			t.Errorf("%s = %+v, %v; want %+v", what, got, err, u)
		}
	}
	if _, err := s.store.CreateUser(t.Context(), u); !errors.Is(err, user.ErrUsernameTaken) {
		t.Errorf("a second %q: %v", u.Username, err)
	}
	if _, err := s.store.User(t.Context(), 1<<62); !errors.Is(err, user.ErrNoUser) {
		t.Errorf("an unknown id: %v", err)
	}
	if _, err := s.store.UserByName(t.Context(), "nobody"); !errors.Is(err, user.ErrNoUser) {
		t.Errorf("an unknown name: %v", err)
	}
	if err := s.store.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func (s suite) race(t *testing.T) {
	const calls = 8
	ids, failures := make([]int64, calls), make([]error, calls)
	parallel(calls, func(i int) {
		ids[i], failures[i] = s.store.CreateUser(context.Background(),
			user.User{Username: "contended", PasswordHash: fmt.Sprint(i), Role: user.RoleUser, CreatedAt: epoch})
	})
	winners := 0
	for i, err := range failures {
		switch {
		case err == nil:
			winners++
			if got, err := s.store.UserByName(t.Context(), "contended"); err != nil || got.ID != ids[i] {
				t.Errorf("stored %+v, %v; the winner was told id %d", got, err, ids[i])
			}
		case !errors.Is(err, user.ErrUsernameTaken):
			t.Errorf("call %d: %v", i, err)
		}
	}
	if winners != 1 {
		t.Errorf("%d calls made the account", winners)
	}
}

func parallel(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

func (s suite) rehash(t *testing.T) {
	u := s.add(t, "rehashed")
	for _, step := range []struct{ from, to, want string }{
		{u.PasswordHash, "stronger", "stronger"},
		{u.PasswordHash, "late", "stronger"}, // the hash is another by now
	} {
		if err := s.store.Rehash(t.Context(), u.ID, step.from, step.to); err != nil {
			t.Fatal(err)
		}
		if got, err := s.store.User(t.Context(), u.ID); err != nil || got.PasswordHash != step.want {
			t.Errorf("after Rehash to %q: %q, %v", step.to, got.PasswordHash, err)
		}
	}
}

func (s suite) rotation(t *testing.T) {
	u := s.add(t, "rotating")
	first := s.first(t, u.ID, "r0")
	got, outcome, err := s.store.RotateToken(t.Context(), first.Digest, successor("r1"), epoch)
	if err != nil || outcome != user.RotationDone || got != u {
		t.Fatalf("RotateToken = %+v, %v, %v", got, outcome, err)
	}
	s.rotate(t, "r1", "r2", user.RotationDone)
	s.rotate(t, "never issued", "x", user.RotationUnknown)
	s.rotate(t, "x", "y", user.RotationUnknown) // nothing was stored by the refused call

	late := first.ExpiresAt // the moment itself is too late
	if _, outcome, err := s.store.RotateToken(t.Context(), user.Digest("r2"), successor("r3"), late); err != nil || outcome != user.RotationExpired {
		t.Fatalf("an expired token: %v, %v", outcome, err)
	}
	s.rotate(t, "r3", "r4", user.RotationUnknown)
	s.rotate(t, "r2", "r5", user.RotationDone) // the expired call changed nothing
}

func (s suite) rotationRace(t *testing.T) {
	u := s.add(t, "racing")
	s.first(t, u.ID, "race")
	const calls = 8
	outcomes, failures := make([]user.Rotation, calls), make([]error, calls)
	parallel(calls, func(i int) {
		_, outcomes[i], failures[i] = s.store.RotateToken(context.Background(), user.Digest("race"),
			successor(fmt.Sprint("race", i)), epoch)
	})
	winners := 0
	for i := range calls {
		if failures[i] != nil {
			t.Errorf("call %d: %v", i, failures[i])
		}
		if outcomes[i] == user.RotationDone {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("%d calls rotated one token", winners)
	}
	for i := range calls { // the others showed that there is a copy: nothing of the family lives
		s.rotate(t, fmt.Sprint("race", i), "after", user.RotationUnknown)
	}
}

func (s suite) families(t *testing.T) {
	u := s.add(t, "two-devices")
	s.first(t, u.ID, "phone0")
	s.first(t, u.ID, "desk0")
	s.rotate(t, "phone0", "phone1", user.RotationDone)
	s.rotate(t, "phone1", "phone2", user.RotationDone)
	s.rotate(t, "phone0", "thief", user.RotationReused)
	for _, dead := range []string{"phone0", "phone1", "phone2", "thief"} {
		s.rotate(t, dead, "x", user.RotationUnknown)
	}
	s.rotate(t, "desk0", "desk1", user.RotationDone)
}

func (s suite) changePassword(t *testing.T) {
	u, other := s.add(t, "changing"), s.add(t, "unchanged")
	s.first(t, u.ID, "c0")
	s.first(t, other.ID, "o0")
	if err := s.store.ChangePassword(t.Context(), u.ID, "new"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.store.User(t.Context(), u.ID); err != nil || got.PasswordHash != "new" {
		t.Errorf("hash %q, %v", got.PasswordHash, err)
	}
	s.rotate(t, "c0", "c1", user.RotationUnknown)
	s.rotate(t, "o0", "o1", user.RotationDone)
	if err := s.store.ChangePassword(t.Context(), 1<<62, "new"); !errors.Is(err, user.ErrNoUser) {
		t.Errorf("an unknown account: %v", err)
	}
}

func (s suite) sweep(t *testing.T) {
	u := s.add(t, "swept")
	later := epoch.Add(2 * time.Hour)
	if err := s.store.SweepTokens(t.Context(), later, 1000); err != nil { // what other tests left
		t.Fatal(err)
	}
	const expired = 5
	for i := range expired {
		s.first(t, u.ID, fmt.Sprint("old", i))
	}
	young := user.RefreshToken{
		Digest: user.Digest("young"), Family: user.Digest("young"), UserID: u.ID,
		IssuedAt: later, ExpiresAt: later.Add(time.Hour),
	}
	if err := s.store.AddToken(t.Context(), young); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{3, 1, 0, 0} {
		if err := s.store.SweepTokens(t.Context(), later, 2); err != nil {
			t.Fatal(err)
		}
		left := 0
		for i := range expired {
			_, outcome, err := s.store.RotateToken(t.Context(), user.Digest(fmt.Sprint("old", i)), successor("x"), later)
			if err != nil {
				t.Fatal(err)
			}
			if outcome == user.RotationExpired { // so it is still there
				left++
			}
		}
		if left != want {
			t.Fatalf("%d expired tokens are left, want %d", left, want)
		}
	}
	_, outcome, err := s.store.RotateToken(t.Context(), young.Digest, successor("younger"), later)
	if err != nil || outcome != user.RotationDone {
		t.Errorf("a live token after the sweep: %v, %v", outcome, err)
	}
}

// model compares the store with Memory over random histories of tokens.
func (s suite) model(t *testing.T) {
	names := 0
	rapid.Check(t, func(rt *rapid.T) {
		names++
		name := fmt.Sprint("model", names)
		u := user.User{Username: name, PasswordHash: "h", Role: user.RoleAdmin, CreatedAt: epoch}
		id, err := s.store.CreateUser(context.Background(), u)
		if err != nil {
			rt.Fatal(err)
		}
		model := &Memory{}
		modelID, err := model.CreateUser(context.Background(), u)
		if err != nil {
			rt.Fatal(err)
		}
		tokens, now := []string{name}, epoch
		steps := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 12).Draw(rt, "steps")
		for i, step := range steps {
			token := fmt.Sprint(name, "/", i)
			switch step {
			case 0:
				r := user.RefreshToken{Digest: user.Digest(token), Family: user.Digest(token), IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
				tokens = append(tokens, token)
				for store, owner := range map[user.Store]int64{s.store: id, model: modelID} {
					r.UserID = owner
					if err := store.AddToken(context.Background(), r); err != nil {
						rt.Fatal(err)
					}
				}
			case 1:
				now = now.Add(25 * time.Minute)
			default:
				presented := user.Digest(rapid.SampledFrom(tokens).Draw(rt, "token"))
				next := user.RefreshToken{Digest: user.Digest(token), IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
				tokens = append(tokens, token)
				_, want, err := model.RotateToken(context.Background(), presented, next, now)
				if err != nil {
					rt.Fatal(err)
				}
				if _, got, err := s.store.RotateToken(context.Background(), presented, next, now); err != nil || got != want {
					rt.Fatalf("step %d: %v, %v; the model says %v", i, got, err, want)
				}
			}
		}
	})
}

func (s suite) cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.store.User(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("User: %v", err)
	}
	if _, err := s.store.CreateUser(ctx, user.User{Username: "gone"}); !errors.Is(err, context.Canceled) {
		t.Errorf("CreateUser: %v", err)
	}
}
