package cli_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/testing/protocmp"

	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/internal/mtls"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/packettest"
	"sonde.example/internal/rpc"
)

// patience bounds every wait of the fault tests; a run takes seconds, but CI machines are slow and noisy.
const patience = 3 * time.Minute

// replaySessions is how many sessions the replayed capture holds: enough for a run that can be disturbed five times.
const replaySessions = 6000

// site is one collector, one inference service and one agent, as processes of the real binary.
type site struct {
	*testing.T
	ctx       context.Context
	binary    string
	dir       string
	certs     mtls.Development
	inference string
	collector string
	conn      *grpc.ClientConn
}

func newSite(t *testing.T, binary string) *site {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	s := &site{T: t, ctx: ctx, binary: binary, dir: t.TempDir(), inference: freeAddress(t), collector: freeAddress(t)}
	var err error
	if s.certs, err = mtls.EnsureDevelopment(filepath.Join(s.dir, "certs"), mtls.DevelopmentOptions{}); err != nil {
		t.Fatal(err)
	}
	s.conn = s.dial(s.certs.Operator, s.collector)
	return s
}

func (s *site) dial(files mtls.Files, address string) *grpc.ClientConn {
	s.Helper()
	source, err := mtls.Open(files, slog.New(slog.DiscardHandler))
	if err != nil {
		s.Fatal(err)
	}
	conn, err := rpc.Dial(address, rpc.DialOptions{Certificates: source, MaxMessageBytes: 64 << 20})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := conn.Close(); err != nil {
			s.Error(err)
		}
	})
	return conn
}

// freeAddress returns a loopback address that nobody listens on at the moment.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	return l.Addr().String()
}

// process is one daemon.
type process struct {
	*exec.Cmd
	site *site
	log  *logBuffer
	done chan struct{} // closed when the process has ended; err may be read then
	err  error
}

// logBuffer keeps what a process writes to standard error.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (s *site) start(daemon string, files mtls.Files, args ...string) *process {
	s.Helper()
	return s.startReading(nil, daemon, files, args...)
}

func (s *site) startReading(in io.Reader, daemon string, files mtls.Files, args ...string) *process {
	s.Helper()
	args = append([]string{daemon, "--admin=", "--tls-ca", files.CA, "--tls-certificate", files.Certificate, "--tls-key", files.Key}, args...)
	cmd := exec.Command(s.binary, args...)
	cmd.Stdin = in
	return s.startCommand(cmd)
}

func (s *site) startCommand(cmd *exec.Cmd) *process {
	s.Helper()
	p := &process{Cmd: cmd, site: s, log: &logBuffer{}, done: make(chan struct{})}
	p.Stderr = p.log
	if err := p.Start(); err != nil {
		s.Fatal(err)
	}
	go func() {
		p.err = p.Wait()
		close(p.done)
	}()
	s.Cleanup(func() {
		p.kill()
		if s.Failed() {
			s.Logf("%s:\n%s", strings.Join(p.Args, " "), tailOf(p.log.String()))
		}
	})
	return p
}

func tailOf(log string) string {
	lines := strings.Split(log, "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

// kill ends the process as a crash would, and waits until it is gone. Killing twice is killing once.
func (p *process) kill() {
	_ = p.Process.Kill() // an error means that it is gone already
	<-p.done
}

func (p *process) wait() error {
	select {
	case <-p.done:
		return p.err
	case <-p.site.ctx.Done():
		p.site.Fatalf("%s did not end in time", p.Args[1])
		return nil
	}
}

func (s *site) startInference() *process {
	p := s.start("inference", s.certs.Service, "--listen", s.inference)
	s.ready(s.dial(s.certs.Service, s.inference), p)
	return p
}

func (s *site) startCollector() *process {
	p := s.start("collector", s.certs.Service, "--listen", s.collector, "--inference", s.inference,
		"--results", "sqlite:"+filepath.Join(s.dir, "results.db"))
	s.ready(s.conn, p)
	return p
}

func (s *site) startAgent(capture string, args ...string) *process {
	return s.start("agent", s.certs.Agent, append([]string{"--collector", s.collector, "--capture", "file:" + capture}, args...)...)
}

// ready waits until the daemon at the other end serves.
func (s *site) ready(conn *grpc.ClientConn, p *process) {
	s.Helper()
	s.eventually(p.Args[1]+" serves", func() bool {
		select {
		case <-p.done:
			s.Fatalf("%s ended: %v\n%s", p.Args[1], p.err, p.log)
		default:
		}
		// Short calls, so that a process that ended instead is noticed.
		ctx, cancel := context.WithTimeout(s.ctx, time.Second)
		defer cancel()
		response, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
		return err == nil && response.GetStatus() == healthv1.HealthCheckResponse_SERVING
	})
}

// eventually asks until the answer is yes.
func (s *site) eventually(what string, yes func() bool) {
	s.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !yes() {
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			ledger, err := fleetv1.NewFleetServiceClient(s.conn).GetLedger(context.WithoutCancel(s.ctx), &fleetv1.GetLedgerRequest{})
			s.Fatalf("waited in vain: %s\nledger: %v, %v", what, ledger, err)
		}
	}
}

// ledger returns the ledger; the second value is false while the collector is away.
func (s *site) ledger() (*fleetv1.GetLedgerResponse, bool) {
	ledger, err := fleetv1.NewFleetServiceClient(s.conn).GetLedger(s.ctx, &fleetv1.GetLedgerRequest{}, grpc.WaitForReady(true))
	return ledger, err == nil
}

// reached waits until so many sessions have a result.
func (s *site) reached(sessions uint64) {
	s.Helper()
	s.eventually(fmt.Sprintf("%d results", sessions), func() bool {
		ledger, ok := s.ledger()
		return ok && ledger.GetTotal().GetStoredSessions() >= sessions
	})
}

// results returns everything stored, by session id, without what may differ between runs.
func (s *site) results() []*queryv1.Result {
	s.Helper()
	var all []*queryv1.Result
	request := &queryv1.ListResultsRequest{PageSize: 1000}
	for {
		page, err := queryv1.NewQueryServiceClient(s.conn).ListResults(s.ctx, request)
		if err != nil {
			s.Fatal(err)
		}
		for _, r := range page.GetResults() {
			r.StoreTime = nil
			all = append(all, r)
		}
		if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
			slices.SortFunc(all, func(a, b *queryv1.Result) int { return strings.Compare(a.GetSessionId(), b.GetSessionId()) })
			return all
		}
	}
}

