package capturetest

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
)

// LiveQueue is how many packets a Live holds for its reader; more are lost, and counted as Drops, as in a kernel's ring.
const LiveQueue = 1 << 16

// Live is a capture.Live on devices that exist only in memory: the test makes them, sends packets to them, and takes them
// down. Its own methods may be called by any goroutine; those of capture.Live by one, as the interface says.
type Live struct {
	walker *packet.Walker

	mu      sync.Mutex // guards what follows
	devices map[string]*liveDevice
	points  []*livePoint
	numbers int
	flows   []capture.Flow
	queue   []queued
	fresh   chan struct{} // closed and renewed when a packet comes
	stats   capture.Stats
	closed  bool
}

var _ capture.Live = (*Live)(nil)

type liveDevice struct {
	link packet.LinkType
	down error
}

type livePoint struct {
	point   capture.Point
	device  string
	number  int
	matcher filter.Matcher
}

// queued is a packet that waits for the reader; the snap length is applied when it is read.
type queued struct {
	data  []byte
	info  capture.Info
	point *livePoint
}

// NewLive returns a set with devices by name, such as "eth0"; a point's name is the device's, or "afpacket:" and that.
func NewLive(devices map[string]packet.LinkType) *Live {
	l := &Live{walker: packet.NewWalker(packet.DefaultOptions()), devices: map[string]*liveDevice{}, fresh: make(chan struct{})}
	for name, link := range devices {
		l.devices[name] = &liveDevice{link: link}
	}
	return l
}

// Send passes a frame by a device, at the present time and Inbound; it returns whether a point took it. A device that is
// not there or is down passes nothing. The frame is copied.
func (l *Live) Send(device string, frame []byte) bool {
	return l.SendAt(device, frame, time.Now(), capture.Inbound)
}

// SendAt is Send with a time and a direction.
func (l *Live) SendAt(device string, frame []byte, at time.Time, direction capture.Direction) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.devices[device]
	if l.closed || d == nil || d.down != nil || l.excluded(d.link, frame) {
		return false
	}
	taken := false
	for _, p := range l.points {
		switch {
		case p.device != device || !p.matcher.Match(frame, len(frame)):
		case len(l.queue) >= LiveQueue:
			l.stats.Drops++
		default:
			l.queue = append(l.queue, queued{slices.Clone(frame), capture.Info{
				Time: at.UnixNano(), OriginalLength: len(frame), InterfaceIndex: p.number, LinkType: d.link, Direction: direction,
			}, p})
			taken = true
		}
	}
	if taken {
		close(l.fresh)
		l.fresh = make(chan struct{})
	}
	return taken
}

// SetDown takes a device down, for a reason that Waiting tells, or up again with nil. A device that is not there yet
// appears, as Ethernet.
func (l *Live) SetDown(device string, reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.devices[device] == nil {
		l.devices[device] = &liveDevice{link: packet.LinkEthernet}
	}
	l.devices[device].down = reason
}

// Points returns the points' names, in the order of the last Replace.
func (l *Live) Points() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for _, p := range l.points {
		names = append(names, p.point.Name)
	}
	return names
}

// Flows returns the flows that no point shows.
func (l *Live) Flows() []capture.Flow {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.flows)
}

// ReadPacket implements capture.Live.
func (l *Live) ReadPacket(ctx context.Context) ([]byte, capture.Info, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, capture.Info{}, err
		}
		q, fresh, err := l.take()
		if err != nil {
			return nil, capture.Info{}, err
		}
		if fresh == nil {
			return q.data, q.info, nil
		}
		select {
		case <-ctx.Done():
		case <-fresh:
		}
	}
}

// take returns the oldest packet, or what tells that one has come.
func (l *Live) take() (queued, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return queued{}, nil, capture.ErrClosed
	}
	if len(l.queue) == 0 {
		return queued{}, l.fresh, nil
	}
	q := l.queue[0]
	l.queue = l.queue[1:]
	if snap := q.point.point.SnapLength; snap > 0 && len(q.data) > snap {
		q.data = q.data[:snap]
	}
	q.info.CaptureLength = len(q.data)
	l.stats.Packets++
	return q, nil, nil
}

// Replace implements capture.Live.
func (l *Live) Replace(points []capture.Point) ([]int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, capture.ErrClosed
	}
	old := map[string]*livePoint{}
	for _, p := range l.points {
		old[p.point.Name] = p
	}
	var next []*livePoint
	var numbers []int
	count := l.numbers
	for i, point := range points {
		device := strings.TrimPrefix(point.Name, "afpacket:")
		d := l.devices[device]
		switch {
		case slices.ContainsFunc(next, func(p *livePoint) bool { return p.device == device }):
			return nil, fmt.Errorf("%s: device %s twice", point.Name, device)
		case d == nil:
			return nil, fmt.Errorf("%s: no device %q; there are %s", point.Name, device,
				strings.Join(slices.Sorted(maps.Keys(l.devices)), ", "))
		}
		var program filter.Program
		if point.Program != nil {
			var err error
			if program, err = point.Program(d.link); err != nil {
				return nil, fmt.Errorf("%s: %w", point.Name, err)
			}
		}
		if !program.Empty() && program.LinkType() != d.link {
			return nil, fmt.Errorf("%s: filter %q is for frames of another link type", point.Name, program.Text())
		}
		p := &livePoint{point: points[i], device: device, matcher: program.Matcher()}
		if kept := old[point.Name]; kept != nil {
			p.number = kept.number
		} else {
			p.number = count
			count++
		}
		next = append(next, p)
		numbers = append(numbers, p.number)
	}
	l.points, l.numbers = next, count
	return numbers, nil
}

// Exclude implements capture.Live.
func (l *Live) Exclude(flows []capture.Flow) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return capture.ErrClosed
	}
	if err := capture.CheckFlows(flows); err != nil {
		return err
	}
	l.flows = slices.Clone(flows)
	return nil
}

func (l *Live) excluded(link packet.LinkType, frame []byte) bool {
	const tcp = 6
	var info packet.Info
	if len(l.flows) == 0 || l.walker.Walk(link, frame, len(frame), &info) != packet.OK || info.Key.Protocol != tcp ||
		info.Key.Scope.Tunnel != packet.NoTunnel {
		return false
	}
	from, to := addrPort(info.Source()), addrPort(info.Destination())
	return slices.ContainsFunc(l.flows, func(f capture.Flow) bool { return between(f, from, to) || between(f, to, from) })
}

func addrPort(e packet.Endpoint) netip.AddrPort { return netip.AddrPortFrom(e.Address, e.Port) }

func between(f capture.Flow, local, remote netip.AddrPort) bool {
	same := func(want, got netip.AddrPort) bool {
		return want.Port() == got.Port() && want.Addr().Unmap().WithZone("") == got.Addr()
	}
	return same(f.Remote, remote) &&
		(same(f.Local, local) || f.Local.Port() == local.Port() && (f.Local.Addr().IsUnspecified() || !f.Local.Addr().IsValid()))
}

// Stats implements capture.Live. What Send was refused for is in none of the counts, as with a kernel's filter.
func (l *Live) Stats() (capture.Stats, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return capture.Stats{}, capture.ErrClosed
	}
	return l.stats, nil
}

// Waiting implements capture.Live.
func (l *Live) Waiting() map[string]error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var waiting map[string]error
	for _, p := range l.points {
		if err := l.devices[p.device].down; err != nil {
			if waiting == nil {
				waiting = map[string]error{}
			}
			waiting[p.point.Name] = err
		}
	}
	return waiting
}

// Close implements capture.Live.
func (l *Live) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.queue, l.points = true, nil, nil
	return nil
}
