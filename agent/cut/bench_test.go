package cut_test

import (
	"math/rand/v2"
	"testing"

	"sonde.example/agent/cut"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/packettest"
)

// discard is a sink that costs nothing.
type discard struct{ packets, calls int }

func (d *discard) Packet(*cut.Session, *cut.Packet, int, uint32) { d.packets++ }
func (d *discard) Counts(*cut.Session)                           { d.calls++ }

// mix returns frames of so many concurrent sessions, TCP and UDP, in random order; each session ends and opens again.
func mix(sessions, packets int) [][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	payload := make([]byte, 600)
	frames := make([][]byte, packets)
	for i := range frames {
		port := uint16(random.IntN(sessions))
		var l4 []byte
		protocol := uint8(6)
		switch random.IntN(40) {
		case 0:
			l4 = packettest.TCP(port, 443, packet.SYN, random.Uint32(), 0, nil)
		case 1:
			l4 = packettest.TCP(port, 443, packet.RST, 1, 1, nil)
		case 2, 3, 4, 5:
			protocol, l4 = 17, packettest.UDP(port, 53, payload[:80])
		default:
			l4 = packettest.TCP(port, 443, packet.ACK, 1, 1, payload)
		}
		frames[i] = packettest.Ethernet(0x0800, packettest.IPv4("10.0.0.1", "10.0.0.2", protocol, l4))
	}
	return frames
}

func newBenchTable(sink cut.Sink) *cut.Table {
	return cut.New(cut.Options{
		Walker: packet.NewWalker(packet.DefaultOptions()), Limits: packet.DefaultHeadLimits(), Records: cut.NewRecords(4 << 20),
	}, cut.NewLanes(2), sink)
}

// replay takes frames again and again, 10 microseconds apart, beginning at *at.
func replay(table *cut.Table, p *cut.Packet, frames [][]byte, at *int64) {
	p.Link = packet.LinkEthernet
	for _, frame := range frames {
		*at += 10_000
		p.Data, p.Time, p.Original = frame, *at, len(frame)
		table.Packet(p)
		for table.Sweep() {
		}
	}
}

func TestTableAllocatesNothingForAPacket(t *testing.T) {
	sink := new(discard)
	table, p, at := newBenchTable(sink), new(cut.Packet), year
	frames := mix(40_000, 100_000) // more sessions than the table holds: eviction is part of it
	replay(table, p, frames, &at)
	if n := testing.AllocsPerRun(5, func() { replay(table, p, frames, &at) }); n != 0 {
		t.Errorf("%v allocations for %d packets", n, len(frames))
	}
}

func BenchmarkTable(b *testing.B) {
	for _, test := range []struct {
		name     string
		sessions int
	}{{"sessions=100", 100}, {"sessions=10000", 10_000}, {"sessions=60000 evicting", 60_000}} {
		b.Run(test.name, func(b *testing.B) {
			frames := mix(test.sessions, 1<<17)
			var size int64
			for _, frame := range frames {
				size += int64(len(frame))
			}
			table, p, at := newBenchTable(new(discard)), new(cut.Packet), year
			replay(table, p, frames, &at)
			b.ReportAllocs()
			b.SetBytes(size)
			for b.Loop() {
				replay(table, p, frames, &at)
			}
			b.ReportMetric(float64(len(frames))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpackets/s")
		})
	}
}
