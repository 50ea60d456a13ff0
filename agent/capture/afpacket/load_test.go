//go:build linux

package afpacket_test

import (
	"context"
	"testing"
	"time"

	"golang.org/x/net/bpf"

	"sonde.example/agent/capture"
	"sonde.example/agent/capture/afpacket"
	"sonde.example/internal/packet/filter"
	"sonde.example/internal/testenv/netns"
)

// TestDropsAreCountedExactly lets a ring run over several times, unread in between.
func TestDropsAreCountedExactly(t *testing.T) {
	n := pair(t)
	n.Do(func() {
		set, err := afpacket.Open(afpacket.Options{RingBytes: afpacket.MinRingBytes})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := set.Close(); err != nil {
				t.Error(err)
			}
		}()
		sender := n.Sender("v1")
		none := program(t, "none", bpf.RawInstruction{Op: 6})
		replace(t, set, append(points("v0"), point("v1", none))...)
		sent := uint64(0)
		for round := range 3 {
			for range 10_000 {
				send(t, sender, numbered(int(sent)))
				sent++
			}
			next := uint64(0)
			for _, frame := range idle(t, set, nil) {
				if number := netns.NumberOf(frame); number < next {
					t.Fatalf("packet %d after %d", number, next)
				} else {
					next = number + 1
				}
			}
			got := stats(t, set)
			if got.Packets+got.Drops != sent || got.Drops == 0 || got.Packets == 0 || got.Filtered+got.Dup != 0 {
				t.Errorf("round %d: got %+v of %d", round, got, sent)
			}
		}
		// What a ring lost is still counted when it has gone.
		before := stats(t, set)
		for range 10_000 {
			send(t, sender, numbered(int(sent)))
			sent++
		}
		replace(t, set)
		idle(t, set, nil)
		got := stats(t, set)
		if got.Packets+got.Drops != sent || got.Drops <= before.Drops {
			t.Errorf("got %+v of %d, before %+v", got, sent, before)
		}
	})
}

func TestReadPacketDoesNotAllocate(t *testing.T) {
	n := pair(t)
	n.Do(func() {
		set := open(t)
		replace(t, set, points("v0")...)
		const count = 3000
		frames := make([][]byte, count)
		for i := range frames {
			frames[i] = numbered(i)
		}
		send(t, n.Sender("v1"), frames...)
		read(t, set) // and with it the wait for the first block
		ctx := t.Context()
		got := testing.AllocsPerRun(count-2, func() {
			if _, _, err := set.ReadPacket(ctx); err != nil {
				t.Fatal(err)
			}
		})
		if got != 0 {
			t.Errorf("got %v allocations", got)
		}
	})
}

// TestManyDevicesAreReadFairly has one device that always has more, and one with a packet now and then.
func TestManyDevicesAreReadFairly(t *testing.T) {
	n := pair(t)
	netns.Veth(n, "w0", n, "w1")
	n.Do(func() {
		set := open(t)
		numbers := replace(t, set, points("v0", "w0")...)
		busy, rare := n.Sender("v1"), n.Sender("w1")
		frames := make([][]byte, 30_000)
		for i := range frames {
			frames[i] = numbered(i)
		}
		send(t, busy, frames...)
		send(t, rare, numbered(0))
		// The rare packet waits for the busy ring's present block at most, and its own time-out.
		for count := 0; ; count++ {
			if got := read(t, set); got.Info.InterfaceIndex == numbers[1] {
				t.Logf("after %d packets", count)
				if count > len(frames)/2 {
					t.Errorf("the rare device waited for %d packets", count)
				}
				return
			}
		}
	})
}

func BenchmarkReadPacket(b *testing.B) {
	for name, tagged := range map[string]bool{"untagged": false, "tagged": true} {
		b.Run(name, func(b *testing.B) { benchmarkRead(b, tagged) })
	}
}

// benchmarkRead fills a ring and reads it, in turn; "ns/packet" is the reading alone. Another set tells when the ring has all,
// so that the wait for the last block is not in it.
func benchmarkRead(b *testing.B, tagged bool) {
	n := pair(b)
	n.Do(func() {
		set, witness, sender := open(b), open(b), n.Sender("v1")
		code := []bpf.RawInstruction{{Op: 0x80}, {Op: 0x35, Jf: 1, K: 60}, {Op: 6, K: 262144}, {Op: 6}}
		replace(b, witness, points("v0")...)
		replace(b, set, point("v0", program(b, "greater 60", code...)))
		frames := make([][]byte, 10_000)
		for i := range frames {
			frames[i] = numbered(i)
			if tagged {
				frames[i] = append(append(append([]byte(nil), frames[i][:12]...), 0x81, 0, 0, 5), frames[i][12:]...)
			}
		}
		var reading time.Duration
		count := 0
		for b.Loop() {
			send(b, sender, frames...)
			for netns.NumberOf(read(b, witness).Data) != uint64(len(frames)-1) {
			}
			read(b, set)
			begin := time.Now()
			for range len(frames) - 1 {
				if _, _, err := set.ReadPacket(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			reading += time.Since(begin)
			count += len(frames) - 1
		}
		b.ReportMetric(float64(reading.Nanoseconds())/float64(count), "ns/packet")
	})
}

// BenchmarkCapture is the whole way: a sender on one core, kernel, ring and reader on the other.
func BenchmarkCapture(b *testing.B) {
	n := pair(b)
	n.Do(func() {
		set, err := afpacket.Open(afpacket.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer set.Close()
		sender := n.Sender("v1")
		replace(b, set, points("v0")...)
		frames := make([][]byte, 256)
		for i := range frames {
			frames[i] = numbered(i)
		}
		ctx, cancel := context.WithCancel(b.Context())
		sent := make(chan error, 1)
		go func() {
			for ctx.Err() == nil {
				if _, err := sender.SendMany(frames); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		b.ReportAllocs()
		b.SetBytes(int64(len(frames[0])))
		for b.Loop() {
			if _, _, err := set.ReadPacket(ctx); err != nil {
				b.Fatal(err)
			}
		}
		cancel()
		if err := <-sent; err != nil {
			b.Fatal(err)
		}
		got := stats(b, set)
		b.ReportMetric(float64(got.Packets)/b.Elapsed().Seconds(), "packets/s")
		b.ReportMetric(float64(got.Drops)/float64(got.Packets+got.Drops), "dropped/packet")
	})
}

// BenchmarkReplace changes the filter of a live socket, and the device with a ring of the default size.
func BenchmarkReplace(b *testing.B) {
	b.Run("filter", func(b *testing.B) {
		n := pair(b)
		n.Do(func() {
			set := open(b)
			one := program(b, "one", bpf.RawInstruction{Op: 6, K: 1})
			for i := 0; b.Loop(); i++ {
				replace(b, set, point("v0", []filter.Program{{}, one}[i%2]))
			}
		})
	})
	b.Run("device", func(b *testing.B) {
		n := pair(b)
		n.Do(func() {
			for b.Loop() {
				set, err := afpacket.Open(afpacket.Options{})
				if err != nil {
					b.Fatal(err)
				}
				replace(b, capture.Live(set), points("v0")...)
				b.StopTimer()
				if err := set.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	})
}
