package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/retry"
	"sonde.example/internal/rpc"
)

// Reasons in the status that ends a stream.
const (
	ReasonGrammar  = "STREAM_GRAMMAR" // no hello first, a second one, or something unreadable
	ReasonFenced   = "STREAM_FENCED"  // a newer stream has the lane
	ReasonDraining = "DRAINING"       // the agent did not close its side in time
)

// answersHeld bounds the answers that wait for being sent, apart from acks, of which only the newest waits. An agent that
// does not read them stops being read from.
const answersHeld = 16

// drainRetry is when an agent that was cut may come back; elsewhere it may at once.
const drainRetry = time.Second

// ErrFenced ends a stream whose lane another one has taken over.
var ErrFenced = status.Error(codes.Aborted, "another stream has taken over the lane")

// stream is one lane's connection. The handler's goroutine sends; receive and follow are its other two.
//
//	receive: messages -> sink -> answers --.
//	follow:  marks ----------------> acks --+--> send
//	draining, fenced -----------------------'
type stream struct {
	service *Service
	grpc    grpc.ServerStream
	ctx     context.Context //nolint:containedctx // the stream is the call
	end     context.CancelCauseFunc

	lane    packet.Lane
	fence   uint64
	answers chan *ingestv1.IngestResponse
	acks    chan *ingestv1.Ack // holds the newest one only
	done    chan error         // what ended receive; nil when the agent closed its side
	resumed chan struct{}      // closed when lane, fence and received are set

	received uint64 // the last sequence taken; receive's
	awaiting bool   // ignoring everything until received + 1 comes again; receive's
}

// Ingest implements IngestService.
func (s *Service) Ingest(call grpc.BidiStreamingServer[ingestv1.IngestRequest, ingestv1.IngestResponse]) error {
	id, known := rpc.Caller(call.Context())
	if !known {
		return status.Error(codes.Unauthenticated, "no verified certificate")
	}
	ctx, end := context.WithCancelCause(call.Context())
	defer end(nil)
	st := &stream{
		service: s, grpc: call, ctx: ctx, end: end,
		answers: make(chan *ingestv1.IngestResponse, answersHeld), acks: make(chan *ingestv1.Ack, 1), done: make(chan error, 1),
		resumed: make(chan struct{}),
	}
	hello := make(chan *ingestv1.Hello, 1)
	s.receivers.Go(func() { st.done <- st.receive(hello) })
	select {
	case err := <-st.done:
		if err == nil { // it closed its side before it said anything
			err = rpc.FailedPrecondition(ReasonGrammar, "no hello")
		}
		return err
	case h := <-hello:
		if err := checkHello(h); err != nil {
			return err
		}
		st.lane = packet.Lane{Agent: id.ID, Epoch: h.GetEpoch(), Index: h.GetLane()}
		return st.run(h)
	case <-time.After(s.o.HelloTimeout):
		return rpc.FailedPrecondition(ReasonGrammar, "no hello within %v", s.o.HelloTimeout)
	case <-rpc.Draining(ctx):
		return rpc.Unavailable(drainRetry, ReasonDraining, "the collector drains")
	}
}

