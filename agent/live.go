package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sonde.example/agent/batch"
	"sonde.example/agent/capture"
	"sonde.example/agent/cut"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/config"
	"sonde.example/internal/packet"
	"sonde.example/internal/telemetry"
)

// livePump reads capture points on devices, all side by side. Its goroutine owns the set, the tables and the settings in
// force; others ask it, through do, to change them between two packets. Each capture point has a table of its own, so that
// sessions of different points never mix, and all have one store of records, so that the bound holds for all together.
//
// A point that is wanted no more goes on for a moment, for its ring may still hold packets from before the change; then its
// sessions end, with reason capture end.
type livePump struct {
	*pump
	open     func() (capture.Live, error)
	set      capture.Live
	settings *settings // in force; nil before the first configure
	points   []*livePoint
	numbers  map[int]*number // by the set's numbers
	at       through
	frame    cut.Packet        // the packet at hand; here, so that it need not be allocated
	newest   int64             // time of the newest packet
	idle     bool              // no packet came since the last tick
	health   map[string]string // why points wait, by name
	told     time.Time
	watched  time.Time

	commands chan command
	ended    chan struct{} // closed when nobody takes commands any more

	mu   sync.Mutex         // guards wake
	wake context.CancelFunc // ends the reading under way
}

type command struct {
	do   func() error
	done chan error
}

// livePoint is a capture point of the set, or one that was until just now.
type livePoint struct {
	name  string
	table *cut.Table
	last  time.Time // when a packet came, as of the last tick; for points that are gone
	fresh bool      // a packet came since then
	gone  bool
}

// number is one ring's: a point whose snap length changes goes on in another ring.
type number struct {
	point   *livePoint
	retired time.Time // zero while the set has it
}

// through is where the last packet came from, so that the next one from there needs no look-up.
type through struct {
	number int
	link   packet.LinkType
	point  *livePoint
	name   uint32 // the batches' number of the interface
}

const (
	// tickEvery is how often time passes for the tables while packets come or do not.
	tickEvery = 100 * time.Millisecond
	// behind is how far the tables' time stays behind the clock, so that packets that lie in a ring yet are not overtaken.
	behind = 500 * time.Millisecond
	// lingerFor is how long the sessions of a point that is gone wait for its last packets, and forgetAfter how long the point
	// is known.
	lingerFor   = time.Second
	forgetAfter = time.Minute
	// tellEvery is how often counters go up that no batch has told, and watchEvery how often waiting points are looked at.
	tellEvery  = 5 * time.Second
	watchEvery = 500 * time.Millisecond
	// restFor is how long the packets that a ring holds at the end are read for, at most.
	restFor = 200 * time.Millisecond
)

var errEnded = errors.New("capture has ended")

func newLivePump(open func() (capture.Live, error)) *livePump {
	return &livePump{
		open: open, numbers: map[int]*number{}, at: through{number: -1},
		commands: make(chan command, 16), ended: make(chan struct{}), health: map[string]string{},
	}
}

// exclude leaves flows out of the capture.
func (l *livePump) exclude(flows []capture.Flow) error {
	err := l.do(func() error { return l.set.Exclude(flows) })
	if errors.Is(err, errEnded) { // what is on its way still goes up, and nothing is captured any more
		return nil
	}
	return err
}

// do has the pump's goroutine call f, and returns what f does. That goroutine never waits for long; until it has begun, do
// waits for it.
func (l *livePump) do(f func() error) error {
	c := command{f, make(chan error, 1)}
	select {
	case l.commands <- c:
	case <-l.ended:
		return errEnded
	}
	l.mu.Lock()
	if l.wake != nil {
		l.wake()
	}
	l.mu.Unlock()
	select {
	case err := <-c.done:
		return err
	case <-l.ended:
		select {
		case err := <-c.done:
			return err
		default:
			return errEnded
		}
	}
}

