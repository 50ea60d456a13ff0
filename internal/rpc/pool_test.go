package rpc_test

import (
	"testing"

	"sonde.example/internal/rpc"
)

func TestBufferPoolGivesTheLengthAskedFor(t *testing.T) {
	pool := rpc.NewBufferPool()
	for _, length := range []int{0, 1, 255, 256, 257, 1 << 12, 1<<14 + 5, 100_000, 1 << 22, 1<<22 + 1} {
		for range 2 { // made, and again
			b := pool.Get(length)
			if len(*b) != length {
				t.Errorf("got %d bytes, want %d", len(*b), length)
			}
			if length <= 1<<22 && (cap(*b) < 256 || cap(*b)&(cap(*b)-1) != 0 || cap(*b) >= 2*max(length, 256)) {
				t.Errorf("%d bytes lie in %d, want the next power of two", length, cap(*b))
			}
			pool.Put(b)
		}
	}
}

func TestBufferPoolTurnsDownForeignBuffers(t *testing.T) {
	pool := rpc.NewBufferPool()
	foreign := make([]byte, 300)
	pool.Put(&foreign)
	empty := []byte(nil)
	pool.Put(&empty)
	if b := pool.Get(300); cap(*b) != 512 || len(*b) != 300 {
		t.Errorf("got %d bytes of %d, want 300 of 512", len(*b), cap(*b))
	}
}

func BenchmarkBufferPool(b *testing.B) {
	pool := rpc.NewBufferPool()
	b.ReportAllocs()
	for b.Loop() {
		pool.Put(pool.Get(100_000))
	}
}
