package cli_test

import (
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

// openCable opens a device in the network of a process.
func openCable(t *testing.T, pid, device string) *cable {
	t.Helper()
	type opened struct {
		w   *cable
		err error
	}
	done := make(chan opened)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine, and with it its stay in the other namespace
		w, err := openCableIn(filepath.Join("/proc", pid, "ns/net"), device)
		done <- opened{w, err}
	}()
	got := <-done
	if got.err != nil {
		t.Fatalf("%s: %v", device, got.err)
	}
	t.Cleanup(func() {
		if err := unix.Close(got.w.fd); err != nil {
			t.Error(err)
		}
	})
	return got.w
}

func openCableIn(namespace, device string) (*cable, error) {
	ns, err := unix.Open(namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(ns) }()
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // protocol 0 receives nothing
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(device)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &cable{fd, unix.SockaddrLinklayer{Ifindex: int(request.Uint32())}}, nil
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
