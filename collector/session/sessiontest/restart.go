package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"sonde.example/collector/session"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/packettest"
	"sonde.example/internal/retry"
)

func otherEpoch(f *fixture) {
	a := f.agent()
	a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("open")
	f.apply(a, a.Batch())
	f.sweep()
	f.store(f.one())
	a.TCP("10.0.0.1:2", "10.0.0.2:80").Up("not handed over yet")
	f.apply(a, a.Batch())

	next := NewAgent("agent-1", 12, 0)
	f.resume(next, next.Hello(0))
	if err := f.tryApply(a, a.Batch()); !errors.Is(err, session.ErrFenced) {
		f.Fatalf("the old epoch was heard: %v", err)
	}
	f.equal("handed over", f.drain(), 2)
	for _, e := range f.results.All() {
		f.equal("ended", e.Result.GetEnded(), true)
		f.equal("reason", e.Result.GetEndReason(), flowv1.EndReason_END_REASON_AGENT_RESTARTED)
	}
	f.closed(a)
}

// elsewhere is a lane that comes from another collector, with results of its own, goes back there, and comes again.
func elsewhere(f *fixture) {
	a := NewAgent("agent-1", 11, 0)
	there := func(packets ...string) *ingestv1.Batch {
		a.TCP("10.0.0.1:1", "10.0.0.2:80").Up(packets...).End(flowv1.EndReason_END_REASON_RST)
		return a.Batch()
	}
	check := func(applied, elsewhere uint64) {
		f.Helper()
		ledger, err := f.Ledger.Ledger(f.Context(), "")
		f.must(err)
		f.equal("applied", ledger[0].GetApplied(), applied)
		f.equal("elsewhere", ledger[0].GetElsewhere(), elsewhere)
		f.equal("gaps", ledger[0].GetGapSequences(), uint64(0))
		f.equal("rejected", ledger[0].GetRejected(), uint64(0))
	}
	there("1", "2")
	there("3")
	hello := a.Hello(2)
	hello.DurablePackets = 3
	f.equal("goes on from", f.resume(a, hello), 3)
	check(0, 3)
	f.apply(a, there("4", "5"))
	f.drain()
	check(2, 3)
	there("6") // over there again
	hello = a.Hello(4)
	hello.DurablePackets = 6
	f.equal("goes on from", f.resume(a, hello), 5)
	f.apply(a, there("7"))
	f.drain()
	check(3, 4)
	f.durable(a, 5)
	f.restart()
	hello = a.Hello(5)
	hello.DurablePackets = 7
	f.equal("goes on from", f.resume(a, hello), 6)
	check(3, 4)
	f.equal("results", len(f.results.All()), 2)
}

// closed waits until the lane's row in the ledger is closed.
func (f *fixture) closed(a *Agent) {
	f.Helper()
	for range int(patience / look) {
		rows, err := f.results.Ledger(f.Context(), a.Lane.Agent)
		f.must(err)
		for _, row := range rows {
			if row.GetEpoch() == a.Lane.Epoch && row.GetClosed() {
				return
			}
		}
		f.must(retry.Sleep(f.Context(), look))
	}
	f.Fatal("the lane's row is not closed")
}

func endedBelow(f *fixture) {
	a := f.agent()
	a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("stored and forgotten")
	f.apply(a, a.Batch())
	f.sweep()
	f.store(f.one())
	f.durable(a, 1)
	f.restart()
	f.equal("goes on from", f.resume(a, a.Hello(1)), 2)
	a.TCP("10.0.0.1:2", "10.0.0.2:80").Up("in memory")
	f.apply(a, a.Batch())
	a.Restart()
	after := a.TCP("10.0.0.1:3", "10.0.0.2:80").Up("after")
	f.apply(a, a.Batch())
	f.equal("handed over", f.drain(), 2)
	for _, e := range f.results.All() {
		f.equal("reason", e.Result.GetEndReason(), flowv1.EndReason_END_REASON_AGENT_RESTARTED)
	}
	f.equal("results", len(f.results.All()), 2)
	f.notDurable(a, 3)
	after.End(flowv1.EndReason_END_REASON_RST)
	f.apply(a, a.Batch())
	f.drain()
	f.durable(a, 4)
}

