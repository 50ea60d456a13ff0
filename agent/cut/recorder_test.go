package cut_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"sonde.example/agent/cut"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/packettest"
)

// record is what the sink heard of one session.
type record struct {
	cut.Session
	calls, packets, told int
	bytes                []byte
	flags                []uint32
}

// recorder is a sink that checks what any sink may rely on.
type recorder struct {
	t        testing.TB
	sessions map[[2]uint64]*record
	order    []*record
	calls    int
}

func newRecorder(t testing.TB) *recorder {
	return &recorder{t: t, sessions: map[[2]uint64]*record{}}
}

func (r *recorder) of(s *cut.Session) *record {
	r.calls++
	id := [2]uint64{uint64(s.Lane), s.Number}
	known := r.sessions[id]
	if known == nil {
		if s.Tag != 0 || !s.Opened {
			r.t.Errorf("session %d begins with tag %d, opened %t", s.Number, s.Tag, s.Opened)
		}
		known = &record{}
		r.sessions[id] = known
		r.order = append(r.order, known)
		s.Tag = uint64(len(r.order))
	} else if s.Opened {
		r.t.Errorf("session %d opens twice", s.Number)
	}
	if known.Ended() {
		r.t.Errorf("session %d was told of after its end", s.Number)
	}
	if s.Tag != uint64(slices.Index(r.order, known)+1) {
		r.t.Errorf("session %d lost its tag", s.Number)
	}
	if s.LastTime < s.OpenedTime {
		r.t.Errorf("session %d: last time %d is before opened %d", s.Number, s.LastTime, s.OpenedTime)
	}
	if int(s.Sent) != known.packets {
		r.t.Errorf("session %d: sent %d, but %d packets came", s.Number, s.Sent, known.packets)
	}
	known.Session = *s
	known.calls++
	return known
}

func (r *recorder) Packet(s *cut.Session, p *cut.Packet, length int, flags uint32) {
	known := r.of(s)
	known.packets++
	known.bytes = append(known.bytes, p.Data[:length]...)
	known.flags = append(known.flags, flags)
}

func (r *recorder) Counts(s *cut.Session) { r.of(s).told++ }

// run is a table with its surroundings.
type run struct {
	*recorder
	table *cut.Table
	lanes []cut.Lane
}

func start(t testing.TB, change func(*cut.Options)) *run {
	o := cut.Options{
		Walker: packet.NewWalker(packet.DefaultOptions()), Limits: packet.DefaultHeadLimits(), Records: cut.NewRecords(1 << 20), Seed: 42,
	}
	if change != nil {
		change(&o)
	}
	r := &run{recorder: newRecorder(t), lanes: cut.NewLanes(1)}
	r.table = cut.New(o, r.lanes, r.recorder)
	return r
}

const year = int64(1_700_000_000) * 1e9

// at takes a frame at a time in seconds after some moment.
func (r *run) at(seconds float64, ip []byte) {
	etherType := uint16(0x0800)
	if ip[0]>>4 == 6 {
		etherType = 0x86dd
	}
	r.frame(year+int64(math.Round(seconds*1e9)), packettest.Ethernet(etherType, ip))
}

func (r *run) frame(at int64, frame []byte) {
	r.table.Packet(&cut.Packet{Data: frame, Time: at, Original: len(frame), Link: packet.LinkEthernet})
	for r.table.Sweep() {
	}
}

// finish ends the capture and returns the sessions as text, one a line, in the order in which they opened.
func (r *run) finish() string {
	for r.table.End(flowv1.EndReason_END_REASON_CAPTURE_END) {
	}
	r.law()
	return r.text()
}

func (r *run) text() string {
	var b strings.Builder
	for _, s := range r.order {
		fmt.Fprintf(&b, "%d+%d %s", s.ForwardPackets, s.ReversePackets, strings.TrimPrefix(s.EndReason.String(), "END_REASON_"))
		if s.Midstream {
			b.WriteString(" midstream")
		}
		if s.Continued {
			b.WriteString(" continued")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// law checks the ledger against what the sink got.
func (r *run) law() {
	r.t.Helper()
	var opened, ended, packets, counted uint64
	for _, s := range r.order {
		opened++
		if s.Ended() {
			ended++
		}
		packets += uint64(s.packets)
		counted += s.ForwardPackets + s.ReversePackets
	}
	var seen, causes, accepted, cutAway, openedSessions, endedSessions uint64
	for i := range r.lanes {
		c := r.lanes[i].Counters
		seen += c.GetSeen()
		causes += c.GetFiltered() + c.GetNonIp() + c.GetUndecodable() + c.GetFragUnmatched() + c.GetDup() + c.GetCut() + c.GetAccepted()
		accepted += c.GetAccepted()
		cutAway += c.GetCut()
		openedSessions += c.GetOpenedSessions()
		endedSessions += c.GetEndedSessions()
	}
	if seen != causes || accepted != packets || openedSessions != opened || endedSessions != ended {
		r.t.Errorf("counters %v do not agree with %d packets, %d opened, %d ended", r.lanes[0].Counters, packets, opened, ended)
	}
	if opened == ended && counted != accepted+cutAway {
		r.t.Errorf("sessions count %d packets, want %d", counted, accepted+cutAway)
	}
}
