package cli_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/internal/packet/packettest"
)

const (
	flood      = 20_000 // packets a second
	floodFlows = 50     // sessions that they belong to
	floodPort  = 4739
)

// counter puts numbered UDP packets on a cable, flood of them a second, until it is stopped.
type counter struct {
	t     *testing.T
	sent  atomic.Uint64
	stop  chan struct{}
	ended chan struct{}
}

// count starts; the packets go to an Ethernet address, which decides where a bridge shows them.
func count(m *machine, device, destination string, rate int) *counter {
	m.Helper()
	c := &counter{t: m.T, stop: make(chan struct{}), ended: make(chan struct{})}
	w := openCable(m.T, m.net, device)
	frames := make([][]byte, floodFlows)
	for i := range frames {
		frames[i] = packettest.Ethernet(0x0800, packettest.IPv4("10.8.0.1", "10.8.0.2", 17, packettest.UDP(uint16(10000+i), floodPort, make([]byte, 64))))
		to, err := net.ParseMAC(destination)
		if err != nil {
			m.Fatal(err)
		}
		copy(frames[i], to)
		copy(frames[i][len(to):], []byte{2, 0, 0, 0, 0, 2}) // a bridge forwards nothing from nobody
	}
	go c.run(w, frames, rate)
	m.Cleanup(func() { c.end() })
	return c
}

func (c *counter) run(w *cable, frames [][]byte, rate int) {
	defer close(c.ended)
	const tick = time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for began := time.Now(); ; {
		select {
		case <-c.stop:
			return
		case now := <-ticker.C:
			// A late tick makes up for what it missed, but never by so many at once that the kernel's queue between the two ends
			// of the cable (net.core.netdev_max_backlog, 1000) overflows: what is lost there never arrives.
			due := uint64(now.Sub(began).Seconds() * float64(rate))
			for n := c.sent.Load(); n < min(due, c.sent.Load()+uint64(max(1, rate/100))); n++ {
				frame := frames[n%uint64(len(frames))]
				binary.BigEndian.PutUint64(frame[14+20+8:], n)
				if err := w.send(frame); err != nil {
					if errors.Is(err, unix.ENOBUFS) {
						break // it was not sent, and comes again
					}
					c.t.Errorf("send: %v", err)
					return
				}
				c.sent.Store(n + 1)
			}
		}
	}
}

// end stops and returns how many were sent. Ending again does nothing.
func (c *counter) end() uint64 {
	select {
	case <-c.ended:
	default:
		close(c.stop)
		<-c.ended
	}
	return c.sent.Load()
}

// pass waits until so many more were sent.
func (c *counter) pass(m *machine, more uint64) {
	m.Helper()
	until := c.sent.Load() + more
	m.eventually("packets pass", func() bool { return c.sent.Load() >= until || m.Failed() })
}

// counted ends everything in order, starts it again without capturing, and compares what the results count with what was sent.
func (a *everythingOn) counted(sent uint64) {
	a.Helper()
	a.end(a.process)
	a.sql("UPDATE agent_config SET enabled = 0")
	a.start()
	a.balanced()
	results := a.results(fmt.Sprintf("server.port = %d", floodPort))
	if got := packetsOf(results); got != sent {
		a.Errorf("results count %d packets, %d were sent: %d of them lost or doubled", got, sent, int64(sent-got))
		a.Logf("%s", a.must("sonde account"))
	}
}

// TestFilterChangesLoseNothing alternates between two filters that both take every packet, by the sqlite3 program.
func TestFilterChangesLoseNothing(t *testing.T) {
	m := newMachine(t)
	a := runAll(m, "--capture", "eth0")
	c := count(m, "eth1", hardwareAddress, flood)
	c.pass(m, flood/2)
	filters := []string{"udp", fmt.Sprintf("ip and dst port %d", floodPort)}
	var slowest time.Duration
	for round := range 10 {
		now := a.change("agent", "local", "UPDATE agent_config SET filter = '"+filters[round%2]+"' WHERE name = 'local'")
		slowest = max(slowest, time.Duration(now.latency)*time.Millisecond)
		if now.latency < 0 {
			t.Errorf("no latency: %+v", now)
		}
		c.pass(m, flood/5)
	}
	t.Logf("slowest of ten changes: %s", slowest)
	// What does not compile changes nothing, and the row says where it is wrong.
	before := a.status("agent", "local")
	a.sql("UPDATE agent_config SET filter = 'udp prot 53' WHERE name = 'local'")
	var now statusRow
	m.eventually("the filter is refused", func() bool {
		now = a.status("agent", "local")
		return now.state == "FAILED"
	})
	if now.field != "filter" || !strings.Contains(now.wrong, "at character 5") || now.running != before.running {
		t.Errorf("got %+v", now)
	}
	c.pass(m, flood/2)
	said, err := m.bash("sonde config set local filter='udp prot 53'")
	if err == nil || !strings.Contains(said, "FAILED") || !strings.Contains(said, "  udp prot 53\n      ^\n") {
		t.Errorf("sonde config set: %v\n%s", err, said)
	}
	if said := m.must("sonde config set local filter=udp"); !strings.Contains(said, "APPLIED") {
		t.Errorf("sonde config set: %s", said)
	}
	c.pass(m, flood/2)
	a.counted(c.end())
}

