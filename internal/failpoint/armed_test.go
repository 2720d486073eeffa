//go:build failpoint

package failpoint

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// hits tells this test binary to be the process that is killed: it hits the fail points named in it
// and prints each that it survived.
const hits = "FAILPOINT_TEST_HITS"

func TestMain(m *testing.M) {
	for _, name := range strings.Fields(os.Getenv(hits)) {
		Hit(name)
		_, _ = os.Stdout.WriteString(name + "\n")
	}
	if os.Getenv(hits) != "" {
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestTheNamedHitKills(t *testing.T) {
	for _, test := range []struct {
		armed, survived string
		killed          bool
	}{
		{"a:1", "", true},
		{"a:2", "a b b", true},
		{"b:2", "a b", true},
		{"a:3", "a b b a", false},
		{"c:1", "a b b a", false},
		{"", "a b b a", false},
	} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), hits+"=a b b a", Variable+"="+test.armed)
		out, err := cmd.Output()
		if got := strings.Join(strings.Fields(string(out)), " "); got != test.survived {
			t.Errorf("%q: it survived %q, want %q", test.armed, got, test.survived)
		}
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if killed != test.killed || (err != nil && !killed) {
			t.Errorf("%q: it ended with %v, killed: %t, want %t", test.armed, err, killed, test.killed)
		}
	}
}

func TestAWrongValueIsLoud(t *testing.T) {
	for _, value := range []string{"a", "a:", "a:0", "a:-1", "a:x", ":1", "a:1:2"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), hits+"=a", Variable+"="+value)
		if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte(Variable)) {
			t.Errorf("%q: %v\n%s", value, err, out)
		}
	}
}