func lostCrash(f *fixture) {
	a := f.agent()
	s := a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("1", "2")
	f.apply(a, a.Batch())
	s.Up("3", "4", "5").Cut(4) // never sent: the agent was killed
	next := NewAgent("agent-1", 12, 0)
	hello := next.Hello(0)
	hello.Lost = []*ingestv1.LostLane{{Epoch: 11, Counters: proto.CloneOf(&a.counters)}}
	f.resume(next, hello)
	f.equal("handed over", f.drain(), 1)
	f.closed(a)
	rows, err := f.results.Ledger(f.Context(), a.Lane.Agent)
	f.must(err)
	f.equal("lost", rows[0].GetLostCrash(), uint64(7))
	f.equal("counted", rows[0].GetCounters().GetSeen(), uint64(9))
	f.equal("stored", rows[0].GetStoredPackets(), uint64(2))
}

func agentLost(f *fixture) {
	a := f.agent()
	s := a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("1")
	f.apply(a, a.Batch())
	f.sweep()
	f.store(f.one())
	f.equal("ended", f.sweep(), 1) // an hour later
	lost := f.one()
	f.equal("reason", lost.GetCounts().GetEndReason(), flowv1.EndReason_END_REASON_AGENT_LOST)
	f.store(lost)
	// It comes back after all, and its counts still correct the result.
	f.equal("goes on from", f.resume(a, a.Hello(1)), 2)
	s.Up("2").End(flowv1.EndReason_END_REASON_IDLE)
	f.apply(a, a.Batch())
	f.drain()
	f.durable(a, 2)
	results := f.results.All()
	f.equal("results", len(results), 1)
	f.equal("packets", Packets(results[0].Result), uint64(2))
	f.equal("reason", results[0].Result.GetEndReason(), flowv1.EndReason_END_REASON_IDLE)
}

func restart(f *fixture) {
	a := f.agent()
	ended := a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("1").End(flowv1.EndReason_END_REASON_RST)
	open := a.TCP("10.0.0.1:2", "10.0.0.2:80").Up(repeat("x", 24)...)
	first := a.Batch()
	f.apply(a, first)
	f.equal("handed over", f.drain(), 2)
	f.durable(a, 1)
	open.Cut(3)
	lost := a.Batch()
	f.apply(a, lost) // applied, not settled: it comes again
	puts := f.results.Puts(f.results.All()[0].Result.GetSessionId())

	f.restart()
	f.equal("goes on from", f.resume(a, a.Hello(1)), 2)
	f.equal("received", f.marks(a).GetReceived(), uint64(1))
	f.apply(a, lost)
	open.Up("beyond").End(flowv1.EndReason_END_REASON_FIN)
	f.apply(a, a.Batch())
	f.equal("handed over", f.drain(), 1)
	f.durable(a, 3)
	results := f.results.All()
	f.equal("results", len(results), 2)
	f.equal("packets", Packets(results[1].Result), uint64(28))
	f.equal("classified packets", results[1].Result.GetClassification().GetPackets(), uint32(24))
	f.equal("puts of the ended one", f.results.Puts(results[0].Result.GetSessionId()), puts)
	f.equal("its number", results[0].Result.GetNumber(), ended.Number)
	ledger, err := f.Ledger.Ledger(f.Context(), "")
	f.must(err)
	f.equal("applied", ledger[0].GetApplied(), uint64(26))
	f.equal("opened", ledger[0].GetOpenedSessions(), uint64(2))
	f.equal("pending", ledger[0].GetPendingSessions(), uint64(0))
}

