package file_test

import (
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"sonde.example/agent/capture/capturetest"
	"sonde.example/agent/capture/file"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
	p "sonde.example/internal/packet/packettest"
)

// threeLinks has a TCP and a UDP packet on an Ethernet, a raw and an unfilterable interface.
func threeLinks() []byte {
	ng := capturetest.Pcapng{}
	tcp := p.IPv4("10.0.0.1", "10.0.0.2", 6, p.TCP(1025, 80, packet.SYN, 1, 0, nil))
	udp := p.IPv4("10.0.0.1", "10.0.0.2", 17, p.UDP(1025, 53, nil))
	content := concat(ng.Section(), ng.Interface(packet.LinkEthernet, 0), ng.Interface(packet.LinkRaw, 0), ng.Interface(60000, 0))
	for _, ip := range [][]byte{tcp, udp} {
		content = append(content, ng.Enhanced(0, 1, p.Ethernet(0x800, ip), 100)...)
		content = append(content, ng.Enhanced(1, 1, ip, 100)...)
		content = append(content, ng.Enhanced(2, 1, ip, 100)...)
	}
	return content
}

// protocolAt returns a program that takes packets whose byte at the given place is 6.
func protocolAt(t *testing.T, link packet.LinkType, place uint32) filter.Program {
	t.Helper()
	program, err := filter.Parse("tcp", link, []bpf.RawInstruction{{Op: 0x30, K: place}, {Op: 0x15, Jf: 1, K: 6}, {Op: 6, K: 1}, {Op: 6}})
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func TestFilterFollowsEachInterfacesLinkType(t *testing.T) {
	source := open(t, threeLinks(), file.Options{Filter: protocolAt(t, packet.LinkEthernet, 23)})
	packets := all(t, source)
	want := 1
	if filter.CanCompile {
		want = 2 // on the raw interface the text is compiled again
	}
	stats, err := source.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if len(packets) != want || stats.Packets != uint64(want) || stats.Filtered != uint64(6-want) {
		t.Errorf("got %d packets, %+v, want %d", len(packets), stats, want)
	}
	if err := source.Warning(); err == nil || !strings.Contains(err.Error(), "does not fit packets of link type 60000") {
		t.Errorf("got warning %v", err)
	}
}

func TestFilterThatCannotFitIsRefused(t *testing.T) {
	odd := capturetest.Pcap{LinkType: 60000}.File([]byte("abc"), []byte("def"))
	tcp := protocolAt(t, packet.LinkEthernet, 23)
	if _, err := file.Open(t.Context(), write(t, odd), file.Options{Filter: tcp}); err == nil || !strings.Contains(err.Error(), "link type 60000") {
		t.Errorf("got error %v", err)
	}
	source := open(t, odd, file.Options{})
	if err := source.SetFilter(tcp); err == nil {
		t.Error("took a filter that cannot fit")
	}
	if got := len(all(t, source)); got != 2 {
		t.Errorf("got %d packets: the filter before is not in force", got)
	}
}