// TestDeviceChangesLoseNothing alternates between a bridge and its port, which both show every packet.
func TestDeviceChangesLoseNothing(t *testing.T) {
	m := newMachine(t)
	m.net.Bridge("br0", "eth0")
	m.must("ip link set br0 address 02:00:00:00:00:0b")
	a := runAll(m, "--capture", "eth0")
	c := count(m, "eth1", "02:00:00:00:00:0b", flood)
	c.pass(m, flood/2)
	for round := range 10 {
		a.change("agent", "local", "UPDATE agent_config SET device = '"+[]string{"br0", "eth0"}[round%2]+"' WHERE name = 'local'")
		c.pass(m, flood/5)
	}
	// A device that is not there is refused, and the old one goes on.
	a.sql("UPDATE agent_config SET device = 'eth7' WHERE name = 'local'")
	var now statusRow
	m.eventually("the device is refused", func() bool {
		now = a.status("agent", "local")
		return now.state == "FAILED"
	})
	if now.field != "device" {
		t.Errorf("got %+v", now)
	}
	c.pass(m, flood/2)
	a.sql("UPDATE agent_config SET device = 'eth0' WHERE name = 'local'")
	a.counted(c.end())
}

// TestCollectorChangeLosesNothing has an agent leave a collector that does not answer any more, with its spool full of what
// that one has not acknowledged.
func TestCollectorChangeLosesNothing(t *testing.T) {
	m := newMachine(t)
	a := runAll(m, "--capture", "eth0")
	a.sql("UPDATE agent_config SET enabled = 0")
	m.must("sonde certs issue agent probe --dir state/certs")
	tls := func(role, name string) []string {
		stem := filepath.Join(a.state, "certs", role+"-"+name)
		return []string{"--tls-ca", filepath.Join(a.state, "certs/ca.crt"), "--tls-certificate", stem + ".crt", "--tls-key", stem + ".key"}
	}
	startCollector := func(name, port string) *process {
		p := m.spawn(m.command("sonde", append([]string{"collector", "--listen", "127.0.0.1:" + port, "--inference", "127.0.0.1:8001",
			"--admin", "127.0.0.1:1" + port, "--results", "sqlite:" + filepath.Join(m.dir, name+".db")}, tls("service", "local")...)...))
		m.eventually(name+" is ready", func() bool {
			_, err := m.bash("curl -sS --fail --max-time 2 http://127.0.0.1:1" + port + "/readyz")
			return err == nil
		})
		return p
	}
	first, second := startCollector("first", "7543"), startCollector("second", "7643")
	a.sql("INSERT INTO agent_config (name, device, collector) VALUES ('probe', 'eth0', '127.0.0.1:7543')")
	agent := m.spawn(m.command("sonde", append([]string{"agent", "--config-store", "etcd://127.0.0.1:2379", "--state", filepath.Join(m.dir, "probe"),
		"--admin", "127.0.0.1:19467", "--spool", "mem:?bytes=256MiB", "--drain-timeout", "60s"}, tls("agent", "probe")...)...))
	m.eventually("the agent captures", func() bool { return a.status("agent", "probe").state == "APPLIED" })

	const rate = 2000
	c := count(m, "eth1", hardwareAddress, rate)
	c.pass(m, rate)
	before, at := c.end(), []string{"--collector", "127.0.0.1:7543"}
	m.eventually("the first collector has everything", func() bool {
		return m.total(".counters.seen", at...) == fmt.Sprint(before) && m.total(".residual", at...) == "0" &&
			m.gauge("19467", "sonde_agent_spool_bytes") == "0"
	})
	if err := first.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c = count(m, "eth1", hardwareAddress, rate)
	c.pass(m, 3*rate)
	if m.gauge("19467", "sonde_agent_spool_bytes") == "0" {
		t.Error("the spool is empty though nobody acknowledges")
	}
	change := a.status("agent", "probe")
	a.sql("UPDATE agent_config SET collector = '127.0.0.1:7643' WHERE name = 'probe'")
	m.eventually("the new collector is in force", func() bool {
		now := a.status("agent", "probe")
		return now.state == "APPLIED" && now.running > change.running
	})
	c.pass(m, 2*rate)
	sent := before + c.end()
	m.end(agent)
	// Frozen for good: it dies, and its results are read by another one.
	first.kill()
	first = startCollector("first", "7543")
	// A session that went on while the agent moved is in both, under one id, and the one with the greater counts stands, as
	// in one store.
	newest := map[string]*queryv1.Result{}
	for _, port := range []string{"7543", "7643"} {
		for _, r := range m.results(fmt.Sprintf("agent = probe AND server.port = %d", floodPort), "--collector", "127.0.0.1:"+port) {
			if old := newest[r.GetSessionId()]; old == nil || packetsOf([]*queryv1.Result{r}) > packetsOf([]*queryv1.Result{old}) {
				newest[r.GetSessionId()] = r
			}
		}
	}
	if counted := packetsOf(slices.Collect(maps.Values(newest))); counted != sent {
		t.Errorf("results of both collectors count %d packets, %d were sent", counted, sent)
	}
	m.balanced("--collector", "127.0.0.1:7643", "--agent", "probe")
	m.end(first)
	m.end(second)
	m.end(a.process)
}