func restartMidHead(f *fixture) {
	a := f.agent()
	s := a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("0", "1", "2")
	f.apply(a, a.Batch())
	f.sweep()
	f.store(f.one())
	s.Up("3", "4")
	second := a.Batch()
	f.apply(a, second)
	f.sweep()
	f.must(f.results.Put(f.one())) // committed, but the store was killed before it heard of it
	f.restart()
	at := f.resume(a, a.Hello(1))
	if at > 2 {
		f.Fatalf("goes on from %d, though 2 was not durable", at)
	}
	f.apply(a, second) // nothing in it is new
	f.durable(a, 2)
	f.none()
	s.Up("5").End(flowv1.EndReason_END_REASON_RST)
	f.apply(a, a.Batch())
	last := f.one()
	got := payloads(last.GetHead(), 1)
	f.equal("payloads", fmt.Sprint(got), "[0 1 2 3 4 5]")
	f.equal("packets", packets(last), uint64(6))
	f.store(last)
	f.equal("results", len(f.results.All()), 1)
}

func restartWithoutHeads(f *fixture) {
	f.results.NoHeads = true
	a := f.agent()
	s := a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("0", "1", "2")
	f.apply(a, a.Batch())
	f.sweep()
	f.store(f.one())
	f.durable(a, 1)
	f.restart()
	f.resume(a, a.Hello(1))
	s.Up("3").End(flowv1.EndReason_END_REASON_RST)
	f.apply(a, a.Batch())
	last := f.one()
	f.equal("packets in the head", len(last.GetHead().GetCaptured()), 0)
	f.equal("number of the head", last.GetHeadPackets(), uint32(3))
	f.equal("packets", packets(last), uint64(4))
	f.store(last)
	f.durable(a, 2)
}

func full(f *fixture) {
	f.Kill()
	f.open(Options{Bytes: 64 << 10, Steps: 1 << 20}) // so large a step that each batch is whole or not at all
	a := f.agent()
	var refused *ingestv1.Batch
	batches := 0
	for refused == nil {
		for i := range 10 {
			a.UDP("10.0.0.1:1000", "10.1.0.1:53").at(10 * batches).at(10*batches + i).Up("question")
		}
		b := a.Batch()
		switch err := f.tryApply(a, b); {
		case err == nil:
			batches++
		case errors.Is(err, session.ErrFull):
			refused = b
		default:
			f.Fatal(err)
		}
		if batches > 1000 {
			f.Fatal("the store never gets full")
		}
	}
	marks := f.marks(a)
	f.equal("received", marks.GetReceived(), uint64(batches))
	f.equal("window", marks.GetWindowBytes(), uint64(0))
	before, err := f.Ledger.Ledger(f.Context(), "")
	f.must(err)
	if err := f.tryApply(a, refused); !errors.Is(err, session.ErrFull) {
		f.Fatalf("taken though full: %v", err)
	}
	after, err := f.Ledger.Ledger(f.Context(), "")
	f.must(err)
	if !proto.Equal(before[0], after[0]) {
		f.Errorf("a refused batch changed %v to %v", before[0], after[0])
	}
	// Scarce memory makes the oldest due at once; stored, they make room, and the window opens.
	for errors.Is(f.tryApply(a, refused), session.ErrFull) {
		f.equal("moved early", f.sweep() > 0, true)
		f.drain()
	}
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	for marks.GetWindowBytes() == 0 {
		if marks, err = f.Store.NextMarks(ctx, a.Lane, marks); err != nil {
			f.Fatalf("the window stays shut: %v", err)
		}
	}
	f.sweep()
	f.drain()
	f.equal("results", len(f.results.All()), 10*(batches+1))
}

