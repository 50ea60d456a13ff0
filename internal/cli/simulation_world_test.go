package cli_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"sonde.example/agent"
	"sonde.example/agent/capture"
	"sonde.example/collector/dispatch"
	"sonde.example/collector/fleet"
	"sonde.example/collector/ingest"
	"sonde.example/collector/session"
	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/internal/feature"
	"sonde.example/internal/mtls"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
	"sonde.example/internal/record"
	"sonde.example/internal/rpc"
	"sonde.example/internal/service"
	"sonde.example/internal/telemetry"
	"sonde.example/internal/testenv"
)

const (
	maxLag       = 15 * time.Second       // that durable may have, kills included
	lookEvery    = 100 * time.Millisecond // at the lag
	commitDelay  = 700 * time.Millisecond // of the results
	inferenceLag = 5 * time.Millisecond
)

// scenario is one simulation.
type scenario struct {
	traffic func(*script)
	kills   []time.Duration     // when the collector dies and the next one starts
	mute    [2]time.Duration    // from when until when the agent hears nothing, and what it sends arrives
	lossy   bool                // whether the spool may lose packets
	config  func(*agent.Config) // changes the agent's, if set
	check   func(*world)        // looks at the results
}

// script says what comes when.
type script struct {
	at      time.Duration // since the beginning
	deliver func(time.Duration, []byte) bool
	over    bool // nobody reads on
}

// wait lets time pass.
func (s *script) wait(d time.Duration) { s.at += d }

// send has frames come together, after some time.
func (s *script) send(after time.Duration, frames ...[]byte) {
	s.wait(after)
	for _, frame := range frames {
		if !s.over {
			s.over = !s.deliver(s.at, frame)
		}
	}
}

// world is where it takes place.
type world struct {
	*testing.T
	certificates mtls.Development
	vault        *vault

	mu     sync.Mutex // guards what follows
	living *life
	muted  chan struct{} // closed when the agent hears again; nil when it does
}

func run(t *testing.T, s scenario) {
	t.Helper()
	synctest.Test(t, s.play)
}

// play plays the scenario to its end.
func (s scenario) play(t *testing.T) {
	w := &world{T: t, certificates: testenv.Certificates(t), vault: newVault()}
	w.living = w.begin()
	config := agent.DefaultConfig()
	config.Captures, config.Collectors, config.ServerName = []string{"file:wire"}, []string{"collector.test:7443"}, "localhost"
	config.Admin, config.Certificates, config.WaitDurable = "", w.certificates.Agent, true
	if s.config != nil {
		s.config(&config)
	}
	began := time.Now()
	a, err := agent.Open(t.Context(), config, testenv.Log(t), telemetry.NewRegistry(), agent.Options{
		Dialer:      w.dial,
		OpenCapture: func(context.Context, string) (capture.Source, error) { return newWire(began, s.traffic), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(t.Context()) }()
	watched := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(watched)
		w.watch(a, s.lossy, stop)
	}()
	if from, to := s.mute[0], s.mute[1]; to > 0 {
		time.Sleep(time.Until(began.Add(from)))
		w.mute(time.Until(began.Add(to)))
	}
	for _, at := range s.kills {
		time.Sleep(time.Until(began.Add(at)))
		w.restart()
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	close(stop)
	<-watched
	w.settled(a, s.lossy)
	s.check(w)
	w.living.kill(t)
}

// dial reaches the collector that lives.
func (w *world) dial(ctx context.Context, _ string) (net.Conn, error) {
	w.mu.Lock()
	listener := w.living.listener
	w.mu.Unlock()
	conn, err := listener.DialContext(ctx)
	return &line{conn, w}, err
}

// line is the agent's end of a connection.
type line struct {
	net.Conn
	world *world
}

func (l *line) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.world.mu.Lock()
	muted := l.world.muted
	l.world.mu.Unlock()
	if muted != nil {
		<-muted
	}
	return n, err
}

func (w *world) mute(d time.Duration) {
	muted := make(chan struct{})
	set := func(c chan struct{}) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.muted = c
	}
	set(muted)
	time.Sleep(d)
	set(nil)
	close(muted)
}

