package classify_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"sonde.example/collector/classify"
	"sonde.example/internal/feature"
)

// BenchmarkClassify asks for micro-batches, four at a time as the workers do, features, mutual TLS and the loopback
// interface included, by calls and over a stream. The server answers at once. CPU time is that of both sides.
func BenchmarkClassify(b *testing.B) {
	for _, rows := range []int{1, 64, 128, 256} {
		for _, how := range []string{"call", "stream"} {
			b.Run(fmt.Sprintf("%s/%d", how, rows), func(b *testing.B) {
				s := newServer()
				listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				dial := func(ctx context.Context, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
				}
				client, _ := connectVia(b, s, listener, dial, classify.Options{Stream: how == "stream"})
				input := sessions(b, rows)
				if _, err := client.Classify(b.Context(), input); err != nil {
					b.Fatal(err)
				}
				var failed atomic.Pointer[error]
				b.SetBytes(int64(rows) * (feature.ByteColumns + 4*feature.SeriesColumns + 4*feature.MetaColumns))
				b.SetParallelism(2)
				b.ReportAllocs()
				before := used(b)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := client.Classify(b.Context(), input); err != nil {
							failed.Store(&err)
						}
					}
				})
				b.ReportMetric(float64(used(b)-before)/1e3/float64(b.N)/float64(rows), "cpu-us/session")
				if err := failed.Load(); err != nil {
					b.Fatal(*err)
				}
			})
		}
	}
}

// used is the CPU time of this process in nanoseconds.
func used(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
