package buyers

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seckill-go/seckill/cmd/seckill/internal/fakegate"
	"github.com/seckill-go/seckill/cmd/seckill/internal/gateway"
	"github.com/seckill-go/seckill/internal/accesstoken"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSecret = "0123456789abcdef0123456789abcdef"

func TestMintGivesEachBuyerATokenOfItsOwn(t *testing.T) {
	minter, err := accesstoken.NewMinter([]byte(testSecret), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := accesstoken.NewVerifier([]byte(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, count := range []int{1, 2, 3, 101} {
		first := RandomFirst()
		tokens, err := Mint(minter, first, count, now)
		if err != nil || len(tokens) != count {
			t.Fatalf("Mint of %d = %d, %v", count, len(tokens), err)
		}
		for i, token := range tokens {
			claims, err := verifier.Verify(token, now)
			if err != nil || claims.UserID != first+int64(i) || claims.Role != accesstoken.RoleUser {
				t.Fatalf("token %d of %d is %+v, %v", i, count, claims, err)
			}
		}
	}
}

func TestRandomFirstStaysInRange(t *testing.T) {
	seen := map[int64]bool{}
	for range 1000 {
		first := RandomFirst()
		if first < FirstID || Check(first, MaxCount) != nil {
			t.Fatalf("first %d leaves no room", first)
		}
		seen[first] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d distinct first ids of 1000", len(seen))
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, bad := range []struct {
		first int64
		count int
	}{{FirstID, 0}, {FirstID, -1}, {FirstID, MaxCount + 1}, {0, 1}, {-5, 1}, {LastID, 2}} {
		if Check(bad.first, bad.count) == nil {
			t.Errorf("%d buyers from %d on are taken", bad.count, bad.first)
		}
	}
	if err := Check(LastID, 1); err != nil {
		t.Error(err)
	}
}

func newClient(t *testing.T, g *fakegate.Gateway) *gateway.Client {
	t.Helper()
	c, err := gateway.New(g.URL, 4, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestRegister(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{BusyLogins: 3})
	var ready atomic.Int64
	tokens, err := Register(t.Context(), newClient(t, g), 20, 4, &ready)
	if err != nil || ready.Load() != 20 {
		t.Fatalf("%d ready, %v", ready.Load(), err)
	}
	slices.Sort(tokens)
	if len(slices.Compact(tokens)) != 20 || tokens[0] == "" {
		t.Errorf("tokens %v", tokens)
	}
}

func TestRegisterFailsWithItsCause(t *testing.T) {
	g := fakegate.New(t, fakegate.Faults{})
	c := newClient(t, g)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Register(ctx, c, 5, 2, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Register of an ended context = %v", err)
	}
	g.Close()
	if _, err := Register(t.Context(), c, 5, 2, nil); err == nil {
		t.Error("Register at a gateway that is gone gave no error")
	}
	if _, err := Register(t.Context(), c, 0, 2, nil); err == nil {
		t.Error("Register of nobody gave no error")
	}
}
