package argon2id

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The bounds of what Parse accepts: what is stored must not be able to ask for all the memory or
// time of the machine, nor be worthless.
const (
	minMemoryKiB   = 8 // for each lane, by RFC 9106
	maxMemoryKiB   = 256 << 10
	maxIterations  = 16
	maxParallelism = 16
	minSalt        = 8
	minKey         = 16
	maxBlob        = 64
)

var errMalformed = errors.New("argon2id: the hash is not a PHC string of this kind")

// Params is the cost of one hash.
type Params struct {
	// MemoryKiB is what one hash under way uses, in KiB.
	MemoryKiB uint32
	// Iterations is the number of passes over it.
	Iterations uint32
	// Parallelism is the number of lanes, each a goroutine.
	Parallelism uint8
}

// Recommended is OWASP's choice for argon2id with the least memory that it advises: 19 MiB, two
// passes, one lane.
var Recommended = Params{MemoryKiB: 19456, Iterations: 2, Parallelism: 1}

// Check refuses a cost that argon2id cannot have or that no server should pay.
func (p Params) Check() error {
	if p.Parallelism < 1 || p.Parallelism > maxParallelism {
		return fmt.Errorf("argon2id: parallelism %d is not 1 to %d", p.Parallelism, maxParallelism)
	}
	if p.Iterations < 1 || p.Iterations > maxIterations {
		return fmt.Errorf("argon2id: %d iterations are not 1 to %d", p.Iterations, maxIterations)
	}
	if least := minMemoryKiB * uint32(p.Parallelism); p.MemoryKiB < least || p.MemoryKiB > maxMemoryKiB {
		return fmt.Errorf("argon2id: %d KiB of memory are not %d to %d", p.MemoryKiB, least, maxMemoryKiB)
	}
	return nil
}

// phc is a password hash in the PHC string format:
//
//	$argon2id$v=19$m=<KiB>,t=<iterations>,p=<lanes>$<salt>$<key>
type phc struct {
	params    Params
	salt, key []byte
}

// String is the hash's one canonical form.
func (h phc) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.params.MemoryKiB,
		h.params.Iterations, h.params.Parallelism, b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}

// parse reads a hash in its canonical form, within the bounds. Its errors never hold the hash.
func parse(s string) (phc, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 {
		return phc{}, errMalformed
	}
	var (
		h    phc
		nums [3]uint64
	)
	costs := strings.Split(parts[3], ",")
	if len(costs) != len(nums) {
		return phc{}, errMalformed
	}
	for i, prefix := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(costs[i], prefix)
		n, err := strconv.ParseUint(digits, 10, []int{32, 32, 8}[i])
		if !ok || err != nil {
			return phc{}, errMalformed
		}
		nums[i] = n
	}
	h.params = Params{MemoryKiB: uint32(nums[0]), Iterations: uint32(nums[1]), Parallelism: uint8(nums[2])}
	if err := h.params.Check(); err != nil {
		return phc{}, err
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return phc{}, errMalformed
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
		return phc{}, errMalformed
	}
	if len(h.salt) < minSalt || len(h.salt) > maxBlob || len(h.key) < minKey || len(h.key) > maxBlob {
		return phc{}, errMalformed
	}
	// One comparison refuses every other spelling: leading zeros, line breaks in the base64, another
	// algorithm or version.
	if h.String() != s {
		return phc{}, errMalformed
	}
	return h, nil
}
