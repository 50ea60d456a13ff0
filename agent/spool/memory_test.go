package spool_test

import (
	"testing"

	"sonde.example/agent/spool"
	"sonde.example/agent/spool/spooltest"
)

// overhead is what a batch takes beside its payload.
const overhead = 128

func TestMemory(t *testing.T) {
	spooltest.Run(t, overhead, func(_ testing.TB, o spooltest.Options) spool.Spool {
		return spool.NewMemory(spool.Options{Epoch: o.Epoch, Lanes: o.Lanes, Bytes: o.Bytes, Wait: o.Wait})
	})
}

func BenchmarkMemory(b *testing.B) {
	sp := spool.NewMemory(spool.Options{Epoch: 1, Lanes: 1})
	payload := make([]byte, 256<<10)
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		sequence, err := sp.Append(b.Context(), 0, 1000, payload[:1000], payload[1000:])
		if err != nil {
			b.Fatal(err)
		}
		e, _, err := sp.Next(b.Context(), 0, sequence-1)
		if err != nil {
			b.Fatal(err)
		}
		if err := sp.Mark(b.Context(), 0, sequence, sequence); err != nil {
			b.Fatal(err)
		}
		e.Release()
	}
}