// run captures until ctx ends. Nothing is captured before configure was called.
func (l *livePump) run(ctx, work context.Context) (err error) {
	defer close(l.ended)
	if l.set, err = l.open(); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	l.stats, l.accounted = l.set.Stats, capture.Stats{}
	reason, err := l.read(ctx, work)
	if err == nil || work.Err() == nil {
		for _, point := range l.points {
			err = errors.Join(err, l.end(work, point.table, reason))
		}
	}
	err = errors.Join(err, l.finish(work))
	l.stats = nil
	l.agent.log.Info("capture has ended", telemetry.KeyReason, reason.String(), "packets", l.packets)
	return errors.Join(err, l.set.Close())
}

// read takes packets, commands and time until ctx ends.
func (l *livePump) read(ctx, work context.Context) (flowv1.EndReason, error) {
	for ctx.Err() == nil {
		window, cancel := context.WithTimeout(ctx, tickEvery)
		l.mu.Lock()
		l.wake = cancel
		l.mu.Unlock()
		l.obey()
		err := l.packetsUntil(window, work)
		cancel()
		if err == nil {
			err = l.tick(work)
		}
		if err != nil {
			return flowv1.EndReason_END_REASON_CAPTURE_END, err
		}
	}
	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), restFor)
	defer cancel()
	return flowv1.EndReason_END_REASON_AGENT_STOPPED, l.rest(rest, work)
}

