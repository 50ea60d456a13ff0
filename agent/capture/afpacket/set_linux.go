package afpacket

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet/filter"
)

// Set is a capture.Live on this host's devices, in the network namespace of the thread that opens it. It starts no
// goroutine and has no lock: the goroutine that opened it uses it.
type Set struct {
	bytes  int // of each ring
	stamp  int // socket that makes the kernel stamp each packet once for all rings, from Open to Close; also for questions
	wake   int // eventfd that ends a wait when a context does
	woken  chan error
	opened time.Time

	points  []*point
	numbers int // given so far
	flows   []capture.Flow
	stats   capture.Stats
	closed  bool

	rings   []*ring // those of the points, and those that are about to end
	polled  []unix.PollFd
	reading *ring // whose block is being read; nil between blocks
	turn    int   // its place in rings, where the search for the next one begins

	nextChores, nextDrops time.Time
}

var _ capture.Live = (*Set)(nil)

// point is one capture point.
type point struct {
	capture.Point
	device  string
	number  int
	filter  filter.Program
	matcher filter.Matcher // of filter, for frames whose tag the kernel had taken off
	ring    *ring

	down  error // what is wrong with the device; nil when all is well
	retry time.Time
	delay time.Duration
}

// Open makes a set that captures nothing before Replace. An error means that this process may not capture, or that
// options are out of range.
func Open(o Options) (*Set, error) {
	if o.RingBytes == 0 {
		o.RingBytes = DefaultRingBytes
	}
	if o.RingBytes < MinRingBytes || o.RingBytes > MaxRingBytes {
		return nil, fmt.Errorf("ring of %d bytes: want %d to %d", o.RingBytes, MinRingBytes, MaxRingBytes)
	}
	// Protocol 0 gets no packets.
	stamp, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, socketError(err)
	}
	if err := unix.SetsockoptInt(stamp, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return nil, errors.Join(fmt.Errorf("have packets stamped: %w", err), unix.Close(stamp))
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make eventfd: %w", err), unix.Close(stamp))
	}
	s := &Set{bytes: o.RingBytes, stamp: stamp, wake: wake, woken: make(chan error, 1), opened: time.Now()}
	s.arrange()
	return s, nil
}

// ReadPacket implements capture.Live. It takes a block of one ring, then one of the next, so that no device waits for more
// than a block of each of the others.
func (s *Set) ReadPacket(ctx context.Context) ([]byte, capture.Info, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, capture.Info{}, err
		}
		if s.closed {
			return nil, capture.Info{}, capture.ErrClosed
		}
		r := s.reading
		if r == nil || r.block.left == 0 {
			if err := s.nextBlock(ctx); err != nil {
				return nil, capture.Info{}, err
			}
			continue
		}
		f, ok := r.block.next()
		if !ok {
			s.stats.Drops += uint64(r.block.left)
			r.block.left = 0
			continue
		}
		p := r.point
		switch {
		case f.time < r.from || f.time >= r.until:
			s.stats.Dup++
			continue
		case f.tagged && !p.matcher.Match(f.data, f.original):
			s.stats.Filtered++
			continue
		}
		if p.SnapLength > 0 && len(f.data) > p.SnapLength {
			f.data = f.data[:p.SnapLength:p.SnapLength]
		}
		s.stats.Packets++
		return f.data, capture.Info{
			Time: f.time, CaptureLength: len(f.data), OriginalLength: f.original,
			InterfaceIndex: p.number, LinkType: r.device.link, Direction: direction(f.kind),
		}, nil
	}
}

// nextBlock gives the block back that has been read, and takes the next one, of another ring if one has any. When none has,
// it waits, and returns for the caller to look at the context.
func (s *Set) nextBlock(ctx context.Context) error {
	if s.reading != nil {
		s.reading.release()
		s.reading = nil
	}
	now := time.Now()
	if !now.Before(s.nextChores) {
		if err := s.chores(now); err != nil {
			return err
		}
	}
	for i := range s.rings {
		turn := (s.turn + 1 + i) % len(s.rings)
		r := s.rings[turn]
		ok, broken := r.take()
		if !ok {
			continue
		}
		s.stats.Drops += uint64(broken)
		s.reading, s.turn = r, turn
		if r.point.down != nil && r.point.ring == r {
			r.point.retry = now // it is up, it seems
		}
		return nil
	}
	return s.wait(ctx)
}

