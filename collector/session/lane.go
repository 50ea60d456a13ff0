package session

import (
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
)

// lane is one lane's sessions, marks and journal. In Redis it would be one slot.
//
// The journal has an entry for each batch beyond settled: how many sessions have their first unsettled change in it, and
// the ledger as of it.
//
//	settled                        received
//	   |   0    3    0    1    0      |          batches, with how many sessions wait for their results
//	       ^ durable may go up to here once the 0 is the first
type lane struct {
	id    packet.Lane
	store *Memory
	agent *agent

	applying sync.Mutex // held by Resume and Apply, also while they ask the journal

	mu       sync.Mutex // guards what follows
	sessions map[uint64]*state
	dirty    list // not handed over, oldest first change first
	clean    list // nothing to do for, longest unchanged first
	ready    list // to be taken
	lent     list // taken, not confirmed, by the end of the lease
	queued   bool // in Memory.ready
	noted    bool // in Memory.moved; guarded by Memory.mu

	fence    uint64
	received uint64
	half     uint64 // the batch that was begun
	next     int    // and its next step; 0 when none was
	settled  uint64 // every change up to here is in the results
	durable  uint64 // and the journal has the row: what the agent is told
	lastSent uint64 // batches up to here may have been applied before
	touched  []*state

	batches []batchMark
	base    uint64 // place of batches[0]; places begin at 1

	row        row // as of received
	settledRow row // as of settled

	away    int           // open sessions that only the results know
	present int           // calls of NextMarks that wait
	seen    time.Duration // when the agent was last here
	gone    bool          // its sessions were ended because it stayed away
	ending  bool          // a newer epoch is here
	crashed bool          // it did not end in order
	over    bool          // the ledger's row is closed
	shut    bool          // the agent was told a window of 0

	changed    chan struct{} // closed when the marks change
	interfaces map[ifaceKey]*flowv1.Interface
	ports      []byte // intern's
}

// batchMark is one batch in a lane's journal.
type batchMark struct {
	sequence  uint64
	unsettled int  // sessions whose first unsettled change is in it
	whole     bool // all of its steps are done
	row       row
}

// row is a lane's side of the ledger, cumulative.
type row struct {
	counters   *ingestv1.Counters // never changed once set
	spool      *ingestv1.SpoolCounters
	gaps       uint64
	applied    uint64
	mismatched uint64
	rejected   uint64
	opened     uint64
	lostCrash  uint64
	elsewhere  uint64
	// unsure: batches were rejected since counters; the next batch tells how many packets they had.
	unsure bool
}

type ifaceKey struct {
	point, name string
	link        uint32
	ports       string // by packet.AppendPorts
}

// maxInterfaces bounds how many interfaces a lane remembers; beyond, each batch brings its own.
const maxInterfaces = 1024

func newLane(m *Memory, id packet.Lane, a *agent, from *fleetv1.LedgerEntry) *lane {
	l := &lane{
		id: id, store: m, agent: a,
		sessions: map[uint64]*state{},
		dirty:    list{kind: byAge}, clean: list{kind: byAge}, ready: list{kind: byOutbox}, lent: list{kind: byOutbox},
		base: 1, seen: m.now(), changed: make(chan struct{}),
		interfaces: map[ifaceKey]*flowv1.Interface{},
		received:   from.GetDurableSequence(), settled: from.GetDurableSequence(), durable: from.GetDurableSequence(),
		over: from.GetClosed(),
		row: row{
			counters: from.GetCounters(), spool: from.GetSpool(), gaps: from.GetGapSequences(), applied: from.GetApplied(),
			mismatched: from.GetMismatched(), rejected: from.GetRejected(), opened: from.GetOpenedSessions(),
			lostCrash: from.GetLostCrash(), elsewhere: from.GetElsewhere(),
		},
	}
	l.settledRow = l.row
	return l
}

// entry writes a row as the ledger has it.
func (l *lane) entry(r *row, received, durable uint64) *fleetv1.LedgerEntry {
	return &fleetv1.LedgerEntry{
		Agent: l.id.Agent, Epoch: l.id.Epoch, Lane: l.id.Index,
		Counters: proto.CloneOf(r.counters), Spool: proto.CloneOf(r.spool),
		ReceivedSequence: received, DurableSequence: durable, GapSequences: r.gaps,
		Applied: r.applied, Mismatched: r.mismatched, Rejected: r.rejected, LostCrash: r.lostCrash, Elsewhere: r.elsewhere,
		OpenedSessions: r.opened, Closed: l.over,
	}
}

