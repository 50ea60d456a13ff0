package cli_test

import (
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cable puts frames on a device of another network namespace.
type cable struct {
	fd     int
	device unix.SockaddrLinklayer
}

// inNetwork calls f in the network of a process. Sockets that it opens stay there.
func inNetwork(pid string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine, and with it its stay in the other network
		ns, err := unix.Open(filepath.Join("/proc", pid, "ns/net"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = errors.Join(unix.Setns(ns, unix.CLONE_NEWNET), unix.Close(ns))
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// listenIn listens in the network of a process.
func listenIn(t *testing.T, pid, address string) (l net.Listener) {
	t.Helper()
	if err := inNetwork(pid, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return l
}

// openCable opens a device in the network of a process.
func openCable(t *testing.T, pid, device string) *cable {
	t.Helper()
	w := &cable{}
	if err := inNetwork(pid, func() (err error) {
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil { // protocol 0 receives nothing
			return err
		}
		request, err := unix.NewIfreq(device)
		if err == nil {
			err = unix.IoctlIfreq(w.fd, unix.SIOCGIFINDEX, request)
		}
		if err != nil {
			return errors.Join(err, unix.Close(w.fd))
		}
		w.device.Ifindex = int(request.Uint32())
		return nil
	}); err != nil {
		t.Fatalf("%s: %v", device, err)
	}
	t.Cleanup(func() {
		if err := unix.Close(w.fd); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *cable) send(frame []byte) error { return unix.Sendto(w.fd, frame, 0, &w.device) }

// traffic is HTTP sessions that come in through a machine's eth0, some hundred a second, each whole.
type traffic struct {
	m     *machine
	wire  *cable
	began time.Time

	mu      sync.Mutex // guards what follows
	changed *sync.Cond
	sent    int
	going   bool
	ended   chan struct{}
}

func newTraffic(m *machine) *traffic {
	tr := &traffic{m: m, wire: openCable(m.T, m.pid, "eth1"), began: time.Now()}
	tr.changed = sync.NewCond(&tr.mu)
	m.Cleanup(tr.stop)
	return tr
}

// start goes on sending; starting again does nothing.
func (tr *traffic) start() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.going {
		return
	}
	tr.going, tr.ended = true, make(chan struct{})
	go func() {
		defer close(tr.ended)
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for tr.one() {
			<-ticker.C
		}
	}()
}

// one sends one session, if there is to be one.
func (tr *traffic) one() bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if !tr.going {
		return false
	}
	for _, frame := range httpSession(tr.sent) {
		if err := tr.wire.send(frame); err != nil {
			tr.m.Errorf("send: %v", err)
			tr.going = false
			tr.changed.Broadcast()
			return false
		}
	}
	tr.sent++
	tr.changed.Broadcast()
	return true
}

// stop ends after a whole session; stopping again does nothing.
func (tr *traffic) stop() {
	tr.mu.Lock()
	going, ended := tr.going, tr.ended
	tr.going = false
	tr.mu.Unlock()
	if going {
		<-ended
	}
}

// wait returns when so many more sessions have been sent.
func (tr *traffic) wait(more int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for until := tr.sent + more; tr.going && tr.sent < until; {
		tr.changed.Wait()
	}
}

func (tr *traffic) sessions() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.sent
}
