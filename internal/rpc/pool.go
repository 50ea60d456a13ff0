package rpc

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc/mem"
)

const smallestBuffer, largestBuffer = 8, 22 // exponents: 256 B to 4 MiB

// NewBufferPool returns a pool with a tier at each power of two from 256 B to 4 MiB; gRPC's own would take 1 MiB for a
// message of 33 KiB. Servers and clients that are given none make one each.
//
// Unlike gRPC's pools it does not clear a buffer that it hands out again: every user here, gRPC's transport and the codec,
// writes a buffer's whole length before it reads any of it, and clearing 128 KiB for each message of tensors cost the
// server of inference as much as decrypting them.
func NewBufferPool() mem.BufferPool { return &bufferPool{} }

type bufferPool struct {
	tiers [largestBuffer - smallestBuffer + 1]sync.Pool // of *[]byte with a capacity of 1 << (smallestBuffer + i)
}

// Get returns a buffer whose contents mean nothing. What is larger than the largest tier is made for the occasion.
func (p *bufferPool) Get(length int) *[]byte {
	exponent := max(bits.Len(uint(max(length, 1)-1)), smallestBuffer)
	if exponent > largestBuffer {
		buffer := make([]byte, length)
		return &buffer
	}
	buffer, ok := p.tiers[exponent-smallestBuffer].Get().(*[]byte)
	if !ok {
		made := make([]byte, 1<<exponent)
		buffer = &made
	}
	*buffer = (*buffer)[:length]
	return buffer
}

// Put takes a buffer back; one that is of no tier's size is left to the garbage collector.
func (p *bufferPool) Put(buffer *[]byte) {
	size := cap(*buffer)
	if exponent := bits.Len(uint(size)) - 1; size > 0 && size == 1<<exponent && exponent >= smallestBuffer && exponent <= largestBuffer {
		p.tiers[exponent-smallestBuffer].Put(buffer)
	}
}
