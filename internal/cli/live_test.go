package cli_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/inference/model/modeltest"
	"sonde.example/internal/feature"
	"sonde.example/internal/record"
	"sonde.example/internal/service"
	"sonde.example/internal/testenv/netns"
)

// everythingOn is one sonde all on a machine.
type everythingOn struct {
	*machine
	*process
	network *netns.Namespace
	state   string
}

// runAll starts sonde all and waits until it is ready.
func runAll(m *machine, args ...string) *everythingOn {
	m.Helper()
	return startAllIn(m, m.net, args...)
}

// startAllIn starts it in another network.
func startAllIn(m *machine, network *netns.Namespace, args ...string) *everythingOn {
	m.Helper()
	a := &everythingOn{machine: m, network: network, state: filepath.Join(m.dir, "state")}
	m.install()
	a.start(args...)
	return a
}

// install puts the program where a user of the machine finds it.
func (m *machine) install() {
	m.Helper()
	m.must("install -m 0755 -t /usr/local/bin " + buildSonde(m.T))
	library, _ := service.Environment("SONDE_ONNXRUNTIME")
	m.env = append(m.env, "SONDE_STATE="+filepath.Join(m.dir, "state"), "SONDE_ONNXRUNTIME="+library)
}

func (a *everythingOn) start(args ...string) {
	a.Helper()
	if at := slices.Index(args, "--state"); at >= 0 {
		a.state = args[at+1]
	}
	a.process = a.spawn(a.commandIn(a.network, "sonde", append([]string{"all"}, args...)...))
	a.waitReadyIn(a.network, a.process, adminPorts("sonde-all")...)
	a.eventually("the agent has said what became of its row", func() bool { return a.status("agent", "local").state != "" })
}

// restart ends it in order and starts it again with other arguments.
func (a *everythingOn) restart(args ...string) {
	a.Helper()
	a.end(a.process)
	a.start(args...)
}

// sql runs a statement with the sqlite3 program, as an operator would.
func (a *everythingOn) sql(statement string) string {
	a.Helper()
	var output, complaints bytes.Buffer
	cmd := a.command("sqlite3", "-cmd", ".timeout 5000", filepath.Join(a.state, "config.db"), statement)
	cmd.Stdout, cmd.Stderr = &output, &complaints
	if err := cmd.Run(); err != nil {
		a.Fatalf("%s\n%v\n%s", statement, err, complaints.String())
	}
	return strings.TrimSpace(output.String())
}

// statusRow is a row of agent_status.
type statusRow struct {
	state           string
	wanted, running int
	latency         int // milliseconds; -1: none
	field, wrong    string
}

func (a *everythingOn) status(role, name string) (s statusRow) {
	a.Helper()
	line := a.sql("SELECT state, revision_wanted, revision_running, coalesce(latency_ms, -1), coalesce(field, ''), coalesce(error, '') " +
		"FROM agent_status WHERE role = '" + role + "' AND name = '" + name + "'")
	parts := append(strings.SplitN(line, "|", 6), "", "", "", "", "", "")
	s.state, s.field, s.wrong = parts[0], parts[4], parts[5]
	s.wanted, _ = strconv.Atoi(parts[1])
	s.running, _ = strconv.Atoi(parts[2])
	s.latency, _ = strconv.Atoi(parts[3])
	return s
}

// change runs an UPDATE and waits until the daemon has applied it, which has to take less than a second.
func (a *everythingOn) change(role, name, statement string) statusRow {
	a.Helper()
	before := a.status(role, name)
	began := time.Now()
	a.sql(statement)
	var now statusRow
	a.eventually(statement+" is in force", func() bool {
		now = a.status(role, name)
		return now.running > before.running || now.state == "FAILED"
	})
	took := time.Since(began)
	if now.state != "APPLIED" || now.running != now.wanted {
		a.Fatalf("%s: %+v", statement, now)
	}
	if took > time.Second && time.Duration(now.latency)*time.Millisecond > time.Second {
		a.Errorf("%s: in force after %s, by its status %d ms", statement, took, now.latency)
	}
	return now
}