// gauge reads one metric without labels.
func (m *machine) gauge(port, name string) string {
	m.Helper()
	return strings.TrimSpace(m.must("curl -sS --fail http://127.0.0.1:" + port + "/metrics | awk '$1 == \"" + name + "\" {print $2}'"))
}

// TestServicesFollowTheirRows changes a deadline and the version of the model while traffic passes.
func TestServicesFollowTheirRows(t *testing.T) {
	m := newMachine(t)
	for _, version := range []string{"1", "2"} {
		if err := os.CopyFS(filepath.Join(m.dir, "models", "sonde", version), os.DirFS("../../inference/models/sonde/1")); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
	a := runAll(m, "--capture", "eth0", "--inference-models", filepath.Join(m.dir, "models"))
	a.change("inference", "default", "UPDATE service_config SET model = 'sonde', model_version = '1' WHERE role = 'inference'")
	w := openCable(t, m.net, "eth1")
	classified := func(port uint16) (late time.Duration, version string) {
		frame := packettest.Ethernet(0x0800, packettest.IPv4("10.8.0.1", "10.8.0.2", 17, packettest.UDP(port, 53, []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x05sonde\x04test\x00\x00\x01\x00\x01"))))
		if err := w.send(frame); err != nil {
			t.Fatal(err)
		}
		m.eventually("the session has its result", func() bool {
			results := m.results(fmt.Sprintf("client.port = %d", port))
			if len(results) != 1 || results[0].GetClassification() == nil {
				return false
			}
			late = results[0].GetStoreTime().AsTime().Sub(results[0].GetStartTime().AsTime())
			version = results[0].GetClassification().GetModelVersion()
			return true
		})
		return late, version
	}
	if late, version := classified(20001); late < 9*time.Second || version != "1" {
		t.Errorf("before: stored after %s, by version %q", late, version)
	}
	a.change("collector", "default", "UPDATE service_config SET hand_over_deadline_ms = 1000 WHERE role = 'collector'")
	a.change("inference", "default", "UPDATE service_config SET model_version = '2' WHERE role = 'inference'")
	if late, version := classified(20002); late > 4*time.Second || version != "2" {
		t.Errorf("after: stored after %s, by version %q", late, version)
	}
	// A version that is not there is refused, and the old one goes on.
	a.sql("UPDATE service_config SET model_version = '9' WHERE role = 'inference'")
	m.eventually("the version is refused", func() bool { return a.status("inference", "default").state == "FAILED" })
	if now := a.status("inference", "default"); now.field != "model_version" {
		t.Errorf("got %+v", now)
	}
	if _, version := classified(20003); version != "2" {
		t.Errorf("after a refused version: %q", version)
	}
	m.end(a.process)
}
