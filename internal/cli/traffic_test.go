package cli_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sonde.example/internal/testenv/netns"
)

// cable puts frames on a device of another network namespace.
type cable struct {
	fd     int
	device unix.SockaddrLinklayer
}

// openCable opens a device in a network.
func openCable(t *testing.T, network *netns.Namespace, device string) *cable {
	t.Helper()
	w := &cable{}
	network.Do(func() {
		var err error
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil { // protocol 0 receives nothing
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Close(w.fd); err != nil {
				t.Error(err)
			}
		})
		index, err := net.InterfaceByName(device)
		if err != nil {
			t.Fatal(err)
		}
		w.device.Ifindex = index.Index
	})
	return w
}

// listenIn listens in a network.
func listenIn(t *testing.T, network *netns.Namespace, address string) (l net.Listener) {
	t.Helper()
	network.Do(func() {
		var err error
		if l, err = net.Listen("tcp", address); err != nil {
			t.Fatal(err)
		}
	})
	return l
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
	tr := &traffic{m: m, wire: openCable(m.T, m.net, "eth1"), began: time.Now()}
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
