// Package uplinktest is a collector for tests of the agent: an IngestService that keeps the contract to the letter,
// remembers every batch that it applied, and does wrong only what a test asks it to.
package uplinktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
	"sonde.example/internal/testenv"
)

// Verdict is what a test wants done with a batch.
type Verdict struct {
	// Kill ends the stream without an answer; After is whether the batch is applied before.
	Kill, After bool
	// Reject answers with this, instead of applying the batch.
	Reject *ingestv1.Rejection
	// Drain asks for the end of the stream.
	Drain bool
	// Enough is sent as a directive after the ack.
	Enough []uint64
}

// Lane is what the collector has of one lane.
type Lane struct {
	Received, Durable uint64
	// Batches are those applied, in order; Gaps the sequences that never came; Rejected those rejected for good.
	Batches        []*ingestv1.Batch
	Gaps, Rejected []uint64
	Hellos         []*ingestv1.Hello
	// Wrong is what the agent did against the contract.
	Wrong []string
}

// Collector is a collector for tests.
type Collector struct {
	ingestv1.UnimplementedIngestServiceServer

	// OnBatch, if set, is asked about each batch that is next in order. It must not block.
	OnBatch func(b *ingestv1.Batch) Verdict
	// Keep makes acks leave durable behind by so many batches.
	Keep uint64

	mu      sync.Mutex // guards what follows
	window  uint64
	lanes   map[[2]uint64]*Lane
	fences  map[[2]uint64]uint64
	changed chan struct{}
}

// New returns a collector with a window of 1 MiB.
func New() *Collector {
	return &Collector{window: 1 << 20, lanes: map[[2]uint64]*Lane{}, fences: map[[2]uint64]uint64{}, changed: make(chan struct{})}
}

// Serve serves until the test ends, or until stop is called, and returns a dialer that reaches it.
func (c *Collector) Serve(t testing.TB, certificates *mtls.Source) (dial func(context.Context, string) (net.Conn, error), stop func()) {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := rpc.NewServer(rpc.ServerOptions{
		Certificates: certificates, Log: testenv.Log(t), DrainTimeout: 1,
		Table: rpc.Table{ingestv1.IngestService_Ingest_FullMethodName: {mtls.RoleAgent}},
	})
	ingestv1.RegisterIngestServiceServer(server, c)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Run(ctx, listener) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }, stop
}

// SetWindow changes the window and tells all streams.
func (c *Collector) SetWindow(bytes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.window = bytes
	c.tell()
}

// SetDurable makes everything received durable and tells all streams.
func (c *Collector) SetDurable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Keep = 0
	for _, lane := range c.lanes {
		lane.Durable = lane.Received
	}
	c.tell()
}

// Lane waits until the lane is as a test wants it, and returns it as it is then.
func (c *Collector) Lane(t testing.TB, epoch uint64, lane uint32, until func(Lane) bool) Lane {
	t.Helper()
	for {
		c.mu.Lock()
		l := *c.lane(epoch, lane)
		changed := c.changed
		c.mu.Unlock()
		if until(l) {
			return l
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("lane never came to be as wanted: received %d, wrong %q", l.Received, l.Wrong)
		}
	}
}

func (c *Collector) lane(epoch uint64, lane uint32) *Lane {
	id := [2]uint64{epoch, uint64(lane)}
	if c.lanes[id] == nil {
		c.lanes[id] = &Lane{}
	}
	return c.lanes[id]
}

func (c *Collector) tell() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Ingest implements the service.
func (c *Collector) Ingest(up ingestv1.IngestService_IngestServer) error {
	first, err := up.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return status.Error(codes.FailedPrecondition, "first message is no Hello")
	}
	s := &stream{c: c, up: up, id: [2]uint64{hello.GetEpoch(), uint64(hello.GetLane())}}
	c.mu.Lock()
	c.fences[s.id]++
	s.fence = c.fences[s.id]
	lane := c.lane(hello.GetEpoch(), hello.GetLane())
	lane.Hellos = append(lane.Hellos, hello)
	s.next = max(lane.Received+1, min(hello.GetFirstAvailableSequence(), hello.GetLastDurableSequence()+1))
	welcome := &ingestv1.Welcome{ResumeSequence: s.next, WindowBytes: c.window, MaxBatchBytes: 4 << 20, MaxBatchPackets: 65536}
	c.tell()
	c.mu.Unlock()
	if err := up.Send(&ingestv1.IngestResponse{Message: &ingestv1.IngestResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	requests, failed := make(chan *ingestv1.IngestRequest), make(chan error, 1)
	go func() {
		for {
			request, err := up.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case requests <- request:
			case <-up.Context().Done():
				return
			}
		}
	}()
	return s.serve(requests, failed)
}

