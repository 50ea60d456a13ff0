package batch_test

import (
	"bytes"
	"context"
	"hash/crc32"
	"math"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"sonde.example/agent/batch"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
)

// out keeps what is appended.
type out struct {
	payloads [][]byte
	packets  []int
	lanes    []uint32
	times    []time.Time
}

func (o *out) Append(_ context.Context, lane uint32, packets int, payload ...[]byte) (uint64, error) {
	o.payloads = append(o.payloads, slices.Concat(payload...))
	o.packets = append(o.packets, packets)
	o.lanes = append(o.lanes, lane)
	o.times = append(o.times, time.Now())
	return uint64(len(o.payloads)), nil
}

func (o *out) batches(t *testing.T) (all []*ingestv1.Batch) {
	t.Helper()
	for _, payload := range o.payloads {
		b := new(ingestv1.Batch)
		if err := proto.Unmarshal(payload, b); err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func newLanes(o *out, lanes int, counters ...*ingestv1.Counters) *batch.Lanes {
	return batch.NewLanes(batch.Options{Lanes: lanes, Out: o, Counters: func(lane uint32) *ingestv1.Counters {
		if len(counters) == 0 {
			return new(ingestv1.Counters)
		}
		return counters[lane]
	}})
}

func key4() packet.Key {
	k := packet.Key{Version: 4, Protocol: 6, LowPort: 80, HighPort: 50000}
	copy(k.Low[:], []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1})
	copy(k.High[:], []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 2})
	return k
}

func key6() packet.Key {
	k := packet.Key{
		Version: 6, Protocol: 17, LowPort: 53, HighPort: 5353,
		Scope: packet.Scope{VLANs: [2]uint16{7, 4094}, Tunnel: packet.VXLAN, TunnelID: 77},
	}
	k.Low[0], k.High[0] = 0x20, 0xfe
	return k
}

