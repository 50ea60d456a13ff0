package cli_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sonde.example/internal/packet/packettest"
	"sonde.example/internal/service"
	"sonde.example/internal/testenv"
)

// TestInstallSaysWhatHappens types the commands of docs/install.md as they stand, on a machine of its own that is the server
// and the probe of the page at once. What it has installed then goes through the death of each daemon under traffic.
func TestInstallSaysWhatHappens(t *testing.T) {
	m := newMachine(t)
	checkout(t, m)
	setup, ran := "", 0
	for _, e := range examplesOf(t, "../../docs/install.md") {
		if strings.Contains(e.command, "apt-get") {
			continue
		}
		if e.kind == "setup" {
			setup += e.command + "\n"
			continue
		}
		if strings.Contains(e.command, "disable --now sonde-agent") {
			killEach(m, setup)
		}
		ran++
		output, err := m.bash(setup + e.command)
		if strings.Contains(e.command, "sonde agents") { // an agent comes anew when its configuration has changed
			m.eventually(fmt.Sprintf("line %d says %q", e.line, e.want), func() bool {
				if err != nil || !slices.ContainsFunc(e.want, func(want string) bool { return !shows(output, want) }) {
					return true
				}
				output, err = m.bash(setup + e.command)
				return false
			})
		}
		if _, failed := errors.AsType[*exec.ExitError](err); (err != nil) != failed || failed != (e.kind == "fails") {
			t.Fatalf("line %d ended with %v\n%s\n%s", e.line, err, e.command, output)
		}
		for _, want := range e.want {
			if !shows(output, want) {
				t.Errorf("line %d does not say %q\n%s\n%s", e.line, want, e.command, output)
			}
		}
	}
	if ran < 15 {
		t.Errorf("ran %d commands, which is not the page", ran)
	}
	if len(m.units) != 0 {
		t.Errorf("%d units are still running", len(m.units))
	}
}

// checkout lays out in the machine's folder what make build and make etcd leave in a checkout.
func checkout(t *testing.T, m *machine) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	library, _ := service.Environment("SONDE_ONNXRUNTIME")
	tools := filepath.Dir(testenv.Service(t, "etcd"))
	static := exec.Command("env", "CGO_ENABLED=0", "go", "build", "-o", filepath.Join(m.dir, "bin", "sonde-agent"), "./agent/cmd/sonde-agent")
	static.Dir = root
	if err := errors.Join(
		os.Chmod(m.dir, 0o755),
		os.MkdirAll(filepath.Join(m.dir, "bin"), 0o755),
		os.MkdirAll(filepath.Join(m.dir, ".cache"), 0o755),
		os.Symlink(tools, filepath.Join(m.dir, ".cache", "bin")),
		os.Symlink(filepath.Join(root, "deploy"), filepath.Join(m.dir, "deploy")),
		os.Symlink(buildSonde(t), filepath.Join(m.dir, "bin", "sonde")),
		os.Symlink(library, filepath.Join(m.dir, "bin", "libonnxruntime.so")),
	); err != nil {
		t.Fatal(err)
	}
	if out, err := static.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// killEach kills each daemon in turn while sessions pass and the configuration changes, starts it again as systemd would,
