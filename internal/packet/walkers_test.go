package packet_test

import (
	"sync"
	"testing"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/packet"
	p "sonde.example/internal/packet/packettest"
)

// opens returns on which of the ports 4789 and 8472 a walker opens VXLAN.
func opens(w *packet.Walker) (ports []uint16) {
	for _, port := range []uint16{4789, 8472} {
		frame := udp(50000, port, p.VXLAN(42, p.Ethernet(0x800, inner())))
		var info packet.Info
		if w.Walk(packet.LinkEthernet, frame, len(frame), &info) == packet.OK && info.Key.Scope.Tunnel == packet.VXLAN {
			ports = append(ports, port)
		}
	}
	return ports
}

func equalPorts(t *testing.T, what string, got []uint16, want ...uint16) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: VXLAN on %d, want %d", what, got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: VXLAN on %d, want %d", what, got, want)
		}
	}
}

func TestWalkersLookWhereTheInterfaceTells(t *testing.T) {
	w := packet.NewWalkers(packet.DefaultOptions())
	own := &flowv1.TunnelPorts{Vxlan: []uint32{8472}}
	before := w.For(nil)
	equalPorts(t, "unset", opens(before), 4789)
	equalPorts(t, "own", opens(w.For(own)), 8472)
	equalPorts(t, "all off", opens(w.For(&flowv1.TunnelPorts{})))
	equalPorts(t, "of another kind", opens(w.For(&flowv1.TunnelPorts{Teredo: []uint32{8472}})))
	w.SetDefault(&flowv1.TunnelPorts{Vxlan: []uint32{4789, 8472}})
	equalPorts(t, "unset after the change", opens(w.For(nil)), 4789, 8472)
	equalPorts(t, "own after the change", opens(w.For(own)), 8472)
	equalPorts(t, "all off after the change", opens(w.For(&flowv1.TunnelPorts{})))
	equalPorts(t, "one returned before", opens(before), 4789)
	w.SetDefault(nil)
	equalPorts(t, "unset again", opens(w.For(nil)), 4789)
}

// TestWalkersOfHostilePorts has ports that CheckPorts refuses, as nobody but a broken store gives them.
func TestWalkersOfHostilePorts(t *testing.T) {
	w := packet.NewWalkers(packet.DefaultOptions())
	many := make([]uint32, 40)
	for i := range many {
		many[i] = 10_000
	}
	many[packet.MaxTunnelPorts] = 8472
	equalPorts(t, "the seventeenth", opens(w.For(&flowv1.TunnelPorts{Vxlan: many})))
	equalPorts(t, "beyond 16 bits", opens(w.For(&flowv1.TunnelPorts{Vxlan: []uint32{0, 1<<16 + 4789, 8472}})), 8472)
}

func TestCheckPorts(t *testing.T) {
	sixteen := make([]uint32, packet.MaxTunnelPorts)
	for i := range sixteen {
		sixteen[i] = 65535
	}
	for _, test := range []struct {
		name  string
		ports *flowv1.TunnelPorts
		want  string
	}{
		{"unset", nil, ""},
		{"all off", &flowv1.TunnelPorts{}, ""},
		{"as many as there may be", &flowv1.TunnelPorts{Vxlan: sixteen, Geneve: sixteen, GtpU: sixteen, Teredo: []uint32{1}}, ""},
		{"one more", &flowv1.TunnelPorts{Geneve: append([]uint32{1}, sixteen...)}, "17 ports of Geneve, 16 at most"},
		{"zero", &flowv1.TunnelPorts{GtpU: []uint32{2152, 0}}, "0 is no port of GTP-U"},
		{"too great", &flowv1.TunnelPorts{Teredo: []uint32{65536}}, "65536 is no port of Teredo"},
	} {
		got := ""
		if err := packet.CheckPorts(test.ports); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestAppendPortsTellsPortsApart(t *testing.T) {
	seen := map[string]int{}
	for i, ports := range []*flowv1.TunnelPorts{
		nil, {}, {Vxlan: []uint32{1}}, {Geneve: []uint32{1}}, {GtpU: []uint32{1}}, {Teredo: []uint32{1}},
		{Vxlan: []uint32{1, 2}}, {Vxlan: []uint32{1}, Geneve: []uint32{2}}, {Vxlan: []uint32{256}},
	} {
		text := string(packet.AppendPorts(nil, ports))
		if other, known := seen[text]; known {
			t.Errorf("%d is taken for %d", i, other)
		}
		seen[text] = i
	}
}

// TestWalkersAreSharedAndBounded has many goroutines ask for more ports than are remembered while the default changes.
func TestWalkersAreSharedAndBounded(t *testing.T) {
	w := packet.NewWalkers(packet.DefaultOptions())
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for port := range uint32(300) {
				own := &flowv1.TunnelPorts{Vxlan: []uint32{port + 5000}}
				if port+5000 != 8472 && len(opens(w.For(own))) != 0 {
					t.Errorf("port %d: opened elsewhere", port)
				}
				w.SetDefault(own)
				equalPorts(t, "well-known", opens(w.For(&flowv1.TunnelPorts{Vxlan: []uint32{4789}})), 4789)
			}
		})
	}
	group.Wait()
	own := &flowv1.TunnelPorts{Vxlan: []uint32{8472}, Geneve: []uint32{6081}}
	known := w.For(own)
	if w.For(own) != known {
		t.Error("the same ports have two walkers")
	}
	if n := testing.AllocsPerRun(100, func() { known = w.For(own) }); n > 0 {
		t.Errorf("%v allocations for ports that are known", n)
	}
}