// run serves a lane after its hello.
func (st *stream) run(hello *ingestv1.Hello) error {
	s := st.service
	s.enter(st)
	defer s.leave(st)
	address := ""
	if p, ok := peer.FromContext(st.ctx); ok {
		address = p.Addr.String()
	}
	defer s.presence.come(st.lane, hello, address)()

	welcome, fence, err := s.sink.Resume(st.ctx, st.lane, hello)
	if err != nil {
		return st.cause(fmt.Errorf("resume lane: %w", err))
	}
	st.fence, st.received = fence, welcome.GetResumeSequence()-1
	welcome.MaxBatchBytes, welcome.MaxBatchPackets = MaxBatchBytes, MaxBatchPackets
	if err := st.send(&ingestv1.IngestResponse{Message: &ingestv1.IngestResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	s.log.Info("lane connected", "agent", st.lane.Agent, "epoch", st.lane.Epoch, "lane", st.lane.Index, "peer", address,
		"sequence", welcome.GetResumeSequence())
	close(st.resumed)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		st.end(st.follow())
	}()
	err = st.answer()
	st.end(err)
	<-followed
	reason := "done"
	if err != nil {
		reason = err.Error()
	}
	s.log.Info("lane disconnected", "agent", st.lane.Agent, "epoch", st.lane.Epoch, "lane", st.lane.Index, "reason", reason)
	return err
}

// cause prefers the reason for which the stream was ended to what came of it.
func (st *stream) cause(err error) error {
	if cause := context.Cause(st.ctx); cause != nil && !errors.Is(cause, st.ctx.Err()) {
		return cause
	}
	return err
}

// follow passes on the newest marks until the stream ends.
func (st *stream) follow() error {
	var seen *ingestv1.Ack
	for {
		marks, err := st.service.sink.NextMarks(st.ctx, st.lane, seen)
		if err != nil {
			return err
		}
		seen = marks
		select {
		case <-st.acks: // nobody has taken it yet
		default:
		}
		st.acks <- marks
	}
}

// answer sends until the agent has closed its side and has the last ack, or the stream cannot go on.
func (st *stream) answer() error {
	var (
		draining = rpc.Draining(st.ctx)
		grace    <-chan time.Time
		late     = time.NewTimer(0)
		last     time.Time // when an ack was sent
		pending  *ingestv1.Ack
	)
	<-late.C
	defer late.Stop()
	for {
		var err error
		select {
		case answer := <-st.answers:
			err = st.send(answer)
		case marks := <-st.acks:
			if pending == nil {
				late.Reset(max(0, st.service.o.AckDelay-time.Since(last)))
			}
			pending = marks
		case <-late.C:
			err = st.ack(pending)
			pending, last = nil, time.Now()
		case err = <-st.done:
			if err == nil {
				return st.finish()
			}
		case <-draining:
			draining, grace = nil, time.After(st.service.o.DrainGrace)
			err = st.send(&ingestv1.IngestResponse{Message: &ingestv1.IngestResponse_Drain{
				Drain: &ingestv1.Drain{Grace: durationpb.New(st.service.o.DrainGrace)},
			}})
		case <-grace:
			err = rpc.Unavailable(drainRetry, ReasonDraining, "the agent did not close its side within %v", st.service.o.DrainGrace)
		case <-st.ctx.Done():
			err = st.ctx.Err()
		}
		if err != nil {
			return st.cause(err)
		}
	}
}

// finish sends what is left to say after the agent closed its side: answers, and the last ack.
func (st *stream) finish() error {
	for {
		select {
		case answer := <-st.answers:
			if err := st.send(answer); err != nil {
				return err
			}
			continue
		default:
		}
		marks, err := st.service.sink.NextMarks(st.ctx, st.lane, nil)
		if err != nil {
			return st.cause(fmt.Errorf("last marks: %w", err))
		}
		return st.ack(marks)
	}
}

func (st *stream) ack(marks *ingestv1.Ack) error {
	return st.send(&ingestv1.IngestResponse{Message: &ingestv1.IngestResponse_Ack{Ack: marks}})
}

func (st *stream) send(answer *ingestv1.IngestResponse) error { return st.grpc.SendMsg(answer) }

// say queues an answer for sending.
func (st *stream) say(answer *ingestv1.IngestResponse) error {
	select {
	case st.answers <- answer:
		return nil
	case <-st.ctx.Done():
		return context.Cause(st.ctx)
	}
}

// receive takes messages in until the agent closes its side, which is no error.
func (st *stream) receive(hello chan<- *ingestv1.Hello) error {
	for first := true; ; first = false {
		err := st.receiveOne(first, hello)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (st *stream) receiveOne(first bool, hello chan<- *ingestv1.Hello) error {
	s := st.service
	in := inbound{service: s}
	defer in.free()
	if err := st.grpc.RecvMsg(&in); err != nil {
		return err
	}
	r := in.request
	switch {
	case first && r.hello == nil || !first && r.hello != nil:
		return rpc.FailedPrecondition(ReasonGrammar, "one hello comes first")
	case first:
		hello <- r.hello
		select {
		case <-st.resumed: // the lane is known, and where it goes on
			return nil
		case <-st.ctx.Done():
			return context.Cause(st.ctx)
		}
	}
	release, err := s.admission.acquire(st.ctx, st.lane.Agent, r.size)
	if err != nil {
		return err
	}
	defer release()
	return st.take(r)
}

// take checks a batch's place, applies it, and says what is to be said.
func (st *stream) take(r *request) error {
	b := &r.batch
	st.service.presence.hear(st.lane)
	next := st.received + 1
	if b.GetSequence() != next+uint64(b.GetSkipped()) {
		if st.awaiting {
			return nil
		}
		st.awaiting = true
		return st.reject(next, &fault{ingestv1.RejectionReason_REJECTION_REASON_OUT_OF_ORDER,
			fmt.Sprintf("batch %d, %d skipped, came after %d", b.GetSequence(), b.GetSkipped(), st.received)}, durationpb.New(0))
	}
	st.awaiting = false
	if r.fault != nil {
		// Applied empty, so that the watermark passes it.
		b = &ingestv1.Batch{Sequence: b.GetSequence(), Skipped: b.GetSkipped()}
	}
	enough, err := st.service.sink.Apply(st.ctx, st.lane, st.fence, b)
	if delay, ok := retry.Asked(err); ok {
		st.awaiting = true
		return st.reject(next, &fault{ingestv1.RejectionReason_REJECTION_REASON_FULL, err.Error()}, durationpb.New(delay))
	}
	if err != nil {
		return fmt.Errorf("apply batch %d: %w", b.GetSequence(), err)
	}
	st.received = b.GetSequence()
	st.count(r)
	if r.fault != nil {
		return st.reject(b.GetSequence(), r.fault, nil)
	}
	if len(enough) > 0 {
		return st.say(&ingestv1.IngestResponse{Message: &ingestv1.IngestResponse_Directive{
			Directive: &ingestv1.Directive{Enough: enough},
		}})
	}
	return nil
}

func (st *stream) count(r *request) {
	if r.fault != nil {
		return
	}
	c := &st.service.counts
	c.batches.Add(1)
	c.packets.Add(uint64(len(r.batch.GetSessionIndex())))
	c.bytes.Add(uint64(r.size))
}

// reject tells that a batch was not taken: without a delay for good, otherwise until sequence comes again.
func (st *stream) reject(sequence uint64, f *fault, delay *durationpb.Duration) error {
	st.service.counts.rejected[f.reason].Add(1)
	level := st.service.log.Debug
	if delay == nil {
		level = st.service.log.Warn
	}
	level("batch rejected", "agent", st.lane.Agent, "lane", st.lane.Index, "sequence", sequence, "reason", f.reason.String(),
		"detail", f.detail)
	return st.say(&ingestv1.IngestResponse{Message: &ingestv1.IngestResponse_Rejection{Rejection: &ingestv1.Rejection{
		Sequence: sequence, Reason: f.reason, RetryDelay: delay, Detail: f.detail,
	}}})
}
