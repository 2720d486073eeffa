package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/accesstoken"
)

func TestTokensAreOfTheBuyersAskedFor(t *testing.T) {
	const first = int64(1) << 40
	code, stdout, stderr := command(t.Context(), t, "tokens", "--count", "50", "--first", "1099511627776", "--ttl", "1h")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	verifier, err := accesstoken.NewVerifier([]byte(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if len(lines) != 50 {
		t.Fatalf("%d lines, want 50", len(lines))
	}
	for i, line := range lines {
		claims, err := verifier.Verify(line, time.Now())
		if err != nil || claims != (accesstoken.Claims{UserID: first + int64(i), Role: accesstoken.RoleUser}) {
			t.Fatalf("line %d is %+v, %v", i, claims, err)
		}
		if _, err := verifier.Verify(line, time.Now().Add(2*time.Hour)); err == nil {
			t.Fatal("a token is good for longer than its --ttl")
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestTokensThatCannotBeWrittenAreAnError(t *testing.T) {
	t.Setenv(envJWTSecret, testSecret)
	var errs strings.Builder
	if code := run(t.Context(), []string{"tokens", "--count", "5"}, fullDisk{}, &errs); code != exitUnknown ||
		!strings.Contains(errs.String(), "no space left") {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}