// atRest checks that the law holds and everything has arrived.
func (s *site) atRest() *fleetv1.LedgerEntry {
	s.Helper()
	ledger, ok := s.ledger()
	if !ok {
		s.Fatal("no ledger")
	}
	if total := ledger.GetTotal(); total.GetResidual() != 0 || total.GetPendingSessions() != 0 {
		s.Errorf("residual = %d, pending sessions = %d; want 0, 0\n%v", total.GetResidual(), total.GetPendingSessions(), ledger)
	}
	return ledger.GetTotal()
}

// buildSonde makes the binary that users run.
func buildSonde(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "sonde")
	build := exec.Command("go", "build", "-o", binary, "sonde.example")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// writeReplay writes a capture of short HTTP sessions, forty at a time, beside one that lasts from first to last packet.
func writeReplay(t *testing.T, path string) (packets int) {
	t.Helper()
	file := []byte{0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0} // ns, Ethernet
	at := time.Now().UnixNano()                                                                        // retention goes by the sessions' time
	add := func(source, destination string, segment []byte) {
		frame := packettest.Ethernet(0x0800, packettest.IPv4(source, destination, 6, segment))
		file = binary.LittleEndian.AppendUint32(file, uint32(at/1e9))
		file = binary.LittleEndian.AppendUint32(file, uint32(at%1e9))
		file = binary.LittleEndian.AppendUint32(file, uint32(len(frame)))
		file = binary.LittleEndian.AppendUint32(file, uint32(len(frame)))
		file = append(file, frame...)
		at += 50_000
		packets++
	}
	const parallel = 40
	elephant := uint32(1)
	for first := 0; first < replaySessions; first += parallel {
		for step := range 8 {
			for n := first; n < first+parallel; n++ {
				client, port := fmt.Sprintf("10.1.%d.%d", n/250%250, n%250+1), uint16(20000+n/62500)
				get := fmt.Appendf(nil, "GET /%d HTTP/1.1\r\nHost: www.example.test\r\nUser-Agent: replay\r\nAccept: */*\r\n\r\n", n)
				body := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: replay\r\nContent-Type: text/html\r\nContent-Length: 7\r\n\r\n%07d", n)
				const server = "10.2.0.1"
				cs, ss := uint32(1000+n), uint32(9000+n)
				switch step {
				case 0:
					add(client, server, packettest.TCP(port, 80, packet.SYN, cs, 0, nil))
				case 1:
					add(server, client, packettest.TCP(80, port, packet.SYN|packet.ACK, ss, cs+1, nil))
				case 2:
					add(client, server, packettest.TCP(port, 80, packet.ACK, cs+1, ss+1, nil))
				case 3:
					add(client, server, packettest.TCP(port, 80, packet.ACK|packet.PSH, cs+1, ss+1, get))
				case 4:
					add(server, client, packettest.TCP(80, port, packet.ACK|packet.PSH, ss+1, cs+1+uint32(len(get)), body))
				case 5:
					add(client, server, packettest.TCP(port, 80, packet.ACK|packet.FIN, cs+1+uint32(len(get)), ss+1+uint32(len(body)), nil))
				case 6:
					add(server, client, packettest.TCP(80, port, packet.ACK|packet.FIN, ss+1+uint32(len(body)), cs+2+uint32(len(get)), nil))
				case 7:
					add(client, server, packettest.TCP(port, 80, packet.ACK, cs+2+uint32(len(get)), ss+2+uint32(len(body)), nil))
				}
			}
			block := bytes.Repeat([]byte{byte(step)}, 1000)
			for range 4 {
				add("10.2.0.9", "10.3.0.9", packettest.TCP(5555, 9999, packet.ACK, elephant, 1, block))
				elephant += 1000
			}
		}
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return packets
}

func TestKilledDaemonsLoseAndDoubleNothing(t *testing.T) {
	binary, capture := buildSonde(t), filepath.Join(t.TempDir(), "replay.pcap")
	packets := writeReplay(t, capture)
	const epoch = "--epoch=77"

	undisturbed := newSite(t, binary)
	undisturbed.startInference()
	undisturbed.startCollector()
	if err := undisturbed.startAgent(capture, epoch).wait(); err != nil {
		t.Fatalf("agent: %v", err)
	}
	want := undisturbed.results()
	if len(want) != replaySessions+1 {
		t.Fatalf("%d results, want %d", len(want), replaySessions+1)
	}
	if total := undisturbed.atRest(); total.GetCounters().GetSeen() != uint64(packets) {
		t.Fatalf("seen = %d, want %d", total.GetCounters().GetSeen(), packets)
	}

	for _, victim := range []string{"collector", "inference"} {
		t.Run(victim, func(t *testing.T) {
			s := newSite(t, binary)
			inference, collector := s.startInference(), s.startCollector()
			agent := s.startAgent(capture, epoch)
			for moment := range 5 {
				s.reached(uint64((moment + 1) * replaySessions / 7))
				if victim == "collector" {
					collector.kill()
					collector = s.startCollector()
				} else {
					inference.kill()
					inference = s.startInference()
				}
			}
			if err := agent.wait(); err != nil {
				t.Fatalf("agent: %v", err)
			}
			s.atRest()
			if diff := cmp.Diff(want, s.results(), protocmp.Transform()); diff != "" {
				t.Errorf("results differ from the undisturbed run (-undisturbed +killed):\n%.4000s", diff)
			}
		})
	}
}

func TestKilledAgentIsAccountedFor(t *testing.T) {
	binary, capture := buildSonde(t), filepath.Join(t.TempDir(), "replay.pcap")
	packets := writeReplay(t, capture)
	s := newSite(t, binary)
	s.startInference()
	collector := s.startCollector()
	file, err := os.ReadFile(capture)
	if err != nil {
		t.Fatal(err)
	}
	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(s.dir, "agent")
	first := s.startReading(in, "agent", s.certs.Agent, "--collector", s.collector, "--capture", "file:-", "--state", state)
	write := func(part []byte) {
		if _, err := feed.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	// Half of the capture arrives; of the other half nothing can, since there is no collector when the agent reads it.
	write(file[:len(file)/2])
	s.reached(replaySessions / 4)
	collector.kill()
	write(file[len(file)/2:])
	if err := errors.Join(feed.Close(), in.Close()); err != nil {
		t.Fatal(err)
	}
	s.eventually("the agent has read everything", func() bool { return strings.Contains(first.log.String(), "capture has ended") })
	first.kill()
	s.startCollector()
	if err := s.startAgent(capture, "--state", state).wait(); err != nil {
		t.Fatalf("agent: %v", err)
	}
	s.eventually("the killed agent's lane is closed", func() bool {
		ledger, ok := s.ledger()
		return ok && len(ledger.GetEntries()) == 2 && ledger.GetTotal().GetResidual() == 0 && ledger.GetTotal().GetPendingSessions() == 0
	})
	ledger, _ := s.ledger()
	lost := uint64(0)
	for _, e := range ledger.GetEntries() {
		lost += e.GetLostCrash()
		if e.GetLostCrash() == 0 && e.GetCounters().GetSeen() != uint64(packets) {
			t.Errorf("the second run has seen %d packets, want %d", e.GetCounters().GetSeen(), packets)
		}
	}
	if lost == 0 {
		t.Errorf("lost_crash = 0; what the killed agent had not delivered must appear\n%v", ledger)
	}
	seen := map[string]bool{}
	for _, r := range s.results() {
		key := fmt.Sprint(r.GetEpoch(), r.GetLane(), r.GetNumber())
		if seen[key] {
			t.Errorf("session number %s twice", key)
		}
		seen[key] = true
		if !r.GetEnded() {
			t.Errorf("session %s of %s has not ended", r.GetSessionId(), key)
		}
	}
}
