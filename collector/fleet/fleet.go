// Package fleet tells operators how the agents are and where every packet went. It keeps nothing: presence comes from
// ingest, the lanes' side of the law from the session store, what is stored from the results.
package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc"

	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
)

// Presence knows the agents that were here since the start; ingest.Service fits it.
type Presence interface {
	Agents() []*fleetv1.Agent
}

// Ledger knows lanes: the session store those that live, as of the newest batch, the result store those it has a row of,
// as of what is durable, with what the results count.
type Ledger interface {
	Ledger(ctx context.Context, agent string) ([]*fleetv1.LedgerEntry, error)
}

// Service implements FleetService.
type Service struct {
	fleetv1.UnimplementedFleetServiceServer
	presence     Presence
	live, stored Ledger
}

// New returns the service.
func New(presence Presence, live, stored Ledger) *Service {
	return &Service{presence: presence, live: live, stored: stored}
}

// Register puts the service on a server.
func (s *Service) Register(server grpc.ServiceRegistrar) {
	fleetv1.RegisterFleetServiceServer(server, s)
}

// ListAgents implements FleetService. An agent that was not here since the start is known by its ledger alone.
func (s *Service) ListAgents(ctx context.Context, _ *fleetv1.ListAgentsRequest) (*fleetv1.ListAgentsResponse, error) {
	agents := s.presence.Agents()
	known := map[string]bool{}
	for _, a := range agents {
		known[a.GetName()] = true
	}
	rows, err := s.stored.Ledger(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	for _, row := range rows {
		if !known[row.GetAgent()] {
			known[row.GetAgent()] = true
			agents = append(agents, &fleetv1.Agent{
				Name: row.GetAgent(), State: fleetv1.AgentState_AGENT_STATE_AWAY, Epoch: row.GetEpoch(),
			})
		}
	}
	slices.SortFunc(agents, func(a, b *fleetv1.Agent) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return &fleetv1.ListAgentsResponse{Agents: agents}, nil
}

// GetLedger implements FleetService.
func (s *Service) GetLedger(ctx context.Context, r *fleetv1.GetLedgerRequest) (*fleetv1.GetLedgerResponse, error) {
	entries, err := s.Entries(ctx, r.GetAgent())
	if err != nil {
		return nil, err
	}
	return &fleetv1.GetLedgerResponse{Entries: entries, Total: Total(entries)}, nil
}

// lane is what entries are told apart by.
type lane struct {
	agent string
	epoch uint64
	index uint32
}

// Entries returns the lanes of the agent, of all agents when it is empty, by agent, epoch and lane, with their residuals.
func (s *Service) Entries(ctx context.Context, agent string) ([]*fleetv1.LedgerEntry, error) {
	// The results first: what they count then was applied before the session store is asked.
	entries, err := s.stored.Ledger(ctx, agent)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	live, err := s.live.Ledger(ctx, agent)
	if err != nil {
		return nil, fmt.Errorf("read the live ledger: %w", err)
	}
	index := map[lane]int{}
	for i, e := range entries {
		index[laneOf(e)] = i
	}
	for _, e := range live {
		i, known := index[laneOf(e)]
		if !known {
			entries = append(entries, e)
			continue
		}
		e.StoredSessions, e.StoredPackets = entries[i].GetStoredSessions(), entries[i].GetStoredPackets()
		entries[i] = e
	}
	slices.SortFunc(entries, func(a, b *fleetv1.LedgerEntry) int {
		return cmp.Or(cmp.Compare(a.GetAgent(), b.GetAgent()), cmp.Compare(a.GetEpoch(), b.GetEpoch()), cmp.Compare(a.GetLane(), b.GetLane()))
	})
	for _, e := range entries {
		e.Residual = Residual(e)
	}
	return entries, nil
}

func laneOf(e *fleetv1.LedgerEntry) lane { return lane{e.GetAgent(), e.GetEpoch(), e.GetLane()} }

// Residual is what the law leaves over for a lane, in packets.
//
//	seen     = filtered + non_ip + undecodable + frag_unmatched + dup + cut + accepted
//	accepted = applied + rejected + dropped, and of released, lost_crash and elsewhere those that never came
//	cut + accepted = the sum of the sessions' counts + lost_crash
//
// The counters are as of the newest batch applied, so nothing is in flight. What was released counts as lost only where it
// was not applied before; hence the second line is a range. The third line holds once no session is pending: until then
// counts are on their way, and only more of them than there were packets is wrong. Where batches were lost or rejected,
// a later batch may have told the counts of a session or not, and sessions that ended elsewhere are counted there: then the
// third line is a range, too.
func Residual(e *fleetv1.LedgerEntry) int64 {
	c, s := e.GetCounters(), e.GetSpool()
	causes := c.GetFiltered() + c.GetNonIp() + c.GetUndecodable() + c.GetFragUnmatched() + c.GetDup() + c.GetCut() + c.GetAccepted()
	residual := outside(int64(c.GetSeen()-causes), 0)
	residual += outside(int64(c.GetAccepted()-e.GetApplied()-e.GetRejected()-s.GetDropped()), s.GetReleased()+e.GetLostCrash()+e.GetElsewhere())
	left := int64(c.GetCut() + c.GetAccepted() - e.GetStoredPackets() - e.GetLostCrash())
	switch {
	case e.GetPendingSessions() > 0:
		residual += outside(left, c.GetSeen())
	case e.GetGapSequences() > 0 || e.GetRejected() > 0 || e.GetElsewhere() > 0:
		residual += outside(left, c.GetCut()+c.GetAccepted())
	default:
		residual += outside(left, 0)
	}
	return residual
}

// outside is how far a value lies outside of the range from 0 to most.
func outside(value int64, most uint64) int64 {
	return max(0, -value, value-int64(most))
}

// Total sums up entries; agent, epoch and lane are empty. It is closed when all are.
func Total(entries []*fleetv1.LedgerEntry) *fleetv1.LedgerEntry {
	t := &fleetv1.LedgerEntry{Counters: &ingestv1.Counters{}, Spool: &ingestv1.SpoolCounters{}, Closed: len(entries) > 0}
	for _, e := range entries {
		addCounters(t.GetCounters(), e.GetCounters())
		t.Spool.Dropped += e.GetSpool().GetDropped()
		t.Spool.Released += e.GetSpool().GetReleased()
		t.Spool.Rejected += e.GetSpool().GetRejected()
		t.ReceivedSequence += e.GetReceivedSequence()
		t.DurableSequence += e.GetDurableSequence()
		t.GapSequences += e.GetGapSequences()
		t.Applied += e.GetApplied()
		t.Mismatched += e.GetMismatched()
		t.Rejected += e.GetRejected()
		t.LostCrash += e.GetLostCrash()
		t.Elsewhere += e.GetElsewhere()
		t.OpenedSessions += e.GetOpenedSessions()
		t.StoredSessions += e.GetStoredSessions()
		t.PendingSessions += e.GetPendingSessions()
		t.StoredPackets += e.GetStoredPackets()
		t.Residual += e.GetResidual()
		t.Closed = t.GetClosed() && e.GetClosed()
	}
	return t
}

func addCounters(t, c *ingestv1.Counters) {
	t.Seen += c.GetSeen()
	t.Filtered += c.GetFiltered()
	t.NonIp += c.GetNonIp()
	t.Undecodable += c.GetUndecodable()
	t.FragUnmatched += c.GetFragUnmatched()
	t.Dup += c.GetDup()
	t.Cut += c.GetCut()
	t.Accepted += c.GetAccepted()
	t.KernelDropped += c.GetKernelDropped()
	t.OpenedSessions += c.GetOpenedSessions()
	t.EndedSessions += c.GetEndedSessions()
}