func mismatched(f *fixture) {
	a := f.agent()
	a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("own").Foreign().Down("own").End(flowv1.EndReason_END_REASON_RST)
	f.apply(a, a.Batch())
	s := f.one()
	f.equal("payloads", fmt.Sprint(payloads(s.GetHead(), 3)), "[own own]")
	f.equal("ordinals", fmt.Sprint(s.GetHead().GetOrdinals()), "[0 2]")
	f.equal("packets", packets(s), uint64(3))
	ledger, err := f.Ledger.Ledger(f.Context(), "")
	f.must(err)
	f.equal("mismatched", ledger[0].GetMismatched(), uint64(1))
	f.equal("applied", ledger[0].GetApplied(), uint64(3))
}

// tunnelPorts is a session in a tunnel on ports of the agent's own, which change, before and after a restart.
func tunnelPorts(f *fixture) {
	a := f.agent()
	first, later := &flowv1.TunnelPorts{Vxlan: []uint32{8472}}, &flowv1.TunnelPorts{Vxlan: []uint32{4789, 8472}, GtpU: []uint32{2152}}
	a.Ports = first
	opened := &flowv1.Interface{CapturePoint: a.Point, LinkType: uint32(packet.LinkEthernet), TunnelPorts: first}
	changed := func() *ingestv1.Batch { // a session's interface is where it opened, its packets' the one of now
		b := a.Batch()
		b.Interfaces = append([]*flowv1.Interface{opened}, b.GetInterfaces()...)
		b.InterfaceIndexes = slices.Repeat([]uint32{1}, len(b.GetCaptured()))
		return b
	}
	s := a.TCP("10.0.0.1:1", "10.0.0.2:80").VXLAN(8472).Up("1")
	f.apply(a, a.Batch())
	a.Ports = later
	s.Down(strings.Repeat("2", int(limits.PayloadBytes)-101))
	f.apply(a, changed())
	f.sweep()
	taken := f.one()
	head := taken.GetHead()
	if ports := head.GetInterfaces(); len(ports) != 2 || !proto.Equal(ports[0].GetTunnelPorts(), first) || !proto.Equal(ports[1].GetTunnelPorts(), later) {
		f.Fatalf("interfaces %v", ports)
	}
	f.equal("interfaces of packets", fmt.Sprint(head.GetInterfaceIndexes()), "[0 1]")
	f.store(taken)
	f.durable(a, 2)
	f.restart()
	f.resume(a, a.Hello(2))
	s.Up(strings.Repeat("3", 200)).End(flowv1.EndReason_END_REASON_RST)
	f.apply(a, changed())
	head = f.one().GetHead()
	f.equal("packets", len(head.GetCaptured()), 3)
	f.equal("interfaces of packets", fmt.Sprint(head.GetInterfaceIndexes(), len(head.GetInterfaces())), "[0 1 1] 2")
	f.equal("left out beyond the payload budget", head.GetMissing()[2], uint32(100))
	a.Ports = nil // the well-known ones
	a.TCP("10.0.0.1:2", "10.0.0.2:80").VXLAN(8472).Up("elsewhere").End(flowv1.EndReason_END_REASON_RST)
	f.apply(a, a.Batch())
	ledger, err := f.Ledger.Ledger(f.Context(), "")
	f.must(err)
	f.equal("mismatched", ledger[0].GetMismatched(), uint64(1))
}

func evidence(f *fixture) {
	a := f.agent()
	s := a.TCP("10.0.0.1:1", "10.0.0.2:80").Continued().Up("1", "2")
	b := a.Batch()
	b.GetFlags()[1] |= uint32(flowv1.PacketFlag_PACKET_FLAG_SNAPPED)
	b.GetMissing()[1] = 100
	f.apply(a, b)
	a.Drop()
	a.counters.KernelDropped = 9
	s.End(flowv1.EndReason_END_REASON_IDLE)
	f.apply(a, a.Batch())
	taken := f.one()
	want := &flowv1.Evidence{PacketsHeld: 2, Gaps: 1, Drops: 9, Truncated: 1, ConfigRevision: 7, Continued: true}
	if !proto.Equal(taken.GetEvidence(), want) {
		f.Errorf("evidence %v, want %v", taken.GetEvidence(), want)
	}
	f.equal("capture point", taken.GetCapturePoint(), a.Point)
	f.equal("link type", taken.GetHead().GetInterfaces()[0].GetLinkType(), uint32(packet.LinkEthernet))
}

