package afpacket

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	pollTimeout = 100 * time.Millisecond // the longest wait, after which chores are looked at
	dropsPeriod = time.Second            // the kernel's counter has 32 bits; in a second it cannot wrap
	shortRetry  = 100 * time.Millisecond
	longRetry   = 5 * time.Second

	// overlap is how long an old ring goes on beside the new ones. A packet may come to the rings later than its stamp says,
	// for it waits in a queue of its processor in between.
	overlap = 200 * time.Millisecond
	// stampDelay is how long after the first SO_TIMESTAMPNS of a host the kernel may still not stamp, since it begins to in a
	// work queue. Old devices are not given up earlier after Open.
	stampDelay = 50 * time.Millisecond
)

var errDown = errors.New("device is down")

// ending is the last part of a ring's life: at a time its socket turns everything away, and a little later, when the last
// block has been read, it is closed.
type ending struct {
	at    time.Time // of the next step; zero while the ring has not begun to end
	muted bool
}

func (e ending) is() bool { return !e.at.IsZero() }

func (r *ring) end(now time.Time, after time.Duration) { r.ending = ending{at: now.Add(after)} }

// arrange makes the poll set after the rings have changed.
func (s *Set) arrange() {
	s.polled = append(s.polled[:0], unix.PollFd{Fd: int32(s.wake), Events: unix.POLLIN})
	for _, r := range s.rings {
		s.polled = append(s.polled, unix.PollFd{Fd: int32(r.socket), Events: unix.POLLIN | unix.POLLERR})
	}
}

// wait returns when a ring has a block, when ctx ends, or when the time-out passes.
func (s *Set) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.signal)
	err := s.poll(pollTimeout)
	if !stop() {
		err = errors.Join(err, <-s.woken)
		var count [8]byte
		if _, readErr := unix.Read(s.wake, count[:]); readErr != nil && !errors.Is(readErr, unix.EAGAIN) {
			err = errors.Join(err, fmt.Errorf("read eventfd: %w", readErr))
		}
	}
	return err
}

// signal ends a wait; wait takes what it says before it returns.
func (s *Set) signal() {
	one := [8]byte{1, 1, 1, 1, 1, 1, 1, 1} // in any byte order
	_, err := unix.Write(s.wake, one[:])
	s.woken <- err
}

// poll waits for blocks and looks at the sockets' errors.
func (s *Set) poll(timeout time.Duration) error {
	n, err := unix.Poll(s.polled, int(timeout.Milliseconds()))
	if err != nil {
		if errors.Is(err, unix.EINTR) {
			return nil
		}
		return fmt.Errorf("wait for packets: %w", err)
	}
	if n == 0 {
		return nil
	}
	for i, r := range s.rings {
		if s.polled[i+1].Revents&^unix.POLLIN == 0 {
			continue
		}
		if err := r.fault(); err != nil && r.point.ring == r && r.point.down == nil {
			if errors.Is(err, unix.ENETDOWN) {
				err = errDown
			}
			r.point.fail(time.Now(), err)
		}
	}
	return nil
}

// fail takes note of what is wrong with a device, to look again later.
func (p *point) fail(now time.Time, err error) {
	if p.down == nil {
		p.delay = shortRetry
	} else {
		p.delay = min(2*p.delay, longRetry)
	}
	p.down = fmt.Errorf("%s: %w", p.device, err)
	p.retry = now.Add(p.delay)
}

// chores are what is to be done now and then: under load nothing waits, and without it nothing comes.
func (s *Set) chores(now time.Time) error {
	s.nextChores = now.Add(pollTimeout)
	if err := s.poll(0); err != nil {
		return err
	}
	if !now.Before(s.nextDrops) {
		s.nextDrops = now.Add(dropsPeriod)
		if err := s.countDrops(); err != nil {
			return err
		}
	}
	for _, p := range s.points {
		if p.down != nil && !now.Before(p.retry) {
			s.revive(p, now)
		}
	}
	return s.endRings(now)
}

// revive looks whether a device is there again: under its name, or, while none has that, as the ring's own under another.
func (s *Set) revive(p *point, now time.Time) {
	bound, err := p.ring.bound()
	if err != nil {
		p.fail(now, err)
		return
	}
	d, err := lookUp(s.stamp, p.device)
	if errors.Is(err, errUnknownDevice) && bound {
		var name string
		if name, err = nameOf(s.stamp, p.ring.device.index); err == nil {
			d, err = lookUp(s.stamp, name)
		}
	}
	if err == nil && (!bound || d.index != p.ring.device.index) {
		err = s.rebind(p, d, now)
	}
	switch {
	case err != nil:
		p.fail(now, err)
	case !d.up:
		p.fail(now, errDown)
	default:
		p.down = nil
	}
}

// rebind gives a point whose device is a new one a new ring; the old one is read to its end.
func (s *Set) rebind(p *point, d device, now time.Time) error {
	if len(s.rings) >= MaxRings {
		return fmt.Errorf("%d rings are at work already", MaxRings)
	}
	program, raw, err := p.choose(d, s.flows)
	if err != nil {
		return err
	}
	r, err := openRing(d, s.bytes, raw)
	if err != nil {
		return err
	}
	p.use(program)
	r.point, r.from = p, p.ring.from
	p.ring.end(now, 0)
	p.ring = r
	s.rings = append(s.rings, r)
	s.arrange()
	return nil
}

// endRings goes on with the rings that are about to end.
func (s *Set) endRings(now time.Time) error {
	var failed error
	before := len(s.rings)
	s.rings = slices.DeleteFunc(s.rings, func(r *ring) bool {
		switch {
		case !r.ending.is() || now.Before(r.ending.at):
			return false
		case !r.ending.muted:
			// Nothing more gets in; what has got in is handed over within the block's time-out.
			if err := r.attach([]bpf.RawInstruction{{Op: opReturn, K: takeNone}}); err != nil {
				failed = errors.Join(failed, fmt.Errorf("device %s: %w", r.device.name, err))
				return false
			}
			r.ending = ending{at: now.Add(2 * blockTimeout), muted: true}
			return false
		case r.ready():
			return false
		}
		n, err := r.drops()
		s.stats.Drops += n
		failed = errors.Join(failed, err, r.close())
		return true
	})
	if len(s.rings) != before {
		s.arrange()
	}
	return failed
}
