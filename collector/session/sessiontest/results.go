package sessiontest

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"sonde.example/collector/session"
	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/record"
)

// Results stands for the result store: it keeps one result a session, each of its two parts replaced only by its own
// greater number, and the ledger's rows. The zero value is ready. All methods may be called at the same time.
type Results struct {
	// NoHeads makes it keep no packets, as after their retention.
	NoHeads bool
	// Fail, if set, is asked before each method does anything.
	Fail func() error

	mu      sync.Mutex // guards what follows
	results map[string]*record.Entry
	rows    map[packet.Lane]*fleetv1.LedgerEntry
	puts    map[string]int
}

var _ session.Journal = (*Results)(nil)

func (r *Results) enter() error {
	r.mu.Lock()
	if r.results == nil {
		r.results, r.rows, r.puts = map[string]*record.Entry{}, map[packet.Lane]*fleetv1.LedgerEntry{}, map[string]int{}
	}
	if r.Fail == nil {
		return nil
	}
	return r.Fail()
}

// Put stores hand-overs as a worker does, after classification.
func (r *Results) Put(sessions ...*flowv1.Session) error {
	defer r.mu.Unlock()
	if err := r.enter(); err != nil {
		return err
	}
	for _, s := range sessions {
		r.puts[s.GetId()]++
		stored := r.results[s.GetId()]
		known := stored != nil
		if !known {
			stored = &record.Entry{Result: newResult(s)}
			r.results[s.GetId()] = stored
		}
		result, c := stored.Result, s.GetCounts()
		if n := c.GetForwardPackets() + c.GetReversePackets(); !known || n > Packets(result) || n == Packets(result) && c.GetEnded() {
			result.Forward = &queryv1.Traffic{Packets: c.GetForwardPackets(), Bytes: c.GetForwardBytes()}
			result.Reverse = &queryv1.Traffic{Packets: c.GetReversePackets(), Bytes: c.GetReverseBytes()}
			result.EndTime = timestamppb.New(time.Unix(0, c.GetLastTimeNs()))
			result.Ended, result.EndReason = c.GetEnded(), c.GetEndReason()
		}
		if len(s.GetHead().GetCaptured()) > 0 && s.GetHeadPackets() > result.GetClassification().GetPackets() {
			result.State = queryv1.ResultState_RESULT_STATE_CLASSIFIED
			result.Classification = &flowv1.Classification{Label: "test", Packets: s.GetHeadPackets()}
			result.Evidence = proto.CloneOf(s.GetEvidence())
			if stored.Head = proto.CloneOf(s.GetHead()); r.NoHeads {
				stored.Head = nil
			}
		}
	}
	return nil
}

func newResult(s *flowv1.Session) *queryv1.Result {
	t := s.GetFiveTuple()
	address := func(b []byte) string { a, _ := netip.AddrFromSlice(b); return a.String() }
	return &queryv1.Result{
		SessionId: s.GetId(), State: queryv1.ResultState_RESULT_STATE_COUNTED, Agent: s.GetAgent(), CapturePoint: s.GetCapturePoint(),
		CommunityId: s.GetCommunityId(), StartTime: timestamppb.New(time.Unix(0, s.GetCounts().GetOpenedTimeNs())),
		IpProtocol: t.GetIpProtocol(),
		Client:     &queryv1.Endpoint{Address: address(t.GetClientAddress()), Port: t.GetClientPort()},
		Server:     &queryv1.Endpoint{Address: address(t.GetServerAddress()), Port: t.GetServerPort()},
		Evidence:   proto.CloneOf(s.GetEvidence()), Scope: s.GetScope(), Epoch: s.GetEpoch(), Lane: s.GetLane(), Number: s.GetNumber(),
	}
}

// Packets counts both directions of a result.
func Packets(r *queryv1.Result) uint64 {
	return r.GetForward().GetPackets() + r.GetReverse().GetPackets()
}

// All returns every result, by lane and number.
func (r *Results) All() []*record.Entry {
	defer r.mu.Unlock()
	_ = r.enter()
	var all []*record.Entry
	for _, s := range r.results {
		all = append(all, &record.Entry{Result: proto.CloneOf(s.Result), Head: proto.CloneOf(s.Head)})
	}
	slices.SortFunc(all, func(a, b *record.Entry) int {
		return cmp.Or(cmp.Compare(a.Result.GetEpoch(), b.Result.GetEpoch()), cmp.Compare(a.Result.GetLane(), b.Result.GetLane()),
			cmp.Compare(a.Result.GetNumber(), b.Result.GetNumber()))
	})
	return all
}

// Puts tells how often a session was put.
func (r *Results) Puts(id string) int {
	defer r.mu.Unlock()
	_ = r.enter()
	return r.puts[id]
}

// Sessions implements session.Journal.
func (r *Results) Sessions(_ context.Context, ids ...string) (map[string]*record.Entry, error) {
	defer r.mu.Unlock()
	if err := r.enter(); err != nil {
		return nil, err
	}
	found := map[string]*record.Entry{}
	for _, id := range ids {
		if s, known := r.results[id]; known {
			found[id] = &record.Entry{Result: proto.CloneOf(s.Result), Head: proto.CloneOf(s.Head)}
		}
	}
	return found, nil
}

// Open implements session.Journal.
func (r *Results) Open(_ context.Context, agent string, exceptEpoch uint64) (open []*queryv1.Result, err error) {
	defer r.mu.Unlock()
	if err := r.enter(); err != nil {
		return nil, err
	}
	for _, s := range r.results {
		if s.Result.GetAgent() == agent && s.Result.GetEpoch() != exceptEpoch && !s.Result.GetEnded() {
			open = append(open, proto.CloneOf(s.Result))
		}
	}
	return open, nil
}

// PutLedger implements session.Journal.
func (r *Results) PutLedger(_ context.Context, entries ...*fleetv1.LedgerEntry) error {
	defer r.mu.Unlock()
	if err := r.enter(); err != nil {
		return err
	}
	for _, e := range entries {
		id := packet.Lane{Agent: e.GetAgent(), Epoch: e.GetEpoch(), Index: e.GetLane()}
		if old := r.rows[id]; old.GetDurableSequence() > e.GetDurableSequence() || old.GetClosed() && !e.GetClosed() {
			continue
		}
		r.rows[id] = proto.CloneOf(e)
	}
	return nil
}

// Ledger implements session.Journal.
func (r *Results) Ledger(_ context.Context, agent string) ([]*fleetv1.LedgerEntry, error) {
	defer r.mu.Unlock()
	if err := r.enter(); err != nil {
		return nil, err
	}
	var rows []*fleetv1.LedgerEntry
	for id, row := range r.rows {
		if agent != "" && id.Agent != agent {
			continue
		}
		row = proto.CloneOf(row)
		for _, s := range r.results {
			if s.Result.GetAgent() == id.Agent && s.Result.GetEpoch() == id.Epoch && s.Result.GetLane() == id.Index {
				row.StoredSessions++
				row.StoredPackets += Packets(s.Result)
			}
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b *fleetv1.LedgerEntry) int {
		return cmp.Or(cmp.Compare(a.GetAgent(), b.GetAgent()), cmp.Compare(a.GetEpoch(), b.GetEpoch()), cmp.Compare(a.GetLane(), b.GetLane()))
	})
	return rows, nil
}
