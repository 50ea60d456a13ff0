package agent_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sonde.example/agent"
	"sonde.example/agent/uplink/uplinktest"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/mtls"
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

type dialer = func(context.Context, string) (net.Conn, error)

// config is what all tests share.
func config(t testing.TB, certificates mtls.Development, captures ...string) agent.Config {
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

func all(agent.Ledger) func(uplinktest.Lane) bool { return func(uplinktest.Lane) bool { return true } }

func TestAgentStreamsAFileToItsEnd(t *testing.T) {
	certificates := testenv.Certificates(t)
	collector := uplinktest.New()
	dial, _ := collector.Serve(t, testenv.Source(t, certificates.Service))
	a := open(t, config(t, certificates, pcapFile(t, sessions(50, 40)...)), dial)
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	lane := collector.Lane(t, 7, 0, func(uplinktest.Lane) bool { return true })
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

var _ = errors.Is
var _ = time.Second
