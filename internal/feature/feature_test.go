package feature

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"testing"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/packettest"
)

const link = uint32(packet.LinkEthernet)

// endpoints are what must not matter.
type endpoints struct {
	client, server         string
	clientPort, serverPort uint16
	clientISN, serverISN   uint32
}

var here = endpoints{"192.0.2.1", "192.0.2.2", 40000, 443, 1000, 2000}

// step is a packet of a test session.
type step struct {
	back    bool
	flags   uint8
	offset  uint32 // of the payload in its direction's stream
	payload []byte
	gap     int64
}

func (e endpoints) tcp(s step) []byte {
	isn, source, destination, from, to := e.clientISN, e.clientPort, e.serverPort, e.client, e.server
	if s.back {
		isn, source, destination, from, to = e.serverISN, e.serverPort, e.clientPort, e.server, e.client
	}
	sequence := isn + 1 + s.offset
	if s.flags&packet.SYN != 0 {
		sequence = isn
	}
	return packettest.Ethernet(0x0800, packettest.IPv4(from, to, 6, packettest.TCP(source, destination, s.flags, sequence, 1, s.payload)))
}

func (e endpoints) udp(s step) []byte {
	source, destination, from, to := e.clientPort, e.serverPort, e.client, e.server
	if s.back {
		source, destination, from, to = e.serverPort, e.clientPort, e.server, e.client
	}
	return packettest.Ethernet(0x0800, packettest.IPv4(from, to, 17, packettest.UDP(source, destination, s.payload)))
}

func headOf(frame func(step) []byte, steps ...step) *flowv1.Packets {
	h := &flowv1.Packets{Interfaces: []*flowv1.Interface{{LinkType: link}}}
	for i, s := range steps {
		f := frame(s)
		flags := uint32(0)
		if s.back {
			flags = uint32(flowv1.PacketFlag_PACKET_FLAG_REVERSE)
		}
		h.Captured = append(h.Captured, uint32(len(f)))
		h.Missing = append(h.Missing, 0)
		h.Flags = append(h.Flags, flags)
		h.TimeDeltasNs = append(h.TimeDeltasNs, s.gap)
		h.Ordinals = append(h.Ordinals, uint32(i))
		h.Data = append(h.Data, f...)
	}
	return h
}

func read(t testing.TB, protocol uint32, head *flowv1.Packets) *Session {
	t.Helper()
	s := new(Session)
	if err := s.FromHead(packet.NewWalkers(packet.DefaultOptions()), protocol, head); err != nil {
		t.Fatal(err)
	}
	return s
}

func row(s *Session) *Row {
	r := new(Row)
	s.Extract(r)
	return r
}

// same compares rows bit by bit, since NaN differs from itself.
func same(a, b *Row) bool {
	return bytes.Equal(a.Bytes[:], b.Bytes[:]) && bytes.Equal(bits(a.Series[:]), bits(b.Series[:])) && bytes.Equal(bits(a.Meta[:]), bits(b.Meta[:]))
}

func bits(values []float32) []byte {
	out, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		panic(err)
	}
	return out
}

// realHello returns what crypto/tls sends first.
func realHello(t testing.TB, name string, protocols ...string) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	done := make(chan []byte, 1)
	go func() {
		defer theirs.Close()
		buffer := make([]byte, 4096)
		n, err := theirs.Read(buffer)
		if err != nil {
			n = 0
		}
		done <- buffer[:n]
	}()
	client := tls.Client(ours, &tls.Config{ServerName: name, NextProtos: protocols, MinVersion: tls.VersionTLS12})
	if err := client.HandshakeContext(context.Background()); err == nil {
		t.Fatal("a handshake without a server went well")
	}
	hello := <-done
	if len(hello) < 100 {
		t.Fatalf("crypto/tls sent %d bytes", len(hello))
	}
	return hello
}

