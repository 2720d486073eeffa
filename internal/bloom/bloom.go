// Package bloom is a Bloom filter of ids: a set that never denies a member, and takes about one stranger
// in two hundred for one. It is built once, sent to other processes, and asked millions of times a second.
package bloom

import (
	"errors"
	"math/rand/v2"
)

// With 11 bits a member and 8 hashes a stranger passes for a member once in 195 times.
const (
	bitsAMember = 11
	hashes      = 8
	maxHashes   = 32
)

// MinBytes is the size of the smallest filter: so few members let next to no stranger pass.
const MinBytes = 64

// spread keeps the positions of an id apart whose step is small; 2^32 by the golden ratio, which is odd.
const spread = 0x9e3779b1

// maxBytes keeps the number of bits within 32 bits, which is what a hash reaches.
const maxBytes = 1 << 28

// Filter is a set of ids. It is never changed, so any number of goroutines may ask it.
type Filter struct {
	// seed is drawn for each filter, so that nobody can look for ids that collide.
	seed   uint64
	hashes uint32
	bits   []byte
}

// Of makes the filter of the ids, in at most limit bytes (at least MinBytes). Where they are too many for
// that, more strangers pass for members.
func Of(ids []int64, limit int) *Filter {
	size := min(max(len(ids)*bitsAMember/8+1, MinBytes), max(limit, MinBytes), maxBytes)
	f := &Filter{seed: rand.Uint64(), hashes: hashes, bits: make([]byte, size)}
	for _, id := range ids {
		h, step := f.hash(id)
		for range f.hashes {
			at := f.position(h)
			f.bits[at>>3] |= 1 << (at & 7)
			h = h*spread + step
		}
	}
	return f
}

// Read makes a filter of what Parts gave, which it keeps. It fails on what cannot be one.
func Read(seed uint64, hashes int64, bits []byte) (*Filter, error) {
	if hashes < 1 || hashes > maxHashes || len(bits) < MinBytes || len(bits) > maxBytes {
		return nil, errors.New("bloom: these are not the parts of a filter")
	}
	return &Filter{seed: seed, hashes: uint32(hashes), bits: bits}, nil
}

// Parts are what Read takes. The bits are the filter's own.
func (f *Filter) Parts() (seed uint64, hashes int64, bits []byte) {
	return f.seed, int64(f.hashes), f.bits
}

// Size is the filter's size in bytes.
func (f *Filter) Size() int { return len(f.bits) }

// Has tells whether the id is a member, or seems to be one. False is certain.
func (f *Filter) Has(id int64) bool {
	h, step := f.hash(id)
	for range f.hashes {
		at := f.position(h)
		if f.bits[at>>3]&(1<<(at&7)) == 0 {
			return false
		}
		h = h*spread + step
	}
	return true
}

// hash is where an id's positions begin and what takes each to the next. The mixing is splitmix64's.
func (f *Filter) hash(id int64) (first, step uint32) {
	x := uint64(id) ^ f.seed
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return uint32(x), uint32(x>>32) | 1
}

// position brings a hash into the filter's bits, evenly and without a division (Lemire, 2016).
func (f *Filter) position(h uint32) uint32 {
	return uint32(uint64(h) * uint64(len(f.bits)) * 8 >> 32)
}