func (w *world) restart() {
	w.Helper()
	w.living.kill(w.T)
	next := w.begin()
	w.mu.Lock()
	w.living = next
	w.mu.Unlock()
}

// watch looks how old the oldest batch is that is not durable.
func (w *world) watch(a *agent.Agent, lossy bool, stop <-chan struct{}) {
	type given struct {
		sequence uint64
		at       time.Time
	}
	waiting := make([][]given, len(a.Ledger().Lanes))
	last := make([]uint64, len(waiting))
	var worst time.Duration
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		ledger := a.Ledger()
		for i := range ledger.Lanes {
			lane := &ledger.Lanes[i]
			if lane.Given > last[i] {
				last[i] = lane.Given
				waiting[i] = append(waiting[i], given{last[i], time.Now()})
			}
			for len(waiting[i]) > 0 && waiting[i][0].sequence <= lane.Durable {
				waiting[i] = waiting[i][1:]
			}
			if len(waiting[i]) > 0 {
				worst = max(worst, time.Since(waiting[i][0].at)+lookEvery)
			}
		}
		select {
		case <-ticker.C:
		case <-stop:
			if worst > maxLag && !lossy {
				w.Errorf("durable lagged by %v", worst)
			}
			return
		}
	}
}

// settled checks both sides' books, lane by lane.
func (w *world) settled(a *agent.Agent, lossy bool) {
	w.Helper()
	ledger := a.Ledger()
	entries, err := fleet.New(w.living.ingest, w.living.store, w.vault).Entries(w.Context(), "")
	if err != nil || len(entries) != len(ledger.Lanes) {
		w.Fatalf("ledger %v: %v", entries, err)
	}
	lost := uint64(0)
	for i, e := range entries {
		mine := &ledger.Lanes[i]
		c, s := mine.Counters, mine.Spool
		lost += s.GetDropped() + s.GetReleased()
		if mine.Pending != 0 || mine.Residual() != 0 || s.GetRejected() != 0 || e.GetResidual() != 0 || e.GetMismatched() != 0 ||
			e.GetPendingSessions() != 0 || e.GetApplied()+s.GetDropped() != c.GetAccepted() {
			w.Errorf("lane %d: ledger %v, the agent's %+v", i, e, mine)
		}
		if !lossy && (e.GetGapSequences() != 0 || e.GetStoredPackets() != c.GetSeen() ||
			e.GetOpenedSessions() != c.GetOpenedSessions() || e.GetStoredSessions() != c.GetOpenedSessions()) {
			w.Errorf("lane %d: ledger %v, the agent's %+v", i, e, mine)
		}
	}
	if lost > 0 != lossy {
		w.Errorf("the spool lost %d packets", lost)
	}
	for _, r := range w.vault.all() { // what was durable too early has counts at the end, but no head
		want := min(record.Packets(r), uint64(packet.DefaultHeadLimits().Packets))
		if !r.GetEnded() || !lossy && uint64(r.GetClassification().GetPackets()) != want {
			w.Errorf("a session of %d packets: %v", record.Packets(r), r)
		}
	}
}

// life is one life of a collector.
type life struct {
	listener *bufconn.Listener
	server   *rpc.Server
	ingest   *ingest.Service
	store    *session.Memory
	dead     *atomic.Bool
	stop     context.CancelFunc
	ended    chan error
}

