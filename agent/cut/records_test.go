package cut_test

import (
	"fmt"
	"testing"

	"sonde.example/agent/cut"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/packettest"
)

// side is a second table beside r's, on the same lanes and the same sink.
func (r *run) side(o cut.Options) *run {
	return &run{recorder: r.recorder, lanes: r.lanes, table: cut.New(o, r.lanes, r.recorder)}
}

func TestTablesShareRecords(t *testing.T) {
	records := cut.NewRecords(20 * cut.BytesPerSession)
	var o cut.Options
	quiet := start(t, func(options *cut.Options) { options.Records = records; o = *options })
	loud := quiet.side(o)
	for i := range 3 {
		quiet.at(float64(i), udp("10.0.0.1", "10.0.0.2", uint16(i), 53))
	}
	for i := range 200 {
		loud.at(3+float64(i)/100, udp("10.1.0.1", "10.1.0.2", uint16(i), 53))
	}
	if quiet.table.Sessions() != 3 || records.Sessions() != 20 {
		t.Errorf("%d sessions of the quiet table are left, %d of both", quiet.table.Sessions(), records.Sessions())
	}
	// The same five-tuple is another session at another point.
	loud.at(5, udp("10.0.0.1", "10.0.0.2", 0, 53))
	if got := quiet.order[0]; got.ForwardPackets != 1 {
		t.Errorf("got %d packets in the quiet table's session", got.ForwardPackets)
	}
	records.Resize(16 * cut.BytesPerSession)
	for i := range 4 {
		loud.at(6, udp("10.2.0.1", "10.2.0.2", uint16(i), 53))
	}
	if records.Sessions() != 16 {
		t.Errorf("%d sessions after the bound was lowered", records.Sessions())
	}
	for loud.table.End(flowv1.EndReason_END_REASON_CAPTURE_END) {
	}
	quiet.at(7, udp("10.0.0.1", "10.0.0.2", 0, 53))
	if quiet.table.Sessions() != 3 || records.Sessions() != 3 {
		t.Errorf("%d sessions of the quiet table are left, %d of both", quiet.table.Sessions(), records.Sessions())
	}
	quiet.finish()
	if records.Sessions() != 0 {
		t.Errorf("%d sessions after the end", records.Sessions())
	}
}

func TestOwnSessionsAreFiltered(t *testing.T) {
	asked := 0
	r := start(t, func(o *cut.Options) {
		o.Own = func(key *packet.Key) bool {
			asked++
			return key.LowPort == 7443 || key.HighPort == 7443
		}
	})
	uplink := func(flags uint8, seq uint32) []byte {
		return packettest.IPv4("10.0.0.2", "10.0.0.1", 6, packettest.TCP(5001, 7443, flags, seq, 0, []byte("batch")))
	}
	r.at(0, uplink(syn, 1))
	for i := range 100 {
		r.at(1+float64(i)/10, uplink(ack, uint32(i)))
		r.at(1+float64(i)/10, udp("10.0.0.1", "10.0.0.2", 1, 2))
	}
	r.at(12, uplink(rst, 102))
	r.table.Enough(0, 1<<20) // older than every number but the own session's, which has none
	if got := r.finish(); got != "100+0 CAPTURE_END\n" {
		t.Errorf("got %q", got)
	}
	if c := r.lanes[0].Counters; c.GetFiltered() != 102 || c.GetSeen() != 202 || c.GetOpenedSessions() != 1 {
		t.Errorf("got %v", c)
	}
	if asked != 2 {
		t.Errorf("asked %d times for 2 sessions", asked)
	}
}

func TestAdvanceEndsSilentSessions(t *testing.T) {
	r := start(t, nil)
	r.table.Advance(year) // nothing has begun
	r.at(0, udp("10.0.0.1", "10.0.0.2", 1, 53))
	advance := func(seconds int64) string {
		r.table.Advance(year + seconds*1e9)
		for r.table.Sweep() {
		}
		return r.text()
	}
	if got := advance(59); got != "1+0 UNSPECIFIED\n" {
		t.Errorf("after 59 s: %q", got)
	}
	if got := advance(62); got != "1+0 IDLE\n" {
		t.Errorf("after 62 s: %q", got)
	}
	advance(30) // it never goes back
	r.at(62, udp("10.0.0.1", "10.0.0.2", 1, 53))
	if got, want := r.finish(), fmt.Sprintln("1+0 IDLE")+fmt.Sprintln("1+0 CAPTURE_END"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestConfigureIsForWhatComes(t *testing.T) {
	r := start(t, nil)
	r.at(0, udp("10.0.0.1", "10.0.0.2", 1, 53))
	r.table.Configure(packet.NewWalker(packet.DefaultOptions()), packet.HeadLimits{Packets: 1})
	for range 2 {
		r.at(1, udp("10.0.0.1", "10.0.0.2", 1, 53))
		r.at(1, udp("10.0.0.1", "10.0.0.2", 2, 53))
	}
	r.finish()
	if r.order[0].packets != 3 || r.order[1].packets != 1 {
		t.Errorf("%d packets of the old session were sent, %d of the new one", r.order[0].packets, r.order[1].packets)
	}
}
