package packet

import (
	"encoding/binary"
	"math/bits"
)

// Lane identifies one ordered stream of one agent: its own sequence, session numbers and watermark. It is comparable.
type Lane struct {
	Agent string // from the agent's certificate
	Epoch uint64 // which spool
	Index uint32 // which stream of it, from 0
}

// Hash returns a hash of the key, the same for both directions, in every process and on every machine; a key's lane is its
// hash modulo the number of lanes, and seed and number belong to the epoch. Who does not know the seed cannot choose
// addresses that meet: it is SipHash-1-3 (Aumasson and Bernstein, 2012), keyed with the seed, over all fields of the key.
// It does not allocate.
func (k *Key) Hash(seed uint64) uint64 {
	// The two halves of SipHash's key are the seed and an image of it (the finalizer of SplitMix64).
	k0, k1 := seed, mix(seed)
	s := sip{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
	s.take(binary.LittleEndian.Uint64(k.Low[:]))
	s.take(binary.LittleEndian.Uint64(k.Low[8:]))
	s.take(binary.LittleEndian.Uint64(k.High[:]))
	s.take(binary.LittleEndian.Uint64(k.High[8:]))
	s.take(uint64(k.LowPort) | uint64(k.HighPort)<<16 | uint64(k.Scope.VLANs[0])<<32 | uint64(k.Scope.VLANs[1])<<48)
	// The last word has the length in its upper byte, as SipHash wants it: 47 bytes.
	s.take(uint64(k.Scope.TunnelID) | uint64(k.Scope.Tunnel)<<32 | uint64(k.Version)<<40 | uint64(k.Protocol)<<48 | 47<<56)
	s.v2 ^= 0xff
	s.round()
	s.round()
	s.round()
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

type sip struct{ v0, v1, v2, v3 uint64 }

func (s *sip) take(word uint64) {
	s.v3 ^= word
	s.round()
	s.v0 ^= word
}

func (s *sip) round() {
	s.v0 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 13) ^ s.v0
	s.v0 = bits.RotateLeft64(s.v0, 32)
	s.v2 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 16) ^ s.v2
	s.v0 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 21) ^ s.v0
	s.v2 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 17) ^ s.v2
	s.v2 = bits.RotateLeft64(s.v2, 32)
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
