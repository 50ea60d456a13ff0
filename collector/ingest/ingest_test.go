package ingest_test

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"sonde.example/collector/ingest"
	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/mtls"
	"sonde.example/internal/packet"
	"sonde.example/internal/retry"
	"sonde.example/internal/rpc"
)

// sink takes batches as a store would. Its fields are set before use.
type sink struct {
	refuse func(b *ingestv1.Batch) error // asked before a batch is taken

	mu      sync.Mutex // guards what follows
	fences  map[packet.Lane]uint64
	marks   ingestv1.Ack
	changed chan struct{}
	applied []*ingestv1.Batch
	times   []time.Time
}

var errFenced = errors.New("fenced")

func newSink() *sink {
	return &sink{fences: map[packet.Lane]uint64{}, changed: make(chan struct{}), marks: ingestv1.Ack{WindowBytes: 1 << 20}}
}

func (s *sink) Resume(_ context.Context, lane packet.Lane, hello *ingestv1.Hello) (*ingestv1.Welcome, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fences[lane]++
	resume := max(s.marks.GetReceived()+1, min(hello.GetFirstAvailableSequence(), hello.GetLastDurableSequence()+1))
	s.marks.Received = resume - 1
	return &ingestv1.Welcome{ResumeSequence: resume, WindowBytes: s.marks.GetWindowBytes()}, s.fences[lane], nil
}

func (s *sink) NextMarks(ctx context.Context, _ packet.Lane, seen *ingestv1.Ack) (*ingestv1.Ack, error) {
	for {
		s.mu.Lock()
		marks, changed := proto.CloneOf(&s.marks), s.changed
		s.mu.Unlock()
		if !proto.Equal(marks, seen) {
			return marks, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *sink) Apply(_ context.Context, lane packet.Lane, fence uint64, b *ingestv1.Batch) ([]uint64, error) {
	if s.refuse != nil {
		if err := s.refuse(b); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if fence != s.fences[lane] {
		return nil, errFenced
	}
	if b.GetSequence() != s.marks.GetReceived()+1+uint64(b.GetSkipped()) {
		return nil, errors.New("out of order")
	}
	s.applied, s.times = append(s.applied, proto.CloneOf(b)), append(s.times, time.Now())
	s.move(func() { s.marks.Received = b.GetSequence() })
	var enough []uint64
	for _, u := range b.GetSessions() {
		if u.GetCounts().GetForwardPackets() > 1<<20 {
			enough = append(enough, u.GetNumber())
		}
	}
	return enough, nil
}

// move changes the marks; the caller holds mu.
func (s *sink) move(change func()) {
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *sink) durable(sequence uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.move(func() { s.marks.Durable = sequence })
}

func (s *sink) sequences() (got []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.applied {
		got = append(got, b.GetSequence())
	}
	return got
}

// callerStream is a stream whose caller is known, as the real server's interceptor makes it.
type callerStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s callerStream) Context() context.Context { return s.ctx }

type site struct {
	*testing.T
	service  *ingest.Service
	client   ingestv1.IngestServiceClient
	draining chan struct{}
}

// serve runs a service over an in-memory connection, in the bubble that the test runs in.
func serve(t *testing.T, s ingest.Sink, o ingest.Options) *site {
	st := &site{T: t, service: ingest.New(s, o), draining: make(chan struct{})}
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.ForceServerCodecV2(rpc.Codec(rpc.NewBufferPool())), grpc.MaxRecvMsgSize(rpc.DefaultMaxMessageBytes),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			id := mtls.Identity{Role: mtls.RoleAgent, ID: "agent-1"}
			err := handler(srv, callerStream{stream, rpc.WithCaller(stream.Context(), id, st.draining)})
			if errors.Is(err, errFenced) {
				return ingest.ErrFenced
			}
			return err
		}))
	st.service.Register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(16<<20)))
	if err != nil {
		t.Fatal(err)
	}
	st.client = ingestv1.NewIngestServiceClient(conn)
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		st.service.Wait()
	})
	return st
}

type stream struct {
	*site
	grpc.BidiStreamingClient[ingestv1.IngestRequest, ingestv1.IngestResponse]
	passed *ingestv1.Ack // came before a rejection that was waited for
}