// TestEncodeAgreesWithTheContract compares what is encoded by hand with what generated code reads.
func TestEncodeAgreesWithTheContract(t *testing.T) {
	o := new(out)
	counters := &ingestv1.Counters{Seen: 9, Accepted: 3, Cut: 6, OpenedSessions: 2}
	l := newLanes(o, 1, counters)
	first := l.Interface(batch.Interface{CapturePoint: "file:a", Link: packet.LinkEthernet})
	second := l.Interface(batch.Interface{CapturePoint: "file:a", Name: "eth1", Link: packet.LinkRaw})
	if again := l.Interface(batch.Interface{CapturePoint: "file:a", Link: packet.LinkEthernet}); again != first {
		t.Errorf("interface got another number: %d", again)
	}
	b := l.Lane(0)
	var tcp, udp uint64
	s, fresh := b.Touch(&tcp)
	*s = batch.Session{
		Number: math.MaxUint64, Key: key4(), ClientHigh: true, Interface: second, Opened: true, Midstream: true,
		ForwardPackets: 1, ForwardBytes: 1000, OpenedTime: -5, LastTime: 1 << 60, ForwardFlags: 2, ReverseFlags: 18,
	}
	b.Packet(tcp, 1000, []byte("abc"), 1000, 4, second)
	u, alsoFresh := b.Touch(&udp)
	*u = batch.Session{
		Number: 5, Key: key6(), Interface: first, PacketsBefore: 12, Continued: true, ReversePackets: 300, ReverseBytes: 400,
		OpenedTime: 1, LastTime: 2, EndReason: int32(flowv1.EndReason_END_REASON_IDLE),
	}
	b.Packet(udp, 400, []byte("defgh"), 5, 3, first)
	if again, freshAgain := b.Touch(&tcp); freshAgain || again.Number != math.MaxUint64 {
		t.Errorf("touched again: %+v", again)
	}
	b.Packet(tcp, 1<<40, nil, 70, 0, second)
	if !fresh || !alsoFresh {
		t.Error("new sessions are not fresh")
	}
	if err := l.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := &ingestv1.Batch{
		Sessions: []*ingestv1.SessionUpdate{{
			Number: math.MaxUint64, Opened: true, Midstream: true,
			FiveTuple: &flowv1.FiveTuple{ClientAddress: []byte{10, 0, 0, 2}, ClientPort: 50000, ServerAddress: []byte{10, 0, 0, 1}, ServerPort: 80, IpProtocol: 6},
			Counts: &flowv1.Counts{
				ForwardPackets: 1, ForwardBytes: 1000, OpenedTimeNs: -5, LastTimeNs: 1 << 60, ForwardTcpFlags: 2, ReverseTcpFlags: 18,
			},
		}, {
			Number: 5, InterfaceIndex: 1, PacketsBefore: 12, Continued: true,
			Scope:     &flowv1.Scope{VlanIds: []uint32{7, 4094}, Tunnel: flowv1.TunnelKind_TUNNEL_KIND_VXLAN, TunnelId: 77},
			FiveTuple: &flowv1.FiveTuple{ClientAddress: low6(), ClientPort: 53, ServerAddress: high6(), ServerPort: 5353, IpProtocol: 17},
			Counts: &flowv1.Counts{
				ReversePackets: 300, ReverseBytes: 400, OpenedTimeNs: 1, LastTimeNs: 2, Ended: true, EndReason: flowv1.EndReason_END_REASON_IDLE,
			},
		}},
		Interfaces: []*flowv1.Interface{
			{CapturePoint: "file:a", Name: "eth1", LinkType: uint32(packet.LinkRaw)}, {CapturePoint: "file:a", LinkType: 1},
		},
		BaseTimeNs: 1000, SessionIndex: []uint32{0, 1, 0}, TimeDeltasNs: []int64{0, -600, 1<<40 - 400},
		Captured: []uint32{3, 5, 0}, Missing: []uint32{997, 0, 70}, Flags: []uint32{4, 3, 0}, InterfaceIndexes: []uint32{0, 1, 0},
		Counters: counters, Data: []byte("abcdefgh"),
		Crc32C: crc32.Checksum([]byte("abcdefgh"), crc32.MakeTable(crc32.Castagnoli)),
	}
	if diff := cmp.Diff(want, o.batches(t)[0], protocmp.Transform()); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	// data is the last field, as the contract says.
	if !bytes.HasSuffix(o.payloads[0], []byte("abcdefgh")) {
		t.Error("data is not last")
	}
	// A tag of the batch before does not count any more.
	if s, fresh := b.Touch(&udp); !fresh || s.Number != 0 {
		t.Errorf("session of the batch before is still there: %+v", s)
	}
}

func low6() []byte  { k := key6(); return k.Low[:] }
func high6() []byte { k := key6(); return k.High[:] }

// add adds a packet of a new session.
func add(b *batch.Builder, size int) {
	var tag uint64
	s, _ := b.Touch(&tag)
	s.Key = key4()
	b.Packet(tag, 1, make([]byte, size), size, 0, 0)
}

// numbers counts from 0.
type numbers uint32

func (n *numbers) next() uint32 {
	*n++
	return uint32(*n) - 1
}

func TestBatchIsFull(t *testing.T) {
	var tag uint64
	var interfaces numbers
	for _, test := range []struct {
		name string
		add  func(*batch.Builder)
		want int
	}{
		{"by bytes", func(b *batch.Builder) { b.Touch(&tag); b.Packet(tag, 1, make([]byte, 1024), 1024, 0, 0) }, 256},
		{"by packets", func(b *batch.Builder) { b.Touch(&tag); b.Packet(tag, 1, nil, 60, 0, 0) }, 65536},
		{"by sessions", func(b *batch.Builder) { add(b, 0) }, 8192},
		{"by interfaces", func(b *batch.Builder) { b.Touch(&tag); b.Packet(tag, 1, nil, 60, 0, interfaces.next()) }, 512},
		{"by interfaces of sessions without packets", func(b *batch.Builder) { b.Touch(&tag); b.Names(interfaces.next()) }, 512},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := new(out)
			l := newLanes(o, 1)
			for i := range 512 {
				l.Interface(batch.Interface{Name: strconv.Itoa(i)})
			}
			tag, interfaces = 0, 0
			for n := 1; ; n++ {
				test.add(l.Lane(0))
				if err := l.FlushFull(t.Context()); err != nil {
					t.Fatal(err)
				}
				if len(o.payloads) > 0 {
					if n != test.want {
						t.Errorf("full after %d, want %d", n, test.want)
					}
					break
				}
			}
			if !l.Lane(0).Empty() {
				t.Error("not empty afterwards")
			}
		})
	}
}