func TestSegmentsInAnyOrderGiveTheSameBytes(t *testing.T) {
	hello := realHello(t, "secret-name.example", "h2", "http/1.1")
	syn := step{flags: packet.SYN}
	cut := len(hello) / 2
	a, b := step{flags: packet.ACK, payload: hello[:cut]}, step{flags: packet.ACK, offset: uint32(cut), payload: hello[cut:]}
	wide := step{flags: packet.ACK, offset: uint32(cut - 30), payload: hello[cut-30:]}
	short := step{flags: packet.ACK, payload: hello[:20]}
	var want *Session
	for name, steps := range map[string][]step{
		"in order":    {syn, a, b},
		"swapped":     {syn, b, a},
		"repeated":    {syn, a, a, b, b},
		"overlapping": {syn, a, wide},
		"both":        {syn, wide, short, b, a},
		"no SYN":      {b, a},
		"late SYN":    {b, syn, a},
	} {
		t.Run(name, func(t *testing.T) {
			for _, isn := range []uint32{1000, 0xffffffff - uint32(cut)/2} { // the second wraps round
				e := here
				e.clientISN = isn
				s := read(t, 6, headOf(e.tcp, steps...))
				if !bytes.Equal(s.Forward(), hello) {
					t.Fatalf("%d bytes came out of %d", len(s.Forward()), len(hello))
				}
				if s.HoleBytes() != 0 {
					t.Errorf("%d bytes of holes", s.HoleBytes())
				}
				if want == nil {
					want = s
				}
				if row(s).Bytes != row(want).Bytes {
					t.Error("bytes differ")
				}
				h := s.Handshake()
				if h.GetServerName() != "secret-name.example" || h.GetTlsVersion() != "1.3" || h.GetJa4() != want.Handshake().GetJa4() {
					t.Errorf("handshake is %v", h)
				}
			}
		})
	}
}

func TestHoleEndsTheStreamAndIsCounted(t *testing.T) {
	s := read(t, 6, headOf(here.tcp, step{flags: packet.SYN}, step{flags: packet.ACK, payload: []byte("first ")},
		step{flags: packet.ACK, offset: 16, payload: []byte("third")}, step{back: true, flags: packet.SYN | packet.ACK},
		step{back: true, flags: packet.ACK, offset: 5, payload: []byte("late")}))
	if got := string(s.Forward()); got != "first " {
		t.Errorf("client's stream is %q", got)
	}
	if len(s.Reverse()) != 0 {
		t.Errorf("server's stream is %q", s.Reverse())
	}
	if s.HoleBytes() != 15 {
		t.Errorf("%d bytes of holes, want 10 + 5", s.HoleBytes())
	}
}

func TestBytesLeftOutAreNoHole(t *testing.T) {
	h := headOf(here.tcp, step{flags: packet.SYN}, step{flags: packet.ACK, payload: []byte("0123456789")})
	h.Captured[1] -= 6
	h.Missing[1] = 6
	h.Flags[1] = uint32(flowv1.PacketFlag_PACKET_FLAG_SNAPPED)
	h.Data = h.Data[:len(h.Data)-6]
	s := read(t, 6, h)
	if string(s.Forward()) != "0123" || s.HoleBytes() != 0 || s.Truncated() != 1 || s.Packets()[1].Size != 10 {
		t.Errorf("stream %q, %d bytes of holes, %d truncated, size %d", s.Forward(), s.HoleBytes(), s.Truncated(), s.Packets()[1].Size)
	}
}