func (s *site) open() *stream {
	s.Helper()
	call, err := s.client.Ingest(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return &stream{site: s, BidiStreamingClient: call}
}

func (s *stream) say(r *ingestv1.IngestRequest) {
	s.Helper()
	if err := s.Send(r); err != nil && !errors.Is(err, io.EOF) {
		s.Fatal(err)
	}
}

func (s *stream) batch(b *ingestv1.Batch) {
	s.Helper()
	s.say(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Batch{Batch: b}})
}

func (s *stream) hello(h *ingestv1.Hello) {
	s.say(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Hello{Hello: h}})
}

func (s *stream) next() *ingestv1.IngestResponse {
	s.Helper()
	r, err := s.Recv()
	if err != nil {
		s.Fatal(err)
	}
	return r
}

// connect opens a stream and says hello.
func (s *site) connect() (*stream, *ingestv1.Welcome) {
	s.Helper()
	st := s.open()
	st.hello(newHello())
	welcome := st.next().GetWelcome()
	if welcome == nil {
		s.Fatal("no welcome first")
	}
	return st, welcome
}

// rejection reads on to the next rejection, which an ack of a later batch may overtake.
func (s *stream) rejection() *ingestv1.Rejection {
	s.Helper()
	for {
		answer := s.next()
		if r := answer.GetRejection(); r != nil {
			return r
		}
		if a := answer.GetAck(); a != nil {
			s.passed = a
		}
	}
}

// received reads on until an ack has reached a sequence.
func (s *stream) received(sequence uint64) *ingestv1.Ack {
	s.Helper()
	a := s.passed
	s.passed = nil
	for a == nil || a.GetReceived() < sequence {
		a = s.next().GetAck()
	}
	return a
}

// end reads on to the stream's status.
func (s *stream) end() error {
	for {
		if _, err := s.Recv(); err != nil {
			return err
		}
	}
}

func newHello() *ingestv1.Hello {
	return &ingestv1.Hello{Epoch: 5, FirstAvailableSequence: 1, Version: "test", CapturePoints: []*ingestv1.CapturePoint{{Name: "file:x"}}}
}

// newBatch has one session with two packets.
func newBatch(sequence uint64) *ingestv1.Batch {
	b := &ingestv1.Batch{
		Sequence: sequence,
		Sessions: []*ingestv1.SessionUpdate{{
			Number: 1, Opened: sequence == 1,
			FiveTuple: &flowv1.FiveTuple{
				ClientAddress: []byte{10, 0, 0, 1}, ClientPort: 1000, ServerAddress: []byte{10, 0, 0, 2}, ServerPort: 80, IpProtocol: 6,
			},
			Scope:  &flowv1.Scope{VlanIds: []uint32{7, 4094}, Tunnel: flowv1.TunnelKind_TUNNEL_KIND_VXLAN, TunnelId: 9},
			Counts: &flowv1.Counts{ForwardPackets: 2 * sequence, ForwardBytes: 6, OpenedTimeNs: -5, LastTimeNs: 77, ForwardTcpFlags: 18},
		}},
		Interfaces: []*flowv1.Interface{{CapturePoint: "file:x", LinkType: 1}},
		BaseTimeNs: 1_700_000_000_000_000_000, SessionIndex: []uint32{0, 0}, TimeDeltasNs: []int64{0, -3}, Captured: []uint32{2, 300},
		Missing: []uint32{0, 70000}, Flags: []uint32{0, 3}, InterfaceIndexes: []uint32{0, 0},
		Counters: &ingestv1.Counters{Seen: 2, Accepted: 2}, Spool: &ingestv1.SpoolCounters{Dropped: 1}, ConfigRevision: 3,
		Data: make([]byte, 302),
	}
	b.Crc32C = crc32.Checksum(b.GetData(), crc32.MakeTable(crc32.Castagnoli))
	return b
}

func TestBatchesArriveAsTheyWereSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		st, welcome := serve(t, s, ingest.Options{}).connect()
		if welcome.GetResumeSequence() != 1 || welcome.GetMaxBatchBytes() != ingest.MaxBatchBytes {
			t.Errorf("welcome %v", welcome)
		}
		for sequence := range uint64(3) {
			st.batch(newBatch(sequence + 1))
		}
		st.received(3)
		for i, got := range s.applied {
			if want := newBatch(uint64(i + 1)); !proto.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		}
		if err := st.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := st.end(); !errors.Is(err, io.EOF) {
			t.Errorf("after closing: %v", err)
		}
	})
}

