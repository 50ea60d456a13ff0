package feature

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/internal/packet"
)

// TestAnySegmentationGivesTheStream cuts a stream into segments that overlap, come twice and in any order.
func TestAnySegmentationGivesTheStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := rapid.SliceOfN(rapid.Byte(), 1, 400).Draw(t, "stream")
		var steps []step
		for at := 0; at < len(stream) && len(steps) < 12; {
			end := len(stream)
			if len(steps) < 11 {
				end = rapid.IntRange(at+1, len(stream)).Draw(t, "end")
			}
			from := rapid.IntRange(0, at).Draw(t, "from")
			steps = append(steps, step{flags: packet.ACK, offset: uint32(from), payload: stream[from:end]})
			at = end
		}
		steps = append(steps, steps[rapid.IntRange(0, len(steps)-1).Draw(t, "again")], step{flags: packet.SYN})
		steps = rapid.Permutation(steps).Draw(t, "order")
		e := here
		e.clientISN = rapid.Uint32().Draw(t, "isn")
		s := new(Session)
		if err := s.FromHead(packet.NewWalkers(packet.DefaultOptions()), 6, headOf(e.tcp, steps...)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.Forward(), stream) || s.HoleBytes() != 0 {
			t.Fatalf("%d of %d bytes, %d missing", len(s.Forward()), len(stream), s.HoleBytes())
		}
	})
}

// sane fails when a row holds what no model may be given.
func sane(t *testing.T, s *Session) {
	t.Helper()
	r := row(s)
	for i, v := range r.Series {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			t.Fatalf("series[%d] is %v", i, v)
		}
	}
	for i, v := range r.Meta {
		if math.IsInf(float64(v), 0) {
			t.Fatalf("meta[%d], %s, is %v", i, columnNames[i], v)
		}
	}
	if h := s.Handshake(); len(h.GetServerName()) > maxNameBytes {
		t.Fatalf("server name of %d bytes", len(h.GetServerName()))
	}
	if again := row(s); !same(again, r) {
		t.Fatal("extracting twice gives two rows")
	}
}

func FuzzFromHead(f *testing.F) {
	for _, s := range [][]byte{here.tcp(step{flags: packet.SYN}), here.tcp(step{payload: record(chromeHello(f))}), here.udp(step{payload: dnsQuery("a.b")})} {
		f.Add(uint32(6), s, s, uint32(3))
		f.Add(uint32(17), s, []byte{}, uint32(0))
	}
	f.Fuzz(func(t *testing.T, protocol uint32, a, b []byte, missing uint32) {
		h := &flowv1.Packets{
			Interfaces: []*flowv1.Interface{{LinkType: link}}, Captured: []uint32{uint32(len(a)), uint32(len(b))}, Missing: []uint32{missing, 0},
			Flags: []uint32{0, 1}, TimeDeltasNs: []int64{-1, math.MinInt64}, Data: append(bytes.Clone(a), b...),
		}
		s := new(Session)
		if err := s.FromHead(packet.NewWalkers(packet.DefaultOptions()), protocol&0xff, h); err != nil {
			t.Fatal(err)
		}
		sane(t, s)
	})
}

func FuzzFromNative(f *testing.F) {
	f.Add(uint8(6), record(chromeHello(f)), record(helloOfServer(0x0304, 0x1301)), int32(600), int32(-90))
	f.Add(uint8(17), dnsQuery("www.example"), []byte{}, int32(29), int32(0))
	for _, v := range quicVectors {
		f.Add(uint8(17), seal(f, v.version, v.key, v.iv, v.protection, 0, cryptoFrame(0, chromeHello(f))), []byte{}, int32(1173), int32(-1))
	}
	f.Add(uint8(6), []byte("GET http:// HTTP/1.1\r\nHost: \r\n\r\n"), []byte("220 a.b\n"), int32(30), int32(-8))
	f.Fuzz(func(t *testing.T, protocol uint8, forward, reverse []byte, a, b int32) {
		s := new(Session)
		err := s.FromNative(&inferencev1.Session{
			IpProtocol: uint32(protocol), SignedSizes: []int32{a, b, a}, GapsUs: []uint32{0, math.MaxUint32, 1},
			ForwardPayload: forward, ReversePayload: reverse,
		})
		if err != nil {
			return
		}
		sane(t, s)
	})
}

// FuzzFrames feeds what an attacker can encrypt by himself: the keys of Initial packets are no secret.
func FuzzFrames(f *testing.F) {
	f.Add(cryptoFrame(0, chromeHello(f)))
	f.Add([]byte{3, 0, 0, 0x7f, 0xff, 0})
	f.Fuzz(func(t *testing.T, payload []byte) {
		var q quicStream
		q.frames(payload)
		var stream tlsStream
		stream.readMessage(q.message(), clientHello)
		if stream.found {
			_ = ja4(&stream.hello, 'q')
		}
	})
}

func TestReusedSessionAllocatesNothing(t *testing.T) {
	walker := packet.NewWalkers(packet.DefaultOptions())
	for name, head := range benchmarkHeads(t) {
		if name == "QUIC" {
			continue // its keys are made anew
		}
		var s Session
		var r Row
		protocol := uint32(6)
		if name == "DNS" {
			protocol = 17
		}
		if n := testing.AllocsPerRun(100, func() {
			if err := s.FromHead(walker, protocol, head); err != nil {
				t.Fatal(err)
			}
			s.Extract(&r)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func benchmarkHeads(t testing.TB) map[string]*flowv1.Packets {
	t.Helper()
	full := conversation(t)
	for i := range 19 {
		full = append(full, step{back: i%3 != 0, flags: packet.ACK, offset: uint32(80 + 100*i), payload: bytes.Repeat([]byte("x"), 100), gap: 1e6})
	}
	v := quicVectors[0]
	return map[string]*flowv1.Packets{
		"HTTP": headOf(here.tcp, full...),
		"TLS": headOf(here.tcp, step{flags: packet.SYN}, step{flags: packet.ACK, payload: record(chromeHello(t))},
			step{back: true, flags: packet.ACK, payload: record(helloOfServer(0x0304, 0x1301))}),
		"DNS":  headOf(here.udp, step{payload: dnsQuery("www.example.org")}, step{back: true, payload: dnsQuery("www.example.org")}),
		"QUIC": headOf(here.udp, step{payload: seal(t, v.version, v.key, v.iv, v.protection, 0, cryptoFrame(0, chromeHello(t)))}),
	}
}

func BenchmarkExtract(b *testing.B) {
	for name, head := range benchmarkHeads(b) {
		protocol := uint32(6)
		if name == "DNS" || name == "QUIC" {
			protocol = 17
		}
		b.Run(name, func(b *testing.B) {
			walker := packet.NewWalkers(packet.DefaultOptions())
			var s Session
			var r Row
			b.ReportAllocs()
			b.SetBytes(int64(len(head.GetData())))
			for b.Loop() {
				if err := s.FromHead(walker, protocol, head); err != nil {
					b.Fatal(err)
				}
				s.Extract(&r)
			}
		})
	}
}
