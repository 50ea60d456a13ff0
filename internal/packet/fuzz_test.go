package packet_test

import (
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"sonde.example/internal/packet"
)

// FuzzWalk holds Walk's promises on any bytes, and compares it with gopacket on the frames that both can be asked about.
func FuzzWalk(f *testing.F) {
	for _, c := range allCases() {
		f.Add(uint16(c.link), c.frame, len(c.frame))
	}
	walker := packet.NewWalker(packet.DefaultOptions())
	plain := packet.NewWalker(packet.Options{})
	f.Fuzz(func(t *testing.T, link uint16, frame []byte, original int) {
		var info, again packet.Info
		before := slices.Clone(frame)
		verdict := walker.Walk(packet.LinkType(link), frame, original, &info)
		checkInvariants(t, frame, verdict, &info)
		if !slices.Equal(before, frame) {
			t.Fatal("the frame was changed")
		}
		again = packet.Info{Seq: 1, ICMPCode: 2, Fragment: packet.LaterFragment}
		if walker.Walk(packet.LinkType(link), frame, original, &again) != verdict || verdict == packet.OK && again != info {
			t.Fatalf("the second walk differs: %+v and %+v", info, again)
		}
		verdict = plain.Walk(packet.LinkEthernet, frame, len(frame), &info)
		compare(t, frame, verdict, &info)
	})
}

// compare checks a whole Ethernet frame with one IP header, no fragment, and TCP, UDP or SCTP in it, where gopacket finds
// nothing odd: the verdict must be OK, with the same five-tuple and the same payload.
func compare(t *testing.T, frame []byte, verdict packet.Verdict, info *packet.Info) {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true})
	if p.Metadata().Truncated || p.ErrorLayer() != nil || len(p.Layers()) > packet.MaxLayers-3 {
		return
	}
	var source, destination packet.Endpoint
	var protocol uint8
	var payload []byte
	var headers int
	var network gopacket.NetworkLayer
	for i, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.Ethernet:
			if i > 0 || l.EthernetType < 0x600 {
				return // tunnels, and LLC, where the two go different ways
			}
		case *layers.Dot1Q, *layers.IPv6HopByHop, *layers.IPv6Routing, *layers.IPv6Destination, *layers.MPLS:
		case *layers.IPv4:
			if l.Flags&layers.IPv4MoreFragments != 0 || l.FragOffset != 0 || l.Length == 0 || l.Version != 4 {
				return
			}
			network = l
			headers++
		case *layers.IPv6:
			if l.Length == 0 || l.Version != 6 {
				return
			}
			network = l
			headers++
		case *layers.TCP:
			source.Port, destination.Port, protocol, payload = uint16(l.SrcPort), uint16(l.DstPort), 6, l.Payload
		case *layers.UDP:
			if l.Length == 0 {
				return
			}
			source.Port, destination.Port, protocol, payload = uint16(l.SrcPort), uint16(l.DstPort), 17, l.Payload
		case *layers.SCTP:
			source.Port, destination.Port, protocol, payload = uint16(l.SrcPort), uint16(l.DstPort), 132, l.Payload
		default:
			if protocol == 0 {
				return
			}
		}
		if protocol != 0 {
			break
		}
	}
	if protocol == 0 || headers != 1 {
		return
	}
	flow := network.NetworkFlow()
	if verdict != packet.OK {
		t.Fatalf("gopacket reads %s %d > %d / %d, we say %d", flow, source.Port, destination.Port, protocol, verdict)
	}
	gotSource, gotDestination := info.Source(), info.Destination()
	if !slices.Equal(gotSource.Address.AsSlice(), flow.Src().Raw()) || !slices.Equal(gotDestination.Address.AsSlice(), flow.Dst().Raw()) ||
		gotSource.Port != source.Port || gotDestination.Port != destination.Port || info.Key.Protocol != protocol {
		t.Fatalf("gopacket reads %s %d > %d / %d, we read %v > %v / %d", flow, source.Port, destination.Port, protocol, gotSource, gotDestination, info.Key.Protocol)
	}
	if got := frame[info.PayloadOffset : info.PayloadOffset+info.PayloadCaptured]; protocol != 132 && !slices.Equal(got, payload) {
		t.Fatalf("gopacket's payload is %q, ours %q", payload, got)
	}
}

func BenchmarkWalk(b *testing.B) {
	walker := packet.NewWalker(packet.DefaultOptions())
	for _, c := range allCases() {
		switch c.name {
		case "ethernet, IPv4", "ethernet, IPv6", "UDP", "QinQ", "VXLAN":
		default:
			continue
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.frame)))
			var info packet.Info
			for b.Loop() {
				walker.Walk(c.link, c.frame, len(c.frame), &info)
			}
		})
		// The yardstick: gopacket's way without allocation, for a caller that knows the layers in advance.
		b.Run(c.name+"/gopacket", func(b *testing.B) {
			var ethernet, innerEthernet layers.Ethernet
			var tag layers.Dot1Q
			var ip4 layers.IPv4
			var ip6 layers.IPv6
			var tcp layers.TCP
			var udp layers.UDP
			var vxlan layers.VXLAN
			parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &ethernet, &innerEthernet, &tag, &ip4, &ip6, &tcp, &udp, &vxlan)
			parser.IgnoreUnsupported = true
			decoded := make([]gopacket.LayerType, 0, 10)
			b.ReportAllocs()
			b.SetBytes(int64(len(c.frame)))
			for b.Loop() {
				if err := parser.DecodeLayers(c.frame, &decoded); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkKeyHash(b *testing.B) {
	var info packet.Info
	frame := linkCases()[0].frame
	packet.NewWalker(packet.Options{}).Walk(packet.LinkEthernet, frame, len(frame), &info)
	b.ReportAllocs()
	var sum uint64
	for b.Loop() {
		sum += info.Key.Hash(sum)
	}
}
