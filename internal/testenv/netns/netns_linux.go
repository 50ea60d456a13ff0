// Package netns gives tests network namespaces of their own: with devices, addresses and sockets in them, so that real
// packets pass without touching the host's network. They are made with the ip command, need root, and are gone when the test
// ends, with everything in them. Only tests import it.
package netns

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sonde.example/internal/testenv"
)

// Namespace is one network namespace, with its loopback device up.
type Namespace struct {
	// Name is what "ip netns" calls it.
	Name string

	t      testing.TB
	handle int
}

// New makes a namespace. Where SONDE_TEST_NETNS is empty the test is skipped, or fails if SONDE_TEST_REQUIRE names "netns":
// making one needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN).
func New(t testing.TB) *Namespace {
	t.Helper()
	testenv.Service(t, "netns")
	n := &Namespace{Name: "sonde-" + strings.ToLower(rand.Text()[:10]), t: t}
	run(t, "ip", "netns", "add", n.Name)
	// The test's context has ended by then.
	t.Cleanup(func() {
		if out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "ip", "netns", "del", n.Name).CombinedOutput(); err != nil {
			t.Errorf("delete namespace %s: %v: %s", n.Name, err, out)
		}
	})
	handle, err := unix.Open("/run/netns/"+n.Name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	n.handle = handle
	t.Cleanup(func() {
		if err := unix.Close(handle); err != nil {
			t.Error(err)
		}
	})
	n.IP("link", "set", "lo", "up")
	return n
}

// IP runs the ip command in the namespace, and ends the test when it fails: n.IP("addr", "add", "10.0.0.1/24", "dev", "v0").
func (n *Namespace) IP(arguments ...string) {
	n.t.Helper()
	run(n.t, "ip", append([]string{"-n", n.Name}, arguments...)...)
}

// Command returns a command that will run in the namespace.
func (n *Namespace) Command(ctx context.Context, name string, arguments ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.Name, name}, arguments...)...)
}

// Do runs f in the namespace, on a goroutine of its own whose thread no other ever uses, and returns when f has. Sockets
// that f opens stay in the namespace wherever they are used later. Goroutines that f starts are not in it. The test may
// be ended from within f.
func (n *Namespace) Do(f func()) {
	n.t.Helper()
	returned := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Setns(n.handle, unix.CLONE_NEWNET); err != nil {
			n.t.Errorf("enter namespace %s: %v", n.Name, err)
			return
		}
		f()
		returned = true
	}()
	<-done
	if !returned {
		n.t.FailNow()
	}
}

// Veth makes a pair of devices, one in each namespace (which may be the same), both up and without addresses of their own
// making, so that nothing passes but what the test sends.
func Veth(a *Namespace, nameA string, b *Namespace, nameB string) {
	a.t.Helper()
	a.IP("link", "add", nameA, "type", "veth", "peer", "name", nameB, "netns", b.Name)
	for _, end := range []struct {
		in   *Namespace
		name string
	}{{a, nameA}, {b, nameB}} {
		end.in.Quiet(end.name)
		end.in.IP("link", "set", end.name, "up")
	}
	a.AwaitCarrier(nameA)
	b.AwaitCarrier(nameB)
}

// Bridge makes a bridge with ports, up and quiet. It passes every frame: where the kernel has bridges ask netfilter, which
// drops what has no right checksum, that is off.
func (n *Namespace) Bridge(name string, ports ...string) {
	n.t.Helper()
	n.IP("link", "add", name, "type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
	n.Do(func() {
		for _, name := range []string{"iptables", "ip6tables", "arptables"} {
			err := os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-"+name, []byte("0"), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				n.t.Fatal(err)
			}
		}
	})
	n.Quiet(name)
	for _, port := range ports {
		n.IP("link", "set", port, "master", name)
	}
	n.IP("link", "set", name, "up")
	n.AwaitCarrier(name)
}

// Tun makes a device of bare IP packets, up and quiet, and returns the descriptor on whose other side the test is: what it
// writes comes in by the device.
func (n *Namespace) Tun(name string) int {
	n.t.Helper()
	var descriptor int
	n.Do(func() {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			n.t.Fatal(err)
		}
		descriptor = fd
		n.t.Cleanup(func() {
			if err := unix.Close(fd); err != nil {
				n.t.Error(err)
			}
		})
		request, err := unix.NewIfreq(name)
		if err != nil {
			n.t.Fatal(err)
		}
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			n.t.Fatal(err)
		}
	})
	n.Quiet(name)
	n.IP("link", "set", name, "up")
	return descriptor
}

// AwaitCarrier waits until a device passes packets, which after "link set up" takes the kernel a moment.
func (n *Namespace) AwaitCarrier(device string) {
	n.t.Helper()
	const tries = 1000 // each takes some milliseconds
	for range tries {
		out, err := exec.CommandContext(n.t.Context(), "ip", "-n", n.Name, "-o", "link", "show", "dev", device).CombinedOutput()
		if err != nil {
			n.t.Fatalf("device %s: %v: %s", device, err, out)
		}
		if bytes.Contains(out, []byte("LOWER_UP")) && bytes.Contains(out, []byte("state UP")) {
			return
		}
	}
	n.t.Fatalf("device %s does not come up", device)
}

// Quiet keeps a device from making IPv6 addresses, which would send packets that the test has not.
func (n *Namespace) Quiet(device string) {
	n.t.Helper()
	n.IP("link", "set", device, "addrgenmode", "none")
}

func run(t testing.TB, name string, arguments ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, arguments...).CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, out))
	}
}