// begin starts a collector on the results.
func (w *world) begin() *life {
	w.Helper()
	log := testenv.Log(w.T)
	l := &life{listener: bufconn.Listen(1 << 20), dead: new(atomic.Bool), ended: make(chan error, 2)}
	results, walkers := mortal{w.vault, l.dead}, packet.NewWalkers(packet.DefaultOptions())
	var err error
	if l.store, err = session.OpenMemory(w.Context(), session.Options{Log: log, Walkers: walkers}, results); err != nil {
		w.Fatal(err)
	}
	l.ingest = ingest.New(session.NewAssembler(l.store, walkers), ingest.Options{Log: log})
	l.server = rpc.NewServer(rpc.ServerOptions{
		Certificates: testenv.Source(w.T, w.certificates.Service), Log: log,
		Table: rpc.Table{ingestv1.IngestService_Ingest_FullMethodName: {mtls.RoleAgent}},
	})
	l.ingest.Register(l.server)
	queue := dispatch.NewMemory(64 << 20)
	ctx, stop := context.WithCancel(w.Context())
	l.stop = stop
	go func() { l.ended <- l.server.Run(w.Context(), l.listener) }()
	go func() {
		l.ended <- service.Run(ctx, l.store, session.NewSweeper(l.store, func(err error) { w.Error(err) }),
			dispatch.NewRelay(l.store, queue, log),
			dispatch.NewWorker(dispatch.WorkerOptions{
				Queue: queue, Classifier: oracle{}, Results: results, Settler: l.store, Tail: nobody{}, Walkers: walkers, Log: log,
			}))
	}()
	return l
}

// kill ends it: from now on nothing that it does reaches anybody, and what it has in hand is gone.
func (l *life) kill(t *testing.T) {
	t.Helper()
	l.dead.Store(true)
	l.stop()
	l.server.Close()
	for range 2 {
		<-l.ended // the server says that it was closed
	}
	l.ingest.Wait()
}

// oracle classifies.
type oracle struct{}

func (oracle) Classify(ctx context.Context, sessions []*feature.Session) ([]*flowv1.Classification, error) {
	if err := pause(ctx, inferenceLag); err != nil {
		return nil, err
	}
	answers := make([]*flowv1.Classification, len(sessions))
	for i := range answers {
		answers[i] = &flowv1.Classification{Label: "test"}
	}
	return answers, nil
}

// nobody watches results.
type nobody struct{}

func (nobody) Publish(...*queryv1.Result) {}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wire is a live capture.
type wire struct {
	began  time.Time
	next   func() (time.Duration, []byte, bool)
	stop   func()
	at     time.Duration
	frame  []byte // waits for its time; nil when it was taken
	stats  capture.Stats
	closed bool
}

var _ capture.Source = (*wire)(nil)

func newWire(began time.Time, traffic func(*script)) *wire {
	w := &wire{began: began}
	w.next, w.stop = iter.Pull2(func(deliver func(time.Duration, []byte) bool) { traffic(&script{deliver: deliver}) })
	return w
}

func (w *wire) ReadPacket(ctx context.Context) ([]byte, capture.Info, error) {
	if w.closed {
		return nil, capture.Info{}, capture.ErrClosed
	}
	if w.frame == nil {
		var more bool
		if w.at, w.frame, more = w.next(); !more {
			return nil, capture.Info{}, io.EOF
		}
	}
	if ctx.Err() != nil {
		return nil, capture.Info{}, ctx.Err()
	}
	if wait := time.Until(w.began.Add(w.at)); wait > 0 {
		if err := pause(ctx, wait); err != nil {
			return nil, capture.Info{}, err
		}
	}
	frame := w.frame
	w.frame = nil
	w.stats.Packets++
	return frame, capture.Info{
		Time: w.began.Add(w.at).UnixNano(), CaptureLength: len(frame), OriginalLength: len(frame), LinkType: packet.LinkEthernet,
	}, nil
}

func (w *wire) SetFilter(filter.Program) error { return nil }
func (w *wire) Stats() (capture.Stats, error)  { return w.stats, nil }
func (w *wire) LinkType() packet.LinkType      { return packet.LinkEthernet }
func (w *wire) Close() error                   { w.closed = true; w.stop(); return nil }

// mortal is the results as a collector sees them that may be killed: then nothing more is committed.
type mortal struct {
	*vault
	dead *atomic.Bool
}

var errKilled = errors.New("killed")

// Put commits in the middle of its time: a collector may be killed before, and after, when it has not heard of it.
func (m mortal) Put(ctx context.Context, entries ...*record.Entry) error {
	if err := pause(ctx, commitDelay/2); err != nil {
		return err
	}
	if m.dead.Load() {
		return errKilled
	}
	if err := m.vault.Put(ctx, entries...); err != nil {
		return err
	}
	return pause(ctx, commitDelay/2)
}