// stream is one stream of a lane.
type stream struct {
	c        *Collector
	up       ingestv1.IngestService_IngestServer
	id       [2]uint64
	fence    uint64
	next     uint64 // sequence expected
	ignoring bool   // until next comes again
	told     *ingestv1.Ack
}

func (s *stream) serve(requests <-chan *ingestv1.IngestRequest, failed <-chan error) error {
	for {
		ack, changed, fenced := s.ack()
		if fenced {
			return status.Error(codes.Aborted, "fenced")
		}
		if !proto.Equal(ack, s.told) {
			s.told = ack
			if err := s.up.Send(&ingestv1.IngestResponse{Message: &ingestv1.IngestResponse_Ack{Ack: ack}}); err != nil {
				return err
			}
		}
		select {
		case request := <-requests:
			if err := s.batch(request.GetBatch()); err != nil {
				return err
			}
		case err := <-failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case <-changed:
		case <-rpc.Draining(s.up.Context()):
			return status.Error(codes.Unavailable, "stopped")
		}
	}
}

func (s *stream) ack() (ack *ingestv1.Ack, changed <-chan struct{}, fenced bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	lane := s.c.lane(s.id[0], uint32(s.id[1]))
	lane.Durable = max(lane.Durable, lane.Received-min(lane.Received, s.c.Keep))
	ack = &ingestv1.Ack{Received: lane.Received, Durable: lane.Durable, WindowBytes: s.c.window}
	return ack, s.c.changed, s.c.fences[s.id] != s.fence
}

func (s *stream) batch(b *ingestv1.Batch) error {
	if b == nil {
		return status.Error(codes.FailedPrecondition, "no batch")
	}
	answers, err := s.apply(b)
	for _, answer := range answers {
		if err := s.up.Send(answer); err != nil {
			return err
		}
	}
	return err
}

// apply does what the contract says, or what the test wants.
func (s *stream) apply(b *ingestv1.Batch) (answers []*ingestv1.IngestResponse, err error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	lane := c.lane(s.id[0], uint32(s.id[1]))
	if s.ignoring {
		if b.GetSequence()-uint64(b.GetSkipped()) > s.next || b.GetSequence() < s.next {
			return nil, nil
		}
		s.ignoring = false
	}
	if b.GetSequence() != s.next+uint64(b.GetSkipped()) {
		lane.Wrong = append(lane.Wrong, fmt.Sprintf("sequence %d, skipped %d, where %d was next", b.GetSequence(), b.GetSkipped(), s.next))
		return s.reject(&ingestv1.Rejection{Sequence: s.next, Reason: ingestv1.RejectionReason_REJECTION_REASON_OUT_OF_ORDER, RetryDelay: durationpb.New(0)}), nil
	}
	verdict := Verdict{}
	if c.OnBatch != nil {
		verdict = c.OnBatch(b)
	}
	defer c.tell()
	if verdict.Kill && !verdict.After {
		return nil, status.Error(codes.Unavailable, "killed")
	}
	if r := verdict.Reject; r != nil {
		r.Sequence = s.next
		if r.RetryDelay == nil {
			r.Sequence = b.GetSequence()
			lane.Rejected = append(lane.Rejected, b.GetSequence())
			s.advance(lane, b)
			return s.wrap(r), nil
		}
		return s.reject(r), nil
	}
	lane.Batches = append(lane.Batches, b)
	s.advance(lane, b)
	switch {
	case verdict.Kill:
		return nil, status.Error(codes.Unavailable, "killed")
	case verdict.Drain:
		answers = append(answers, &ingestv1.IngestResponse{Message: &ingestv1.IngestResponse_Drain{Drain: &ingestv1.Drain{Grace: durationpb.New(1e9)}}})
	case len(verdict.Enough) > 0:
		answers = append(answers, &ingestv1.IngestResponse{Message: &ingestv1.IngestResponse_Directive{Directive: &ingestv1.Directive{Enough: verdict.Enough}}})
	}
	return answers, nil
}

func (s *stream) advance(lane *Lane, b *ingestv1.Batch) {
	for gap := s.next; gap < b.GetSequence(); gap++ {
		lane.Gaps = append(lane.Gaps, gap)
	}
	lane.Received = b.GetSequence()
	s.next = lane.Received + 1
}

func (s *stream) reject(r *ingestv1.Rejection) []*ingestv1.IngestResponse {
	s.ignoring = true
	return s.wrap(r)
}

func (s *stream) wrap(r *ingestv1.Rejection) []*ingestv1.IngestResponse {
	return []*ingestv1.IngestResponse{{Message: &ingestv1.IngestResponse_Rejection{Rejection: r}}}
}
