package fleet_test

import (
	"context"
	"testing"

	"google.golang.org/protobuf/proto"

	"sonde.example/collector/fleet"
	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
)

type rows []*fleetv1.LedgerEntry

func (r rows) Ledger(_ context.Context, agent string) (found []*fleetv1.LedgerEntry, err error) {
	for _, e := range r {
		if agent == "" || e.GetAgent() == agent {
			found = append(found, proto.CloneOf(e))
		}
	}
	return found, nil
}

type presence []*fleetv1.Agent

func (p presence) Agents() []*fleetv1.Agent { return p }

// whole is a lane at rest of which nothing was lost.
func whole() *fleetv1.LedgerEntry {
	return &fleetv1.LedgerEntry{
		Agent: "a", Epoch: 1,
		Counters: &ingestv1.Counters{Seen: 100, Filtered: 1, NonIp: 2, Undecodable: 3, FragUnmatched: 4, Dup: 5, Cut: 35, Accepted: 50},
		Spool:    &ingestv1.SpoolCounters{}, Applied: 50, StoredPackets: 85,
	}
}

func TestResidual(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(e *fleetv1.LedgerEntry)
		want   int64
	}{
		{"at rest", func(*fleetv1.LedgerEntry) {}, 0},
		{"seen without a cause", func(e *fleetv1.LedgerEntry) { e.Counters.Seen++ }, 1},
		{"a packet applied twice", func(e *fleetv1.LedgerEntry) { e.Applied++ }, 1},
		{"a packet applied never", func(e *fleetv1.LedgerEntry) { e.Applied-- }, 1},
		{"dropped by the spool, counts healed", func(e *fleetv1.LedgerEntry) { e.Applied, e.Spool.Dropped, e.GapSequences = 40, 10, 1 }, 0},
		{"dropped by the spool, counts lost", func(e *fleetv1.LedgerEntry) {
			e.Applied, e.Spool.Dropped, e.GapSequences, e.StoredPackets = 40, 10, 1, 70
		}, 0},
		{"dropped, and more besides", func(e *fleetv1.LedgerEntry) { e.Applied, e.Spool.Dropped, e.GapSequences = 39, 10, 1 }, 1},
		{"released after it was applied", func(e *fleetv1.LedgerEntry) { e.Spool.Released = 10 }, 0},
		{"released, and lost with a collector", func(e *fleetv1.LedgerEntry) { e.Applied, e.Spool.Released, e.GapSequences = 45, 10, 1 }, 0},
		{"rejected", func(e *fleetv1.LedgerEntry) { e.Applied, e.Rejected = 43, 7 }, 0},
		{"lost in a crash", func(e *fleetv1.LedgerEntry) { e.Applied, e.LostCrash, e.StoredPackets = 45, 15, 70 }, 0},
		{"lost without a crash", func(e *fleetv1.LedgerEntry) { e.StoredPackets = 70 }, 15},
		{"counts on their way", func(e *fleetv1.LedgerEntry) { e.StoredPackets, e.PendingSessions = 70, 1 }, 0},
		{"more counted than seen", func(e *fleetv1.LedgerEntry) { e.StoredPackets, e.PendingSessions = 90, 1 }, 5},
		{"durable at another collector", func(e *fleetv1.LedgerEntry) { e.Applied, e.Elsewhere, e.StoredPackets = 30, 20, 40 }, 0},
		{"durable at another collector, before the first batch here", func(e *fleetv1.LedgerEntry) {
			e.Counters, e.Applied, e.Elsewhere, e.StoredPackets = nil, 0, 20, 0
		}, 0},
		{"less elsewhere than is missing here", func(e *fleetv1.LedgerEntry) { e.Applied, e.Elsewhere, e.StoredPackets = 30, 19, 40 }, 1},
		{"a session doubled", func(e *fleetv1.LedgerEntry) { e.StoredPackets = 90 }, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := whole()
			test.change(e)
			if got := fleet.Residual(e); got != test.want {
				t.Errorf("residual %d, want %d", got, test.want)
			}
		})
	}
}

func TestTheLedgerJoinsBothSides(t *testing.T) {
	stored := whole() // as of what is durable
	stored.Counters.Seen, stored.Counters.Accepted, stored.Applied = 90, 40, 40
	live := whole()
	live.StoredPackets, live.PendingSessions, live.ReceivedSequence = 0, 1, 9
	old := &fleetv1.LedgerEntry{Agent: "b", Epoch: 2, Closed: true, StoredSessions: 3}
	s := fleet.New(presence{}, rows{live}, rows{old, stored})
	response, err := s.GetLedger(t.Context(), &fleetv1.GetLedgerRequest{})
	if err != nil {
		t.Fatal(err)
	}
	entries := response.GetEntries()
	if len(entries) != 2 || entries[0].GetAgent() != "a" || entries[1].GetAgent() != "b" {
		t.Fatalf("entries %v", entries)
	}
	if e := entries[0]; e.GetCounters().GetSeen() != 100 || e.GetStoredPackets() != 85 || e.GetReceivedSequence() != 9 || e.GetResidual() != 0 {
		t.Errorf("joined entry %v", e)
	}
	total := response.GetTotal()
	if total.GetStoredSessions() != 3 || total.GetCounters().GetSeen() != 100 || total.GetClosed() || total.GetAgent() != "" {
		t.Errorf("total %v", total)
	}
	one, err := s.GetLedger(t.Context(), &fleetv1.GetLedgerRequest{Agent: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if len(one.GetEntries()) != 1 || !one.GetTotal().GetClosed() {
		t.Errorf("one agent's ledger %v", one)
	}
}

func TestAgentsOfEarlierLivesAreAway(t *testing.T) {
	here := &fleetv1.Agent{Name: "b", State: fleetv1.AgentState_AGENT_STATE_CONNECTED}
	s := fleet.New(presence{here}, rows{}, rows{{Agent: "a", Epoch: 4}, {Agent: "b"}})
	response, err := s.ListAgents(t.Context(), &fleetv1.ListAgentsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	agents := response.GetAgents()
	if len(agents) != 2 || agents[0].GetName() != "a" || agents[0].GetState() != fleetv1.AgentState_AGENT_STATE_AWAY || agents[1] != here {
		t.Errorf("agents %v", agents)
	}
}