// results lists all results that a filter takes.
func (m *machine) results(filter string, flags ...string) (all []*queryv1.Result) {
	m.Helper()
	var output, complaints bytes.Buffer
	cmd := m.command("sonde", append([]string{"results", "--json", "--limit", "0", "--filter", filter}, flags...)...)
	cmd.Stdout, cmd.Stderr = &output, &complaints
	if err := cmd.Run(); err != nil {
		m.Fatalf("results: %v\n%s", err, complaints.String())
	}
	for line := range bytes.Lines(output.Bytes()) {
		r := &queryv1.Result{}
		if err := protojson.Unmarshal(line, r); err != nil {
			m.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// packetsOf sums what results count.
func packetsOf(results []*queryv1.Result) (sum uint64) {
	for _, r := range results {
		sum += record.Packets(r)
	}
	return sum
}

// total reads one number of the ledger's sum.
func (m *machine) total(path string, flags ...string) string {
	m.Helper()
	return strings.TrimSpace(m.must("sonde account --json " + strings.Join(flags, " ") + " | jq -r '.total" + path + "'"))
}

// balanced wants the ledger to close and nothing to be lost.
func (m *machine) balanced(flags ...string) {
	m.Helper()
	m.eventually("nothing is on its way", func() bool { return m.total(".pending_sessions", flags...) == "0" })
	for path, want := range map[string]string{
		".residual": "0", ".counters.kernel_dropped": "0", ".spool.dropped": "0", ".spool.released": "0", ".lost_crash": "0", ".rejected": "0",
	} {
		if got := m.total(path, flags...); got != want {
			m.Errorf("ledger: %s is %s, want %s\n%s", path, got, want, m.must("sonde account "+strings.Join(flags, " ")))
		}
	}
}

// TestLiveTrafficIsLabelled has real programs talk over a captured device.
func TestLiveTrafficIsLabelled(t *testing.T) {
	m, neighbour := newMachineWithNeighbour(t, patience)
	serve(m, neighbour)
	a := runAll(m, "--capture", "afpacket:eth0")
	m.must("curl -sS --fail http://" + neighbourAddress + "/hello && curl -sS --fail --insecure https://" + neighbourAddress + "/hello")
	m.must("ssh -i ssh/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes root@" + neighbourAddress + " true")
	if answer := m.must("dig +short +tries=1 @" + neighbourAddress + " www.sonde.test"); strings.TrimSpace(answer) != "192.0.2.80" {
		t.Errorf("dig: %q", answer)
	}
	// A TCP session ends 2 s after its last FIN, for packets may come late; a UDP session goes on, so its deadline counts.
	const lingers, deadline, slack = 2 * time.Second, 10 * time.Second, 2 * time.Second
	for _, want := range []struct {
		label string
		port  uint32
		limit time.Duration
	}{
		{"http", 80, lingers + slack}, {"tls", 443, lingers + slack}, {"ssh", 22, lingers + slack}, {"dns", 53, deadline + slack},
	} {
		var found []*queryv1.Result
		m.eventually(want.label+" has a result", func() bool {
			found = m.results(fmt.Sprintf("server.port = %d", want.port))
			return len(found) > 0 && found[0].GetClassification() != nil
		})
		if len(found) != 1 {
			t.Errorf("%s: %d results", want.label, len(found))
		}
		r := found[0]
		if r.GetClassification().GetLabel() != want.label || r.GetClassification().GetUnknown() {
			t.Errorf("port %d is called %s", want.port, r.GetClassification())
		}
		if late := r.GetStoreTime().AsTime().Sub(r.GetEndTime().AsTime()); late > want.limit {
			t.Errorf("%s: stored %s after its last packet", want.label, late)
		}
		if r.GetCapturePoint() != "afpacket:eth0" && r.GetCapturePoint() != "eth0" {
			t.Errorf("%s: captured at %s", want.label, r.GetCapturePoint())
		}
	}
	if residual := m.total(".residual"); residual != "0" {
		t.Errorf("residual is %s", residual)
	}
	// Started again it goes on where it stopped: the row says what to capture, and the ledger is closed.
	a.restart()
	m.balanced()
	if state := a.status("agent", "local"); state.state != "APPLIED" {
		t.Errorf("the agent runs %+v", state)
	}
	if sessions := m.results("server.port = 22"); len(sessions) != 1 || !sessions[0].GetEnded() {
		t.Errorf("ssh after the restart: %v", sessions)
	}
}

// serve has HTTP, HTTPS, SSH and DNS served at the neighbour's address.
func serve(m *machine, network *netns.Namespace) {
	m.Helper()
	listen := func(port string) net.Listener {
		return listenIn(m.T, network, net.JoinHostPort(neighbourAddress, port))
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat("hello\n", 2000)))
	})
	plain := &httptest.Server{Listener: listen("80"), Config: &http.Server{Handler: hello, ReadHeaderTimeout: time.Minute}}
	plain.Start()
	m.Cleanup(plain.Close)
	secure := &httptest.Server{
		Listener: listen("443"), Config: &http.Server{Handler: hello, ReadHeaderTimeout: time.Minute}, TLS: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	secure.StartTLS()
	m.Cleanup(secure.Close)

	m.must(`mkdir ssh && ssh-keygen -q -t ed25519 -N '' -f ssh/host && ssh-keygen -q -t ed25519 -N '' -f ssh/user && cp ssh/user.pub ssh/authorized
		printf '%s\n' "HostKey $PWD/ssh/host" "AuthorizedKeysFile $PWD/ssh/authorized" 'StrictModes no' 'UsePAM no' 'PidFile none' \
		'PermitRootLogin yes' 'ListenAddress ` + neighbourAddress + `' > ssh/config`)
	m.spawn(m.commandIn(network, "/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(m.dir, "ssh/config")))
	m.spawn(m.commandIn(network, "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--group=root",
		"--address=/www.sonde.test/192.0.2.80", "--listen-address="+neighbourAddress, "--bind-interfaces"))
	m.eventually("the servers listen", func() bool {
		listening, err := m.commandIn(network, "ss", "-Hlntu").Output()
		return err == nil && bytes.Contains(listening, []byte(neighbourAddress+":22 ")) && bytes.Contains(listening, []byte(neighbourAddress+":53 "))
	})
}

// TestSecondInstanceIsRefused and a taken port are told in words.
func TestSecondInstanceIsRefused(t *testing.T) {
	m := newMachine(t)
	a := runAll(m, "--capture", "eth0")
	if said, err := m.bash("sonde all"); err == nil || !strings.Contains(said, "runs on "+a.state+" already") {
		t.Errorf("a second one on the same state: %v, %s", err, said)
	}
	for _, flag := range []string{"etcd-listen", "inference-listen", "collector-listen"} {
		args := []string{}
		for other, port := range map[string]int{"etcd-listen": 12379, "inference-listen": 18001, "collector-listen": 17443} {
			if other != flag {
				args = append(args, fmt.Sprintf("--%s=127.0.0.1:%d", other, port))
			}
		}
		said, err := m.bash("sonde all --state other --capture eth0 --agent-admin= --collector-admin= --inference-admin= --confsync-admin= " + strings.Join(args, " "))
		if err == nil || !strings.Contains(said, "--"+flag+": ") || !strings.Contains(said, "address already in use") {
			t.Errorf("--%s is taken: %v, %s", flag, err, said)
		}
	}
	m.end(a.process)
}

// TestOperationsSaysWhatHappensLive types what docs/operations.md says of a running sonde all.
func TestOperationsSaysWhatHappensLive(t *testing.T) {
	m := newMachine(t)
	layOutTraining(m)
	a := runAll(m, "--capture", "eth0", "--state", filepath.Join(m.dir, ".local/state/sonde"), "--inference-models", filepath.Join(m.dir, "models"))
	m.env = append(m.env, "SONDE_STATE="+filepath.Join(m.dir, ".local/state/sonde"))
	traffic := newTraffic(m)
	traffic.start()
	m.eventually("there are results", func() bool { return m.must("sonde results --limit 1 --json") != "" })
	ran := 0
	for _, e := range examplesOf(t, "../../docs/operations.md") {
		if !strings.HasPrefix(e.kind, "live") {
			continue
		}
		ran++
		if strings.Contains(e.command, "shadow_rows_total") {
			m.eventually("the shadow has classified", func() bool {
				return m.must(`curl -sS http://127.0.0.1:9465/metrics | grep -cE '^sonde_inference_shadow_rows_total.outcome="(agree|differ)". [1-9]' || true`) != "0\n"
			})
		}
		before := a.status("agent", "local")
		said, err := m.bash(e.command)
		if strings.Contains(e.command, "UPDATE agent_config") { // which does not wait as sonde config does
			m.eventually("the row is in force", func() bool { return a.status("agent", "local").running > before.running })
		}
		if (err != nil) != (e.kind == "live-fails") {
			t.Errorf("line %d ended with %v\n%s\n%s", e.line, err, e.command, said)
		}
		for _, want := range e.want {
			if !shows(said, want) {
				t.Errorf("line %d does not say %q\n%s\n%s", e.line, want, e.command, said)
			}
		}
		if strings.Contains(e.command, "planned_info") {
			m.eventually("the new version answers", func() bool {
				return m.must("sonde results --limit 1 --json | jq -r .classification.model_version") == "2\n"
			})
			traffic.stop()
		}
	}
	if ran < 11 {
		t.Errorf("ran %d commands, which is not the page", ran)
	}
	if label := m.must("sonde labels --json | jq -r .label"); label != "our-intranet\n" {
		t.Errorf("labels are %q, want the one of the page", label)
	}
	m.end(a.process)
}

// layOutTraining puts into the machine's folder what the page finds there: a corpus, the models that ship, and a make that
// does all of make train but the training, which a small model stands in for.
func layOutTraining(m *machine) {
	m.Helper()
	sample, err := os.ReadFile("sample/sample.pcapng")
	if err != nil {
		m.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		m.Fatal(err)
	}
	labels := "file,proto,src_ip,src_port,dst_ip,dst_port,label,group\nsample.pcapng,tcp,10.77.0.1,48500,10.77.0.2,5432,sql-database,sample\n"
	train := `#!/bin/bash -eu
for word in "$@"; do case $word in *=*) export "$word" ;; esac; done
[[ $1 == train && $(jq -r .label "$CORRECTIONS") == our-intranet ]]
sonde dataset --corpus "$CORPUS" --corrections "$CORRECTIONS" --out dataset
cut -d, -f 13 dataset/rows.csv | grep -q our-intranet
out=$(` + filepath.Join(root, "internal/tools/scripts/next-version.sh") + ` "$MODELS/sonde" ` + filepath.Join(root, "inference/models/sonde") + `)
mkdir "$out"
cp trained.onnx "$out/model.onnx"
`
	if err := errors.Join(
		os.MkdirAll(filepath.Join(m.dir, "corpus", "captures"), 0o755),
		os.MkdirAll(filepath.Join(m.dir, "models"), 0o755),
		os.WriteFile(filepath.Join(m.dir, "corpus", "captures", "sample.pcapng"), sample, 0o600),
		os.WriteFile(filepath.Join(m.dir, "corpus", "labels.csv"), []byte(labels), 0o600),
		os.WriteFile(filepath.Join(m.dir, "trained.onnx"), modeltest.Trained(m.T, "sonde", feature.SchemaSHA256())["sonde/2/model.onnx"].Data, 0o600),
		os.WriteFile(filepath.Join(m.stubs, "make"), []byte(train), 0o755), //nolint:gosec // it has to be executable
	); err != nil {
		m.Fatal(err)
	}
}