// and then wants every session in the results once, with all its packets, and every change in force.
func killEach(m *machine, setup string) {
	m.Helper()
	traffic := newTraffic(m)
	status := func() (state string, wanted, running int) {
		text := m.must(`sqlite3 -cmd '.timeout 5000' /var/lib/sonde/confsync/config.db \
			"SELECT state, revision_wanted, revision_running FROM agent_status WHERE role = 'agent' AND name = 'probe-7'"`)
		if _, err := fmt.Sscanf(strings.ReplaceAll(text, "|", " "), "%s %d %d", &state, &wanted, &running); err != nil {
			m.Fatalf("status is %q: %v", text, err)
		}
		return state, wanted, running
	}
	settled := func() bool {
		text := m.must(setup + `sonde results --json --limit 0 --filter 'start_time > "` + traffic.began.UTC().Format(time.RFC3339) + `"' | jq -r .session_id | wc -l
			sonde account --json | jq -r .total.pending_sessions`)
		results, pending, _ := strings.Cut(strings.TrimSpace(text), "\n")
		return results == strconv.Itoa(traffic.sessions()) && pending == "0"
	}
	for round, name := range []string{"sonde-confsync", "sonde-etcd", "sonde-inference", "sonde-collector", "sonde-agent"} {
		_, _, before := status()
		traffic.start()
		if name == "sonde-agent" { // its spool is in memory, and nobody sees what passes while there is no agent
			traffic.stop()
			m.eventually("everything is durable", settled)
		} else {
			traffic.wait(50)
		}
		m.units[name].kill()
		filter := []string{"ip", "tcp or udp"}[round%2]
		m.must(`sqlite3 -cmd '.timeout 5000' /var/lib/sonde/confsync/config.db "UPDATE agent_config SET filter = '` + filter + `' WHERE name = 'probe-7'"`)
		if name != "sonde-agent" {
			traffic.wait(50)
		}
		m.startUnit(name)
		m.waitReady(name)
		m.eventually("the change is in force after the death of "+name, func() bool {
			state, wanted, running := status()
			if state != "APPLIED" || wanted != running || running <= before {
				return false
			}
			told := m.must(setup + `sonde agents | awk '$1 == "probe-7" { print $2, $6 }'`) // what the agent itself says, and not the tables
			return told == fmt.Sprintf("connected %d\n", running)
		})
		traffic.start()
		traffic.wait(50)
		traffic.stop()
		m.eventually("every session has its result after the death of "+name, settled)
	}
	kinds := m.must(setup + `sonde results --json --limit 0 --filter 'start_time > "` + traffic.began.UTC().Format(time.RFC3339) + `"' > results
		jq -r '"\(.state) \((.forward.packets | tonumber) + (.reverse.packets | tonumber))"' results | sort | uniq -c
		jq -r .session_id results | sort -u | wc -l
		jq -r '"\(.client.address) \(.client.port)"' results | sort -u | wc -l`) // each session has a client of its own
	n := traffic.sessions()
	if want := fmt.Sprintf("%d RESULT_STATE_CLASSIFIED %d %d %d", n, sessionPackets, n, n); strings.Join(strings.Fields(kinds), " ") != want {
		m.Errorf("results by state and packets, sessions, clients: %s, want %s", kinds, want)
	}
	// What the agent's death could have cost was durable before, and no other may cost anything.
	lost := m.must(setup + `sonde account --json | jq -c '.total | [.residual, .lost_crash, .rejected, .elsewhere, .spool.dropped, .spool.released, .counters.kernel_dropped]'`)
	if want := `["0","0","0","0","0","0","0"]` + "\n"; lost != want {
		m.Errorf("residual and losses are %s, want %s", lost, want)
	}
}

// sessionPackets is how many packets each session of traffic has.
const sessionPackets = 8

// httpSession returns the frames of one HTTP session.
func httpSession(n int) [][]byte {
	client, port := fmt.Sprintf("10.9.%d.%d", n/250%250, n%250+1), uint16(20000+n/62500)
	const server, http, data = "10.9.255.1", 80, 0x18
	request, answer := []byte("GET /"+strconv.Itoa(n)+" HTTP/1.1\r\nHost: sonde.test\r\n\r\n"), []byte("HTTP/1.1 204 No Content\r\n\r\n")
	up := func(flags uint8, seq, ack uint32, payload []byte) []byte {
		return packettest.Ethernet(0x0800, packettest.IPv4(client, server, 6, packettest.TCP(port, http, flags, seq, ack, payload)))
	}
	down := func(flags uint8, seq, ack uint32, payload []byte) []byte {
		return packettest.Ethernet(0x0800, packettest.IPv4(server, client, 6, packettest.TCP(http, port, flags, seq, ack, payload)))
	}
	asked, told := uint32(101+len(request)), uint32(501+len(answer))
	return [][]byte{
		up(0x02, 100, 0, nil), down(0x12, 500, 101, nil), up(0x10, 101, 501, nil), up(data, 101, 501, request),
		down(data, 501, asked, answer), up(0x11, asked, told, nil), down(0x11, told, asked+1, nil), up(0x10, asked+1, told+1, nil),
	}
}