func TestAcksAreAtMostFiftyMillisecondsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		st, _ := serve(t, s, ingest.Options{}).connect()
		go func() {
			for sequence := range uint64(200) {
				st.batch(newBatch(sequence + 1))
				time.Sleep(3 * time.Millisecond)
			}
		}()
		acks := 0
		for received := uint64(0); received < 200; acks++ {
			ack := st.received(0)
			received = ack.GetReceived()
			s.mu.Lock()
			if n := int(received); n < len(s.times) { // the first batch that this ack leaves out
				if late := time.Since(s.times[n]); late > 50*time.Millisecond {
					t.Errorf("batch %d is acknowledged after more than %v", n+1, late)
				}
			}
			s.mu.Unlock()
		}
		if acks > 20 {
			t.Errorf("%d acks in 600 ms", acks)
		}
		s.durable(200)
		if ack := st.received(200); ack.GetDurable() != 200 {
			t.Errorf("ack %v", ack)
		}
	})
}

func TestPoisonedBatchesAreRejectedForGood(t *testing.T) {
	for _, test := range []struct {
		name   string
		spoil  func(b *ingestv1.Batch)
		reason ingestv1.RejectionReason
	}{
		{"wrong checksum", func(b *ingestv1.Batch) { b.Data[7]++ }, ingestv1.RejectionReason_REJECTION_REASON_CHECKSUM},
		{"short column", func(b *ingestv1.Batch) { b.Flags = b.Flags[:1] }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"session out of range", func(b *ingestv1.Batch) { b.SessionIndex[1] = 1 }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"interface out of range", func(b *ingestv1.Batch) { b.InterfaceIndexes[1] = 1 }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"opened out of range", func(b *ingestv1.Batch) { b.Sessions[0].InterfaceIndex = 9 }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"sum of captured", func(b *ingestv1.Batch) { b.Captured[1]++ }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"no counters", func(b *ingestv1.Batch) { b.Counters = nil }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"no five-tuple", func(b *ingestv1.Batch) { b.Sessions[0].FiveTuple = nil }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"no counts", func(b *ingestv1.Batch) { b.Sessions[0].Counts = nil }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"nothing counted", func(b *ingestv1.Batch) { b.Sessions[0].Counts.ForwardPackets = 0 }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"address of 5 bytes", func(b *ingestv1.Batch) { b.Sessions[0].FiveTuple.ClientAddress = make([]byte, 5) }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"port", func(b *ingestv1.Batch) { b.Sessions[0].FiveTuple.ClientPort = 70000 }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"VLAN", func(b *ingestv1.Batch) { b.Sessions[0].Scope.VlanIds[0] = 4095 }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"tunnel", func(b *ingestv1.Batch) { b.Sessions[0].Scope.Tunnel = 99 }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"seventeen ports", func(b *ingestv1.Batch) {
			b.Interfaces[0].TunnelPorts = &flowv1.TunnelPorts{Geneve: slices.Repeat([]uint32{6081}, 17)}
		}, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"port 0", func(b *ingestv1.Batch) {
			b.Interfaces[0].TunnelPorts = &flowv1.TunnelPorts{Vxlan: []uint32{0}}
		}, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"port 65536", func(b *ingestv1.Batch) {
			b.Interfaces[0].TunnelPorts = &flowv1.TunnelPorts{Teredo: []uint32{3544, 65536}}
		}, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"ended without a reason", func(b *ingestv1.Batch) { b.Sessions[0].Counts.Ended = true }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"time backwards", func(b *ingestv1.Batch) { b.Sessions[0].Counts.LastTimeNs = -6 }, ingestv1.RejectionReason_REJECTION_REASON_MALFORMED},
		{"too many bytes", func(b *ingestv1.Batch) {
			b.Data = make([]byte, ingest.MaxBatchBytes+1)
			b.Captured[1] = ingest.MaxBatchBytes - 1
		}, ingestv1.RejectionReason_REJECTION_REASON_TOO_LARGE},
		{"too many packets", func(b *ingestv1.Batch) { b.SessionIndex = make([]uint32, ingest.MaxBatchPackets+1) }, ingestv1.RejectionReason_REJECTION_REASON_TOO_LARGE},
		{"too many sessions", func(b *ingestv1.Batch) {
			for range ingest.MaxBatchSessions {
				b.Sessions = append(b.Sessions, b.Sessions[0])
			}
		}, ingestv1.RejectionReason_REJECTION_REASON_TOO_LARGE},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSink()
				st, _ := serve(t, s, ingest.Options{}).connect()
				bad := newBatch(1)
				test.spoil(bad)
				st.batch(bad)
				st.batch(newBatch(2))
				r := st.rejection()
				if r.GetSequence() != 1 || r.GetReason() != test.reason || r.GetRetryDelay() != nil || r.GetDetail() == "" {
					t.Errorf("rejection %v", r)
				}
				st.received(2)
				if first := s.applied[0]; !proto.Equal(first, &ingestv1.Batch{Sequence: 1}) {
					t.Errorf("the rejected batch was applied as %v", first)
				}
				if len(s.applied) != 2 || !proto.Equal(s.applied[1], newBatch(2)) {
					t.Errorf("the next one was not applied: %v", s.applied)
				}
			})
		})
	}
}

func TestOnlyTheNextSequenceIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		st, _ := serve(t, s, ingest.Options{}).connect()
		st.batch(newBatch(1))
		for _, sequence := range []uint64{3, 4, 1, 9} { // one rejection for all of them
			st.batch(newBatch(sequence))
		}
		r := st.rejection()
		if r.GetSequence() != 2 || r.GetReason() != ingestv1.RejectionReason_REJECTION_REASON_OUT_OF_ORDER ||
			r.GetRetryDelay() == nil || r.GetRetryDelay().AsDuration() != 0 {
			t.Errorf("rejection %v", r)
		}
		again := newBatch(4)
		again.Skipped = 2 // reaches back to 2
		st.batch(again)
		st.received(4)
		st.batch(newBatch(4))
		if r := st.rejection(); r.GetSequence() != 5 {
			t.Errorf("rejection %v", r)
		}
		if got := s.sequences(); len(got) != 2 || got[1] != 4 {
			t.Errorf("applied %v", got)
		}
	})
}

func TestFullIsAskedAgainAfterItsDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		refusals := 1
		s.refuse = func(b *ingestv1.Batch) error {
			if b.GetSequence() == 2 && refusals > 0 {
				refusals--
				return retry.After(errors.New("full"), 250*time.Millisecond)
			}
			return nil
		}
		st, _ := serve(t, s, ingest.Options{}).connect()
		for sequence := range uint64(4) {
			st.batch(newBatch(sequence + 1))
		}
		r := st.rejection()
		if r.GetSequence() != 2 || r.GetReason() != ingestv1.RejectionReason_REJECTION_REASON_FULL ||
			r.GetRetryDelay().AsDuration() != 250*time.Millisecond {
			t.Errorf("rejection %v", r)
		}
		synctest.Wait()
		if got := s.sequences(); len(got) != 1 {
			t.Errorf("applied %v while the agent was to wait", got)
		}
		st.batch(newBatch(2))
		st.batch(newBatch(3))
		st.received(3)
	})
}

func TestDirectivesComeDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, _ := serve(t, newSink(), ingest.Options{}).connect()
		b := newBatch(1)
		b.Sessions[0].Counts.ForwardPackets = 1<<20 + 1
		st.batch(b)
		for {
			if d := st.next().GetDirective(); d != nil {
				if len(d.GetEnough()) != 1 || d.GetEnough()[0] != 1 {
					t.Errorf("directive %v", d)
				}
				return
			}
		}
	})
}

