package collector_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"sonde.example/collector/dispatch"
	"sonde.example/collector/fleet"
	"sonde.example/collector/ingest"
	"sonde.example/collector/session"
	"sonde.example/collector/session/sessiontest"
	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/mtls"
	"sonde.example/internal/packet"
	"sonde.example/internal/rpc"
	"sonde.example/internal/service"
)

// The simulations run the collector's way of the data (ingest over real gRPC, session store, sweeper, relay, queue) in
// simulated time, against a scripted agent with a spool and results that are slow to commit.
const (
	commitDelay = 700 * time.Millisecond // of the results
	maxLag      = 15 * time.Second       // that durable may have
	spoolBytes  = 32 << 20               // of the agent
)

// process is one life of a collector.
type process struct {
	listener *bufconn.Listener
	server   *grpc.Server
	ingest   *ingest.Service
	store    *session.Memory
	dead     *atomic.Bool
	stop     context.CancelFunc
	ended    chan error
}

// mortal is a journal that hears nothing any more once its process was killed.
type mortal struct {
	*sessiontest.Results
	dead *atomic.Bool
}

var errKilled = errors.New("killed")

func (m mortal) PutLedger(ctx context.Context, entries ...*fleetv1.LedgerEntry) error {
	if m.dead.Load() {
		return errKilled
	}
	return m.Results.PutLedger(ctx, entries...)
}

func start(t *testing.T, results *sessiontest.Results) *process {
	p := &process{listener: bufconn.Listen(1 << 20), dead: new(atomic.Bool), ended: make(chan error, 2)}
	var err error
	if p.store, err = session.OpenMemory(t.Context(), session.Options{}, mortal{results, p.dead}); err != nil {
		t.Fatal(err)
	}
	p.ingest = ingest.New(session.NewAssembler(p.store, packet.NewWalkers(packet.DefaultOptions())), ingest.Options{})
	p.server = grpc.NewServer(grpc.ForceServerCodecV2(rpc.Codec(rpc.NewBufferPool())), grpc.MaxRecvMsgSize(rpc.DefaultMaxMessageBytes),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			id := mtls.Identity{Role: mtls.RoleAgent, ID: "agent-1"}
			return handler(srv, callerStream{stream, rpc.WithCaller(stream.Context(), id, nil)})
		}))
	p.ingest.Register(p.server)
	queue := dispatch.NewMemory(1 << 20)
	handle := func(ctx context.Context, messages []dispatch.Message) []error {
		var sessions []*flowv1.Session
		for _, m := range messages {
			sessions = append(sessions, m.Session)
		}
		time.Sleep(commitDelay)
		errs := make([]error, len(messages))
		if p.dead.Load() {
			return errs
		}
		if err := errors.Join(results.Put(sessions...), p.store.Settle(ctx, sessions...)); err != nil {
			t.Error(err)
		}
		return errs
	}
	ctx, stop := context.WithCancel(t.Context())
	p.stop = stop
	go func() { p.ended <- p.server.Serve(p.listener) }()
	go func() {
		p.ended <- service.Run(ctx, p.store, session.NewSweeper(p.store, func(err error) { t.Error(err) }),
			dispatch.NewRelay(p.store, queue, slog.New(slog.DiscardHandler)),
			service.Func(func(ctx context.Context) error { return queue.Consume(ctx, 64, handle) }))
	}()
	return p
}

// kill ends the process: what it has in hand reaches nobody.
func (p *process) kill(t *testing.T) {
	p.dead.Store(true)
	p.stop()
	p.server.Stop()
	for range 2 {
		if err := <-p.ended; err != nil {
			t.Error(err)
		}
	}
	p.ingest.Wait()
}

type callerStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s callerStream) Context() context.Context { return s.ctx }

// uplink sends an agent's batches and keeps them until they are durable.
type uplink struct {
	*testing.T
	*sessiontest.Agent
	results *sessiontest.Results
	process *process
	conn    *grpc.ClientConn
	stream  grpc.BidiStreamingClient[ingestv1.IngestRequest, ingestv1.IngestResponse]
	heard   chan error // what ended the stream

	mu      sync.Mutex // guards what follows
	durable uint64
	spool   []*ingestv1.Batch
	times   []time.Time // when each batch of the spool was cut
	bytes   int
	changed chan struct{}
}

