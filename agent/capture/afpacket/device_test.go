//go:build linux

package afpacket_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sonde.example/agent/capture"
	"sonde.example/agent/capture/afpacket"
	"sonde.example/internal/packet"
	p "sonde.example/internal/packet/packettest"
	"sonde.example/internal/testenv/netns"
)

// quiet is how long nothing comes before a test believes that nothing will: several times a block's time-out.
const quiet = 50 * time.Millisecond

// manyFlows returns flows that no packet of these tests belongs to, IPv4 and IPv6 in turn.
func manyFlows(count int) []capture.Flow {
	var flows []capture.Flow
	for i := range count {
		local, remote := "192.0.2.1", "192.0.2.2"
		if i%2 == 1 {
			local, remote = "2001:db8::1", "2001:db8::2"
		}
		flows = append(flows, capture.Flow{
			Local:  netip.AddrPortFrom(netip.MustParseAddr(local), uint16(30000+i)),
			Remote: netip.AddrPortFrom(netip.MustParseAddr(remote), 7443),
		})
	}
	return flows
}

// idle reads until nothing comes, or a condition holds, and returns what came.
func idle(t testing.TB, set capture.Live, until func() bool) [][]byte {
	t.Helper()
	var came [][]byte
	for deadline := time.Now().Add(patience); ; {
		if until != nil && until() {
			return came
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing happens; waiting %v", set.Waiting())
		}
		ctx, cancel := context.WithTimeout(t.Context(), quiet)
		data, _, err := set.ReadPacket(ctx)
		cancel()
		switch {
		case err == nil:
			came = append(came, slices.Clone(data))
		case !errors.Is(err, context.DeadlineExceeded):
			t.Fatal(err)
		case until == nil:
			return came
		}
	}
}

func TestDeviceThatIsMadeAgainIsCapturedAgain(t *testing.T) {
	n := pair(t)
	n.Do(func() {
		set := open(t)
		numbers := replace(t, set, points("afpacket:v0")...)
		sender := n.Sender("v1")
		send(t, sender, numbered(1))
		n.IP("link", "del", "v0") // before what it passed is read
		if got := read(t, set); netns.NumberOf(got.Data) != 1 {
			t.Errorf("got %+v", got)
		}
		idle(t, set, func() bool { return set.Waiting() != nil })
		idle(t, set, func() bool { return strings.Contains(fmt.Sprint(set.Waiting()["afpacket:v0"]), "v0: no such device") })
		netns.Veth(n, "v0", n, "v1")
		if came := idle(t, set, func() bool { return set.Waiting() == nil }); len(came) != 0 {
			t.Errorf("%d packets came from nowhere", len(came))
		}
		send(t, n.Sender("v1"), numbered(2))
		if got := read(t, set); netns.NumberOf(got.Data) != 2 || got.Info.InterfaceIndex != numbers[0] {
			t.Errorf("got %+v", got)
		}
	})
}

func TestDeviceThatIsDownIsWaitedForWithoutSpinning(t *testing.T) {
	n := pair(t)
	n.IP("link", "set", "v0", "down")
	n.Do(func() {
		set := open(t)
		replace(t, set, points("v0")...)
		if got := set.Waiting()["v0"]; got == nil || got.Error() != "v0: device is down" {
			t.Errorf("waiting: %v", got)
		}
		var before, after unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &before); err != nil {
			t.Fatal(err)
		}
		idle(t, set, nil)
		for range 5 {
			idle(t, set, nil)
		}
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &after); err != nil {
			t.Fatal(err)
		}
		if used := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()); used > 3*quiet {
			t.Errorf("waiting for %v took %v of processor time", 6*quiet, used)
		}
		n.IP("link", "set", "v0", "up")
		n.AwaitCarrier("v0")
		n.AwaitCarrier("v1")
		send(t, n.Sender("v1"), numbered(1))
		read(t, set)
		idle(t, set, func() bool { return set.Waiting() == nil })
	})
}