func (l *lane) marks() *ingestv1.Ack {
	return &ingestv1.Ack{Received: l.received, Durable: l.durable, WindowBytes: l.store.window(l)}
}

// tell wakes who waits for the marks.
func (l *lane) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// mark returns the batch at a place.
func (l *lane) mark(place uint64) *batchMark { return &l.batches[place-l.base] }

// current is the place of the newest batch.
func (l *lane) current() uint64 { return l.base + uint64(len(l.batches)) - 1 }

// advance moves settled over batches that nothing waits for.
func (l *lane) advance() {
	n := 0
	for ; n < len(l.batches) && l.batches[n].whole && l.batches[n].unsettled == 0; n++ {
		l.settled, l.settledRow = l.batches[n].sequence, l.batches[n].row
	}
	l.batches = l.batches[n:]
	l.base += uint64(n)
	if len(l.batches) == 0 {
		l.settled, l.settledRow = l.received, l.row
	}
	if l.settled > l.durable || l.ending {
		l.store.note(l)
	}
}

// change notes that a session differs from what was handed over, since the batch at a place; 0 when it was no batch that
// changed it.
func (l *lane) change(s *state, place uint64, now time.Duration) {
	if s.links[byAge].in == &l.dirty {
		return
	}
	s.dirty, s.dirtyAt = place, now
	if s.since == 0 && place != 0 {
		s.since = place
		l.mark(place).unsettled++
	}
	l.dirty.push(s)
}

// handOver puts a session into the outbox as it stands. One that is there already keeps its place.
func (l *lane) handOver(s *state) {
	s.handed, s.dirty = s.version(), 0
	s.leave(byAge)
	if s.links[byOutbox].in != &l.ready {
		l.ready.push(s)
	}
	l.offer()
}

// offer puts the lane where Take finds it.
func (l *lane) offer() {
	if l.queued || l.ready.n == 0 {
		return
	}
	l.queued = true
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	l.store.ready = append(l.store.ready, l)
	token(l.store.hand)
}

// settle notes that the results hold a version of a session.
func (l *lane) settle(s *state, v version) {
	s.settled = s.settled.with(v)
	if !s.settled.covers(s.handed) {
		return // an older hand-over; the newer one settles both
	}
	s.leave(byOutbox) // whatever waits there is known already
	if s.since != 0 {
		l.mark(s.since).unsettled--
		s.since = s.dirty
		if s.since != 0 {
			l.mark(s.since).unsettled++
		}
	}
	if s.links[byAge].in == &l.dirty {
		return
	}
	l.rest(s)
}

// rest puts a session where it waits for what comes next; an ended one goes, all of it is in the results.
func (l *lane) rest(s *state) {
	if s.counts.Ended {
		l.drop(s)
	} else {
		l.clean.push(s)
	}
}

// drop lets a session go.
func (l *lane) drop(s *state) {
	s.leave(byAge)
	s.leave(byOutbox)
	delete(l.sessions, s.number)
	l.charge(-s.size)
}

// keep takes a session in.
func (l *lane) keep(s *state) {
	l.sessions[s.number] = s
	s.size = s.bytes()
	l.charge(s.size)
}

func (l *lane) charge(bytes int) {
	l.agent.used.Add(int64(bytes))
	l.store.used.Add(int64(bytes))
}

// evictAtOnce bounds how long the lane is held.
const evictAtOnce = 4096

// evict lets sessions go that can come back from the results, longest unchanged first, until memory is not scarce.
func (l *lane) evict() {
	for range evictAtOnce {
		s := l.clean.front
		if s == nil || l.store.pressure(l.agent) <= emergency {
			return
		}
		l.drop(s)
		l.away++
	}
}

// intern returns the lane's own copy of an interface.
func (l *lane) intern(i *flowv1.Interface) *flowv1.Interface {
	ports := packet.AppendPorts(l.ports[:0], i.GetTunnelPorts())
	l.ports = ports
	if known := l.interfaces[ifaceKey{i.GetCapturePoint(), i.GetName(), i.GetLinkType(), string(ports)}]; known != nil {
		return known
	}
	own := proto.CloneOf(i)
	if len(l.interfaces) < maxInterfaces {
		l.interfaces[ifaceKey{own.GetCapturePoint(), own.GetName(), own.GetLinkType(), string(ports)}] = own
	}
	return own
}