func conversation(t testing.TB) []step {
	t.Helper()
	return []step{
		{flags: packet.SYN}, {back: true, flags: packet.SYN | packet.ACK, gap: 2e6}, {flags: packet.ACK, gap: 1e5},
		{flags: packet.ACK | packet.PSH, payload: []byte("GET /a HTTP/1.1\r\nHost: secret-name.example:8080\r\nAccept: */*\r\n\r\n"), gap: 3e5},
		{back: true, flags: packet.ACK, payload: []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLocation: http://secret-name.example/b\r\n\r\nok"), gap: 4e6},
	}
}

func TestWhatMustNotMatterDoesNot(t *testing.T) {
	steps := conversation(t)
	want := row(read(t, 6, headOf(here.tcp, steps...)))
	for name, e := range map[string]endpoints{
		"addresses": {"198.51.100.7", "203.0.113.9", here.clientPort, here.serverPort, here.clientISN, here.serverISN},
		"ports":     {here.client, here.server, 1, 65535, here.clientISN, here.serverISN},
		"sequence":  {here.client, here.server, here.clientPort, here.serverPort, 0xfffffff0, 77},
	} {
		if !same(row(read(t, 6, headOf(e.tcp, steps...))), want) {
			t.Errorf("%s change the row", name)
		}
	}
	header := func(change func(frame []byte)) *flowv1.Packets {
		return headOf(func(s step) []byte {
			frame := here.tcp(s)
			change(frame)
			return frame
		}, steps...)
	}
	for name, change := range map[string]func([]byte){
		"MAC":           func(f []byte) { copy(f, "\x02\x11\x22\x33\x44\x55\x02\x66\x77\x88\x99\xaa") },
		"TTL":           func(f []byte) { f[14+8] = 3 },
		"IP identifier": func(f []byte) { binary.BigEndian.PutUint16(f[14+4:], 0x1234) },
		"acknowledged":  func(f []byte) { binary.BigEndian.PutUint32(f[14+20+8:], 0x12345678) },
		"window":        func(f []byte) { binary.BigEndian.PutUint16(f[14+20+14:], 99) },
		"checksum":      func(f []byte) { binary.BigEndian.PutUint16(f[14+10:], 0xbeef) },
		"service class": func(f []byte) { f[14+1] = 0xb8 },
	} {
		if !same(row(read(t, 6, header(change))), want) {
			t.Errorf("%s changes the row", name)
		}
	}
	later := headOf(here.tcp, steps...)
	later.BaseTimeNs, later.TimeDeltasNs[0] = 1e18, 5e9
	if !same(row(read(t, 6, later)), want) {
		t.Error("absolute time changes the row")
	}
	other := headOf(here.tcp, append([]step{{flags: packet.SYN, gap: 1}}, steps...)...)
	if same(row(read(t, 6, other)), want) {
		t.Error("another packet does not change the row; the comparison is blind")
	}
}

// TestTwoConnectionsOfOneClientLookAlike has crypto/tls draw its random numbers, session id and key share anew, for another
// server each time. Only how all bytes of the stream are distributed, line feeds among them, may tell
// them apart.
func TestTwoConnectionsOfOneClientLookAlike(t *testing.T) {
	var rows []*Row
	for _, name := range []string{"one.example", "two.example"} {
		hello := realHello(t, name, "h2", "http/1.1")
		s := read(t, 6, headOf(here.tcp, step{flags: packet.SYN}, step{flags: packet.ACK, payload: hello}))
		if s.Handshake().GetServerName() != name {
			t.Fatalf("the hello names %q", s.Handshake().GetServerName())
		}
		var named Row
		if s.ExtractWithNames(&named); !bytes.Contains(named.Bytes[:], []byte(name)) {
			t.Error("with names there is none")
		}
		rows = append(rows, row(s))
	}
	for _, b := range Blocks() {
		if b.Name == BlockPayload || b.Name == BlockLengths {
			for _, c := range b.Columns {
				rows[0].Meta[c], rows[1].Meta[c] = 0, 0
			}
		}
	}
	if !same(rows[0], rows[1]) {
		t.Error("what is random, or the name, changes the row")
	}
}

func TestNativeSessionGivesTheSameRow(t *testing.T) {
	for name, s := range map[string]*Session{
		"TCP": read(t, 6, headOf(here.tcp, conversation(t)...)),
		"UDP": read(t, 17, headOf(here.udp, step{payload: dnsQuery("www.secret.example")}, step{back: true, payload: []byte{}, gap: 5}, step{back: true, payload: []byte("answer"), gap: 7e7})),
		"ESP": read(t, 50, headOf(func(s step) []byte {
			return packettest.Ethernet(0x0800, packettest.IPv4("192.0.2.1", "192.0.2.2", 50, s.payload))
		}, step{payload: []byte("12345678abcd")})),
		"empty": read(t, 6, &flowv1.Packets{}),
	} {
		native := new(Session)
		if err := native.FromNative(s.Native()); err != nil {
			t.Fatal(err)
		}
		if !same(row(native), row(s)) {
			t.Errorf("%s: the native session gives another row", name)
		}
	}
}

// TestTunnelsAreOpenedWhereTheInterfaceTells has the packets of one head come through VXLAN on ports of their interface's own.
func TestTunnelsAreOpenedWhereTheInterfaceTells(t *testing.T) {
	turn := 0
	wrapped := func(s step) []byte {
		port := []uint16{8472, 4789}[turn%2]
		turn++
		carrier := packettest.UDP(50000, port, packettest.VXLAN(42, here.tcp(s)))
		return packettest.Ethernet(0x0800, packettest.IPv4("203.0.113.1", "203.0.113.2", 17, carrier))
	}
	plain, h := headOf(here.tcp, conversation(t)...), headOf(wrapped, conversation(t)...)
	h.Interfaces[0].TunnelPorts = &flowv1.TunnelPorts{Vxlan: []uint32{8472}}
	h.Interfaces = append(h.Interfaces, &flowv1.Interface{LinkType: link}) // tells none
	for i := range h.GetCaptured() {
		h.InterfaceIndexes = append(h.InterfaceIndexes, uint32(i%2))
	}
	want := row(read(t, 6, plain))
	if !same(row(read(t, 6, h)), want) {
		t.Error("the packets were not found in their tunnels")
	}
	h.Interfaces[0].TunnelPorts = &flowv1.TunnelPorts{}
	if same(row(read(t, 6, h)), want) {
		t.Error("tunnels were opened though the interface tells that there are none")
	}
}

func TestContradictionsAreNamed(t *testing.T) {
	good := func() *flowv1.Packets { return headOf(here.tcp, conversation(t)...) }
	for name, spoil := range map[string]func(*flowv1.Packets){
		"head.time_deltas_ns has 4":      func(h *flowv1.Packets) { h.TimeDeltasNs = h.TimeDeltasNs[1:] },
		"head.missing has 0":             func(h *flowv1.Packets) { h.Missing = nil },
		"head.flags has 6":               func(h *flowv1.Packets) { h.Flags = append(h.Flags, 0) },
		"head.interfaces is empty":       func(h *flowv1.Packets) { h.Interfaces = nil },
		"head.interface_indexes has 1 ":  func(h *flowv1.Packets) { h.InterfaceIndexes = []uint32{0} },
		"head.interface_indexes has 7, ": func(h *flowv1.Packets) { h.InterfaceIndexes = []uint32{0, 0, 7, 0, 0} },
		"head.captured adds up":          func(h *flowv1.Packets) { h.Captured[2] = 0xffffffff },
	} {
		h := good()
		spoil(h)
		err := new(Session).FromHead(packet.NewWalkers(packet.DefaultOptions()), 6, h)
		if !errors.Is(err, ErrContradiction) || !bytes.Contains([]byte(err.Error()), []byte(name)) {
			t.Errorf("%q came out as %v", name, err)
		}
	}
	for name, native := range map[string]*inferencev1.Session{
		"ip_protocol is 256":      {IpProtocol: 256},
		"gaps_us has 0":           {SignedSizes: []int32{1}},
		"forward_payload and":     {ForwardPayload: make([]byte, 4097)},
		"reverse_empty has 3":     {SignedSizes: []int32{0}, GapsUs: []uint32{0}, ReverseEmpty: []uint32{3}},
		"which is not empty":      {SignedSizes: []int32{5}, GapsUs: []uint32{0}, ReverseEmpty: []uint32{0}},
		"signed_sizes[0] is out ": {SignedSizes: []int32{-1 << 31}, GapsUs: []uint32{0}},
	} {
		err := new(Session).FromNative(native)
		if !errors.Is(err, ErrContradiction) || !bytes.Contains([]byte(err.Error()), []byte(name)) {
			t.Errorf("%q came out as %v", name, err)
		}
	}
}
