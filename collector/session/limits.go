package session

import (
	"sync/atomic"
	"time"
)

// limits are what an operator may change while the store works.
type limits struct {
	deadlineNs, bytes, agentBytes *atomic.Int64
}

func newLimits(o *Options) limits {
	l := limits{new(atomic.Int64), new(atomic.Int64), new(atomic.Int64)}
	l.deadlineNs.Store(int64(o.Deadline))
	l.bytes.Store(o.Bytes)
	l.agentBytes.Store(o.AgentBytes)
	return l
}

// deadline is from the first change of a session to its hand-over.
func (m *Memory) deadline() time.Duration { return time.Duration(m.limits.deadlineNs.Load()) }

// SetDeadline changes the deadline, of sessions that wait already too. Any goroutine may call it.
func (m *Memory) SetDeadline(deadline time.Duration) { m.limits.deadlineNs.Store(int64(deadline)) }

// SetBytes changes the budget; one agent gets half of it. When more is in use sessions leave memory as they do when it gets
// scarce, and what comes is refused until there is room. Any goroutine may call it.
func (m *Memory) SetBytes(bytes int64) {
	m.limits.bytes.Store(bytes)
	m.limits.agentBytes.Store(bytes / 2)
}