func connect(t *testing.T) *uplink {
	u := &uplink{T: t, Agent: sessiontest.NewAgent("agent-1", 77, 0), results: &sessiontest.Results{}, changed: make(chan struct{})}
	u.process = start(t, u.results)
	u.dial()
	return u
}

// dial opens the stream, and sends again what the collector does not have.
func (u *uplink) dial() {
	u.Helper()
	var err error
	u.conn, err = grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return u.process.listener.DialContext(ctx) }))
	if err != nil {
		u.Fatal(err)
	}
	if u.stream, err = ingestv1.NewIngestServiceClient(u.conn).Ingest(u.Context()); err != nil {
		u.Fatal(err)
	}
	hello := &ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Hello{Hello: u.Hello(u.durable)}}
	if err := u.stream.Send(hello); err != nil {
		u.Fatal(err)
	}
	first, err := u.stream.Recv()
	if err != nil {
		u.Fatal(err)
	}
	u.heard = make(chan error, 1)
	go func() { u.heard <- u.listen(u.stream) }()
	for _, b := range u.spool {
		if b.GetSequence() >= first.GetWelcome().GetResumeSequence() {
			u.transmit(b)
		}
	}
}

func (u *uplink) transmit(b *ingestv1.Batch) {
	u.Helper()
	if err := u.stream.Send(sessiontest.Request(b)); err != nil {
		u.Fatal(err)
	}
}

// listen takes acks until the stream ends.
func (u *uplink) listen(stream grpc.BidiStreamingClient[ingestv1.IngestRequest, ingestv1.IngestResponse]) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		if r.GetRejection() != nil {
			u.Errorf("rejected: %v", r.GetRejection())
		}
		u.ack(r.GetAck().GetDurable())
	}
}

// ack forgets what is durable.
func (u *uplink) ack(durable uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.durable = max(u.durable, durable)
	for len(u.spool) > 0 && u.spool[0].GetSequence() <= u.durable {
		u.bytes -= proto.Size(u.spool[0])
		u.spool, u.times = u.spool[1:], u.times[1:]
	}
	u.look()
	close(u.changed)
	u.changed = make(chan struct{})
}

// look checks the promise: nothing waits longer than it may, and nothing has to be dropped. The caller holds mu.
func (u *uplink) look() {
	u.Helper()
	if len(u.times) > 0 {
		if lag := time.Since(u.times[0]); lag > maxLag {
			u.Errorf("batch %d is not durable after %v", u.spool[0].GetSequence(), lag)
		}
	}
	if u.bytes > spoolBytes {
		u.Errorf("the spool is full: %d bytes", u.bytes)
	}
}

// send cuts a batch, keeps it and sends it.
func (u *uplink) send() {
	u.Helper()
	b := u.Batch()
	u.mu.Lock()
	u.spool, u.times = append(u.spool, b), append(u.times, time.Now())
	u.bytes += proto.Size(b)
	u.look()
	u.mu.Unlock()
	u.transmit(b)
}

// restart kills the collector, and starts another one on the same results.
func (u *uplink) restart() {
	u.Helper()
	u.process.kill(u.T)
	if err := <-u.heard; status.Code(err) != codes.Unavailable {
		u.Errorf("the stream ended with %v", err)
	}
	if err := u.conn.Close(); err != nil {
		u.Error(err)
	}
	u.process = start(u.T, u.results)
	u.dial()
}

// finish waits until everything is durable, and checks the law.
func (u *uplink) finish() {
	u.Helper()
	for {
		u.mu.Lock()
		left, changed := len(u.spool), u.changed
		u.look()
		u.mu.Unlock()
		if left == 0 {
			break
		}
		<-changed
	}
	if err := u.stream.CloseSend(); err != nil {
		u.Fatal(err)
	}
	if err := <-u.heard; !errors.Is(err, io.EOF) {
		u.Errorf("the stream ended with %v", err)
	}
	entries, err := fleet.New(u.process.ingest, u.process.store, u.results).Entries(u.Context(), "")
	if err != nil {
		u.Fatal(err)
	}
	for _, e := range entries {
		if e.GetResidual() != 0 || e.GetPendingSessions() != 0 || e.GetMismatched() != 0 || e.GetGapSequences() != 0 {
			u.Errorf("ledger %v", e)
		}
		if e.GetOpenedSessions() != e.GetStoredSessions() {
			u.Errorf("%d sessions opened, %d stored", e.GetOpenedSessions(), e.GetStoredSessions())
		}
	}
	if err := u.conn.Close(); err != nil {
		u.Error(err)
	}
	u.process.kill(u.T)
}