func pingCommunityID(f *fixture) {
	a := f.agent()
	s := a.open("10.0.0.1:0", "10.0.0.2:0", 1).Up("")
	a.packets[0].frame = packettest.Ethernet(0x0800, packettest.IPv4("10.0.0.1", "10.0.0.2", 1, packettest.ICMP(8, 0, nil)))
	s.End(flowv1.EndReason_END_REASON_IDLE)
	f.apply(a, a.Batch())
	from, to := packet.Endpoint{Address: s.client.Addr()}, packet.Endpoint{Address: s.server.Addr()}
	f.equal("community id", f.one().GetCommunityId(), packet.CommunityID(from, to, 1, 8, 0, 0))
}

// concurrent has several agents, takers and sweepers at once, and a full ledger afterwards.
func concurrent(f *fixture) {
	const agents, batches, sessions = 4, 20, 8
	ctx, stop := context.WithCancel(f.Context())
	defer stop()
	var downstream, upstream sync.WaitGroup
	for range 2 {
		downstream.Go(func() {
			for {
				taken, err := f.Outbox.Take(ctx, time.Minute, 7)
				if err != nil {
					return // ctx ended
				}
				f.store(taken...)
			}
		})
		downstream.Go(func() { _ = session.NewSweeper(f.Store, func(err error) { f.Error(err) }).Run(ctx) })
	}
	lanes := make([]*Agent, agents)
	for i := range lanes {
		a := NewAgent("agent-1", 11, uint32(i))
		lanes[i] = a
		f.resume(a, a.Hello(0))
	}
	assembler := session.NewAssembler(f.Store, packet.NewWalkers(packet.DefaultOptions()))
	for _, a := range lanes {
		fence := f.fences[a.Lane]
		upstream.Go(func() {
			var open []*Flow
			for n := range batches {
				for i := range sessions {
					open = append(open, a.UDP("10.0.0.1:1000", "10.1.0.1:53").at(n*sessions+i).Up("question"))
				}
				for i, s := range open {
					if s.Down("answer"); i%2 == 0 && n > 2 {
						s.End(flowv1.EndReason_END_REASON_IDLE)
					}
				}
				if n > 2 {
					kept := open[:0]
					for i, s := range open {
						if i%2 != 0 {
							kept = append(kept, s)
						}
					}
					open = kept
				}
				if _, err := assembler.Apply(ctx, a.Lane, fence, a.Batch()); err != nil {
					f.Error(err)
				}
			}
			for _, s := range open {
				s.End(flowv1.EndReason_END_REASON_CAPTURE_END)
			}
			if _, err := assembler.Apply(ctx, a.Lane, fence, a.Batch()); err != nil {
				f.Error(err)
			}
		})
	}
	upstream.Wait()
	for _, a := range lanes {
		f.durable(a, batches+1)
	}
	stop()
	downstream.Wait()
	f.equal("results", len(f.results.All()), agents*batches*sessions)
	rows, err := f.results.Ledger(f.Context(), "")
	f.must(err)
	for _, row := range rows {
		f.equal("stored", row.GetStoredPackets(), row.GetCounters().GetAccepted())
		f.equal("applied", row.GetApplied(), row.GetCounters().GetAccepted())
	}
}

func cancelled(f *fixture) {
	a := f.agent()
	ctx, cancel := context.WithTimeout(f.Context(), look)
	defer cancel()
	if _, err := f.Outbox.Take(ctx, time.Minute, 1); !errors.Is(err, context.DeadlineExceeded) {
		f.Errorf("take: %v", err)
	}
	if _, err := f.Store.NextMarks(ctx, a.Lane, f.marks(a)); !errors.Is(err, context.DeadlineExceeded) {
		f.Errorf("next marks: %v", err)
	}
}
