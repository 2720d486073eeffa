package order

import (
	"fmt"
	"strconv"
)

// ID is an order's id: the sale, the generation and the dense sequence number that the reserving
// script gave it, packed into one positive number, so that it is final before anything is written
// and says where to look for the order.
//
//	0 | sale: 23 bits | generation: 14 bits | sequence: 26 bits
type ID int64

// The largest parts of an ID; a sale that would pass one is refused, never wrapped.
const (
	MaxSaleID     = 1<<23 - 1
	MaxGeneration = 1<<14 - 1
	MaxSequence   = 1<<26 - 1

	generationShift = 26
	saleShift       = 26 + 14
)

// MakeID packs the three parts, each from 1 to its maximum.
func MakeID(sale, generation, sequence int64) (ID, error) {
	if sale < 1 || sale > MaxSaleID || generation < 1 || generation > MaxGeneration || sequence < 1 || sequence > MaxSequence {
		return 0, fmt.Errorf("order: no id for sale %d, generation %d, sequence %d", sale, generation, sequence)
	}
	return ID(sale<<saleShift | generation<<generationShift | sequence), nil
}

// Sale is the sale that the order is on.
func (id ID) Sale() int64 { return int64(id) >> saleShift }

// Generation is the generation of the sale that accepted the order.
func (id ID) Generation() int64 { return int64(id) >> generationShift & MaxGeneration }

// Sequence is the order's number within its generation. On a sale of one bucket they are 1, 2, …; of several, each
// bucket's own numbers n = 1, 2, … times the buckets, plus the bucket.
func (id ID) Sequence() int64 { return int64(id) & MaxSequence }

// String is the id as it is on the wire: decimal.
func (id ID) String() string { return strconv.FormatInt(int64(id), 10) }
