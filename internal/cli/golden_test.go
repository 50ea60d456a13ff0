//go:build unix

package cli

import (
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"sonde.example/agent/batch"
	"sonde.example/agent/capture/file"
	"sonde.example/agent/cut"
	"sonde.example/collector/session"
	"sonde.example/collector/session/sessiontest"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/feature"
	"sonde.example/internal/packet"
	"sonde.example/internal/retry"
)

var update = flag.Bool("update", false, "write the golden rows anew")

const (
	goldenCaptures = "testdata/golden/captures.pcapng"
	goldenRows     = "testdata/golden/rows.txt"
)

// golden returns what the features of the golden sessions must be, a line for each.
func golden(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(goldenRows)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rowLine tells a session's row: one hash over the little-endian bytes of the three tensors as training and serving have them.
func rowLine(protocol uint32, client, server string, s *feature.Session) string {
	var row feature.Row
	s.Extract(&row)
	sum := sha256.New()
	sum.Write(row.Bytes[:])
	for _, tensor := range [][]float32{row.Series[:], row.Meta[:]} {
		raw, err := binary.Append(nil, binary.LittleEndian, tensor)
		if err != nil {
			panic(err)
		}
		sum.Write(raw)
	}
	return fmt.Sprintf("%s %s %s %d %x", protocolName(protocol), client, server, len(s.Packets()), sum.Sum(nil))
}

// sorted makes a table of lines.
func sorted(lines []string) string {
	slices.Sort(lines)
	return "schema " + feature.SchemaSHA256() + "\n" + strings.Join(lines, "\n") + "\n"
}

// fromFile returns the table of a capture file as sonde dataset reads it, changed by way of change.
func fromFile(t *testing.T, path string, change func(*feature.Session) *feature.Session) string {
	t.Helper()
	c := newCutter(packet.NewWalker(packet.DefaultOptions()), false, false)
	if whole, err := c.read(t.Context(), path); err != nil || !whole {
		t.Fatalf("%s was read to the end: %v, %v", path, whole, err)
	}
	var lines []string
	walkers := packet.NewWalkers(packet.DefaultOptions())
	for _, v := range c.conversations {
		s := new(feature.Session)
		if err := s.FromHead(walkers, uint32(v.key.Protocol), &v.head); err != nil {
			t.Fatal(err)
		}
		low, high := v.endpoints()
		if v.clientHigh {
			low, high = high, low
		}
		lines = append(lines, rowLine(uint32(v.key.Protocol), netip.AddrPortFrom(low.Address, low.Port).String(), netip.AddrPortFrom(high.Address, high.Port).String(), change(s)))
	}
	return sorted(lines)
}

func same(s *feature.Session) *feature.Session { return s }

func TestGoldenRowsOfAFile(t *testing.T) {
	got := fromFile(t, goldenCaptures, same)
	if *update {
		if err := os.WriteFile(goldenRows, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want := golden(t); got != want {
		t.Errorf("rows are\n%s\nwant\n%s\nIf that is meant, raise the schema's code and run with -update", got, want)
	}
	if n := strings.Count(got, "\n"); n < 30 {
		t.Errorf("only %d rows", n)
	}
}

// TestGoldenRowsOfAPipe has the capture come in pieces, as from tcpdump.
func TestGoldenRowsOfAPipe(t *testing.T) {
	content, err := os.ReadFile(goldenCaptures)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []int{7, 1461, 65536} {
		path := filepath.Join(t.TempDir(), "pipe")
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			for rest := content; err == nil && len(rest) > 0; rest = rest[min(piece, len(rest)):] {
				_, err = f.Write(rest[:min(piece, len(rest))])
			}
			if err == nil {
				err = f.Close()
			}
			done <- err
		}()
		if got := fromFile(t, path, same); got != golden(t) {
			t.Errorf("in pieces of %d bytes rows are\n%s", piece, got)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func TestGoldenRowsOfNativeSessions(t *testing.T) {
	got := fromFile(t, goldenCaptures, func(s *feature.Session) *feature.Session {
		text, err := proto.Marshal(s.Native())
		if err != nil {
			t.Fatal(err)
		}
		var received inferencev1.Session
		if err := proto.Unmarshal(text, &received); err != nil {
			t.Fatal(err)
		}
		native := new(feature.Session)
		if err := native.FromNative(&received); err != nil {
			t.Fatal(err)
		}
		return native
	})
	if got != golden(t) {
		t.Errorf("rows are\n%s", got)
	}
}

// TestGoldenRowsOfTheCollector sends the packets as a live agent does, in batches of a few packets each, through the
// collector's store, and reads what comes out for classification.
func TestGoldenRowsOfTheCollector(t *testing.T) {
	for _, packets := range []int{1, 5, 10000} {
		if got := throughTheCollector(t, packets); got != golden(t) {
			t.Errorf("in batches of %d packets rows are\n%s", packets, got)
		}
	}
}

// uplink is the cut's sink: batches as the agent makes them, taken at once by the collector.
type uplink struct {
	t         *testing.T
	builder   *batch.Builder
	names     []batch.Interface
	assembler *session.Assembler
	lane      packet.Lane
	fence     uint64
	sequence  uint64
	sessions  int
}

// Packet implements cut.Sink.
func (u *uplink) Packet(s *cut.Session, p *cut.Packet, length int, flags uint32) {
	u.touch(s)
	u.builder.Packet(s.Tag, p.Time, p.Data[:length], p.Original, flags, p.Interface)
}

// Counts implements cut.Sink.
func (u *uplink) Counts(s *cut.Session) { u.touch(s) }

func (u *uplink) touch(s *cut.Session) {
	b, fresh := u.builder.Touch(&s.Tag)
	if fresh {
		b.Number, b.Key, b.ClientHigh, b.Interface = s.Number, s.Key, s.ClientHigh, s.Interface
		b.PacketsBefore, b.Opened, b.Midstream, b.Continued = s.Sent, s.Opened, s.Midstream, s.Continued
		b.OpenedTime = s.OpenedTime
		if s.Opened {
			u.sessions++
		}
	}
	b.ForwardPackets, b.ForwardBytes, b.ReversePackets, b.ReverseBytes = s.ForwardPackets, s.ForwardBytes, s.ReversePackets, s.ReverseBytes
	b.LastTime, b.EndReason = s.LastTime, int32(s.EndReason)
}

// flush sends the batch as bytes.
func (u *uplink) flush() {
	u.t.Helper()
	if u.builder.Empty() {
		return
	}
	meta, data, err := u.builder.Encode(&ingestv1.Counters{}, u.names, 1)
	if err != nil {
		u.t.Fatal(err)
	}
	var received ingestv1.Batch
	if err := proto.Unmarshal(slices.Concat(meta, data), &received); err != nil {
		u.t.Fatal(err)
	}
	u.builder.Reset()
	u.sequence++
	received.Sequence, received.Spool = u.sequence, &ingestv1.SpoolCounters{}
	for {
		_, err := u.assembler.Apply(u.t.Context(), u.lane, u.fence, &received)
		if _, full := retry.Asked(err); err == nil || !full {
			if err != nil {
				u.t.Fatal(err)
			}
			return
		}
	}
}

func throughTheCollector(t *testing.T, packets int) string {
	t.Helper()
	walkers := packet.NewWalkers(packet.DefaultOptions())
	memory, err := session.OpenMemory(t.Context(), session.Options{Walkers: walkers}, new(sessiontest.Results))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := memory.Close(); err != nil {
			t.Error(err)
		}
	}()
	agent := sessiontest.NewAgent("golden", 1, 0)
	u := &uplink{t: t, builder: batch.NewBuilder(0), assembler: session.NewAssembler(memory, walkers), lane: agent.Lane}
	if _, u.fence, err = u.assembler.Resume(t.Context(), u.lane, agent.Hello(0)); err != nil {
		t.Fatal(err)
	}
	table := cut.New(cut.Options{
		Walker: walkers.For(nil), Limits: packet.DefaultHeadLimits(), Seed: 1, Records: cut.NewRecords(recordsBytes),
	}, cut.NewLanes(1), u)
	source, err := file.Open(t.Context(), goldenCaptures, file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	u.names = []batch.Interface{{CapturePoint: "golden", Link: source.LinkType()}}
	for n := 1; ; n++ {
		data, info, err := source.ReadPacket(t.Context())
		if err != nil {
			break
		}
		take(table, &cut.Packet{Data: data, Time: info.Time, Original: info.OriginalLength, Link: info.LinkType})
		if n%packets == 0 || u.builder.Full() {
			u.flush()
		}
	}
	for table.End(flowv1.EndReason_END_REASON_CAPTURE_END) {
	}
	u.flush()

	var lines []string
	for len(lines) < u.sessions {
		taken, err := memory.Take(t.Context(), time.Minute, u.sessions)
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range taken { // as the queue carries it
			text, err := proto.Marshal(message)
			if err != nil {
				t.Fatal(err)
			}
			var received flowv1.Session
			if err := proto.Unmarshal(text, &received); err != nil {
				t.Fatal(err)
			}
			tuple := received.GetFiveTuple()
			s := new(feature.Session)
			if err := s.FromHead(walkers, tuple.GetIpProtocol(), received.GetHead()); err != nil {
				t.Fatal(err)
			}
			endpoint := func(address []byte, port uint32) string {
				return net.JoinHostPort(net.IP(address).String(), fmt.Sprint(port))
			}
			lines = append(lines, rowLine(tuple.GetIpProtocol(), endpoint(tuple.GetClientAddress(), tuple.GetClientPort()), endpoint(tuple.GetServerAddress(), tuple.GetServerPort()), s))
		}
	}
	return sorted(lines)
}