func TestRenamedDeviceStaysCaptured(t *testing.T) {
	n := pair(t)
	n.Do(func() {
		set := open(t)
		replace(t, set, points("v0")...)
		n.IP("link", "set", "v0", "down")
		n.IP("link", "set", "v0", "name", "x0")
		idle(t, set, func() bool { return set.Waiting() != nil })
		n.IP("link", "set", "x0", "up")
		n.AwaitCarrier("x0")
		n.AwaitCarrier("v1")
		idle(t, set, func() bool { return set.Waiting() == nil })
		send(t, n.Sender("v1"), numbered(1))
		read(t, set)
		// Another device takes the name over, and the point with it.
		n.IP("link", "set", "x0", "down")
		idle(t, set, func() bool { return set.Waiting() != nil })
		netns.Veth(n, "v0", n, "w1")
		idle(t, set, func() bool { return set.Waiting() == nil })
		send(t, n.Sender("w1"), numbered(2))
		if got := read(t, set); netns.NumberOf(got.Data) != 2 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestLoopbackShowsEachPacketOnce(t *testing.T) {
	n := netns.New(t)
	n.Do(func() {
		set := open(t)
		replace(t, set, points("lo")...)
		socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(socket)
		to := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 9}
		if err := unix.Bind(socket, to); err != nil {
			t.Fatal(err)
		}
		const count = 500
		for number := range uint64(count) {
			if err := unix.Sendto(socket, netns.Number(make([]byte, 40), number), 0, to); err != nil {
				t.Fatal(err)
			}
		}
		for number := range uint64(count) {
			got := read(t, set)
			if netns.NumberOf(got.Data) != number || got.Info.LinkType != packet.LinkEthernet || got.Info.Direction != capture.Inbound {
				t.Fatalf("packet %d: got %+v", number, got)
			}
		}
		if came := idle(t, set, nil); len(came) != 0 {
			t.Errorf("%d more came", len(came))
		}
	})
}

func TestTunShowsBareIP(t *testing.T) {
	n := netns.New(t)
	tun := n.Tun("t0")
	n.Do(func() {
		set := open(t)
		replace(t, set, points("t0")...)
		flow := capture.Flow{Local: netip.MustParseAddrPort("0.0.0.0:40000"), Remote: netip.MustParseAddrPort("10.0.0.2:7000")}
		flow6 := capture.Flow{Local: netip.MustParseAddrPort("[2001:db8::1]:40000"), Remote: netip.MustParseAddrPort("[2001:db8::2]:7000")}
		if err := set.Exclude([]capture.Flow{flow, flow6}); err != nil {
			t.Fatal(err)
		}
		syn := func(from, to uint16) []byte { return p.TCP(from, to, packet.SYN, 1, 0, nil) }
		shown := [][]byte{
			p.IPv4("10.0.0.1", "10.0.0.3", 6, syn(40000, 7000)), p.IPv6("2001:db8::3", "2001:db8::2", 6, syn(40000, 7000)),
			p.IPv4("10.0.0.1", "10.0.0.2", 17, p.UDP(1, 2, nil)), // shorter than any TCP packet
		}
		hidden := [][]byte{
			p.IPv4("10.0.0.1", "10.0.0.2", 6, syn(40000, 7000)), p.IPv4("10.0.0.2", "10.0.0.1", 6, syn(7000, 40000)),
			p.IPv6("2001:db8::1", "2001:db8::2", 6, syn(40000, 7000)), p.IPv6("2001:db8::2", "2001:db8::1", 6, syn(7000, 40000)),
		}
		for _, b := range append(hidden, shown...) {
			if _, err := unix.Write(tun, b); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range shown {
			if got := read(t, set); !slices.Equal(got.Data, want) || got.Info.LinkType != packet.LinkRaw {
				t.Errorf("got %x, %+v, want %x", got.Data, got.Info, want)
			}
		}
	})
}

func TestErrorsNameDeviceAndReason(t *testing.T) {
	n := pair(t)
	n.Do(func() {
		tun := n.Tun("t0")
		n.IP("link", "set", "t0", "down")
		const ieee80211 = 801
		if err := unix.IoctlSetInt(tun, unix.TUNSETLINK, ieee80211); err != nil {
			t.Fatal(err)
		}
		set := open(t)
		for point, want := range map[string][]string{
			"afpacket:eth7":     {`no such device "eth7"`, "there are", "lo", "v0", "v1"},
			"afpacket:t0":       {"device t0", "hardware type 801"},
			"afpacket:":         {"afpacket:DEVICE"},
			"file:x":            {"afpacket:DEVICE"},
			"v0123456789abcdef": {"v0123456789abcdef", "longer than 15"},
		} {
			_, err := set.Replace(points(point))
			for _, part := range want {
				if err == nil || !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), point) {
					t.Errorf("%s: got error %v, want %q", point, err, part)
				}
			}
		}
		if _, err := set.Replace(points("v0", "afpacket:v0")); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("got error %v", err)
		}
		for _, bytes := range []int{1, afpacket.MaxRingBytes + 1, -1} {
			if _, err := afpacket.Open(afpacket.Options{RingBytes: bytes}); err == nil {
				t.Errorf("a ring of %d bytes was made", bytes)
			}
		}
	})
	n.Do(func() {
		// The thread ends with this function, and what it gives up with it.
		header, data := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
		if err := unix.Capset(&header, &data[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := afpacket.Open(afpacket.Options{}); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_RAW") {
			t.Errorf("got error %v", err)
		}
	})
}

func TestRingsAreBounded(t *testing.T) {
	n := pair(t)
	n.Do(func() {
		set, err := afpacket.Open(afpacket.Options{RingBytes: afpacket.MinRingBytes})
		if err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		for i := range afpacket.MaxRings {
			replace(t, set, points([]string{"v0", "v1"}[i%2])...)
		}
		if _, err := set.Replace(points("v0")); err == nil || !strings.Contains(err.Error(), "64 rings") {
			t.Errorf("got error %v", err)
		}
		// The old ones end.
		idle(t, set, func() bool {
			_, err := set.Replace(points("v0"))
			return err == nil
		})
	})
}
