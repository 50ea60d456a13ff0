package packet_test

import (
	"testing"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/packet"
	p "sonde.example/internal/packet/packettest"
)

func TestWalkersLookWhereTheAgentDid(t *testing.T) {
	inner := p.Ethernet(0x800, p.IPv4("192.168.0.1", "192.168.0.2", 6, p.TCP(1, 2, packet.SYN, 1, 0, nil)))
	vxlan := append([]byte{8, 0, 0, 0, 0, 0, 7, 0}, inner...)
	frame := func(port uint16) []byte {
		return p.Ethernet(0x800, p.IPv4("10.0.0.1", "10.0.0.2", 17, p.UDP(50000, port, vxlan)))
	}
	walkers := packet.NewWalkers(packet.DefaultOptions())
	opened := func(ports *flowv1.TunnelPorts, port uint16) bool {
		var info packet.Info
		data := frame(port)
		return walkers.For(ports).Walk(packet.LinkEthernet, data, len(data), &info) == packet.OK && info.Key.Scope.Tunnel == packet.VXLAN
	}
	own := &flowv1.TunnelPorts{Vxlan: []uint32{8472, 0, 70000}}
	for name, test := range map[string]struct {
		ports *flowv1.TunnelPorts
		port  uint16
		want  bool
	}{
		"none named":          {nil, 4789, true},
		"none named, another": {nil, 8472, false},
		"named":               {own, 8472, true},
		"named, well-known":   {own, 4789, false},
		"switched off":        {&flowv1.TunnelPorts{}, 4789, false},
	} {
		if got := opened(test.ports, test.port); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
	if walkers.For(own) != walkers.For(&flowv1.TunnelPorts{Vxlan: []uint32{8472}}) {
		t.Error("the same ports have two walkers")
	}
	walkers.SetDefault(packet.Options{VXLAN: []uint16{8472}})
	if !opened(nil, 8472) || opened(nil, 4789) {
		t.Error("the default has not changed")
	}
	for i := range uint32(1000) { // more than are kept
		if !opened(&flowv1.TunnelPorts{Vxlan: []uint32{8472}, Geneve: []uint32{i + 1}}, 8472) {
			t.Fatalf("set %d", i)
		}
	}
}