func (m mortal) PutLedger(ctx context.Context, entries ...*fleetv1.LedgerEntry) error {
	if m.dead.Load() {
		return errKilled
	}
	return m.vault.PutLedger(ctx, entries...)
}

// vault keeps results and ledger rows as a result store does, in memory.
type vault struct {
	mu      sync.Mutex // guards what follows
	entries map[string]*record.Entry
	rows    map[packet.Lane]*fleetv1.LedgerEntry
}

var (
	_ session.Journal  = (*vault)(nil)
	_ dispatch.Results = (*vault)(nil)
)

func newVault() *vault {
	return &vault{entries: map[string]*record.Entry{}, rows: map[packet.Lane]*fleetv1.LedgerEntry{}}
}

func laneOf(r interface {
	GetAgent() string
	GetEpoch() uint64
	GetLane() uint32
}) packet.Lane {
	return packet.Lane{Agent: r.GetAgent(), Epoch: r.GetEpoch(), Index: r.GetLane()}
}

// Put implements dispatch.Results.
func (v *vault) Put(_ context.Context, entries ...*record.Entry) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, put := range entries {
		stored := v.entries[put.Result.GetSessionId()]
		if stored == nil {
			stored = &record.Entry{Result: proto.CloneOf(put.Result), Head: proto.CloneOf(put.Head)}
			v.entries[put.Result.GetSessionId()] = stored
		} else if classified, _ := record.Merge(stored.Result, proto.CloneOf(put.Result)); classified {
			stored.Head = proto.CloneOf(put.Head)
		}
		put.Result = proto.CloneOf(stored.Result)
	}
	return nil
}

// all returns every result.
func (v *vault) all() []*queryv1.Result {
	v.mu.Lock()
	defer v.mu.Unlock()
	results := make([]*queryv1.Result, 0, len(v.entries))
	for _, e := range v.entries {
		results = append(results, e.Result)
	}
	slices.SortFunc(results, func(a, b *queryv1.Result) int { return cmp.Compare(a.GetNumber(), b.GetNumber()) })
	return results
}

// Sessions implements session.Journal.
func (v *vault) Sessions(_ context.Context, ids ...string) (map[string]*record.Entry, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	found := map[string]*record.Entry{}
	for _, id := range ids {
		if e := v.entries[id]; e != nil {
			found[id] = &record.Entry{Result: proto.CloneOf(e.Result), Head: proto.CloneOf(e.Head)}
		}
	}
	return found, nil
}

// Open implements session.Journal.
func (v *vault) Open(_ context.Context, agent string, exceptEpoch uint64) (open []*queryv1.Result, err error) {
	for _, r := range v.all() {
		if r.GetAgent() == agent && r.GetEpoch() != exceptEpoch && !r.GetEnded() {
			open = append(open, proto.CloneOf(r))
		}
	}
	return open, nil
}

// PutLedger implements session.Journal.
func (v *vault) PutLedger(_ context.Context, entries ...*fleetv1.LedgerEntry) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range entries {
		old := v.rows[laneOf(e)]
		if old.GetDurableSequence() <= e.GetDurableSequence() && (e.GetClosed() || !old.GetClosed()) {
			v.rows[laneOf(e)] = proto.CloneOf(e)
		}
	}
	return nil
}

// Ledger implements session.Journal.
func (v *vault) Ledger(_ context.Context, agent string) (rows []*fleetv1.LedgerEntry, err error) {
	results := v.all()
	v.mu.Lock()
	defer v.mu.Unlock()
	for lane, row := range v.rows {
		if agent != "" && lane.Agent != agent {
			continue
		}
		row = proto.CloneOf(row)
		row.StoredSessions, row.StoredPackets = 0, 0
		for _, r := range results {
			if laneOf(r) == lane {
				row.StoredSessions++
				row.StoredPackets += record.Packets(r)
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}
