package packet_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sonde.example/internal/packet"
	p "sonde.example/internal/packet/packettest"
)

const (
	a4, b4 = "10.0.0.1", "10.0.0.2"
	c4, d4 = "192.168.7.9", "192.168.7.1"
	a6, b6 = "2001:db8::1", "2001:db8::2"
	syn    = packet.SYN
)

// got is what a test says about a frame, in words.
type got struct {
	Verdict packet.Verdict
	Session string // source > destination / protocol
	Scope   packet.Scope
	Payload string // "bytes captured" of length on the wire
	More    string
}

func describe(frame []byte, verdict packet.Verdict, i *packet.Info) got {
	if verdict != packet.OK {
		return got{Verdict: verdict}
	}
	g := got{
		Session: fmt.Sprintf("%s %d > %s %d / %d", i.Source().Address, i.Source().Port, i.Destination().Address, i.Destination().Port, i.Key.Protocol),
		Scope:   i.Key.Scope,
		Payload: fmt.Sprintf("%q of %d", frame[i.PayloadOffset:i.PayloadOffset+i.PayloadCaptured], i.PayloadLength),
	}
	switch {
	case i.Fragment != packet.NotFragmented:
		g.More = fmt.Sprintf("fragment %d of %d", i.Fragment, i.FragmentID)
	case i.Key.Protocol == 6:
		g.More = fmt.Sprintf("flags %d seq %d ack %d", i.TCPFlags, i.Seq, i.Ack)
	case i.Key.Protocol == 1, i.Key.Protocol == 58:
		g.More = fmt.Sprintf("type %d code %d", i.ICMPType, i.ICMPCode)
	}
	return g
}

type frameCase struct {
	name  string
	link  packet.LinkType
	frame []byte
	want  got
}

// hello is a TCP segment in IPv4, hello6 in IPv6; inner and inner6 are the same between other hosts.
func hello() []byte {
	return p.IPv4(a4, b4, 6, p.TCP(1025, 80, packet.PSH|packet.ACK, 7, 9, []byte("hello")))
}
func hello6() []byte {
	return p.IPv6(a6, b6, 6, p.TCP(1025, 80, packet.PSH|packet.ACK, 7, 9, []byte("hello")))
}
func inner() []byte  { return p.IPv4(c4, d4, 17, p.UDP(5000, 53, []byte("query"))) }
func inner6() []byte { return p.IPv6(b6, a6, 17, p.UDP(5000, 53, []byte("query"))) }

func helloWant(scope packet.Scope) got {
	return got{0, a4 + " 1025 > " + b4 + " 80 / 6", scope, `"hello" of 5`, "flags 24 seq 7 ack 9"}
}

func hello6Want(scope packet.Scope) got {
	return got{0, a6 + " 1025 > " + b6 + " 80 / 6", scope, `"hello" of 5`, "flags 24 seq 7 ack 9"}
}

func innerWant(scope packet.Scope) got {
	return got{0, c4 + " 5000 > " + d4 + " 53 / 17", scope, `"query" of 5`, ""}
}

func inner6Want(scope packet.Scope) got {
	return got{0, b6 + " 5000 > " + a6 + " 53 / 17", scope, `"query" of 5`, ""}
}

func udp(source, destination uint16, payload []byte) []byte {
	return p.Ethernet(0x800, p.IPv4(a4, b4, 17, p.UDP(source, destination, payload)))
}

