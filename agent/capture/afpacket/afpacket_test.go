//go:build linux

package afpacket_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/bpf"

	"sonde.example/agent/capture"
	"sonde.example/agent/capture/afpacket"
	"sonde.example/agent/capture/capturetest"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
	p "sonde.example/internal/packet/packettest"
	"sonde.example/internal/testenv/netns"
)

// patience bounds what a test waits for; nothing waits so long unless it fails.
const patience = 10 * time.Second

// open makes a set with small rings in the present thread's namespace.
func open(t testing.TB) *afpacket.Set {
	t.Helper()
	set, err := afpacket.Open(afpacket.Options{RingBytes: afpacket.SmallRingBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set.Close(); err != nil {
			t.Error(err)
		}
	})
	return set
}

// point is a capture point with a program for every link type.
func point(name string, program filter.Program) capture.Point {
	return capture.Point{Name: name, Program: func(packet.LinkType) (filter.Program, error) { return program, nil }}
}

func points(names ...string) []capture.Point {
	var all []capture.Point
	for _, name := range names {
		all = append(all, point(name, filter.Program{}))
	}
	return all
}

func replace(t testing.TB, set capture.Live, points ...capture.Point) []int {
	t.Helper()
	numbers, err := set.Replace(points)
	if err != nil {
		t.Fatal(err)
	}
	return numbers
}

// read returns a copy of the next packet.
func read(t testing.TB, set capture.Live) capturetest.Packet {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	data, info, err := set.ReadPacket(ctx)
	if err != nil {
		t.Fatalf("read: %v; stats %+v, waiting %v", err, stats(t, set), set.Waiting())
	}
	return capturetest.Packet{Data: slices.Clone(data), Info: info}
}

func stats(t testing.TB, set capture.Live) capture.Stats {
	t.Helper()
	got, err := set.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// program makes a filter of instructions.
func program(t testing.TB, text string, instructions ...bpf.RawInstruction) filter.Program {
	t.Helper()
	made, err := filter.Parse(text, packet.LinkEthernet, instructions)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// numbered is a UDP packet with room for a number at its end.
func numbered(number int) []byte {
	return netns.Number(p.Ethernet(0x800, p.IPv4("10.0.0.1", "10.0.0.2", 17, p.UDP(1000, 2000, make([]byte, 60)))), uint64(number))
}

// pair is a namespace with a pair of devices, v0 and v1.
func pair(t testing.TB) *netns.Namespace {
	t.Helper()
	n := netns.New(t)
	netns.Veth(n, "v0", n, "v1")
	return n
}

func send(t testing.TB, sender *netns.Sender, frames ...[]byte) {
	t.Helper()
	if n, err := sender.SendMany(frames); err != nil {
		t.Fatalf("sent %d of %d: %v", n, len(frames), err)
	}
}

func TestSetYieldsWhatPassesTheDevice(t *testing.T) {
	n := pair(t)
	n.Do(func() {
		set, sender, other := open(t), n.Sender("v1"), n.Sender("v0")
		numbers := replace(t, set, points("afpacket:v0")...)
		before := time.Now()
		send(t, sender, numbered(1))
		got := read(t, set)
		want := capture.Info{Time: got.Info.Time, CaptureLength: 102, OriginalLength: 102, InterfaceIndex: numbers[0],
			LinkType: packet.LinkEthernet, Direction: capture.Inbound}
		if !slices.Equal(got.Data, numbered(1)) || got.Info != want {
			t.Errorf("got %x, %+v", got.Data, got.Info)
		}
		if at := got.Info.Timestamp(); at.Before(before) || at.After(time.Now()) {
			t.Errorf("captured at %v", at)
		}
		send(t, other, numbered(2))
		if got := read(t, set); !slices.Equal(got.Data, numbered(2)) || got.Info.Direction != capture.Outbound {
			t.Errorf("got %x, %+v", got.Data, got.Info)
		}
		if got, want := stats(t, set), (capture.Stats{Packets: 2}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func TestSetKeepsThePromisesOfALiveSet(t *testing.T) {
	capturetest.RunLive(t, func(t *testing.T) capturetest.Host {
		n := pair(t)
		netns.Veth(n, "w0", n, "w1")
		senders := map[string]*netns.Sender{"v0": n.Sender("v1"), "w0": n.Sender("w1")}
		return capturetest.Host{
			Open:    func(t *testing.T) capture.Live { return open(t) },
			Devices: [2]string{"v0", "w0"},
			Send:    func(t *testing.T, device string, frame []byte) { send(t, senders[device], frame) },
			Down:    func(t *testing.T, device string) { n.IP("link", "set", device, "down") },
			Up: func(t *testing.T, device string) {
				n.IP("link", "set", device, "up")
				n.AwaitCarrier("v0")
				n.AwaitCarrier("v1")
			},
			Do: n.Do,
		}
	})
}
