package cli_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"sonde.example/internal/service"
)

// breaker forwards connections to an address, and breaks them when it is told to.
type breaker struct {
	mu    sync.Mutex // guards what follows
	conns map[net.Conn]struct{}
	made  int
	over  bool
}

// forward serves a connection until one side is gone.
func (b *breaker) forward(from net.Conn, dial func() (net.Conn, error)) {
	to, err := dial()
	if err != nil {
		_ = from.Close()
		return
	}
	b.mu.Lock()
	if b.over {
		b.mu.Unlock()
		_, _ = from.Close(), to.Close()
		return
	}
	b.made++
	b.conns[from], b.conns[to] = struct{}{}, struct{}{}
	b.mu.Unlock()
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
		both.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_, _ = pair[0].Close(), pair[1].Close()
		})
	}
	both.Wait()
	b.mu.Lock()
	delete(b.conns, from)
	delete(b.conns, to)
	b.mu.Unlock()
}

// snap breaks all connections, and returns how many there have been.
func (b *breaker) snap() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for conn := range b.conns {
		_ = conn.Close()
	}
	return b.made
}

// TestOwnUplinkIsNeverSeen captures the device over which the agent itself speaks with its collector, and has that
// connection break again and again. SONDE_TEST_LOOP_SECONDS is how long.
func TestOwnUplinkIsNeverSeen(t *testing.T) {
	long := 8 * time.Second
	if text, ok := service.Environment("SONDE_TEST_LOOP_SECONDS"); ok && text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("SONDE_TEST_LOOP_SECONDS: %v", err)
		}
		long = time.Duration(seconds) * time.Second
	}
	m, neighbour := newMachineWithNeighbour(t, long+patience)
	a := startAllIn(m, neighbour, "--host", neighbourAddress, "--collector-listen", neighbourAddress+":7443", "--etcd-listen", neighbourAddress+":2379",
		"--capture", "eth1")
	a.sql("UPDATE agent_config SET enabled = 0")
	b := &breaker{conns: map[net.Conn]struct{}{}}
	listener := listenIn(t, neighbour, neighbourAddress+":7444")
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Errorf("accept: %v", err)
				return
			}
			served.Go(func() {
				b.forward(conn, func() (to net.Conn, err error) {
					neighbour.Do(func() { to, err = net.Dial("tcp", neighbourAddress+":7443") })
					return to, err
				})
			})
		}
	})
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		b.mu.Lock()
		b.over = true
		b.mu.Unlock()
		b.snap()
		served.Wait()
	})
	m.must("sonde certs issue agent probe --dir state/certs")
	stem := filepath.Join(a.state, "certs/agent-probe")
	agent := m.spawn(m.command("sonde", "agent", "--collector", neighbourAddress+":7444",
		"--config-store", "etcd://"+neighbourAddress+":2379", "--state", filepath.Join(m.dir, "probe"),
		"--tls-ca", filepath.Join(a.state, "certs/ca.crt"), "--tls-certificate", stem+".crt", "--tls-key", stem+".key"))
	a.sql("INSERT INTO agent_config (name, device) VALUES ('probe', 'eth0')")
	m.eventually("the agent captures", func() bool { return a.status("agent", "probe").state == "APPLIED" })

	// Something to send, or there would be nothing to loop.
	c := count(m, "eth0", "02:00:00:00:00:02", 100)
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(long); time.Now().Before(end); {
		<-ticker.C
		b.snap()
	}
	sent := c.end()
	at := []string{"--collector", neighbourAddress + ":7443"}
	m.end(agent)
	// An agent whose connection breaks waits up to five seconds before the next one.
	if made := b.snap(); made < int(long/(10*time.Second))+2 {
		t.Errorf("only %d connections in %s", made, long)
	}
	m.eventually("everything is stored", func() bool { return m.total(".pending_sessions", at...) == "0" })
	for _, port := range []int{7443, 7444, 2379} {
		if own := m.results(fmt.Sprintf("port = %d", port), at...); len(own) != 0 {
			t.Errorf("the agent has seen itself: %d results with port %d, such as %v", len(own), port, own[0])
		}
	}
	if counted := packetsOf(m.results(fmt.Sprintf("server.port = %d", floodPort), at...)); counted != sent {
		t.Errorf("results count %d packets, %d were sent", counted, sent)
	}
	t.Logf("%d connections, all results:\n%s", b.snap(), m.must("sonde results "+at[0]+" "+at[1]+"; sonde account "+at[0]+" "+at[1]))
}
