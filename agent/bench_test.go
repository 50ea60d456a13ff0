package agent

import (
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sonde.example/agent/capture"
	"sonde.example/agent/spool"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/packettest"
	"sonde.example/internal/telemetry"
)

// sieve is a spool of which everything is durable at once.
type sieve struct {
	spool.Spool
	batches, bytes int
}

func (s *sieve) Append(ctx context.Context, lane uint32, packets int, payload ...[]byte) (uint64, error) {
	s.batches++
	for _, part := range payload {
		s.bytes += len(part)
	}
	sequence, err := s.Spool.Append(ctx, lane, packets, payload...)
	if err != nil {
		return 0, err
	}
	return sequence, s.Mark(ctx, lane, sequence, sequence)
}

// benchCapture writes packets of many conversations with a few elephants among them, and returns the path and the size.
func benchCapture(b *testing.B, packets int) (string, int64) {
	random := rand.New(rand.NewPCG(3, 4))
	payload := make([]byte, 1400)
	to := []byte{0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0}
	for i := range packets {
		port := uint16(1024 + i/30 + random.IntN(500)) // short ones, sliding
		if random.IntN(3) == 0 {
			port = uint16(random.IntN(8)) // elephants
		}
		flags := uint8(packet.ACK)
		if random.IntN(60) == 0 {
			flags = packet.RST
		}
		var ip []byte
		if size := random.IntN(len(payload)); random.IntN(2) == 0 {
			ip = packettest.IPv4("10.0.0.1", "10.0.0.2", 6, packettest.TCP(port, 443, flags, uint32(i), 1, payload[:size]))
		} else {
			ip = packettest.IPv4("10.0.0.2", "10.0.0.1", 6, packettest.TCP(443, port, flags, uint32(i), 1, payload[:size/4]))
		}
		frame := packettest.Ethernet(0x0800, ip)
		for _, v := range []uint32{1_700_000_000 + uint32(i/100_000), uint32(i%100_000) * 10_000, uint32(len(frame)), uint32(len(frame))} {
			to = binary.LittleEndian.AppendUint32(to, v)
		}
		to = append(to, frame...)
	}
	path := filepath.Join(b.TempDir(), "bench.pcap")
	if err := os.WriteFile(path, to, 0o600); err != nil {
		b.Fatal(err)
	}
	return path, int64(len(to))
}

// BenchmarkFileToBatches is the agent without its uplink: file, walk, cut, batch, spool.
func BenchmarkFileToBatches(b *testing.B) {
	path, size := benchCapture(b, 200_000)
	for _, test := range []struct {
		name        string
		headPackets uint32
	}{{"heads", 24}, {"everything", 0}} {
		b.Run(test.name, func(b *testing.B) {
			config := DefaultConfig()
			config.Captures, config.HeadPackets = []string{"file:" + path}, test.headPackets
			a := &Agent{config: config, epoch: 1, log: slog.New(slog.DiscardHandler), books: newBooks(1, nil)}
			a.sources = sources{programs: map[packet.LinkType]compiled{}}
			out := &sieve{Spool: spool.NewMemory(spool.Options{Epoch: 1, Lanes: 1})}
			a.spool = out
			b.ReportAllocs()
			b.SetBytes(size)
			before := cpu(b)
			for b.Loop() {
				if err := newPump(a, 0).run(b.Context(), b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			packets := float64(a.progress.packets.Load()) * float64(b.N)
			b.ReportMetric(packets/(cpu(b)-before).Seconds()/1e6, "Mpackets/cpu-s") // the machine may have others to serve
			b.ReportMetric(float64(out.bytes)/float64(b.N)/float64(size), "sent/read")
			b.ReportMetric(float64(out.batches)/float64(b.N), "batches/op")
		})
	}
}

// carousel is a set of two devices by which the same packets pass again and again.
type carousel struct {
	frames [][]byte
	at     int
	time   int64
}

func (c *carousel) ReadPacket(ctx context.Context) ([]byte, capture.Info, error) {
	if ctx.Err() != nil {
		return nil, capture.Info{}, ctx.Err()
	}
	frame := c.frames[c.at%len(c.frames)]
	c.at++
	c.time += 10_000
	return frame, capture.Info{
		Time: c.time, CaptureLength: len(frame), OriginalLength: len(frame), InterfaceIndex: c.at / 64 % 2, LinkType: packet.LinkEthernet,
	}, nil
}

func (c *carousel) Replace(points []capture.Point) ([]int, error) {
	return []int{0, 1}[:len(points)], nil
}
func (*carousel) Exclude([]capture.Flow) error  { return nil }
func (*carousel) Stats() (capture.Stats, error) { return capture.Stats{}, nil }
func (*carousel) Waiting() map[string]error     { return nil }
func (*carousel) Close() error                  { return nil }

// BenchmarkDevicesToBatches is what the agent does with packets of devices, without the kernel and the uplink.
func BenchmarkDevicesToBatches(b *testing.B) {
	config := DefaultConfig()
	config.Captures = []string{"afpacket:a", "afpacket:b"}
	a := &Agent{config: config, epoch: 1, log: slog.New(slog.DiscardHandler), books: newBooks(1, nil), ready: telemetry.NewReady()}
	a.spool = &sieve{Spool: spool.NewMemory(spool.Options{Epoch: 1, Lanes: 1})}
	set := &carousel{time: time.Now().UnixNano()}
	for i := range 4096 {
		set.frames = append(set.frames, packettest.Ethernet(0x0800, packettest.IPv4("10.0.0.1", "10.0.0.2", 6,
			packettest.TCP(uint16(i%512), 443, packet.ACK, uint32(i), 1, make([]byte, 400)))))
	}
	l := newLivePump(nil)
	l.pump, l.set = newPump(a, 0), set
	settings, err := settingsOfFlags(&config)
	if err != nil {
		b.Fatal(err)
	}
	if err := l.configure(b.Context(), settings); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(set.frames[0])))
	for b.Loop() {
		data, info, err := l.set.ReadPacket(l.batches.Reading(b.Context()))
		if err == nil {
			err = l.packet(b.Context(), data, &info)
		} else {
			err = l.batches.Tick(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// cpu is the time that this process has used.
func cpu(b *testing.B) time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