func linkCases() []frameCase {
	none := packet.Scope{}
	oneTag := packet.Scope{VLANs: [2]uint16{100}}
	twoTags := packet.Scope{VLANs: [2]uint16{100, 200}}
	return []frameCase{
		{"ethernet, IPv4", packet.LinkEthernet, p.Ethernet(0x800, hello()), helloWant(none)},
		{"ethernet, IPv6", packet.LinkEthernet, p.Ethernet(0x86dd, hello6()), hello6Want(none)},
		{"ethernet, padded", packet.LinkEthernet, append(p.Ethernet(0x800, hello()), "padding"...), helloWant(none)},
		{"ethernet, ARP", packet.LinkEthernet, p.Ethernet(0x806, make([]byte, 28)), got{Verdict: packet.NonIP}},
		{"ethernet, LLC", packet.LinkEthernet, p.Ethernet(38, append([]byte{0x42, 0x42, 3}, make([]byte, 35)...)), got{Verdict: packet.NonIP}},
		{"ethernet, SNAP", packet.LinkEthernet, p.Ethernet(53, append([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, hello()...)), helloWant(none)},
		{"ethernet, runt", packet.LinkEthernet, p.Ethernet(0x800, nil)[:13], got{Verdict: packet.Undecodable}},
		{"802.1Q", packet.LinkEthernet, p.Ethernet(0x8100, p.Tag(100, 0x800, hello())), helloWant(oneTag)},
		{"802.1Q, priority only", packet.LinkEthernet, p.Ethernet(0x8100, p.Tag(0xe000, 0x8100, p.Tag(100, 0x800, hello()))), helloWant(oneTag)},
		{"802.1Q, reserved", packet.LinkEthernet, p.Ethernet(0x8100, p.Tag(4095, 0x8100, p.Tag(100, 0x800, hello()))), helloWant(oneTag)},
		{"802.1Q, priority bits", packet.LinkEthernet, p.Ethernet(0x8100, p.Tag(0xe064, 0x800, hello())), helloWant(oneTag)},
		{"QinQ", packet.LinkEthernet, p.Ethernet(0x88a8, p.Tag(100, 0x8100, p.Tag(200, 0x86dd, hello6()))), hello6Want(twoTags)},
		{"three tags", packet.LinkEthernet, p.Ethernet(0x9100, p.Tag(100, 0x9100, p.Tag(200, 0x8100, p.Tag(300, 0x800, hello())))), helloWant(twoTags)},
		{"fifteen tags are too deep", packet.LinkEthernet, p.Ethernet(0x8100, p.Repeat(14, p.Tag(1, 0x800, hello()), func(b []byte) []byte { return p.Tag(1, 0x8100, b) })), got{Verdict: packet.Undecodable}},
		{"tag cut", packet.LinkEthernet, p.Ethernet(0x8100, []byte{0, 1, 8}), got{Verdict: packet.Undecodable}},
		{"VN-Tag", packet.LinkEthernet, p.Ethernet(0x8926, append([]byte{0, 1, 0, 2, 8, 0}, hello()...)), helloWant(none)},
		{"MPLS", packet.LinkEthernet, p.Ethernet(0x8847, p.MPLS(16, false, p.MPLS(17, true, hello()))), helloWant(none)},
		{"MPLS, IPv6", packet.LinkEthernet, p.Ethernet(0x8847, p.MPLS(16, true, hello6())), hello6Want(none)},
		{"MPLS, pseudowire", packet.LinkEthernet, p.Ethernet(0x8847, p.MPLS(16, true, append(make([]byte, 4), p.Ethernet(0x800, hello())...))), helloWant(none)},
		{"MPLS, something else", packet.LinkEthernet, p.Ethernet(0x8847, p.MPLS(16, true, []byte("0 is not 4"))), got{Verdict: packet.NonIP}},
		{"PPPoE", packet.LinkEthernet, p.Ethernet(0x8864, p.PPPoE(0x21, hello())), helloWant(none)},
		{"PPPoE, IPv6, padded", packet.LinkEthernet, append(p.Ethernet(0x8864, p.PPPoE(0x57, hello6())), 0, 0), hello6Want(none)},
		{"PPPoE, LCP", packet.LinkEthernet, p.Ethernet(0x8864, p.PPPoE(0xc021, []byte{9, 0, 0, 8, 0, 0, 0, 0})), got{Verdict: packet.NonIP}},
		{"PPPoE, discovery", packet.LinkEthernet, p.Ethernet(0x8863, make([]byte, 20)), got{Verdict: packet.NonIP}},
		{"PPPoE, longer than the frame", packet.LinkEthernet, p.Ethernet(0x8864, append([]byte{0x11, 0, 0, 7, 1, 0, 0, 0x21}, hello()...)), got{Verdict: packet.Undecodable}},
		{"PPP", packet.LinkPPP, append([]byte{0xff, 3, 0, 0x21}, hello()...), helloWant(none)},
		{"PPP, compressed", packet.LinkPPP, append([]byte{0x57}, hello6()...), hello6Want(none)},
		{"PPP, MPLS", packet.LinkPPP, append([]byte{2, 0x81}, p.MPLS(3, true, hello())...), helloWant(none)},
		{"cooked", packet.LinkLinuxSLL, p.Cooked(0x800, hello()), helloWant(none)},
		{"cooked, tagged", packet.LinkLinuxSLL, p.Cooked(0x8100, p.Tag(100, 0x800, hello())), helloWant(oneTag)},
		{"cooked, LLC", packet.LinkLinuxSLL, p.Cooked(4, hello()), got{Verdict: packet.NonIP}},
		{"cooked, short", packet.LinkLinuxSLL, make([]byte, 15), got{Verdict: packet.Undecodable}},
		{"cooked 2", packet.LinkLinuxSLL2, p.Cooked2(0x86dd, hello6()), hello6Want(none)},
		{"loopback", packet.LinkNull, append([]byte{2, 0, 0, 0}, hello()...), helloWant(none)},
		{"loopback, big-endian", packet.LinkNull, append([]byte{0, 0, 0, 28}, hello6()...), hello6Want(none)},
		{"loopback, Darwin", packet.LinkNull, append([]byte{30, 0, 0, 0}, hello6()...), hello6Want(none)},
		{"loopback, OpenBSD", packet.LinkLoop, append([]byte{0, 0, 0, 24}, hello6()...), hello6Want(none)},
		{"loopback, OpenBSD, little-endian", packet.LinkLoop, append([]byte{2, 0, 0, 0}, hello()...), got{Verdict: packet.NonIP}},
		{"loopback, other family", packet.LinkNull, append([]byte{7, 0, 0, 0}, hello()...), got{Verdict: packet.NonIP}},
		{"raw", packet.LinkRaw, hello(), helloWant(none)},
		{"raw, IPv6", packet.LinkRaw, hello6(), hello6Want(none)},
		{"raw, old number", 12, hello(), helloWant(none)},
		{"raw, OpenBSD's number", 14, hello6(), hello6Want(none)},
		{"raw, neither", packet.LinkRaw, []byte("other"), got{Verdict: packet.Undecodable}},
		{"raw, empty", packet.LinkRaw, nil, got{Verdict: packet.Undecodable}},
		{"link IPv4", packet.LinkIPv4, hello(), helloWant(none)},
		{"link IPv4, IPv6", packet.LinkIPv4, hello6(), got{Verdict: packet.Undecodable}},
		{"link IPv6", packet.LinkIPv6, hello6(), hello6Want(none)},
		{"unknown link", 147, p.Ethernet(0x800, hello()), got{Verdict: packet.Undecodable}},
	}
}

// edit changes bytes of an IP packet and wraps it in Ethernet.
func edit(ip []byte, at int, bytes ...byte) []byte {
	copy(ip[at:], bytes)
	if ip[0]>>4 == 6 {
		return p.Ethernet(0x86dd, ip)
	}
	return p.Ethernet(0x800, ip)
}

func ipCases() []frameCase {
	none := packet.Scope{}
	bad := got{Verdict: packet.Undecodable}
	e := packet.LinkEthernet
	options := func() []byte {
		ip := p.IPv4(a4, b4, 6, append([]byte{1, 1, 1, 1}, p.TCP(1025, 80, packet.PSH|packet.ACK, 7, 9, []byte("hello"))...))
		ip[0] = 0x46
		return ip
	}
	chain := func(n int) []byte {
		inside := p.Repeat(n-1, p.Extension(6, 4, p.TCP(1025, 80, packet.PSH|packet.ACK, 7, 9, []byte("hello"))), func(b []byte) []byte { return p.Extension(60, 4, b) })
		return p.IPv6(a6, b6, 60, inside)
	}
	ah := append([]byte{6, 4}, append(make([]byte, 22), p.TCP(1025, 80, packet.PSH|packet.ACK, 7, 9, []byte("hello"))...)...)
	data := []byte("0123456789abcdef")
	return []frameCase{
		{"IPv4, options", e, p.Ethernet(0x800, options()), helloWant(none)},
		{"IPv4, length 0", e, edit(hello(), 2, 0, 0), helloWant(none)},
		{"IPv4, too long", e, edit(hello(), 2, 0xff, 0xff), bad},
		{"IPv4, shorter than its header", e, edit(hello(), 2, 0, 19), bad},
		{"IPv4, IHL 4", e, edit(hello(), 0, 0x44), bad},
		{"IPv4, IHL past the end", e, edit(p.IPv4(a4, b4, 6, nil), 0, 0x4f), bad},
		{"IPv4, version 5", e, edit(hello(), 0, 0x55), bad},
		{"IPv4 in IPv6's EtherType", e, p.Ethernet(0x86dd, hello()), bad},
		{"IPv4, AH", e, p.Ethernet(0x800, p.IPv4(a4, b4, 51, ah)), helloWant(none)},
		{"IPv4, don't fragment", e, edit(hello(), 6, 0x40, 0), helloWant(none)},
		{"IPv6, length 0", e, edit(hello6(), 4, 0, 0), hello6Want(none)},
		{"IPv6, too long", e, edit(hello6(), 4, 0xff, 0), bad},
		{"IPv6, nothing behind", e, append(p.Ethernet(0x86dd, p.IPv6(a6, b6, 59, nil)), 1, 2, 3), got{0, a6 + " 0 > " + b6 + " 0 / 59", none, `"" of 0`, ""}},
		{"IPv6, extensions", e, p.Ethernet(0x86dd, p.IPv6(a6, b6, 0, p.Extension(60, 4, p.Extension(43, 20, p.Extension(6, 14, p.TCP(1025, 80, packet.PSH|packet.ACK, 7, 9, []byte("hello"))))))), hello6Want(none)},
		{"IPv6, AH", e, p.Ethernet(0x86dd, p.IPv6(a6, b6, 51, ah)), hello6Want(none)},
		{"IPv6, 13 extensions", e, p.Ethernet(0x86dd, chain(13)), hello6Want(none)},
		{"IPv6, 15 extensions", e, p.Ethernet(0x86dd, chain(15)), bad},
		{"IPv6, extension past the end", e, p.Ethernet(0x86dd, p.IPv6(a6, b6, 60, []byte{6, 200, 0, 0, 0, 0, 0, 0})), bad},
		{"IPv6, ESP", e, p.Ethernet(0x86dd, p.IPv6(a6, b6, 50, []byte("cipher"))), got{0, a6 + " 0 > " + b6 + " 0 / 50", none, `"cipher" of 6`, ""}},
		{"IPv6, atomic fragment", e, p.Ethernet(0x86dd, p.IPv6(a6, b6, 44, p.FragmentHeader(6, 77, 0, false, p.TCP(1025, 80, packet.PSH|packet.ACK, 7, 9, []byte("hello"))))), hello6Want(none)},
		{"IPv6, atomic fragment, reserved bits", e, edit(p.IPv6(a6, b6, 44, p.FragmentHeader(6, 77, 0, false, p.TCP(1025, 80, packet.PSH|packet.ACK, 7, 9, []byte("hello")))), 43, 6), hello6Want(none)},
		{"IPv4, first fragment", e, p.Ethernet(0x800, p.IPv4Fragment(a4, b4, 17, 77, 0, true, p.UDP(9, 53, data)[:16])), got{0, a4 + " 9 > " + b4 + " 53 / 17", none, `"01234567" of 8`, "fragment 1 of 77"}},
		{"IPv4, middle fragment", e, p.Ethernet(0x800, p.IPv4Fragment(a4, b4, 17, 77, 16, true, data)), got{0, a4 + " 0 > " + b4 + " 0 / 17", none, `"0123456789abcdef" of 16`, "fragment 2 of 77"}},
		{"IPv4, last fragment", e, p.Ethernet(0x800, p.IPv4Fragment(a4, b4, 6, 77, 16, false, data[:3])), got{0, a4 + " 0 > " + b4 + " 0 / 6", none, `"012" of 3`, "fragment 2 of 77"}},
		{"IPv4, tiny first fragment", e, p.Ethernet(0x800, p.IPv4Fragment(a4, b4, 6, 77, 0, true, p.TCP(9, 80, syn, 1, 0, nil)[:8])), got{0, a4 + " 9 > " + b4 + " 80 / 6", none, `"" of 0`, "fragment 1 of 77"}},
		{"IPv4, fragment without ports", e, p.Ethernet(0x800, p.IPv4Fragment(a4, b4, 17, 77, 0, true, []byte{1, 2})), got{0, a4 + " 0 > " + b4 + " 0 / 17", none, `"" of 0`, "fragment 1 of 77"}},
		{"IPv6, first fragment", e, p.Ethernet(0x86dd, p.IPv6(a6, b6, 44, p.FragmentHeader(17, 77777, 0, true, p.UDP(9, 53, data)))), got{0, a6 + " 9 > " + b6 + " 53 / 17", none, `"0123456789abcdef" of 16`, "fragment 1 of 77777"}},
		{"IPv6, last fragment", e, p.Ethernet(0x86dd, p.IPv6(a6, b6, 0, p.Extension(44, 4, p.FragmentHeader(60, 77777, 24, false, data)))), got{0, a6 + " 0 > " + b6 + " 0 / 60", none, `"0123456789abcdef" of 16`, "fragment 2 of 77777"}},
	}
}

func transportCases() []frameCase {
	none := packet.Scope{}
	bad := got{Verdict: packet.Undecodable}
	e := packet.LinkEthernet
	tcpOptions := p.TCP(1025, 80, packet.PSH|packet.ACK, 7, 9, []byte("\x01\x01\x01\x00hello"))
	tcpOptions[12] = 0x60
	return []frameCase{
		{"TCP, answer", e, p.Ethernet(0x800, p.IPv4(b4, a4, 6, p.TCP(80, 1025, packet.SYN|packet.ACK, 1, 2, nil))), got{0, b4 + " 80 > " + a4 + " 1025 / 6", none, `"" of 0`, "flags 18 seq 1 ack 2"}},
		{"TCP, same addresses", e, p.Ethernet(0x800, p.IPv4(a4, a4, 6, p.TCP(80, 79, packet.FIN|packet.RST|packet.URG, 1, 2, nil))), got{0, a4 + " 80 > " + a4 + " 79 / 6", none, `"" of 0`, "flags 37 seq 1 ack 2"}},
		{"TCP, options", e, p.Ethernet(0x800, p.IPv4(a4, b4, 6, tcpOptions)), helloWant(none)},
		{"TCP, offset past the end", e, edit(hello(), 32, 0xf0), bad},
		{"TCP, offset 4", e, edit(hello(), 32, 0x40), bad},
		{"TCP, 19 bytes", e, p.Ethernet(0x800, p.IPv4(a4, b4, 6, p.TCP(1, 2, 0, 0, 0, nil)[:19])), bad},
		{"UDP", e, p.Ethernet(0x800, inner()), innerWant(none)},
		{"UDP, trailing bytes", e, p.Ethernet(0x800, p.IPv4(c4, d4, 17, append(p.UDP(5000, 53, []byte("query")), "trailer"...))), innerWant(none)},
		{"UDP, length 0", e, edit(inner(), 24, 0, 0), innerWant(none)},
		{"UDP, 7 bytes", e, p.Ethernet(0x800, p.IPv4(a4, b4, 17, make([]byte, 7))), bad},
		{"SCTP", e, p.Ethernet(0x86dd, p.IPv6(a6, b6, 132, p.SCTP(1, 2, []byte("chunks")))), got{0, a6 + " 1 > " + b6 + " 2 / 132", none, `"chunks" of 6`, ""}},
		{"SCTP, 11 bytes", e, p.Ethernet(0x800, p.IPv4(a4, b4, 132, make([]byte, 11))), bad},
		{"ICMP", e, p.Ethernet(0x800, p.IPv4(a4, b4, 1, p.ICMP(8, 0, []byte("ping")))), got{0, a4 + " 0 > " + b4 + " 0 / 1", none, `"ping" of 4`, "type 8 code 0"}},
		{"ICMP, with a packet in it", e, p.Ethernet(0x800, p.IPv4(a4, b4, 1, p.ICMP(3, 1, []byte{0x45}))), got{0, a4 + " 0 > " + b4 + " 0 / 1", none, `"E" of 1`, "type 3 code 1"}},
		{"ICMP, one byte", e, p.Ethernet(0x800, p.IPv4(a4, b4, 1, []byte{8})), bad},
		{"ICMPv6", e, p.Ethernet(0x86dd, p.IPv6(b6, a6, 58, p.ICMP(135, 0, nil))), got{0, b6 + " 0 > " + a6 + " 0 / 58", none, `"" of 0`, "type 135 code 0"}},
		{"OSPF", e, p.Ethernet(0x800, p.IPv4(a4, b4, 89, []byte("hello"))), got{0, a4 + " 0 > " + b4 + " 0 / 89", none, `"hello" of 5`, ""}},
	}
}

func tunnelCases() []frameCase {
	e := packet.LinkEthernet
	in := func(kind packet.TunnelKind, id uint32, vlans ...uint16) packet.Scope {
		s := packet.Scope{Tunnel: kind, TunnelID: id}
		copy(s.VLANs[:], vlans)
		return s
	}
	carrier := func(source, destination int, payload string, length int) got {
		return got{0, fmt.Sprintf("%s %d > %s %d / 17", a4, source, b4, destination), packet.Scope{}, fmt.Sprintf("%q of %d", payload, length), ""}
	}
	gre := func(flags, kind uint16, payload []byte) []byte {
		return p.Ethernet(0x800, p.IPv4(a4, b4, 47, p.GRE(flags, kind, payload)))
	}
	shut := func(protocol int, scope packet.Scope, length int) got {
		return got{0, fmt.Sprintf("%s 0 > %s 0 / %d", a4, b4, protocol), scope, fmt.Sprintf("of %d", length), ""}
	}
	ipip := func(b []byte) []byte { return p.IPv4(a4, b4, 4, b) }
	arp := p.Ethernet(0x806, make([]byte, 28))
	return []frameCase{
		{"GRE", e, gre(0, 0x800, inner()), innerWant(in(packet.GRE, 0))},
		{"GRE, all options", e, gre(0xb000, 0x86dd, inner6()), inner6Want(in(packet.GRE, 5))},
		{"GRE, bridged", e, gre(0x2000, 0x6558, p.Ethernet(0x8100, p.Tag(9, 0x800, inner()))), innerWant(in(packet.GRE, 5, 9))},
		{"GRE, MPLS", e, gre(0, 0x8847, p.MPLS(1, true, inner())), innerWant(in(packet.GRE, 0))},
		{"GRE, routed", e, gre(0x4000, 0x800, inner()), shut(47, packet.Scope{}, 4+33)},
		{"GRE, PPTP", e, gre(0x2001, 0x880b, inner()), shut(47, packet.Scope{}, 8+33)},
		{"GRE, something else", e, gre(0, 0x88be, inner()), shut(47, packet.Scope{}, 4+33)},
		{"GRE over IPv6", e, p.Ethernet(0x86dd, p.IPv6(a6, b6, 47, p.GRE(0, 0x800, inner()))), innerWant(in(packet.GRE, 0))},
		{"4in4", e, p.Ethernet(0x800, p.IPv4(a4, b4, 4, inner())), innerWant(in(packet.IPInIP, 0))},
		{"6in4", e, p.Ethernet(0x800, p.IPv4(a4, b4, 41, inner6())), inner6Want(in(packet.IPInIP, 0))},
		{"4in6", e, p.Ethernet(0x86dd, p.IPv6(a6, b6, 4, inner())), innerWant(in(packet.IPInIP, 0))},
		{"6in6", e, p.Ethernet(0x86dd, p.IPv6(a6, b6, 41, inner6())), inner6Want(in(packet.IPInIP, 0))},
		{"three tunnels", e, p.Ethernet(0x800, p.Repeat(3, inner(), ipip)), innerWant(in(packet.IPInIP, 0))},
		{"four tunnels", e, p.Ethernet(0x800, p.Repeat(4, inner(), ipip)), shut(4, in(packet.IPInIP, 0), 33)},
		{"sixty tunnels", e, p.Ethernet(0x800, p.Repeat(60, inner(), ipip)), shut(4, in(packet.IPInIP, 0), 56*20+33)},
		{"tunnel, inside broken", e, p.Ethernet(0x800, ipip(edit(inner(), 2, 0xff, 0xff)[14:])), shut(4, packet.Scope{}, 33)},
		{"fragment of a tunnel", e, p.Ethernet(0x800, p.IPv4Fragment(a4, b4, 4, 3, 0, true, inner())), got{0, a4 + " 0 > " + b4 + " 0 / 4", packet.Scope{}, "of 33", "fragment 1 of 3"}},
		{"VXLAN", e, udp(50000, 4789, p.VXLAN(42, p.Ethernet(0x800, inner()))), innerWant(in(packet.VXLAN, 42))},
		{"VXLAN, tagged twice", e, p.Ethernet(0x8100, p.Tag(7, 0x800, p.IPv4(a4, b4, 17, p.UDP(50000, 4789, p.VXLAN(42, p.Ethernet(0x8100, p.Tag(8, 0x800, inner()))))))), innerWant(in(packet.VXLAN, 42, 7, 8))},
		{"VXLAN, source port only", e, udp(4789, 50000, []byte("plain")), carrier(4789, 50000, "plain", 5)},
		{"VXLAN, ARP inside", e, udp(50000, 4789, p.VXLAN(42, arp)), got{0, a4 + " 50000 > " + b4 + " 4789 / 17", packet.Scope{}, "of 50", ""}},
		{"VXLAN, no identifier", e, udp(50000, 4789, []byte("\x00ot vxlan at all")), carrier(50000, 4789, "\x00ot vxlan at all", 16)},
		{"VXLAN in GRE", e, gre(0, 0x800, p.IPv4(a4, b4, 17, p.UDP(50000, 4789, p.VXLAN(42, p.Ethernet(0x86dd, inner6()))))), inner6Want(in(packet.VXLAN, 42))},
		{"Geneve", e, udp(50000, 6081, p.Geneve(42, 0, 0x6558, p.Ethernet(0x800, inner()))), innerWant(in(packet.Geneve, 42))},
		{"Geneve, options, IPv6", e, udp(50000, 6081, p.Geneve(42, 3, 0x86dd, inner6())), inner6Want(in(packet.Geneve, 42))},
		{"Geneve, version 1", e, udp(50000, 6081, []byte("\x40ot geneve")), carrier(50000, 6081, "\x40ot geneve", 10)},
		{"GTP-U", e, udp(2152, 2152, p.GTPU(0, inner())), innerWant(in(packet.GTPU, 0))},
		{"GTP-U, two extensions", e, udp(2152, 40000, p.GTPU(2, inner6())), inner6Want(in(packet.GTPU, 0))},
		{"GTP-U, echo", e, udp(2152, 2152, []byte("\x32\x01\x00\x04\x00\x00\x00\x00\x00\x01\x00\x00")), carrier(2152, 2152, "\x32\x01\x00\x04\x00\x00\x00\x00\x00\x01\x00\x00", 12)},
		{"GTP-U, extension of length 0", e, udp(2152, 2152, append([]byte{0x34, 255, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0x85, 0, 0, 0, 0x85}, inner()...)), got{0, a4 + " 2152 > " + b4 + " 2152 / 17", packet.Scope{}, "of 49", ""}},
		{"Teredo", e, udp(3544, 50000, p.Teredo(false, false, inner6())), inner6Want(in(packet.Teredo, 0))},
		{"Teredo, origin", e, udp(50000, 3544, p.Teredo(false, true, inner6())), inner6Want(in(packet.Teredo, 0))},
		{"Teredo, authentication and origin", e, udp(50000, 3544, p.Teredo(true, true, inner6())), inner6Want(in(packet.Teredo, 0))},
		{"Teredo, something else", e, udp(50000, 3544, []byte("plain")), carrier(50000, 3544, "plain", 5)},
	}
}

func allCases() []frameCase {
	cases := append(linkCases(), ipCases()...)
	cases = append(cases, transportCases()...)
	return append(cases, tunnelCases()...)
}

func TestWalkReadsEveryEncapsulation(t *testing.T) {
	walker := packet.NewWalker(packet.DefaultOptions())
	for _, c := range allCases() {
		t.Run(c.name, func(t *testing.T) {
			info := packet.Info{ICMPType: 99, Seq: 99, Reversed: true, Fragment: packet.LaterFragment} // must not shine through
			got := describe(c.frame, walker.Walk(c.link, c.frame, len(c.frame), &info), &info)
			if len(c.want.Payload) > 3 && c.want.Payload[:3] == "of " { // a carrier's payload is binary: its length does
				got.Payload = fmt.Sprintf("of %d", info.PayloadLength)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWalkOpensOnlyConfiguredPorts(t *testing.T) {
	frame := udp(50000, 4789, p.VXLAN(42, p.Ethernet(0x800, inner())))
	var info packet.Info
	if packet.NewWalker(packet.Options{}).Walk(packet.LinkEthernet, frame, len(frame), &info); info.Key.Scope.Tunnel != packet.NoTunnel {
		t.Error("opened VXLAN though it is switched off")
	}
	frame = udp(50000, 8472, p.VXLAN(42, p.Ethernet(0x800, inner())))
	if packet.NewWalker(packet.Options{VXLAN: []uint16{4789, 8472}}).Walk(packet.LinkEthernet, frame, len(frame), &info); info.Key.Scope.Tunnel != packet.VXLAN {
		t.Error("did not open VXLAN on the second port")
	}
}

// TestWalkCutAnywhere cuts every frame at every byte: short captures of long packets, and short packets.
func TestWalkCutAnywhere(t *testing.T) {
	walker := packet.NewWalker(packet.DefaultOptions())
	for _, c := range allCases() {
		for n := range len(c.frame) + 1 {
			for _, original := range []int{0, n, len(c.frame), 1 << 20} {
				var info packet.Info
				verdict := walker.Walk(c.link, c.frame[:n:n], original, &info)
				checkInvariants(t, c.frame[:n], verdict, &info)
			}
		}
	}
}

func TestWalkNeedsOnlyWhatItTells(t *testing.T) {
	tests := []struct {
		name     string
		frame    []byte
		captured int
		want     packet.Verdict
	}{
		{"cut in the IP header", p.Ethernet(0x800, hello()), 30, packet.Undecodable},
		{"cut before the TCP flags", p.Ethernet(0x800, hello()), 14 + 20 + 13, packet.Undecodable},
		{"cut behind the TCP flags", p.Ethernet(0x800, hello()), 14 + 20 + 14, packet.OK},
		{"IPv6 cut at 68", p.Ethernet(0x86dd, hello6()), 68, packet.OK},
		{"cut behind UDP ports", p.Ethernet(0x800, inner()), 14 + 20 + 4, packet.OK},
		{"cut in UDP ports", p.Ethernet(0x800, inner()), 14 + 20 + 3, packet.Undecodable},
	}
	walker := packet.NewWalker(packet.DefaultOptions())
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var info packet.Info
			if got := walker.Walk(packet.LinkEthernet, test.frame[:test.captured], len(test.frame), &info); got != test.want {
				t.Fatalf("got verdict %d, want %d", got, test.want)
			}
			if test.want == packet.OK && (info.PayloadLength != 5 || info.PayloadCaptured != 0) {
				t.Errorf("got payload of %d with %d captured, want 5 with 0", info.PayloadLength, info.PayloadCaptured)
			}
		})
	}
}

// checkInvariants holds what every caller relies on.
func checkInvariants(t *testing.T, frame []byte, verdict packet.Verdict, info *packet.Info) {
	t.Helper()
	if verdict != packet.OK {
		return
	}
	k := &info.Key
	switch {
	case info.PayloadOffset < 0 || info.PayloadCaptured < 0 || info.PayloadOffset+info.PayloadCaptured > len(frame):
		t.Fatalf("payload at %d of %d bytes is outside of %d", info.PayloadOffset, info.PayloadCaptured, len(frame))
	case info.PayloadLength < info.PayloadCaptured:
		t.Fatalf("payload of %d has %d captured", info.PayloadLength, info.PayloadCaptured)
	case k.Version != 4 && k.Version != 6:
		t.Fatalf("version %d", k.Version)
	case string(k.Low[:]) > string(k.High[:]), k.Low == k.High && k.LowPort > k.HighPort:
		t.Fatalf("endpoints are not in order: %v", k)
	case info.Fragment == packet.LaterFragment && (k.LowPort != 0 || k.HighPort != 0):
		t.Fatalf("a later fragment has ports: %v", k)
	}
}

func TestWalkMakesOneKeyOfBothDirections(t *testing.T) {
	walker := packet.NewWalker(packet.DefaultOptions())
	var there, back packet.Info
	walk := func(frame []byte, info *packet.Info) {
		if walker.Walk(packet.LinkEthernet, frame, len(frame), info) != packet.OK {
			t.Fatal("not read")
		}
	}
	walk(p.Ethernet(0x86dd, p.IPv6(b6, a6, 17, p.UDP(1, 2, nil))), &there)
	walk(p.Ethernet(0x86dd, p.IPv6(a6, b6, 17, p.UDP(2, 1, nil))), &back)
	if there.Key != back.Key || there.Reversed == back.Reversed || there.Source() != back.Destination() {
		t.Errorf("got %+v and %+v", there, back)
	}
	walk(p.Ethernet(0x8100, p.Tag(1, 0x86dd, p.IPv6(a6, b6, 17, p.UDP(2, 1, nil)))), &back)
	if there.Key == back.Key {
		t.Error("a VLAN is not told apart")
	}
}

func TestFragmentsOfOnePacketHaveOneKey(t *testing.T) {
	walker := packet.NewWalker(packet.DefaultOptions())
	data := make([]byte, 16)
	// Equal addresses: the ports of the first fragment must not turn its direction.
	frames := map[string][2][]byte{
		"IPv4":                 {p.Ethernet(0x800, p.IPv4Fragment(b4, a4, 17, 7, 0, true, p.UDP(9, 8, data))), p.Ethernet(0x800, p.IPv4Fragment(b4, a4, 17, 7, 24, false, data))},
		"IPv4, equal":          {p.Ethernet(0x800, p.IPv4Fragment(a4, a4, 17, 7, 0, true, p.UDP(9, 8, data))), p.Ethernet(0x800, p.IPv4Fragment(a4, a4, 17, 7, 24, false, data))},
		"IPv6, more extension": {p.Ethernet(0x86dd, p.IPv6(a6, b6, 44, p.FragmentHeader(60, 7, 0, true, p.Extension(17, 4, p.UDP(9, 8, data))))), p.Ethernet(0x86dd, p.IPv6(a6, b6, 44, p.FragmentHeader(60, 7, 32, false, data)))},
	}
	for name, pair := range frames {
		t.Run(name, func(t *testing.T) {
			var first, last packet.Info
			walker.Walk(packet.LinkEthernet, pair[0], len(pair[0]), &first)
			walker.Walk(packet.LinkEthernet, pair[1], len(pair[1]), &last)
			if first.Fragment != packet.FirstFragment || last.Fragment != packet.LaterFragment {
				t.Fatalf("got fragments %d and %d", first.Fragment, last.Fragment)
			}
			if diff := cmp.Diff(first.FragmentKey(), last.FragmentKey()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWalkDoesNotAllocate(t *testing.T) {
	walker := packet.NewWalker(packet.DefaultOptions())
	cases := allCases()
	var info packet.Info
	if n := testing.AllocsPerRun(10, func() {
		for _, c := range cases {
			walker.Walk(c.link, c.frame, len(c.frame), &info)
			info.Key.Hash(1)
		}
	}); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}
