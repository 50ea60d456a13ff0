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
	v := sip{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
	v = v.take(binary.LittleEndian.Uint64(k.Low[:]))
	v = v.take(binary.LittleEndian.Uint64(k.Low[8:]))
	v = v.take(binary.LittleEndian.Uint64(k.High[:]))
	v = v.take(binary.LittleEndian.Uint64(k.High[8:]))
	v = v.take(uint64(k.LowPort) | uint64(k.HighPort)<<16 | uint64(k.Scope.VLANs[0])<<32 | uint64(k.Scope.VLANs[1])<<48)
	// The last word has the length in its upper byte, as SipHash wants it: 47 bytes.
	v = v.take(uint64(k.Scope.TunnelID) | uint64(k.Scope.Tunnel)<<32 | uint64(k.Version)<<40 | uint64(k.Protocol)<<48 | 47<<56)
	v.c ^= 0xff
	v = v.round().round().round()
	return v.a ^ v.b ^ v.c ^ v.d
}

// sip is SipHash's state. It is passed by value, which keeps it in registers.
type sip struct{ a, b, c, d uint64 }

func (v sip) take(word uint64) sip {
	v.d ^= word
	v = v.round()
	v.a ^= word
	return v
}

func (v sip) round() sip {
	v.a += v.b
	v.b = bits.RotateLeft64(v.b, 13) ^ v.a
	v.a = bits.RotateLeft64(v.a, 32)
	v.c += v.d
	v.d = bits.RotateLeft64(v.d, 16) ^ v.c
	v.a += v.d
	v.d = bits.RotateLeft64(v.d, 21) ^ v.a
	v.c += v.b
	v.b = bits.RotateLeft64(v.b, 17) ^ v.c
	v.c = bits.RotateLeft64(v.c, 32)
	return v
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
