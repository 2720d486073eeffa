//go:build !failpoint

package failpoint

import (
	"testing"
)

func TestWithoutTheTagNothingHappens(t *testing.T) {
	t.Setenv(Variable, "here:1")
	Hit("here")
	if n := testing.AllocsPerRun(100, func() { Hit("here") }); n != 0 {
		t.Errorf("a hit allocates %v times", n)
	}
}
