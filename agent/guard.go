package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet"
)

// guard keeps the agent from capturing what it sends itself, which it would send again, and capture again. Each connection
// to a collector is left out by the kernel before it is made, so that not even its first packet is seen, and for as long
// after its end as the network may still have packets of it. The cut asks own for what the kernel shows all the same, as
// inside of a tunnel.
//
//	uplink ── connect ──> guard ── Exclude ──> kernel ──> connect(2)
//	cut ── session opens ──> own? ──> filtered
type guard struct {
	// exclude makes the kernel leave out the flows; nil when nothing live is captured.
	exclude func(flows []capture.Flow) error

	mu    sync.Mutex // guards flows, and is held while they are put in force
	flows []*ownFlow // oldest first

	view atomic.Pointer[[]capture.Flow] // the flows, for own
}

type ownFlow struct {
	flow   capture.Flow
	closed time.Time // zero while it is open
}

const (
	// excludeAfter is how long a flow is left out after its end: longer than TCP says goodbye (RFC 9293: 2 MSL).
	excludeAfter = 2 * time.Minute
	protocolTCP  = 6
)

var errTooManyFlows = errors.New("too many connections to collectors are open")

// OnConnect leaves a connection out of all captures before it is made. An error means that it must not be made.
func (g *guard) OnConnect(localPort uint16, remote netip.AddrPort) (onClose func(), err error) {
	if g.exclude == nil {
		return func() {}, nil
	}
	remote = netip.AddrPortFrom(remote.Addr().Unmap().WithZone(""), remote.Port())
	unspecified := netip.IPv6Unspecified()
	if remote.Addr().Is4() {
		unspecified = netip.IPv4Unspecified()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	own := &ownFlow{flow: capture.Flow{Local: netip.AddrPortFrom(unspecified, localPort), Remote: remote}}
	before := g.flows
	// The same ports again are another connection: the one before is over.
	next := slices.DeleteFunc(slices.Clone(before), func(f *ownFlow) bool { return f.flow == own.flow })
	if len(next) >= capture.MaxFlows {
		closed := slices.IndexFunc(next, func(f *ownFlow) bool { return !f.closed.IsZero() })
		for i, f := range next {
			if !f.closed.IsZero() && f.closed.Before(next[closed].closed) {
				closed = i
			}
		}
		if closed < 0 {
			return nil, fmt.Errorf("%w: %d", errTooManyFlows, len(next))
		}
		next = slices.Delete(next, closed, closed+1)
	}
	g.flows = append(next, own)
	if err := g.install(); err != nil {
		g.flows = before
		g.show()
		return nil, fmt.Errorf("leave connection from port %d to %s out of the capture: %w", localPort, remote, err)
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		own.closed = time.Now()
	}, nil
}

// expire forgets flows whose connection ended long enough ago. It belongs to another goroutine than the one that captures,
// for it waits for that one.
func (g *guard) expire() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.flows
	g.flows = slices.DeleteFunc(slices.Clone(before), func(f *ownFlow) bool {
		return !f.closed.IsZero() && time.Since(f.closed) >= excludeAfter
	})
	if len(g.flows) == len(before) {
		return nil
	}
	if err := g.install(); err != nil {
		g.flows = before
		g.show()
		return fmt.Errorf("forget connections that are over: %w", err)
	}
	return nil
}

// install puts the flows in force.
func (g *guard) install() error {
	return g.exclude(g.show())
}

// show lets own see the flows, and returns them.
func (g *guard) show() []capture.Flow {
	flows := make([]capture.Flow, 0, len(g.flows))
	for _, f := range g.flows {
		flows = append(flows, f.flow)
	}
	g.view.Store(&flows)
	return flows
}

// own tells whether a session is a connection to a collector.
func (g *guard) own(key *packet.Key) bool {
	flows := g.view.Load()
	if flows == nil || key.Protocol != protocolTCP {
		return false
	}
	low, high := netip.AddrFrom16(key.Low).Unmap(), netip.AddrFrom16(key.High).Unmap()
	for i := range *flows {
		f := &(*flows)[i]
		local, remote := f.Local.Port(), f.Remote.Port()
		if key.LowPort == local && key.HighPort == remote && high == f.Remote.Addr() ||
			key.HighPort == local && key.LowPort == remote && low == f.Remote.Addr() {
			return true
		}
	}
	return false
}
