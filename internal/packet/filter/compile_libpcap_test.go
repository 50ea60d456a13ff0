//go:build cgo && !nolibpcap

package filter_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcap"

	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
	p "sonde.example/internal/packet/packettest"
)

func TestCompileNamesTextAndReason(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		link packet.LinkType
		want []string
	}{
		"syntax":          {"tcp prot 80", packet.LinkEthernet, []string{`"tcp prot 80"`, "syntax error"}},
		"loop":            {"ip6 protochain 6", packet.LinkEthernet, []string{"ip6 protochain 6", "jump out of the program"}},
		"wrong link type": {"ether host 1:2:3:4:5:6", packet.LinkRaw, []string{"ether host", "link type 101"}},
		"never true":      {"tcp and udp and greater 10 and less 5", packet.LinkEthernet, []string{"tcp and udp"}},
		"NUL":             {"tcp\x00 or broken (", packet.LinkEthernet, []string{"NUL"}},
		"long":            {strings.Repeat("tcp or ", 10000) + "tcp", packet.LinkEthernet, []string{"70003 bytes", `"tcp or tcp`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := filter.Compile(test.text, test.link)
			if err == nil {
				t.Fatal("compiled")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %v, want %q", err, want)
				}
			}
		})
	}
}

func TestCompileKnowsEveryLinkTypeThatWalkReads(t *testing.T) {
	hello := p.IPv4("10.0.0.1", "10.0.0.2", 6, p.TCP(1025, 443, packet.SYN, 1, 0, nil))
	for link, frame := range map[packet.LinkType][]byte{
		packet.LinkEthernet:  p.Ethernet(0x800, hello),
		packet.LinkRaw:       hello,
		packet.LinkIPv4:      hello,
		packet.LinkLinuxSLL:  p.Cooked(0x800, hello),
		packet.LinkLinuxSLL2: p.Cooked2(0x800, hello),
		packet.LinkLoop:      append([]byte{0, 0, 0, 2}, hello...),
		packet.LinkNull:      append([]byte{2, 0, 0, 0}, hello...),
		packet.LinkPPP:       append([]byte{0xff, 3, 0, 0x21}, hello...),
	} {
		for text, want := range map[string]bool{"tcp port 443": true, "host 10.0.0.2": true, "udp": false, "port 444": false} {
			program, err := filter.Compile(text, link)
			if err != nil {
				t.Errorf("link type %d: %v", link, err)
				continue
			}
			if got := program.Matcher().Match(frame, len(frame)); got != want {
				t.Errorf("link type %d, %q: got %t", link, text, got)
			}
		}
	}
	if _, err := filter.Compile("tcp port 443", packet.LinkIPv6); err != nil {
		t.Error(err)
	}
}

// TestMatchAgreesWithLibpcap runs real filters over frames that were sound before some of their bytes changed.
func TestMatchAgreesWithLibpcap(t *testing.T) {
	texts := []string{
		"ip", "ip6", "arp", "tcp and not port 22", "(tcp or udp) and not port 22", "portrange 20-100", "icmp or icmp6",
		"tcp[13] & 2 != 0", "vlan and tcp", "not (tcp or arp)", "greater 100", "less 60", "ip6 and tcp", "host ::1 or net 10.0.0.0/8",
		"ip[0] & 0xf != 5", "ip proto 47", "mpls", "pppoes and ip", "udp[4:2] > 20", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and ip[2:2] % 7 == 0",
		"len * 3 - 7 > 200", "ether[12:4] & 0xffff >> 3 = 1",
	}
	hello := p.IPv4("10.0.0.1", "10.0.0.2", 6, p.TCP(22, 80, packet.SYN, 1, 0, make([]byte, 40)))
	hello6 := p.IPv6("::1", "2001:db8::1", 6, p.TCP(22, 1025, packet.ACK, 1, 0, nil))
	frames := [][]byte{
		p.Ethernet(0x800, hello), p.Ethernet(0x86dd, hello6), p.Ethernet(0x806, make([]byte, 46)),
		p.Ethernet(0x8100, p.Tag(5, 0x800, hello)), p.Ethernet(0x8847, p.MPLS(9, true, hello)), p.Ethernet(0x8864, p.PPPoE(0x21, hello)),
		p.Ethernet(0x800, p.IPv4("10.0.0.1", "10.0.0.2", 17, p.UDP(53, 99, make([]byte, 20)))),
		p.Ethernet(0x800, p.IPv4("10.0.0.1", "10.0.0.2", 1, p.ICMP(8, 0, nil))),
		p.Ethernet(0x800, p.IPv4Fragment("10.0.0.1", "10.0.0.2", 17, 1, 8, true, make([]byte, 16))),
		p.Ethernet(0x86dd, p.IPv6("::1", "::2", 0, p.Extension(6, 4, p.TCP(1, 2, 2, 0, 0, nil)))),
	}
	const seed = 11
	random := rand.New(rand.NewPCG(seed, 0))
	for _, text := range texts {
		program, err := filter.Compile(text, packet.LinkEthernet)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		oracle, err := pcap.NewBPF(layers.LinkTypeEthernet, filter.SnapLength, text)
		if err != nil {
			t.Fatal(err)
		}
		m := program.Matcher()
		taken := 0
		for range 500 {
			frame := append([]byte(nil), frames[random.IntN(len(frames))]...)
			for range random.IntN(3) {
				frame[random.IntN(len(frame))] = byte(random.Uint32())
			}
			original := len(frame) + random.IntN(100)
			frame = frame[:1+random.IntN(len(frame))]
			if random.IntN(2) == 0 {
				original = len(frame)
			}
			want := oracle.Matches(gopacket.CaptureInfo{Timestamp: time.Unix(0, 0), CaptureLength: len(frame), Length: original}, frame)
			if got := m.Match(frame, original); got != want {
				t.Errorf("%q, seed %d: got %t, libpcap %t, for %x of %d", text, seed, got, want, frame, original)
			}
			if want {
				taken++
			}
		}
		if taken == 500 {
			t.Errorf("%q takes every frame: it shows nothing", text)
		}
	}
}
