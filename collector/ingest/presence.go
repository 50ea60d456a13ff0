package ingest

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "sonde.example/gen/go/sonde/fleet/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
)

// presence knows which agents are here, and since the start were. The zero value is ready.
type presence struct {
	mu     sync.Mutex // guards agents
	agents map[string]*present
}

type present struct {
	hello *ingestv1.Hello
	peer  string
	seen  time.Time
	lanes map[uint32]int // connected, by lane
}

// come notes a lane's stream, and returns what notes its end.
func (p *presence) come(lane packet.Lane, hello *ingestv1.Hello, peer string) (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.agents == nil {
		p.agents = map[string]*present{}
	}
	a := p.agents[lane.Agent]
	if a == nil {
		a = &present{lanes: map[uint32]int{}}
		p.agents[lane.Agent] = a
	}
	a.hello, a.peer, a.seen = hello, peer, time.Now()
	a.lanes[lane.Index]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		a.seen = time.Now()
		if a.lanes[lane.Index]--; a.lanes[lane.Index] == 0 {
			delete(a.lanes, lane.Index)
		}
	}
}

// hear notes that a lane said something.
func (p *presence) hear(lane packet.Lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.agents[lane.Agent]; a != nil {
		a.seen = time.Now()
	}
}

// Agents returns the agents that were here since the start, by name.
func (s *Service) Agents() []*fleetv1.Agent {
	p := &s.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	agents := make([]*fleetv1.Agent, 0, len(p.agents))
	for name, a := range p.agents {
		agent := &fleetv1.Agent{
			Name: name, State: fleetv1.AgentState_AGENT_STATE_AWAY, Version: a.hello.GetVersion(),
			CapturePoints: a.hello.GetCapturePoints(), ConfigRevision: a.hello.GetConfigRevision(), Epoch: a.hello.GetEpoch(),
			Lanes: uint32(len(a.lanes)), SeenTime: timestamppb.New(a.seen),
		}
		if len(a.lanes) > 0 {
			agent.State, agent.Peer = fleetv1.AgentState_AGENT_STATE_CONNECTED, a.peer
		}
		agents = append(agents, agent)
	}
	slices.SortFunc(agents, func(a, b *fleetv1.Agent) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return agents
}
