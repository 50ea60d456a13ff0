package afpacket

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
	p "sonde.example/internal/packet/packettest"
)

// run runs a kernel program in user space, where the kernel's extensions read nothing.
func run(t testing.TB, code []bpf.RawInstruction, frame []byte) bool {
	t.Helper()
	program, err := filter.Parse("kernel program", packet.LinkEthernet, code)
	if err != nil {
		t.Fatal(err)
	}
	return program.Matcher().Match(frame, len(frame))
}

func flow(local, remote string) capture.Flow {
	return capture.Flow{Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote)}
}

// TestGuardTurnsAwayItsFlowsAndNothingElse compares the guard with the header walker, over frames of few addresses and
// ports, so that many nearly match, some of them changed or cut.
func TestGuardTurnsAwayItsFlowsAndNothingElse(t *testing.T) {
	flows := []capture.Flow{
		flow("10.0.0.1:1", "10.0.0.2:2"), flow("[fe80::1%5]:1", "[fe80::2]:2"), flow("0.0.0.0:2", "10.0.0.3:1"), flow("[::]:2", "[fe80::3]:1"),
	}
	hosts := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")}
	hosts6 := []netip.Addr{netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2"), netip.MustParseAddr("fe80::3")}
	const seed = 5
	random := rand.New(rand.NewPCG(seed, 0))
	pick := func(from []netip.Addr) string { return from[random.IntN(len(from))].String() }
	walker := packet.NewWalker(packet.DefaultOptions())
	for _, link := range []packet.LinkType{packet.LinkEthernet, packet.LinkRaw} {
		code, err := kernelProgram(filter.Program{}, link, false, flows)
		if err != nil {
			t.Fatal(err)
		}
		turnedAway := 0
		for range 20_000 {
			segment := p.TCP(uint16(1+random.IntN(2)), uint16(1+random.IntN(2)), packet.ACK, 1, 1, make([]byte, random.IntN(9)))
			frame, kind := p.IPv4(pick(hosts), pick(hosts), 6, segment), uint16(0x800)
			switch random.IntN(8) {
			case 0:
				frame = p.IPv4Fragment(pick(hosts), pick(hosts), 6, 1, 8*random.IntN(2), true, segment)
			case 1:
				frame = p.IPv4(pick(hosts), pick(hosts), 17, segment)
			case 2, 3, 4:
				frame, kind = p.IPv6(pick(hosts6), pick(hosts6), 6, segment), 0x86dd
			case 5:
				frame = withOptions(frame, 1+random.IntN(10))
			}
			if link == packet.LinkEthernet {
				for range random.IntN(maxTags + 2) {
					frame, kind = p.Tag(uint16(random.IntN(4095)), kind, frame), []uint16{0x8100, 0x88a8, 0x9100}[random.IntN(3)]
				}
				frame = p.Ethernet(kind, frame)
			}
			want := !mine(walker, flows, link, frame)
			if random.IntN(4) == 0 {
				frame = frame[:random.IntN(len(frame)+1)]
				if !want {
					continue // what is left of it may pass or not
				}
			}
			if got := run(t, code, frame); got != want {
				t.Fatalf("seed %d, link type %d: passed %t, want %t: %x", seed, link, got, want, frame)
			}
			if !want {
				turnedAway++
			}
		}
		if turnedAway < 500 {
			t.Errorf("link type %d: only %d frames belonged to a flow", link, turnedAway)
		}
	}
}

// withOptions lengthens an IPv4 header.
func withOptions(b []byte, words int) []byte {
	b = slices.Insert(slices.Clone(b), 20, make([]byte, 4*words)...)
	b[0] += byte(words)
	b[2], b[3] = byte(len(b)>>8), byte(len(b))
	return b
}

// mine tells whether a frame belongs to a flow, by the header walker.
func mine(walker *packet.Walker, flows []capture.Flow, link packet.LinkType, frame []byte) bool {
	var info packet.Info
	if walker.Walk(link, frame, len(frame), &info) != packet.OK || info.Key.Protocol != tcp {
		return false
	}
	if link == packet.LinkEthernet && tags(frame) > maxTags || info.Fragment == packet.LaterFragment {
		return false
	}
	from, to := info.Source(), info.Destination()
	is := func(want netip.AddrPort, got packet.Endpoint) bool {
		return want.Port() == got.Port && (want.Addr().IsUnspecified() && want.Addr().Is4() == got.Address.Is4() ||
			want.Addr().WithZone("") == got.Address)
	}
	return slices.ContainsFunc(flows, func(f capture.Flow) bool {
		return is(f.Local, from) && is(f.Remote, to) || is(f.Local, to) && is(f.Remote, from)
	})
}

func tags(frame []byte) int {
	n := 0
	for at := 12; at+2 <= len(frame); at += 4 {
		switch kind := uint16(frame[at])<<8 | uint16(frame[at+1]); kind {
		case 0x8100, 0x88a8, 0x9100:
			n++
		default:
			return n
		}
	}
	return n
}

func TestProgramRunsBehindTheGuardAsAlone(t *testing.T) {
	// It takes what the machine begins with, and frames whose first byte is 2.
	code := []bpf.RawInstruction{{Op: 0x15, Jf: 3}, {Op: 0x3d, Jf: 2}, {Op: 0x30}, {Op: 0x15, Jt: 1, K: 2}, {Op: 6}, {Op: 6, K: 1}}
	program, err := filter.Parse("first byte 2", packet.LinkEthernet, code)
	if err != nil {
		t.Fatal(err)
	}
	for name, frame := range map[string][]byte{
		"tcp":   p.Ethernet(0x800, p.IPv4("10.0.0.1", "10.0.0.9", 6, p.TCP(1, 2, 2, 0, 0, nil))),
		"short": p.Ethernet(0x800, nil),
		"arp":   p.Ethernet(0x806, make([]byte, 60)),
	} {
		kernel, err := kernelProgram(program, packet.LinkRaw, false, []capture.Flow{flow("10.0.0.1:1", "10.0.0.2:2")})
		if err != nil {
			t.Fatal(err)
		}
		if !run(t, kernel, frame) {
			t.Errorf("%s: not taken", name)
		}
		frame[0] = 3
		if run(t, kernel, frame) {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestKernelProgramIsBounded(t *testing.T) {
	long := func(n int) filter.Program {
		code := append(slices.Repeat([]bpf.RawInstruction{{Op: 0}}, n-1), bpf.RawInstruction{Op: 6, K: 1})
		program, err := filter.Parse("long", packet.LinkEthernet, code)
		if err != nil {
			t.Fatal(err)
		}
		return program
	}
	var flows []capture.Flow
	for i := range capture.MaxFlows {
		flows = append(flows, flow(fmt.Sprintf("[2001:db8::1]:%d", 40000+i), "[2001:db8::2]:7443"))
	}
	code, err := kernelProgram(long(2500), packet.LinkEthernet, true, flows)
	if err != nil {
		t.Fatal(err)
	}
	guard := len(code) - 2500
	t.Logf("%d flows take %d instructions", len(flows), guard)
	if _, err := kernelProgram(long(filter.MaxInstructions-guard), packet.LinkEthernet, true, flows); err != nil {
		t.Error(err)
	}
	_, err = kernelProgram(long(filter.MaxInstructions-guard+1), packet.LinkEthernet, true, flows)
	if err == nil || !strings.Contains(err.Error(), "more than the kernel takes, 4096") {
		t.Errorf("got error %v", err)
	}
	extended, err := filter.Parse("vlan tag", packet.LinkEthernet, []bpf.RawInstruction{{Op: 0x30, K: loadTagged}, {Op: 0x16}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kernelProgram(extended, packet.LinkEthernet, false, nil); err == nil || !strings.Contains(err.Error(), "beside the packet") {
		t.Errorf("got error %v", err)
	}
}
