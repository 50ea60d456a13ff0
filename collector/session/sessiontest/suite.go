// Package sessiontest is what every session store must do, as tests; and what tests of one need: a scripted agent, and
// results that stand for the result store.
package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"sonde.example/collector/session"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/retry"
)

// Options are what a test wants of a backend. Zero fields mean the defaults.
type Options struct {
	Bytes int64 // for sessions
	Steps int   // of a batch between two looks at the budget
}

// Backend is an open store.
type Backend struct {
	Store  session.Store
	Outbox session.Outbox
	Ledger session.Ledger
	// Kill ends it as a crash would, without a last word to the results.
	Kill func()
}

// Harness says how to test a product.
type Harness struct {
	// Open returns a store over the results; the same results again after Kill is a restart.
	Open func(t *testing.T, o Options, results *Results) Backend
	// Run runs one test. A store in memory runs it under testing/synctest, so that waiting takes no time.
	Run func(t *testing.T, name string, test func(t *testing.T))
}

// Run tests everything that Store, Outbox and Ledger promise.
func Run(t *testing.T, h Harness) {
	for _, test := range []struct {
		name string
		run  func(f *fixture)
	}{
		{"the N-th packet hands over, N+1 only counts", headFull},
		{"equal payloads both stay", equalPayloads},
		{"a head never exceeds its payload", payloadBudget},
		{"a batch applied twice", appliedTwice},
		{"a batch applied in two halves", twoHalves},
		{"half a batch that never comes again", halfSkipped},
		{"an end without new packets", endCountsOnly},
		{"an early hand-over overtaken in the outbox", overtakenWaiting},
		{"an early hand-over overtaken while it is lent", overtakenLent},
		{"an older settlement settles nothing newer", olderSettled},
		{"counts settled before the head", countsFirst},
		{"durable waits for what is not settled", durableWaits},
		{"durable passes what changed nothing", durablePasses},
		{"the deadline hands over", deadline},
		{"lent again after the lease", lentAgain},
		{"two sweepers do the work of one", twoSweepers},
		{"order, gaps and skips", order},
		{"where a lane goes on", resumeRule},
		{"a rejected batch counts by its sequence", rejected},
		{"a second stream fences the first", fenced},
		{"another epoch ends the sessions", otherEpoch},
		{"batches durable at another collector are booked elsewhere", elsewhere},
		{"ended below", endedBelow},
		{"a crash is accounted for", lostCrash},
		{"an agent that stays away", agentLost},
		{"a restart goes on from stored results", restart},
		{"a restart in the middle of a head", restartMidHead},
		{"a restart without stored packets", restartWithoutHeads},
		{"full changes nothing beyond the marks", full},
		{"packets of others are only counted", mismatched},
		{"tunnels where the interface tells", tunnelPorts},
		{"evidence", evidence},
		{"the community id of a ping", pingCommunityID},
		{"many at once", concurrent},
		{"waiting calls end with their context", cancelled},
	} {
		h.Run(t, test.name, func(t *testing.T) {
			f := &fixture{T: t, harness: h, results: &Results{}}
			f.open(Options{})
			test.run(f)
			f.Kill()
		})
	}
}

// fixture is one test's store, results and agent.
type fixture struct {
	*testing.T
	Backend
	harness Harness
	options Options
	results *Results
	fences  map[packet.Lane]uint64
}

// limits is what the stores are opened with.
var limits = packet.DefaultHeadLimits()

func (f *fixture) open(o Options) {
	f.options, f.fences = o, map[packet.Lane]uint64{}
	f.Backend = f.harness.Open(f.T, o, f.results)
}