func simulate(t *testing.T, run func(u *uplink)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		u := connect(t)
		run(u)
		u.finish()
	})
}

// TestDurableKeepsUpWithAStreamAndATrickle: one packet every 100 s in one session beside 1 MB/s in another, all of it
// sent, and short sessions, for 40 minutes; the collector is killed half-way.
func TestDurableKeepsUpWithAStreamAndATrickle(t *testing.T) {
	simulate(t, func(u *uplink) {
		trickle, stream := u.TCP("10.0.0.1:1", "10.0.0.2:22"), u.TCP("10.0.0.1:2", "10.0.0.2:80")
		payload := string(make([]byte, 8900)) // jumbo frames: as many bytes in fewer packets
		const minutes, packetsASecond = simulatedMinutes, 112
		for second := range minutes * 60 {
			if second%100 == 0 {
				trickle.Up("keepalive")
			}
			for range packetsASecond {
				stream.Down(payload)
			}
			u.UDP("10.0.0.1:3", "10.0.0.3:53").Up("question").Down("answer").End(flowv1.EndReason_END_REASON_IDLE)
			u.send()
			time.Sleep(time.Second)
			if second == minutes*60/2 {
				u.restart()
			}
		}
		trickle.End(flowv1.EndReason_END_REASON_CAPTURE_END)
		stream.End(flowv1.EndReason_END_REASON_CAPTURE_END)
		u.send()
	})
}

// TestFinFinKillLateAck: both sides close, the collector dies before it has told anybody, and a last packet comes late.
func TestFinFinKillLateAck(t *testing.T) {
	simulate(t, func(u *uplink) {
		s := u.TCP("10.0.0.1:1", "10.0.0.2:80").Up("request").Down("response")
		u.send()
		s.Up("FIN").Down("FIN").End(flowv1.EndReason_END_REASON_FIN)
		u.send()
		u.restart()
		s.Cut(1) // the late ACK: only counted, and the session stays ended
		u.send()
		time.Sleep(time.Minute)
		all := u.results.All()
		if len(all) != 1 || sessiontest.Packets(all[0].Result) != 5 || !all[0].Result.GetEnded() ||
			all[0].Result.GetClassification().GetPackets() != 4 {
			t.Errorf("results %v", all)
		}
	})
}

// TestAReusedFiveTupleIsAnotherSession: what tells sessions apart is the agent's number.
func TestAReusedFiveTupleIsAnotherSession(t *testing.T) {
	simulate(t, func(u *uplink) {
		for range 3 {
			u.TCP("10.0.0.1:1", "10.0.0.2:80").Up("SYN", "request").Down("response").End(flowv1.EndReason_END_REASON_SUPERSEDED)
			u.send()
		}
		u.restart()
		u.TCP("10.0.0.1:1", "10.0.0.2:80").Up("SYN").End(flowv1.EndReason_END_REASON_RST)
		u.send()
		time.Sleep(time.Minute)
		if all := u.results.All(); len(all) != 4 {
			t.Errorf("%d results", len(all))
		}
	})
}

// TestAnElephantEndsTwoHoursLater: its head is full at once, then only counts come, every five seconds.
func TestAnElephantEndsTwoHoursLater(t *testing.T) {
	simulate(t, func(u *uplink) {
		elephant := u.TCP("10.0.0.1:1", "10.0.0.2:443")
		for range 24 {
			elephant.Down("head")
		}
		u.send()
		packets := uint64(24)
		for n := range 2 * 60 * 60 / 5 {
			time.Sleep(5 * time.Second)
			elephant.Cut(50)
			packets += 50
			u.send()
			if n == 700 {
				u.restart()
			}
		}
		elephant.End(flowv1.EndReason_END_REASON_FIN)
		u.send()
		time.Sleep(time.Minute)
		all := u.results.All()
		if len(all) != 1 || sessiontest.Packets(all[0].Result) != packets || all[0].Result.GetClassification().GetPackets() != 24 {
			t.Errorf("results %v", all)
		}
		if puts := u.results.Puts(all[0].Result.GetSessionId()); puts > 800 {
			t.Errorf("stored %d times in two hours", puts)
		}
	})
}
