//go:build linux

package afpacket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
	"sonde.example/internal/testenv/netns"
)

// hosts are two namespaces that reach each other; the second answers.
func hosts(t *testing.T) (a, b *netns.Namespace) {
	t.Helper()
	a, b = netns.New(t), netns.New(t)
	netns.Veth(a, "v0", b, "v1")
	a.IP("addr", "add", "10.9.0.1/24", "dev", "v0")
	b.IP("addr", "add", "10.9.0.2/24", "dev", "v1")
	a.IP("addr", "add", "2001:db8:9::1/64", "dev", "v0", "nodad")
	b.IP("addr", "add", "2001:db8:9::2/64", "dev", "v1", "nodad")
	return a, b
}

// echo serves one connection after the other, and returns the port.
func echo(t *testing.T, n *netns.Namespace) uint16 {
	t.Helper()
	var listener net.Listener
	n.Do(func() {
		var err error
		if listener, err = net.Listen("tcp", "[::]:0"); err != nil {
			t.Fatal(err)
		}
	})
	done := make(chan error, 1)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				done <- err
				return
			}
			if _, err := io.Copy(c, c); err != nil {
				t.Error(err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return uint16(listener.Addr().(*net.TCPAddr).Port)
}

// talk sends bytes to an echo and reads them back. Before it connects, bound is told the local address with its port.
func talk(t *testing.T, remote netip.AddrPort, bytesToSend int, bound func(local netip.AddrPort)) {
	t.Helper()
	dialer := net.Dialer{Timeout: patience, Control: func(network, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			var local netip.AddrPort
			if strings.HasSuffix(network, "4") {
				if failed = unix.Bind(int(fd), &unix.SockaddrInet4{}); failed != nil {
					return
				}
			} else if failed = unix.Bind(int(fd), &unix.SockaddrInet6{}); failed != nil {
				return
			}
			address, err := unix.Getsockname(int(fd))
			switch address := address.(type) {
			case *unix.SockaddrInet4:
				local = netip.AddrPortFrom(netip.AddrFrom4(address.Addr), uint16(address.Port))
			case *unix.SockaddrInet6:
				local = netip.AddrPortFrom(netip.AddrFrom16(address.Addr), uint16(address.Port))
			}
			failed = err
			bound(local)
		})
		return errors.Join(err, failed)
	}}
	c, err := dialer.DialContext(t.Context(), "tcp", remote.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(bytes.Repeat([]byte("sonde"), bytesToSend/5))
		sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
	}()
	n, err := io.Copy(io.Discard, c)
	if err := errors.Join(err, <-sent); err != nil || n != int64(bytesToSend) {
		t.Fatalf("%d bytes came back: %v", n, err)
	}
}

// ends returns how many packets each TCP connection has, by its smaller and its larger port.
func ends(t *testing.T, frames [][]byte) map[string]int {
	t.Helper()
	walker := packet.NewWalker(packet.DefaultOptions())
	found := map[string]int{}
	for _, frame := range frames {
		var info packet.Info
		if walker.Walk(packet.LinkEthernet, frame, len(frame), &info) == packet.OK && info.Key.Protocol == 6 {
			found[fmt.Sprint(min(info.Key.LowPort, info.Key.HighPort), "-", max(info.Key.LowPort, info.Key.HighPort))]++
		}
	}
	return found
}

func TestExcludedConnectionIsNeverSeen(t *testing.T) {
	a, b := hosts(t)
	port := echo(t, b)
	a.Do(func() {
		set := open(t)
		replace(t, set, points("v0", "lo")...)
		var flows []capture.Flow
		shown := map[string]bool{}
		for _, remote := range []string{"10.9.0.2", "2001:db8:9::2"} {
			to := netip.AddrPortFrom(netip.MustParseAddr(remote), port)
			talk(t, to, 500_000, func(local netip.AddrPort) {
				flows = append(flows, capture.Flow{Local: local, Remote: to})
				if err := set.Exclude(flows); err != nil {
					t.Error(err)
				}
			})
			talk(t, to, 5_000, func(local netip.AddrPort) {
				shown[fmt.Sprint(min(local.Port(), port), "-", max(local.Port(), port))] = true
			})
		}
		got := ends(t, idle(t, set, nil))
		if len(got) != len(shown) {
			t.Errorf("saw %v, want %v", got, shown)
		}
		for connection := range shown {
			if got[connection] < 8 { // three to begin, two of data, three to end
				t.Errorf("saw %d packets of %s", got[connection], connection)
			}
		}
		if got := stats(t, set); got.Filtered != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestExcludeRefusedChangesNothing(t *testing.T) {
	a, b := hosts(t)
	port := echo(t, b)
	a.Do(func() {
		set := open(t)
		code := make([]bpf.RawInstruction, filter.MaxInstructions-200)
		code[len(code)-1] = bpf.RawInstruction{Op: 6, K: 1}
		replace(t, set, append(points("lo"), point("v0", program(t, "long", code...)))...)
		to := netip.AddrPortFrom(netip.MustParseAddr("10.9.0.2"), port)
		talk(t, to, 500_000, func(local netip.AddrPort) {
			if err := set.Exclude([]capture.Flow{{Local: local, Remote: to}}); err != nil {
				t.Error(err)
			}
			if err := set.Exclude(manyFlows(capture.MaxFlows)); err == nil || !strings.Contains(err.Error(), "v0") || !strings.Contains(err.Error(), "4096") {
				t.Errorf("got error %v", err)
			}
			mixed := capture.Flow{Local: netip.MustParseAddrPort("10.0.0.1:1"), Remote: netip.MustParseAddrPort("[::1]:1")}
			if err := set.Exclude([]capture.Flow{mixed}); err == nil {
				t.Error("a flow from IPv4 to IPv6 was taken")
			}
		})
		if got := ends(t, idle(t, set, nil)); len(got) != 0 {
			t.Errorf("saw %v", got)
		}
	})
}

// TestLargeSegmentsPass captures what the device takes in one piece and would cut later, far above its MTU.
func TestLargeSegmentsPass(t *testing.T) {
	a, b := hosts(t)
	port := echo(t, b)
	a.Do(func() {
		set := open(t)
		snap := points("v0")
		snap[0].SnapLength = 3000
		replace(t, set, snap...)
		talk(t, netip.AddrPortFrom(netip.MustParseAddr("10.9.0.2"), port), 1_000_000, func(netip.AddrPort) {})
		large := 0
		for {
			ctx, cancel := context.WithTimeout(t.Context(), quiet)
			data, info, err := set.ReadPacket(ctx)
			cancel()
			if err != nil {
				break
			}
			if len(data) != min(3000, info.OriginalLength) || info.CaptureLength != len(data) {
				t.Fatalf("got %d bytes, %+v", len(data), info)
			}
			if info.OriginalLength > 10_000 {
				large++
				if got := int(data[16])<<8 | int(data[17]); got != info.OriginalLength-14 {
					t.Errorf("IP header says %d bytes, the ring %d", got, info.OriginalLength-14)
				}
			}
		}
		if large == 0 {
			t.Error("no large frame: this shows nothing")
		}
		if got := stats(t, set); got.Drops != 0 {
			t.Errorf("got %+v", got)
		}
	})
}