// restart kills the store and opens another one on the same results.
func (f *fixture) restart() {
	f.Kill()
	f.open(f.options)
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// resume opens a lane, and returns the sequence it goes on from.
func (f *fixture) resume(a *Agent, hello *ingestv1.Hello) uint64 {
	f.Helper()
	welcome, fence, err := f.Store.Resume(f.Context(), a.Lane, hello)
	f.must(err)
	f.fences[a.Lane] = fence
	return welcome.GetResumeSequence()
}

// agent returns an agent whose lane is open.
func (f *fixture) agent() *Agent {
	f.Helper()
	a := NewAgent("agent-1", 11, 0)
	if at := f.resume(a, a.Hello(0)); at != 1 {
		f.Fatalf("a new lane goes on from %d", at)
	}
	return a
}

func (f *fixture) tryApply(a *Agent, b *ingestv1.Batch) error {
	_, err := session.NewAssembler(f.Store, packet.NewWalkers(packet.DefaultOptions())).Apply(f.Context(), a.Lane, f.fences[a.Lane], b)
	return err
}

func (f *fixture) apply(a *Agent, b *ingestv1.Batch) {
	f.Helper()
	f.must(f.tryApply(a, b))
}

func (f *fixture) marks(a *Agent) *ingestv1.Ack {
	f.Helper()
	marks, err := f.Store.NextMarks(f.Context(), a.Lane, nil)
	f.must(err)
	return marks
}

// patience is how long a test waits for what must come, and how long it looks that something does not come.
const patience, look = 30 * time.Second, 500 * time.Millisecond

// durable waits until the mark has reached a sequence.
func (f *fixture) durable(a *Agent, sequence uint64) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	var seen *ingestv1.Ack
	for seen.GetDurable() < sequence {
		var err error
		if seen, err = f.Store.NextMarks(ctx, a.Lane, seen); err != nil {
			f.Fatalf("durable does not reach %d: %v", sequence, err)
		}
	}
	if seen.GetDurable() != sequence {
		f.Fatalf("durable is %d, beyond %d", seen.GetDurable(), sequence)
	}
}

// notDurable looks for a while that the mark stays below a sequence.
func (f *fixture) notDurable(a *Agent, sequence uint64) {
	f.Helper()
	f.must(retry.Sleep(f.Context(), look))
	if got := f.marks(a).GetDurable(); got >= sequence {
		f.Fatalf("durable is %d already, not below %d", got, sequence)
	}
}

// takeFor lends what there is within a time.
func (f *fixture) takeFor(wait, lease time.Duration, limit int) []*flowv1.Session {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), wait)
	defer cancel()
	taken, err := f.Outbox.Take(ctx, lease, limit)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		f.Fatal(err)
	}
	return taken
}

// one takes exactly one hand-over.
func (f *fixture) one() *flowv1.Session {
	f.Helper()
	taken := f.takeFor(patience, time.Minute, 10)
	if len(taken) != 1 {
		f.Fatalf("%d hand-overs instead of one", len(taken))
	}
	return taken[0]
}

// none looks that nothing is handed over.
func (f *fixture) none() {
	f.Helper()
	if taken := f.takeFor(look, time.Minute, 10); len(taken) > 0 {
		f.Fatalf("unexpected hand-over: %v", taken)
	}
}

// store plays relay and worker for hand-overs.
func (f *fixture) store(sessions ...*flowv1.Session) {
	f.Helper()
	f.must(f.Outbox.Confirm(f.Context(), sessions...))
	f.must(f.results.Put(sessions...))
	f.must(f.Outbox.Settle(f.Context(), sessions...))
}

// drain stores everything that is handed over until nothing comes any more.
func (f *fixture) drain() (stored int) {
	f.Helper()
	for {
		taken := f.takeFor(look, time.Minute, 64)
		if len(taken) == 0 {
			return stored
		}
		f.store(taken...)
		stored += len(taken)
	}
}

// sweep waits until sessions are due, and moves them.
func (f *fixture) sweep() (moved int) {
	f.Helper()
	for range int(2 * time.Hour / look) {
		due, err := f.Store.Due(f.Context(), 1000)
		f.must(err)
		for _, d := range due {
			n, err := f.Store.Sweep(f.Context(), d)
			f.must(err)
			moved += n
		}
		if moved > 0 {
			return moved
		}
		f.must(retry.Sleep(f.Context(), look))
	}
	f.Fatal("nothing gets due")
	return 0
}