// Replace implements capture.Live. A point's name is "afpacket:DEVICE", or the device alone. A point that keeps its name keeps
// its ring and its number, whatever else of it changes. A device that is down is taken, and waited for; one that is
// not there is an error. A new device takes over from an old one without a packet lost or doubled where both pass the same
// packets in, as a bridge and its port do; what this host sends is stamped by each device anew, so that of the packets on
// their way from one to the other at the moment itself, a few microseconds, one may be lost or doubled.
func (s *Set) Replace(points []capture.Point) (numbers []int, err error) {
	if s.closed {
		return nil, capture.ErrClosed
	}
	next := make([]*point, len(points))
	programs := make([][]bpf.RawInstruction, len(points))
	var fresh []*ring
	defer func() {
		if err != nil {
			for _, r := range fresh {
				err = errors.Join(err, r.close())
			}
		}
	}()
	for i, wanted := range points {
		p, program, err := s.prepare(wanted, next[:i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", wanted.Name, err)
		}
		next[i], programs[i] = p, program
		if p.number >= 0 {
			continue
		}
		if len(s.rings)+len(fresh) >= MaxRings {
			return nil, fmt.Errorf("%s: %d rings are at work already, those about to end included", wanted.Name, MaxRings)
		}
		if p.ring, err = openRing(p.ring.device, s.bytes, program); err != nil {
			return nil, fmt.Errorf("%s: %w", wanted.Name, err)
		}
		p.ring.point = p
		fresh = append(fresh, p.ring)
	}
	var kept []*ring
	var changed [][]bpf.RawInstruction
	for i, p := range next {
		if p.number >= 0 {
			kept, changed = append(kept, p.ring), append(changed, programs[i])
		}
	}
	if err := attachAll(kept, changed); err != nil {
		return nil, err
	}
	return s.commit(next, fresh), nil
}

// prepare builds a point as it is to be, and what its socket gets. For a new one the number is negative, and the ring only
// tells the device.
func (s *Set) prepare(wanted capture.Point, before []*point) (*point, []bpf.RawInstruction, error) {
	name, err := deviceName(wanted.Name)
	if err != nil {
		return nil, nil, err
	}
	if slices.ContainsFunc(before, func(p *point) bool { return p.device == name }) {
		return nil, nil, fmt.Errorf("device %s is there twice", name)
	}
	p := &point{Point: wanted, device: name, number: -1}
	if i := slices.IndexFunc(s.points, func(old *point) bool { return old.Name == wanted.Name }); i >= 0 {
		old := s.points[i]
		p.number, p.ring, p.down, p.retry, p.delay = old.number, old.ring, old.down, old.retry, old.delay
	} else {
		d, err := lookUp(s.stamp, name)
		if errors.Is(err, errUnknownDevice) {
			err = unknownDevice(name)
		}
		if err != nil {
			return nil, nil, err
		}
		p.ring = &ring{device: d}
	}
	program, raw, err := p.choose(p.ring.device, s.flows)
	p.use(program)
	return p, raw, err
}

// choose returns the point's filter for a device's frames, and what a socket on it gets.
func (p *point) choose(d device, flows []capture.Flow) (program filter.Program, raw []bpf.RawInstruction, err error) {
	if p.Program != nil {
		if program, err = p.Program(d.link); err != nil {
			return filter.Program{}, nil, err
		}
	}
	if !program.Empty() && program.LinkType() != d.link {
		return filter.Program{}, nil, fmt.Errorf("filter %q is for frames of link type %d; device %s has link type %d",
			program.Text(), program.LinkType(), d.name, d.link)
	}
	raw, err = kernelProgram(program, d.link, d.loopback, flows)
	return program, raw, err
}

func (p *point) use(program filter.Program) { p.filter, p.matcher = program, program.Matcher() }

// commit makes next the points. Nothing in it can fail.
func (s *Set) commit(next []*point, fresh []*ring) []int {
	var old []*ring
	for _, r := range s.rings {
		if i := slices.IndexFunc(next, func(p *point) bool { return p.ring == r }); i >= 0 {
			r.point = next[i]
		} else if !r.ending.is() {
			old = append(old, r)
		}
	}
	if early := time.Until(s.opened.Add(stampDelay)); early > 0 && len(old) > 0 {
		<-time.After(early) // both are at work meanwhile
	}
	// From this moment on every packet that is stamped passes the new rings, and until well after it the old ones.
	now := time.Now()
	for _, r := range old {
		r.until = now.UnixNano()
		r.end(now, overlap)
	}
	for _, r := range fresh {
		for _, ending := range s.rings {
			if ending.until != math.MaxInt64 {
				r.from = max(r.from, ending.until)
			}
		}
	}
	numbers := make([]int, len(next))
	for i, p := range next {
		if p.number < 0 {
			p.number = s.numbers
			s.numbers++
			if !p.ring.device.up {
				p.fail(now, errDown)
			}
		}
		numbers[i] = p.number
	}
	s.points = next
	s.rings = append(s.rings, fresh...)
	s.arrange()
	return numbers
}

// attachAll puts programs in force on rings, or changes nothing.
func attachAll(rings []*ring, programs [][]bpf.RawInstruction) error {
	before := make([][]bpf.RawInstruction, len(rings))
	for i, r := range rings {
		before[i] = r.program
		if slices.Equal(r.program, programs[i]) {
			continue
		}
		err := r.attach(programs[i])
		if err == nil {
			continue
		}
		err = fmt.Errorf("device %s: %w", r.device.name, err)
		for j, r := range rings[:i] {
			if !slices.Equal(r.program, before[j]) {
				err = errors.Join(err, r.attach(before[j]))
			}
		}
		return err
	}
	return nil
}

// Exclude implements capture.Live. What it turns away is TCP over IPv4 and IPv6, as such, behind a VLAN tag that the kernel
// has taken off, behind up to two in the frame, and behind all three; not later fragments, which show no ports, and not what
// travels inside a tunnel or behind MPLS or PPPoE. Programs and flows together have a bound: filter.MaxInstructions, of
// which 32 flows of IPv6 take 1,308.
func (s *Set) Exclude(flows []capture.Flow) error {
	if s.closed {
		return capture.ErrClosed
	}
	if err := checkFlows(flows); err != nil {
		return err
	}
	var rings []*ring
	var programs [][]bpf.RawInstruction
	for _, r := range s.rings {
		if r.ending.muted {
			continue
		}
		program, err := kernelProgram(r.point.filter, r.device.link, r.device.loopback, flows)
		if err != nil {
			return fmt.Errorf("%s: %w", r.point.Name, err)
		}
		rings, programs = append(rings, r), append(programs, program)
	}
	if err := attachAll(rings, programs); err != nil {
		return err
	}
	s.flows = slices.Clone(flows)
	return nil
}

// Stats implements capture.Live. Filtered are tagged frames, for which the program runs here; Dup may hold packets that only
// the old device passed after the new one had taken over.
func (s *Set) Stats() (capture.Stats, error) {
	if s.closed {
		return capture.Stats{}, capture.ErrClosed
	}
	err := s.countDrops()
	return s.stats, err
}

func (s *Set) countDrops() error {
	for _, r := range s.rings {
		n, err := r.drops()
		if err != nil {
			return err
		}
		s.stats.Drops += n
	}
	return nil
}

// Waiting implements capture.Live.
func (s *Set) Waiting() map[string]error {
	var waiting map[string]error
	for _, p := range s.points {
		if p.down != nil {
			if waiting == nil {
				waiting = map[string]error{}
			}
			waiting[p.Name] = p.down
		}
	}
	return waiting
}

// Close implements capture.Live. What lies unread in the rings is gone.
func (s *Set) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	err := errors.Join(unix.Close(s.stamp), unix.Close(s.wake))
	for _, r := range s.rings {
		err = errors.Join(err, r.close())
	}
	s.rings, s.points, s.reading = nil, nil, nil
	return err
}