// pump adds so many packets, so far apart, as a source would, and waits as long again for more.
func pump(t *testing.T, l *batch.Lanes, packets int, apart time.Duration) {
	read := func(wait time.Duration) {
		timer := time.NewTimer(wait)
		for {
			ctx := l.Reading(t.Context())
			select {
			case <-timer.C:
				return
			case <-ctx.Done():
				if err := l.Tick(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for range packets {
		add(l.Lane(0), 10)
		read(apart)
	}
	read(time.Second)
}

func TestBatchAges(t *testing.T) {
	for _, test := range []struct {
		name    string
		packets int
		apart   time.Duration
		age     time.Duration // of the first packet, when it is handed over
		batches int
	}{
		{"a trickle waits for 5 ms", 10, 20 * time.Millisecond, 5 * time.Millisecond, 10},
		{"a stream waits for 50 ms", 1000, 50 * time.Microsecond, 50 * time.Millisecond, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, begin := new(out), time.Now()
				l := newLanes(o, 1)
				l.Interface(batch.Interface{})
				pump(t, l, test.packets, test.apart)
				if len(o.payloads) != test.batches || o.times[0].Sub(begin) != test.age {
					t.Errorf("%d batches, the first after %s", len(o.payloads), o.times[0].Sub(begin))
				}
				sum := 0
				for _, n := range o.packets {
					sum += n
				}
				if sum != test.packets {
					t.Errorf("%d packets came out of %d", sum, test.packets)
				}
			})
		})
	}
}

func TestFinishTellsCountersThatNoBatchHasTold(t *testing.T) {
	o := new(out)
	counters := []*ingestv1.Counters{{}, {}}
	l := newLanes(o, 2, counters...)
	counters[1].Seen, counters[1].Undecodable = 1, 1
	for range 2 {
		if err := l.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := []*ingestv1.Batch{{Counters: counters[1]}}
	if diff := cmp.Diff(want, o.batches(t), protocmp.Transform()); diff != "" || o.lanes[0] != 1 {
		t.Errorf("lanes %v, want -, got +\n%s", o.lanes, diff)
	}
}

func TestBuilderAllocatesNothingForAPacket(t *testing.T) {
	o := discard{}
	l := batch.NewLanes(batch.Options{Lanes: 1, Out: o, Counters: func(uint32) *ingestv1.Counters { return o.counters() }})
	fill(l, 3000)
	if err := l.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(20, func() { fill(l, 150) }); n != 0 { // 3,150 packets: not full yet
		t.Errorf("%v allocations for 150 packets", n)
	}
}

type discard struct{}

func (discard) Append(context.Context, uint32, int, ...[]byte) (uint64, error) { return 1, nil }
func (discard) counters() *ingestv1.Counters                                   { return nil }

// frame is only read.
var frame [64]byte

// fill adds packets, 20 to a session.
func fill(l *batch.Lanes, packets int) {
	var tag uint64
	b := l.Lane(0)
	number := l.Interface(batch.Interface{})
	for i := range packets {
		if i%20 == 0 {
			tag = 0
		}
		if s, fresh := b.Touch(&tag); fresh {
			s.Key, s.Number = key4(), uint64(i)
		}
		b.Packet(tag, int64(i)*10_000, frame[:], 600, 1, number)
	}
}

func BenchmarkBuilder(b *testing.B) {
	l := batch.NewLanes(batch.Options{Lanes: 1, Out: discard{}, Counters: func(uint32) *ingestv1.Counters { return new(ingestv1.Counters) }})
	const packets = 4000
	b.ReportAllocs()
	b.SetBytes(packets * int64(len(frame)))
	for b.Loop() {
		fill(l, packets)
		if err := l.Finish(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(packets*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpackets/s")
}
