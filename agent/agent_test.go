package agent_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/testing/protocmp"

	"sonde.example/agent"
	"sonde.example/agent/uplink"
	"sonde.example/agent/uplink/uplinktest"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/mtls"
	"sonde.example/internal/packet/filter"
	"sonde.example/internal/packet/packettest"
	"sonde.example/internal/telemetry"
	"sonde.example/internal/testenv"
)

// pcapFile writes a capture; packet i has the time i milliseconds.
func pcapFile(t testing.TB, frames ...[]byte) string {
	t.Helper()
	var b bytes.Buffer
	word := func(v uint32) { b.Write(binary.LittleEndian.AppendUint32(nil, v)) }
	for _, v := range []uint32{0xa1b23c4d, 2 | 4<<16, 0, 0, 262144, 1} {
		word(v)
	}
	for i, frame := range frames {
		word(1_700_000_000 + uint32(i/1000))
		word(uint32(i%1000) * 1e6)
		word(uint32(len(frame)))
		word(uint32(len(frame)))
		b.Write(frame)
	}
	path := filepath.Join(t.TempDir(), "test.pcap")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// conversation is a TCP session of client port p with the given number of data segments of 1,000 bytes.
func conversation(port uint16, segments int) [][]byte {
	const client, server = "10.0.0.1", "10.0.0.2"
	out := func(flags uint8, seq, ack uint32, payload []byte) []byte {
		return packettest.Ethernet(0x0800, packettest.IPv4(client, server, 6, packettest.TCP(port, 443, flags, seq, ack, payload)))
	}
	in := func(flags uint8, seq, ack uint32, payload []byte) []byte {
		return packettest.Ethernet(0x0800, packettest.IPv4(server, client, 6, packettest.TCP(443, port, flags, seq, ack, payload)))
	}
	frames := [][]byte{out(0x02, 100, 0, nil), in(0x12, 500, 101, nil), out(0x10, 101, 501, nil)}
	data := bytes.Repeat([]byte{byte(port)}, 1000)
	for i := range segments {
		frames = append(frames, in(0x10, 501+uint32(i)*1000, 101, data))
	}
	end := 501 + uint32(segments)*1000
	return append(frames, in(0x11, end, 101, nil), out(0x11, 101, end+1, nil), in(0x10, end+1, 102, nil))
}

func sessions(n, segments int) [][]byte {
	var frames [][]byte
	for i := range n {
		frames = append(frames, conversation(uint16(1000+i), segments)...)
	}
	return frames
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type dialer = func(context.Context, string) (net.Conn, error)

// configOf is what all tests share.
func configOf(t testing.TB, certificates mtls.Development, captures ...string) agent.Config {
	t.Helper()
	c := agent.DefaultConfig()
	for _, path := range captures {
		c.Captures = append(c.Captures, "file:"+path)
	}
	c.Collectors = []string{"collector.test:7443"}
	c.ServerName = "localhost"
	c.Admin = ""
	c.Epoch = 7
	c.Certificates = certificates.Agent
	return c
}

func open(t testing.TB, c agent.Config, dial dialer) *agent.Agent {
	t.Helper()
	a, err := agent.Open(t.Context(), c, testenv.Log(t), telemetry.NewRegistry(), agent.Options{Dialer: dial})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// settled checks a lane against the law and returns its sessions' newest updates.
func settled(t testing.TB, ledger agent.Ledger, lanes ...uplinktest.Lane) map[uint64]*ingestv1.SessionUpdate {
	t.Helper()
	updates := map[uint64]*ingestv1.SessionUpdate{}
	for i, lane := range lanes {
		if len(lane.Wrong) > 0 {
			t.Errorf("lane %d: agent broke the contract: %q", i, lane.Wrong)
		}
		var packets uint64
		var last *ingestv1.Counters
		for _, b := range lane.Batches {
			packets += uint64(len(b.GetCaptured()))
			last = b.GetCounters()
			if packets != last.GetAccepted() {
				t.Errorf("lane %d, batch %d: %d packets so far, but accepted is %d", i, b.GetSequence(), packets, last.GetAccepted())
			}
			for _, u := range b.GetSessions() {
				updates[u.GetNumber()] = u
			}
		}
		if l := ledger.Lanes[i]; l.Residual() != 0 || l.Pending != 0 || l.Counters.GetAccepted() != packets {
			t.Errorf("lane %d: %d packets came, ledger %+v, residual %d", i, packets, l, l.Residual())
		}
		var counted uint64
		for _, u := range updates {
			counted += u.GetCounts().GetForwardPackets() + u.GetCounts().GetReversePackets()
		}
		if len(lanes) == 1 && counted != last.GetAccepted()+last.GetCut() {
			t.Errorf("sessions count %d packets, want accepted %d + cut %d", counted, last.GetAccepted(), last.GetCut())
		}
	}
	return updates
}

func now(uplinktest.Lane) bool { return true }

func TestAgentStreamsAFileToItsEnd(t *testing.T) {
	certificates := testenv.Certificates(t)
	collector := uplinktest.New()
	dial, _ := collector.Serve(t, testenv.Source(t, certificates.Service))
	a := open(t, configOf(t, certificates, pcapFile(t, sessions(50, 40)...)), dial)
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	lane := collector.Lane(t, 7, 0, now)
	updates := settled(t, a.Ledger(), lane)
	if len(updates) != 50 {
		t.Fatalf("%d sessions, want 50", len(updates))
	}
	for number, u := range updates {
		c := u.GetCounts()
		if c.GetForwardPackets() != 3 || c.GetReversePackets() != 43 || c.GetEndReason() != flowv1.EndReason_END_REASON_FIN {
			t.Errorf("session %d: %v", number, c)
		}
	}
	if p := a.Progress(); p.Packets != 50*46 || p.Bytes == 0 || p.Bytes > p.FileBytes {
		t.Errorf("progress %+v", p)
	}
}

// story tells everything of a lane's sessions that must not depend on how batches were made.
func story(lane uplinktest.Lane) map[uint64]string {
	type session struct {
		counts *flowv1.Counts
		head   []string
		opened int
	}
	sessions := map[uint64]*session{}
	for _, b := range lane.Batches {
		for _, u := range b.GetSessions() {
			s := sessions[u.GetNumber()]
			if s == nil {
				s = &session{}
				sessions[u.GetNumber()] = s
			}
			if u.GetOpened() {
				s.opened++
			}
			if int(u.GetPacketsBefore()) != len(s.head) {
				s.head = append(s.head, fmt.Sprintf("HOLE: %d packets before, not %d", u.GetPacketsBefore(), len(s.head)))
			}
			s.counts = u.GetCounts()
		}
		at, offset := b.GetBaseTimeNs(), 0
		for i, index := range b.GetSessionIndex() {
			at += b.GetTimeDeltasNs()[i]
			end := offset + int(b.GetCaptured()[i])
			s := sessions[b.GetSessions()[index].GetNumber()]
			s.head = append(s.head, fmt.Sprintf("%d %x %d %d", at, b.GetData()[offset:end], b.GetMissing()[i], b.GetFlags()[i]))
			offset = end
		}
	}
	told := map[uint64]string{}
	for number, s := range sessions {
		told[number] = fmt.Sprintf("opened %d times, %v, %q", s.opened, s.counts, s.head)
	}
	return told
}

func TestSessionsDoNotDependOnBatches(t *testing.T) {
	certificates := testenv.Certificates(t)
	path := pcapFile(t, interleaved(40, 60)...)
	var want map[uint64]string
	for _, bytes := range []int{0, 1, 700, 20_000} {
		collector := uplinktest.New()
		dial, _ := collector.Serve(t, testenv.Source(t, certificates.Service))
		a, err := agent.Open(t.Context(), configOf(t, certificates, path), testenv.Log(t), telemetry.NewRegistry(), agent.Options{Dialer: dial, BatchBytes: bytes})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		lane := collector.Lane(t, 7, 0, now)
		settled(t, a.Ledger(), lane)
		got := story(lane)
		if want == nil {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("with %d bytes a batch: want -, got +\n%s", bytes, diff)
		}
	}
}

// interleaved mixes sessions packet by packet, so that heads spread over batches.
func interleaved(n, segments int) (frames [][]byte) {
	var all [][][]byte
	for i := range n {
		all = append(all, conversation(uint16(1000+i), segments+i))
	}
	for at := 0; len(all) > 0; at++ {
		left := all[:0]
		for _, c := range all {
			frames = append(frames, c[0])
			if c = c[1:]; len(c) > 0 {
				left = append(left, c)
			}
		}
		all = left
	}
	return frames
}

func TestAgentKeepsCapturePointsAndLanesApart(t *testing.T) {
	certificates := testenv.Certificates(t)
	collector := uplinktest.New()
	dial, _ := collector.Serve(t, testenv.Source(t, certificates.Service))
	frames := sessions(30, 5)
	c := configOf(t, certificates, pcapFile(t, frames...), pcapFile(t, frames...))
	c.Lanes, c.PlainNames = 3, true
	a := open(t, c, dial)
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var lanes []uplinktest.Lane
	points := map[string]int{}
	for i := range uint32(3) {
		lane := collector.Lane(t, 7, i, now)
		lanes = append(lanes, lane)
		for _, b := range lane.Batches {
			for _, u := range b.GetSessions() {
				if u.GetOpened() {
					points[b.GetInterfaces()[u.GetInterfaceIndex()].GetCapturePoint()]++
				}
			}
		}
	}
	settled(t, a.Ledger(), lanes...)
	want := map[string]int{}
	for _, text := range c.Captures {
		want[strings.TrimPrefix(text, "file:")] = 30
	}
	if diff := cmp.Diff(want, points); diff != "" {
		t.Error(diff)
	}
}

func TestAgentCountsWhatTheFilterTurnsAway(t *testing.T) {
	certificates := testenv.Certificates(t)
	collector := uplinktest.New()
	dial, _ := collector.Serve(t, testenv.Source(t, certificates.Service))
	c := configOf(t, certificates, pcapFile(t, sessions(4, 5)...))
	c.Filter = "tcp port 1001"
	if !filter.CanCompile { // a build without libpcap says so
		_, err := agent.Open(t.Context(), c, testenv.Log(t), telemetry.NewRegistry(), agent.Options{})
		if !errors.Is(err, filter.ErrNoCompiler) {
			t.Errorf("got %v", err)
		}
		return
	}
	a := open(t, c, dial)
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := a.Ledger().Lanes[0].Counters; got.GetFiltered() != 33 || got.GetSeen() != 44 {
		t.Errorf("counters %v", got)
	}
	settled(t, a.Ledger(), collector.Lane(t, 7, 0, now))
}

func TestAgentWaitsForASpoolThatIsSmallerThanTheFile(t *testing.T) {
	certificates := testenv.Certificates(t)
	collector := uplinktest.New()
	dial, _ := collector.Serve(t, testenv.Source(t, certificates.Service))
	c := configOf(t, certificates, pcapFile(t, sessions(600, 40)...))
	c.HeadPackets, c.Spool = 0, "mem:?bytes=8MiB" // 25 MB go through it
	a := open(t, c, dial)
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	settled(t, a.Ledger(), collector.Lane(t, 7, 0, now))
	if l := a.Ledger().Lanes[0]; l.Spool.GetDropped()+l.Spool.GetReleased() != 0 || l.Counters.GetCut() != 0 {
		t.Errorf("ledger %+v", l)
	}
}

func TestAgentReportsWhatItLost(t *testing.T) {
	certificates := testenv.Certificates(t)
	state := t.TempDir()
	path := pcapFile(t, sessions(10, 5)...)
	away := func(context.Context, string) (net.Conn, error) { return nil, errors.New("collector is away") }

	c := configOf(t, certificates, path)
	c.State, c.DrainTimeout, c.Lanes = state, 50*time.Millisecond, 2
	a := open(t, c, away)
	begin := time.Now()
	if err := a.Run(t.Context()); !errors.Is(err, agent.ErrLost) || !errors.Is(err, uplink.ErrDrain) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	first := a.Ledger()
	if first.Pending() != 110 {
		t.Errorf("%d packets lost, want 110", first.Pending())
	}

	collector := uplinktest.New()
	dial, _ := collector.Serve(t, testenv.Source(t, certificates.Service))
	for i, want := range []int{2, 0} { // told once
		c.Epoch = uint64(8 + i)
		c.DrainTimeout = time.Minute
		a = open(t, c, dial)
		if err := a.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		hello := collector.Lane(t, c.Epoch, 0, now).Hellos[0]
		if len(hello.GetLost()) != want {
			t.Fatalf("epoch %d: %d lanes reported lost, want %d", c.Epoch, len(hello.GetLost()), want)
		}
		for lane, lost := range hello.GetLost() {
			if lost.GetEpoch() != 7 || int(lost.GetLane()) != lane {
				t.Errorf("lost %v", lost)
			}
			if diff := cmp.Diff(first.Lanes[lane].Counters, lost.GetCounters(), protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		}
	}
}

func TestAgentEndsWhenItsEpochWasUsedBefore(t *testing.T) {
	certificates := testenv.Certificates(t)
	collector := uplinktest.New()
	dial, _ := collector.Serve(t, testenv.Source(t, certificates.Service))
	c := configOf(t, certificates, pcapFile(t, sessions(600, 40)...))
	c.HeadPackets, c.Spool = 0, "mem:?bytes=8MiB" // so that the capture waits for room that nobody will make
	if err := open(t, c, dial).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	collector.SetWindow(0)
	if err := open(t, c, dial).Run(t.Context()); !errors.Is(err, uplink.ErrEpoch) || !errors.Is(err, agent.ErrLost) {
		t.Errorf("got %v", err)
	}
}

// pipe is a capture that is still being written.
func pipe(t *testing.T) (path string, write func(frames ...[]byte), end func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0) // O_RDWR: the reader need not be there yet
	if err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() { file.Close() })
	t.Cleanup(end)
	began := false
	return path, func(frames ...[]byte) {
		text, err := os.ReadFile(pcapFile(t, frames...))
		if err != nil {
			t.Fatal(err)
		}
		if began {
			text = text[24:]
		}
		began = true
		if _, err := file.Write(text); err != nil {
			t.Fatal(err)
		}
	}, end
}

func TestAgentStopsInOrder(t *testing.T) {
	certificates := testenv.Certificates(t)
	collector := uplinktest.New()
	dial, _ := collector.Serve(t, testenv.Source(t, certificates.Service))
	path, write, _ := pipe(t)
	frames := conversation(1000, 40)
	write(frames[:10]...)
	a := open(t, configOf(t, certificates, path), dial)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	// What came is sent soon, though the batch is far from full.
	lane := collector.Lane(t, 7, 0, func(l uplinktest.Lane) bool {
		return len(l.Batches) > 0 && l.Batches[len(l.Batches)-1].GetCounters().GetAccepted() == 10
	})
	if u := lane.Batches[0].GetSessions()[0]; u.GetCounts().GetEnded() {
		t.Errorf("ended already: %v", u)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	updates := settled(t, a.Ledger(), collector.Lane(t, 7, 0, now))
	for _, u := range updates {
		if u.GetCounts().GetEndReason() != flowv1.EndReason_END_REASON_AGENT_STOPPED {
			t.Errorf("session %v", u)
		}
	}
}

func TestAgentTakesDirectives(t *testing.T) {
	certificates := testenv.Certificates(t)
	collector := uplinktest.New()
	collector.OnBatch = func(b *ingestv1.Batch) (v uplinktest.Verdict) {
		for _, u := range b.GetSessions() {
			v.Enough = append(v.Enough, u.GetNumber())
		}
		return v
	}
	dial, _ := collector.Serve(t, testenv.Source(t, certificates.Service))
	path, write, end := pipe(t)
	frames := conversation(1000, 10)
	write(frames[:4]...)
	a := open(t, configOf(t, certificates, path), dial)
	done := make(chan error, 1)
	go func() { done <- a.Run(t.Context()) }()
	collector.Lane(t, 7, 0, func(l uplinktest.Lane) bool {
		return len(l.Batches) > 0 && l.Batches[len(l.Batches)-1].GetCounters().GetAccepted() == 4
	})
	for l := a.Ledger().Lanes[0]; l.Received < l.Given; l = a.Ledger().Lanes[0] { // the directive comes before the ack
		runtime.Gosched()
	}
	write(frames[4:]...)
	end()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	settled(t, a.Ledger(), collector.Lane(t, 7, 0, now))
	if c := a.Ledger().Lanes[0].Counters; c.GetAccepted() != 4 || c.GetCut() != uint64(len(frames)-4) {
		t.Errorf("counters %v", c)
	}
}

func TestAgentTellsItsMetrics(t *testing.T) {
	certificates := testenv.Certificates(t)
	collector := uplinktest.New()
	dial, _ := collector.Serve(t, testenv.Source(t, certificates.Service))
	registry := prometheus.NewPedanticRegistry()
	c := configOf(t, certificates, pcapFile(t, sessions(3, 40)...))
	c.Admin = "127.0.0.1:0"
	a, err := agent.Open(t.Context(), c, testenv.Log(t), registry, agent.Options{Dialer: dial})
	if err != nil {
		t.Fatal(err)
	}
	if a.Addr() == nil || a.Epoch() != 7 {
		t.Errorf("address %v, epoch %d", a.Addr(), a.Epoch())
	}
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"seen_packets_total": 138, "accepted_packets_total": 72, "cut_packets_total": 66, "excluded_packets_total": 0,
		"dropped_packets_total": 0, "released_packets_total": 0, "rejected_packets_total": 0, "opened_sessions_total": 3,
		"ended_sessions_total": 3, "open_sessions": 0, "spool_bytes": 0, "spool_oldest_seconds": 0, "pending_packets": 0,
		"law_residual": 0, "config_revision": 0, "spool_limit_bytes": 64 << 20,
	} {
		if v, ok := got["sonde_agent_"+name]; !ok || v != want {
			t.Errorf("%s is %v (%t), want %v", name, v, ok, want)
		}
	}
}