// rest reads what came before now and lies in a ring yet.
func (l *livePump) rest(ctx, work context.Context) error {
	for now := time.Now().UnixNano(); ; {
		data, info, err := l.set.ReadPacket(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		if err := l.packet(work, data, &info); err != nil || info.Time >= now {
			return err
		}
	}
}

// obey does what others ask for.
func (l *livePump) obey() {
	for {
		select {
		case c := <-l.commands:
			c.done <- c.do()
		default:
			return
		}
	}
}

// packetsUntil takes packets until ctx ends.
func (l *livePump) packetsUntil(ctx, work context.Context) error {
	for {
		data, info, err := l.set.ReadPacket(l.batches.Reading(ctx))
		switch {
		case err == nil:
			err = l.packet(work, data, &info)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			err = l.batches.Tick(work)
		default:
			err = fmt.Errorf("capture: %w", err)
		}
		if err != nil {
			return err
		}
	}
}

// packet takes one packet.
func (l *livePump) packet(work context.Context, data []byte, info *capture.Info) error {
	if info.InterfaceIndex != l.at.number || info.LinkType != l.at.link {
		if err := l.from(info); err != nil {
			return err
		}
	}
	point := l.at.point
	point.fresh, l.idle = true, false
	l.newest = max(l.newest, info.Time)
	if l.agent.enough.waiting.Load() {
		l.agent.enough.take(l.tables()...)
	}
	l.frame = cut.Packet{Data: data, Time: info.Time, Original: info.OriginalLength, Link: info.LinkType, Interface: l.at.name}
	point.table.Packet(&l.frame)
	l.count(len(data))
	return l.sweep(work, point.table)
}

// from finds where packets come from now.
func (l *livePump) from(info *capture.Info) error {
	of := l.numbers[info.InterfaceIndex]
	if of == nil {
		return fmt.Errorf("capture: packet of point %d, which nobody asked for", info.InterfaceIndex)
	}
	encoded, err := l.settings.encodedPorts()
	if err != nil {
		return err
	}
	_, device, _ := strings.Cut(of.point.name, ":")
	name := l.batches.Interface(batch.Interface{
		CapturePoint: l.agent.pointName(of.point.name), Name: device, Link: info.LinkType, OwnPorts: true, Ports: encoded,
	})
	l.at = through{info.InterfaceIndex, info.LinkType, of.point, name}
	return nil
}

func (l *livePump) tables() (tables []*cut.Table) {
	for _, point := range l.points {
		tables = append(tables, point.table)
	}
	return tables
}

// tick lets time pass: for sessions that are silent, for points that are gone, for counters that nobody was told.
func (l *livePump) tick(work context.Context) error {
	now := time.Now()
	late := now.UnixNano()
	if !l.idle && l.newest < late {
		late = l.newest // packets came: others may wait behind them
	}
	l.idle = true
	for _, point := range l.points {
		point.table.Advance(late - int64(behind))
		if err := l.sweep(work, point.table); err != nil {
			return err
		}
		if point.fresh {
			point.fresh, point.last = false, now
		}
		if point.gone && now.Sub(point.last) >= lingerFor {
			if err := l.end(work, point.table, flowv1.EndReason_END_REASON_CAPTURE_END); err != nil {
				return err
			}
		}
	}
	l.forget(now)
	if now.Sub(l.watched) >= watchEvery {
		l.watched = now
		l.watch()
		l.account()
	}
	if now.Sub(l.told) >= tellEvery {
		l.told = now
		return l.batches.Finish(work)
	}
	return nil
}

// forget lets go of rings and points that are gone for good.
func (l *livePump) forget(now time.Time) {
	maps.DeleteFunc(l.numbers, func(_ int, n *number) bool { return !n.retired.IsZero() && now.Sub(n.retired) >= forgetAfter })
	l.points = slices.DeleteFunc(l.points, func(point *livePoint) bool { return point.gone && now.Sub(point.last) >= forgetAfter })
}

// watch tells of points that wait for their device.
func (l *livePump) watch() {
	waiting := l.set.Waiting()
	for name, reason := range waiting {
		if _, known := l.health[name]; !known {
			l.agent.log.Warn("capture point waits for its device", telemetry.KeyCapturePoint, name, telemetry.KeyError, reason)
		}
		l.health[name] = reason.Error()
		l.agent.ready.Unset("capture "+name, reason.Error())
	}
	for name := range l.health {
		if _, still := waiting[name]; !still {
			delete(l.health, name)
			l.agent.ready.Set("capture " + name)
			l.agent.log.Info("capture point has its device again", telemetry.KeyCapturePoint, name)
		}
	}
	health := maps.Clone(l.health)
	l.agent.waiting.Store(&health)
}

// configure puts settings in force; for the pump's goroutine. After an error the old ones are, with nothing changed.
func (l *livePump) configure(work context.Context, s *settings) error {
	if _, err := s.encodedPorts(); err != nil {
		return err
	}
	if l.settings == nil || !s.sameCapture(l.settings) {
		if err := l.replace(s); err != nil {
			return err
		}
	}
	// From here on nothing is refused.
	l.settings, l.walker = s, s.walker()
	l.at = through{number: -1} // interfaces may have other ports
	l.records.Resize(s.tableBytes)
	for _, point := range l.points {
		point.table.Configure(l.walker, s.limits)
	}
	l.watch()
	return l.batches.SetRevision(work, s.revision)
}

// replace makes the settings' capture points the set's.
func (l *livePump) replace(s *settings) error {
	numbers, err := l.set.Replace(s.capturePoints())
	if err != nil {
		if config.FieldOf(err) == "" {
			err = &config.FieldError{Field: config.FieldDevice, Err: err}
		}
		return err
	}
	now := time.Now()
	for known, n := range l.numbers {
		if n.retired.IsZero() && !slices.Contains(numbers, known) {
			n.retired = now
		}
	}
	for _, point := range l.points {
		if !point.gone && !slices.Contains(s.points, point.name) {
			point.gone, point.last = true, now
		}
	}
	for i, name := range s.points {
		at := slices.IndexFunc(l.points, func(point *livePoint) bool { return point.name == name })
		if at < 0 {
			at = len(l.points)
			l.points = append(l.points, &livePoint{name: name, table: l.table(s.limits)})
			l.agent.log.Info("capture begins", telemetry.KeyCapturePoint, name)
		}
		l.points[at].gone = false
		l.numbers[numbers[i]] = &number{point: l.points[at]}
	}
	return nil
}
