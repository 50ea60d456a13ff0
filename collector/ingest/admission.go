package ingest

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// admission bounds the bytes that are being worked on, for each agent and in total. Who waits is served in turn.
type admission struct {
	total      *semaphore.Weighted
	totalBytes int64
	agentBytes int64

	mu     sync.Mutex // guards agents
	agents map[string]*share
}

// share is one agent's part, kept as long as somebody uses it.
type share struct {
	*semaphore.Weighted
	users int
}

func newAdmission(totalBytes, agentBytes int64) *admission {
	return &admission{
		total: semaphore.NewWeighted(totalBytes), totalBytes: totalBytes, agentBytes: agentBytes, agents: map[string]*share{},
	}
}

// acquire waits for room, and returns what gives it back. What is larger than the bounds gets all there is.
func (a *admission) acquire(ctx context.Context, agent string, bytes int) (release func(), err error) {
	own := a.enter(agent)
	mine, all := min(int64(bytes), a.agentBytes), min(int64(bytes), a.totalBytes)
	if err := own.Acquire(ctx, mine); err != nil {
		a.leave(agent, own)
		return nil, err
	}
	if err := a.total.Acquire(ctx, all); err != nil {
		own.Release(mine)
		a.leave(agent, own)
		return nil, err
	}
	return func() {
		a.total.Release(all)
		own.Release(mine)
		a.leave(agent, own)
	}, nil
}

func (a *admission) enter(agent string) *share {
	a.mu.Lock()
	defer a.mu.Unlock()
	own := a.agents[agent]
	if own == nil {
		own = &share{Weighted: semaphore.NewWeighted(a.agentBytes)}
		a.agents[agent] = own
	}
	own.users++
	return own
}

func (a *admission) leave(agent string, own *share) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(a.agents, agent)
	}
}
