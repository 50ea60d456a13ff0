//go:build linux && cgo && !nolibpcap

package afpacket_test

import (
	"slices"
	"testing"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
	p "sonde.example/internal/packet/packettest"
)

// TestFilterSeesTheFrameAsOnTheWire takes the same verdict for a frame that comes in, whose outer tag the kernel takes off,
// and one that goes out with its tag in its bytes, and the one that user space has for a file.
func TestFilterSeesTheFrameAsOnTheWire(t *testing.T) {
	syn := func(port uint16) []byte {
		return p.IPv4("10.0.0.1", "10.0.0.2", 6, p.TCP(port, 443, packet.SYN, 1, 0, make([]byte, 20)))
	}
	frames := map[string][]byte{
		"untagged":       p.Ethernet(0x800, syn(1)),
		"tagged":         p.Ethernet(0x8100, p.Tag(5, 0x800, syn(2))),
		"service tag":    p.Ethernet(0x88a8, p.Tag(7, 0x800, syn(3))),
		"QinQ":           p.Ethernet(0x88a8, p.Tag(7, 0x8100, p.Tag(5, 0x800, syn(4)))),
		"two of 802.1Q":  p.Ethernet(0x8100, p.Tag(7, 0x8100, p.Tag(5, 0x800, syn(5)))),
		"priority":       p.Ethernet(0x8100, p.Tag(0xe000, 0x800, syn(6))),
		"null tag":       p.Ethernet(0x8100, p.Tag(0, 0x800, syn(7))),
		"tagged, drop":   p.Ethernet(0x8100, p.Tag(0x1005, 0x800, syn(8))),
		"tagged non-IP":  p.Ethernet(0x8100, p.Tag(5, 0x88b5, make([]byte, 50))),
		"untagged other": p.Ethernet(0x88b5, make([]byte, 50)),
	}
	n := pair(t)
	for text, want := range map[string][]string{
		"":                                 {"untagged", "tagged", "service tag", "QinQ", "two of 802.1Q", "priority", "null tag", "tagged, drop", "tagged non-IP", "untagged other"},
		"tcp port 443":                     {"untagged"},
		"vlan and tcp port 443":            {"tagged", "service tag", "priority", "null tag", "tagged, drop"},
		"vlan 5":                           {"tagged", "tagged, drop", "tagged non-IP"},
		"vlan and vlan and tcp":            {"QinQ", "two of 802.1Q"},
		"vlan 7 and vlan 5":                {"QinQ", "two of 802.1Q"},
		"tcp or (vlan and tcp)":            {"untagged", "tagged", "service tag", "priority", "null tag", "tagged, drop"},
		"ether[12:2] = 0x88a8":             {"service tag", "QinQ"},
		"not tcp and not vlan":             {"untagged other"},
		"vlan and greater 79":              nil,
		"ether dst 2:0:0:0:0:2":            {"untagged", "tagged", "service tag", "QinQ", "two of 802.1Q", "priority", "null tag", "tagged, drop", "tagged non-IP", "untagged other"},
		"vlan and ip src 10.0.0.1":         {"tagged", "service tag", "priority", "null tag", "tagged, drop"},
		"udp or (vlan and udp)":            {},
		"ether src 2:0:0:0:0:1 and vlan 7": {"service tag", "QinQ", "two of 802.1Q"},
	} {
		t.Run(text, func(t *testing.T) {
			n.Do(func() {
				set, in, out := open(t), n.Sender("v1"), n.Sender("v0")
				replace(t, set, capture.Point{Name: "v0", Program: func(link packet.LinkType) (filter.Program, error) {
					return filter.Compile(text, link)
				}})
				program, err := filter.Compile(text, packet.LinkEthernet)
				if err != nil {
					t.Fatal(err)
				}
				filtered := uint64(0)
				var expected [][]byte
				for name, frame := range frames {
					taken := program.Matcher().Match(frame, len(frame))
					if want != nil && taken != slices.Contains(want, name) {
						t.Errorf("%s: user space says %t", name, taken)
					}
					if taken {
						expected = append(expected, frame)
					} else if tagged := frame[12] == 0x81 || frame[12] == 0x88 && frame[13] == 0xa8; tagged && text != "" {
						filtered++ // when it comes in; the kernel itself turns it away when it goes out
					}
					send(t, in, frame)
					send(t, out, frame)
				}
				var inbound, outbound [][]byte
				for range 2 * len(expected) {
					got := read(t, set)
					if got.Info.OriginalLength != len(got.Data) || got.Info.CaptureLength != len(got.Data) {
						t.Errorf("got %d bytes, %+v", len(got.Data), got.Info)
					}
					if got.Info.Direction == capture.Inbound {
						inbound = append(inbound, got.Data)
					} else {
						outbound = append(outbound, got.Data)
					}
				}
				if came := idle(t, set, nil); len(came) != 0 {
					t.Errorf("%x came, too", came)
				}
				for direction, got := range map[string][][]byte{"inbound": inbound, "outbound": outbound} {
					if !slices.EqualFunc(got, expected, slices.Equal[[]byte]) {
						t.Errorf("%s: got %x, want %x", direction, got, expected)
					}
				}
				if got, want := stats(t, set), (capture.Stats{Packets: uint64(2 * len(expected)), Filtered: filtered}); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		})
	}
}