func TestTheStreamsGrammar(t *testing.T) {
	for _, test := range []struct {
		name string
		say  func(s *stream)
		code codes.Code
	}{
		{"batch first", func(s *stream) { s.batch(newBatch(1)) }, codes.FailedPrecondition},
		{"second hello", func(s *stream) { s.hello(newHello()); s.hello(newHello()) }, codes.FailedPrecondition},
		{"nothing at all", func(s *stream) { _ = s.CloseSend() }, codes.FailedPrecondition},
		{"silence", func(*stream) {}, codes.FailedPrecondition},
		{"empty message", func(s *stream) { s.say(&ingestv1.IngestRequest{}) }, codes.Internal},
		{"no epoch", func(s *stream) { h := newHello(); h.Epoch = 0; s.hello(h) }, codes.InvalidArgument},
		{"lane", func(s *stream) { h := newHello(); h.Lane = 16; s.hello(h) }, codes.InvalidArgument},
		{"first sequence", func(s *stream) { h := newHello(); h.FirstAvailableSequence = 0; s.hello(h) }, codes.InvalidArgument},
		{"last sequence", func(s *stream) { h := newHello(); h.LastDurableSequence = 1<<64 - 1; s.hello(h) }, codes.InvalidArgument},
		{"batch without a sequence", func(s *stream) { s.hello(newHello()); s.batch(newBatch(0)) }, codes.Internal},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := serve(t, newSink(), ingest.Options{}).open()
				test.say(st)
				if err := st.end(); status.Code(err) != test.code {
					t.Errorf("got %v, want %v", err, test.code)
				}
			})
		})
	}
}

func TestASecondStreamFencesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		site := serve(t, s, ingest.Options{})
		first, _ := site.connect()
		first.batch(newBatch(1))
		first.received(1)
		second, welcome := site.connect()
		if welcome.GetResumeSequence() != 2 {
			t.Errorf("welcome %v", welcome)
		}
		if err := first.end(); status.Code(err) != codes.Aborted {
			t.Errorf("the first stream ended with %v", err)
		}
		second.batch(newBatch(2))
		second.received(2)
	})
}

func TestDrainLetsTheAgentFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		site := serve(t, s, ingest.Options{})
		st, _ := site.connect()
		close(site.draining)
		for st.next().GetDrain() == nil {
		}
		st.batch(newBatch(1)) // what was in hand
		if err := st.CloseSend(); err != nil {
			t.Fatal(err)
		}
		st.received(1)
		if err := st.end(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
	})
}

func TestDrainEndsAnAgentThatDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := serve(t, newSink(), ingest.Options{DrainGrace: 4 * time.Second})
		st, _ := site.connect()
		start := time.Now()
		close(site.draining)
		if err := st.end(); status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(start); waited != 4*time.Second {
			t.Errorf("after %v", waited)
		}
	})
}

func TestAdmissionBoundsWhatIsWorkedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSink()
		held, release := make(chan struct{}), make(chan struct{})
		s.refuse = func(b *ingestv1.Batch) error {
			if b.GetSequence() == 1 {
				held <- struct{}{}
				<-release
			}
			return nil
		}
		site := serve(t, s, ingest.Options{Bytes: 1, AgentBytes: 1})
		first, _ := site.connect()
		first.batch(newBatch(1))
		<-held
		other := site.open()
		h := newHello()
		h.Lane = 1
		other.hello(h)
		other.next()
		other.batch(newBatch(2))
		synctest.Wait()
		if got := s.sequences(); len(got) != 0 {
			t.Errorf("applied %v beyond the bound", got)
		}
		close(release)
		first.received(1)
	})
}

func TestAgentsAreKnownByTheirCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := serve(t, newSink(), ingest.Options{})
		st, _ := site.connect()
		st.batch(newBatch(1))
		st.received(1)
		agents := site.service.Agents()
		if len(agents) != 1 || agents[0].GetName() != "agent-1" || agents[0].GetState() != fleetv1.AgentState_AGENT_STATE_CONNECTED ||
			agents[0].GetLanes() != 1 || agents[0].GetCapturePoints()[0].GetName() != "file:x" || agents[0].GetPeer() == "" {
			t.Errorf("agents %v", agents)
		}
		if err := st.CloseSend(); err != nil {
			t.Fatal(err)
		}
		_ = st.end()
		synctest.Wait()
		if a := site.service.Agents()[0]; a.GetState() != fleetv1.AgentState_AGENT_STATE_AWAY || a.GetPeer() != "" {
			t.Errorf("after leaving: %v", a)
		}
		if got := site.service.Stats(); got.Batches != 1 || got.Packets != 2 || got.Streams != 0 {
			t.Errorf("stats %+v", got)
		}
	})
}
