// Package buyers makes the users that a load buys as.
package buyers

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/seckill-go/seckill/internal/accesstoken"
	"golang.org/x/sync/errgroup"
)

// Minted buyers exist in no database: a token alone makes them. Their ids have a range of their own,
// above every registered user's, and below 2^53, so that a Lua number holds each exactly.
const (
	// FirstID is the lowest id of a minted buyer.
	FirstID int64 = 1 << 40
	// LastID is the highest.
	LastID int64 = 1<<53 - 1
	// MaxCount bounds the buyers of one run; a token is about 300 bytes.
	MaxCount = 5_000_000
)

// RandomFirst is a first id for a run, so far apart from other runs' that they do not meet.
func RandomFirst() int64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	// A quarter of the range above is left for the count.
	const span = uint64(LastID-FirstID) / 4 * 3
	return FirstID + int64(binary.BigEndian.Uint64(b[:])%span)
}

// Check refuses a count or a first id that leaves the minted buyers' range.
func Check(first int64, count int) error {
	switch {
	case count < 1 || count > MaxCount:
		return fmt.Errorf("the number of buyers is 1 to %d, not %d", MaxCount, count)
	case first < 1 || first > LastID-int64(count)+1:
		return fmt.Errorf("the buyers' ids are 1 to %d, so %d cannot start at %d", LastID, count, first)
	}
	return nil
}

// Mint makes the access tokens of count buyers with the ids from first on, in their order.
func Mint(minter *accesstoken.Minter, first int64, count int, now time.Time) ([]string, error) {
	if err := Check(first, count); err != nil {
		return nil, err
	}
	tokens := make([]string, count)
	chunk := int(math.Ceil(float64(count) / float64(runtime.GOMAXPROCS(0))))
	var group errgroup.Group
	for from := 0; from < count; from += chunk {
		group.Go(func() error {
			for i := from; i < min(from+chunk, count); i++ {
				token, err := minter.Mint(first+int64(i), accesstoken.RoleUser, now)
				if err != nil {
					return fmt.Errorf("the token of buyer %d: %w", first+int64(i), err)
				}
				tokens[i] = token
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return tokens, nil
}