func (f *fixture) equal(what string, got, want any) {
	f.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		f.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// payloads returns the last n bytes of each packet of a head.
func payloads(p *flowv1.Packets, n int) (texts []string) {
	at := 0
	for _, captured := range p.GetCaptured() {
		at += int(captured)
		texts = append(texts, string(p.GetData()[at-n:at]))
	}
	return texts
}

func repeat(payload string, n int) []string { return slices.Repeat([]string{payload}, n) }

func packets(s *flowv1.Session) uint64 {
	return s.GetCounts().GetForwardPackets() + s.GetCounts().GetReversePackets()
}

func headFull(f *fixture) {
	a := f.agent()
	s := a.TCP("10.0.0.1:1000", "10.0.0.2:80").Up(repeat("x", 23)...)
	f.apply(a, a.Batch())
	f.none()
	s.Down("the last")
	f.apply(a, a.Batch())
	first := f.one()
	f.equal("packets in the head", len(first.GetHead().GetCaptured()), 24)
	f.equal("number of the head", first.GetHeadPackets(), 24)
	f.equal("packets counted", packets(first), 24)
	f.equal("direction of the last", first.GetHead().GetFlags()[23], uint32(flowv1.PacketFlag_PACKET_FLAG_REVERSE))
	f.store(first)

	s.Up("beyond").Cut(5)
	f.apply(a, a.Batch())
	f.none()
	f.equal("moved at the deadline", f.sweep(), 1)
	second := f.one()
	f.equal("packets in the head, counts only", len(second.GetHead().GetCaptured()), 0)
	f.equal("number of the head, counts only", second.GetHeadPackets(), 24)
	f.equal("packets counted", packets(second), 30)
	f.equal("id", second.GetId(), first.GetId())
}

func equalPayloads(f *fixture) {
	a := f.agent()
	a.UDP("10.0.0.1:1000", "10.0.0.2:53").Up("same", "same", "same").End(flowv1.EndReason_END_REASON_IDLE)
	f.apply(a, a.Batch())
	s := f.one()
	if got := payloads(s.GetHead(), 4); !slices.Equal(got, []string{"same", "same", "same"}) {
		f.Errorf("payloads %q", got)
	}
	if !slices.Equal(s.GetHead().GetOrdinals(), []uint32{0, 1, 2}) {
		f.Errorf("ordinals %v", s.GetHead().GetOrdinals())
	}
}

func payloadBudget(f *fixture) {
	a := f.agent()
	big := string(make([]byte, 1400))
	a.TCP("10.0.0.1:1000", "10.0.0.2:80").Up(repeat(big, 24)...)
	f.apply(a, a.Batch())
	s := f.one()
	const headers = 14 + 20 + 20
	f.equal("bytes of the head", len(s.GetHead().GetData()), 24*headers+int(limits.PayloadBytes))
	f.equal("missing of the last", s.GetHead().GetMissing()[23], uint32(1400))
	f.equal("flags of the last", s.GetHead().GetFlags()[23], uint32(flowv1.PacketFlag_PACKET_FLAG_CUT))
	if size := proto.Size(s); size > 32<<10 {
		f.Errorf("hand-over of %d bytes", size)
	}
}

func appliedTwice(f *fixture) {
	a := f.agent()
	a.TCP("10.0.0.1:1000", "10.0.0.2:80").Up("a", "b").End(flowv1.EndReason_END_REASON_RST)
	b := a.Batch()
	f.apply(a, b)
	before := f.marks(a)
	if err := f.tryApply(a, b); !errors.Is(err, session.ErrOrder) {
		f.Fatalf("second time: %v", err)
	}
	if after := f.marks(a); !proto.Equal(before, after) {
		f.Errorf("marks moved from %v to %v", before, after)
	}
	s := f.one()
	f.equal("packets", len(s.GetHead().GetCaptured()), 2)
	f.store(s)
	f.none()
	ledger, err := f.Ledger.Ledger(f.Context(), "")
	f.must(err)
	f.equal("applied", ledger[0].GetApplied(), uint64(2))
}

// crowd opens sessions of two packets each.
func crowd(a *Agent, n int) {
	for i := range n {
		a.UDP("10.0.0.1:1000", "10.1.0.1:53").at(i).Up("question").Down("answer").End(flowv1.EndReason_END_REASON_IDLE)
	}
}

func twoHalves(f *fixture) {
	f.Kill()
	f.open(Options{Bytes: 64 << 10, Steps: 16})
	a := f.agent()
	crowd(a, 400)
	b := a.Batch()
	tries, handed := 0, map[uint64]int{}
	for ; ; tries++ {
		err := f.tryApply(a, b)
		if err == nil {
			break
		}
		if wait, asked := retry.Asked(err); !errors.Is(err, session.ErrFull) || !asked || wait <= 0 {
			f.Fatalf("error of a full store: %v", err)
		}
		if received := f.marks(a).GetReceived(); received != 0 {
			f.Fatalf("received is %d after half a batch", received)
		}
		f.sweepAll()
		for _, s := range f.takeFor(look, time.Minute, 1000) {
			handed[s.GetNumber()] = len(s.GetHead().GetCaptured())
			f.store(s)
		}
		if tries > 1000 {
			f.Fatal("the batch never gets in")
		}
	}
	if tries == 0 {
		f.Fatal("the store took everything at once, so that nothing was tested")
	}
	for _, s := range f.takeFor(look, time.Minute, 1000) {
		handed[s.GetNumber()] = max(handed[s.GetNumber()], len(s.GetHead().GetCaptured()))
		f.store(s)
	}
	f.equal("sessions", len(handed), 400)
	for _, e := range f.results.All() {
		f.equal("packets of a session's head", len(e.Head.GetCaptured()), 2)
		f.equal("packets of a session", Packets(e.Result), uint64(2))
	}
	f.equal("results", len(f.results.All()), 400)
	f.durable(a, 1)
	ledger, err := f.Ledger.Ledger(f.Context(), "")
	f.must(err)
	f.equal("applied", ledger[0].GetApplied(), uint64(800))
	f.equal("pending", ledger[0].GetPendingSessions(), uint64(0))
}

// sweepAll moves what is due, if anything is.
func (f *fixture) sweepAll() {
	f.Helper()
	due, err := f.Store.Due(f.Context(), 1000)
	f.must(err)
	for _, d := range due {
		_, err := f.Store.Sweep(f.Context(), d)
		f.must(err)
	}
}

func halfSkipped(f *fixture) {
	f.Kill()
	f.open(Options{Bytes: 64 << 10, Steps: 16})
	a := f.agent()
	crowd(a, 400)
	if err := f.tryApply(a, a.Batch()); !errors.Is(err, session.ErrFull) {
		f.Fatalf("not full: %v", err)
	}
	f.sweepAll()
	for f.drain() > 0 {
		f.sweepAll()
	}
	a.skipped = 1 // the spool has let it go
	a.TCP("10.0.0.9:1000", "10.0.0.2:80").Up("next").End(flowv1.EndReason_END_REASON_FIN)
	f.apply(a, a.Batch())
	f.drain()
	f.durable(a, 2)
	ledger, err := f.Ledger.Ledger(f.Context(), "")
	f.must(err)
	f.equal("applied", ledger[0].GetApplied(), uint64(1))
	f.equal("gaps", ledger[0].GetGapSequences(), uint64(1))
}

func endCountsOnly(f *fixture) {
	a := f.agent()
	s := a.TCP("10.0.0.1:1000", "10.0.0.2:80").Up(repeat("x", 24)...)
	f.apply(a, a.Batch())
	f.store(f.one())
	s.End(flowv1.EndReason_END_REASON_FIN)
	f.apply(a, a.Batch())
	last := f.one()
	f.equal("packets in the head", len(last.GetHead().GetCaptured()), 0)
	f.equal("number of the head", last.GetHeadPackets(), 24)
	f.equal("ended", last.GetCounts().GetEnded(), true)
	f.equal("reason", last.GetCounts().GetEndReason(), flowv1.EndReason_END_REASON_FIN)
	f.store(last)
	f.none()
	f.durable(a, 2)
	f.equal("ended in the results", f.results.All()[0].Result.GetEnded(), true)
	f.equal("classified packets", f.results.All()[0].Result.GetClassification().GetPackets(), 24)
}

func overtakenWaiting(f *fixture) {
	a := f.agent()
	first := a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("1")
	f.apply(a, a.Batch())
	f.equal("moved", f.sweep(), 1)
	second := a.TCP("10.0.0.1:2", "10.0.0.2:80").Up("2").End(flowv1.EndReason_END_REASON_RST)
	f.apply(a, a.Batch())
	first.Up(repeat("x", 23)...)
	f.apply(a, a.Batch())
	taken := f.takeFor(patience, time.Minute, 10)
	if len(taken) != 2 {
		f.Fatalf("%d hand-overs", len(taken))
	}
	f.equal("first in the outbox", taken[0].GetNumber(), first.Number)
	f.equal("its head is the newest", taken[0].GetHeadPackets(), 24)
	f.equal("second in the outbox", taken[1].GetNumber(), second.Number)
	f.store(taken...)
	f.none()
	f.durable(a, 3)
}

func overtakenLent(f *fixture) {
	a := f.agent()
	s := a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("1")
	f.apply(a, a.Batch())
	f.sweep()
	early := f.one()
	s.Up(repeat("x", 23)...)
	f.apply(a, a.Batch())
	f.must(f.Outbox.Confirm(f.Context(), early))
	f.must(f.Outbox.Confirm(f.Context(), early)) // twice is once
	late := f.one()
	f.equal("the later head", late.GetHeadPackets(), 24)
	f.store(late)
	f.durable(a, 2)
	f.must(f.results.Put(early))
	f.must(f.Outbox.Settle(f.Context(), early)) // comes last, and takes nothing back
	f.equal("classified packets", f.results.All()[0].Result.GetClassification().GetPackets(), 24)
	f.none()
}

func olderSettled(f *fixture) {
	a := f.agent()
	s := a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("1")
	f.apply(a, a.Batch())
	f.sweep()
	early := f.one()
	s.Up("2").End(flowv1.EndReason_END_REASON_RST)
	f.apply(a, a.Batch())
	late := f.one()
	f.store(early)
	f.notDurable(a, 2)
	f.store(late)
	f.durable(a, 2)
}

func countsFirst(f *fixture) {
	a := f.agent()
	s := a.TCP("10.0.0.1:1", "10.0.0.2:80").Up(repeat("x", 24)...)
	f.apply(a, a.Batch())
	head := f.one()
	f.must(f.Outbox.Confirm(f.Context(), head)) // the queue has it, and is slow
	s.End(flowv1.EndReason_END_REASON_RST)
	f.apply(a, a.Batch())
	counts := f.one()
	f.equal("packets with the counts", len(counts.GetHead().GetCaptured()), 0)
	f.store(counts)
	f.notDurable(a, 1)
	f.store(head)
	f.durable(a, 2)
}

func durableWaits(f *fixture) {
	a := f.agent()
	slow := a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("slow").End(flowv1.EndReason_END_REASON_RST)
	f.apply(a, a.Batch())
	a.TCP("10.0.0.1:2", "10.0.0.2:80").Up("quick").End(flowv1.EndReason_END_REASON_RST)
	f.apply(a, a.Batch())
	taken := f.takeFor(patience, time.Minute, 10)
	if len(taken) != 2 || taken[0].GetNumber() != slow.Number {
		f.Fatalf("hand-overs %v", taken)
	}
	f.store(taken[1])
	f.notDurable(a, 1)
	f.must(f.Outbox.Confirm(f.Context(), taken[0])) // confirmed is not committed
	f.notDurable(a, 1)
	f.store(taken[0])
	f.durable(a, 2)
}

func durablePasses(f *fixture) {
	a := f.agent()
	f.apply(a, a.Batch()) // counters alone
	f.durable(a, 1)
	s := a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("x")
	f.apply(a, a.Batch())
	f.apply(a, a.Batch())
	f.notDurable(a, 2)
	s.End(flowv1.EndReason_END_REASON_RST)
	f.apply(a, a.Batch())
	f.store(f.one())
	f.durable(a, 4)
}

func deadline(f *fixture) {
	a := f.agent()
	start := time.Now()
	s := a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("1")
	f.apply(a, a.Batch())
	s.Up("2")
	f.apply(a, a.Batch())
	f.equal("moved", f.sweep(), 1)
	if waited := time.Since(start); waited > 12*time.Second {
		f.Errorf("handed over after %v", waited)
	}
	taken := f.one()
	f.equal("packets", taken.GetHeadPackets(), 2)
	f.store(taken)
	f.durable(a, 2)
	s.Up("3")
	f.apply(a, a.Batch())
	f.equal("moved again", f.sweep(), 1)
	again := f.one()
	f.equal("packets then", again.GetHeadPackets(), 3)
	f.equal("the whole head", len(again.GetHead().GetCaptured()), 3)
}

func lentAgain(f *fixture) {
	a := f.agent()
	a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("1").End(flowv1.EndReason_END_REASON_RST)
	f.apply(a, a.Batch())
	first := f.takeFor(patience, 200*time.Millisecond, 10)
	if len(first) != 1 {
		f.Fatalf("%d hand-overs", len(first))
	}
	again := f.takeFor(patience, time.Hour, 10)
	if len(again) != 1 || again[0].GetId() != first[0].GetId() || len(again[0].GetHead().GetCaptured()) != 1 {
		f.Fatalf("not lent again: %v", again)
	}
	f.none()
	f.store(again[0])
	f.none()
	f.durable(a, 1)
}

func twoSweepers(f *fixture) {
	a := f.agent()
	for i := range 50 {
		a.UDP("10.0.0.1:1000", "10.1.0.1:53").at(i).Up("question")
	}
	f.apply(a, a.Batch())
	var due []session.Overdue
	for len(due) == 0 {
		f.must(retry.Sleep(f.Context(), look))
		var err error
		due, err = f.Store.Due(f.Context(), 1000)
		f.must(err)
	}
	var wait sync.WaitGroup
	moved := make([]int, 2)
	for i := range moved {
		wait.Go(func() {
			for _, d := range due {
				n, err := f.Store.Sweep(f.Context(), d)
				if err != nil {
					f.Error(err)
				}
				moved[i] += n
			}
		})
	}
	wait.Wait()
	f.equal("moved by both", moved[0]+moved[1], 50)
	f.equal("handed over", f.drain(), 50)
	f.durable(a, 1)
}

func order(f *fixture) {
	a := f.agent()
	s := a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("1")
	f.apply(a, a.Batch())
	s.Up("2")
	lost := a.Batch()
	s.Up("3")
	b := a.Batch()
	if err := f.tryApply(a, b); !errors.Is(err, session.ErrOrder) {
		f.Fatalf("a hole was taken: %v", err)
	}
	b.Skipped = 2
	if err := f.tryApply(a, b); !errors.Is(err, session.ErrOrder) {
		f.Fatalf("too many skipped were taken: %v", err)
	}
	b.Skipped = 1
	f.apply(a, b)
	if err := f.tryApply(a, lost); !errors.Is(err, session.ErrOrder) {
		f.Fatalf("what was skipped was taken: %v", err)
	}
	f.equal("received", f.marks(a).GetReceived(), uint64(3))
	ledger, err := f.Ledger.Ledger(f.Context(), a.Lane.Agent)
	f.must(err)
	f.equal("gaps", ledger[0].GetGapSequences(), uint64(1))
	f.equal("applied", ledger[0].GetApplied(), uint64(2))
	f.sweep()
	taken := f.one()
	if !slices.Equal(taken.GetHead().GetOrdinals(), []uint32{0, 2}) {
		f.Errorf("ordinals %v", taken.GetHead().GetOrdinals())
	}
	f.equal("counts heal", packets(taken), 3)
	f.equal("gaps of the session", taken.GetEvidence().GetGaps(), 1)
}

func resumeRule(f *fixture) {
	for _, test := range []struct {
		name             string
		first, durable   uint64
		want, afterApply uint64
	}{
		{"new", 1, 0, 1, 2},
		{"everything is still there", 1, 7, 1, 2},
		{"durable once, forgotten here", 8, 7, 8, 9},
		{"the spool has lost some", 9, 4, 5, 6},
	} {
		a := NewAgent("agent "+test.name, 5, 0)
		hello := a.Hello(0)
		hello.FirstAvailableSequence, hello.LastDurableSequence = test.first, test.durable
		f.equal(test.name, f.resume(a, hello), test.want)
		a.sequence = test.want - 1
		f.apply(a, a.Batch())
		hello.FirstAvailableSequence = 1
		f.equal(test.name+", again", f.resume(a, hello), test.afterApply)
	}
}

func rejected(f *fixture) {
	a := f.agent()
	s := a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("1")
	f.apply(a, a.Batch())
	s.Up("2", "3")
	bad := a.Batch()
	f.apply(a, &ingestv1.Batch{Sequence: bad.GetSequence()})
	f.equal("received", f.marks(a).GetReceived(), uint64(2))
	s.Up("4").End(flowv1.EndReason_END_REASON_RST)
	f.apply(a, a.Batch())
	ledger, err := f.Ledger.Ledger(f.Context(), "")
	f.must(err)
	f.equal("rejected", ledger[0].GetRejected(), uint64(2))
	f.equal("applied", ledger[0].GetApplied(), uint64(2))
	f.store(f.one())
	f.durable(a, 3)
}

func fenced(f *fixture) {
	a := f.agent()
	a.TCP("10.0.0.1:1", "10.0.0.2:80").Up("1")
	first, b := f.fences[a.Lane], a.Batch()
	f.resume(a, a.Hello(0))
	second := f.fences[a.Lane]
	f.fences[a.Lane] = first
	if err := f.tryApply(a, b); !errors.Is(err, session.ErrFenced) {
		f.Fatalf("the older stream was heard: %v", err)
	}
	f.fences[a.Lane] = second
	f.apply(a, b)
	if err := f.tryApply(NewAgent("nobody", 3, 0), b); !errors.Is(err, session.ErrFenced) {
		f.Fatalf("a lane that nobody resumed: %v", err)
	}
}
