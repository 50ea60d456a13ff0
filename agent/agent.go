// Package agent is the daemon that sniffs packets and streams them to a collector. Packets go one way through its stages:
// a capture source lends them, the cut says which session they belong to and keeps heads, batches gather them, the spool
// keeps the batches, and for each lane an uplink carries them to a collector. What walks back are the collector's marks,
// rejections and directives. The stages do not know each other; this package introduces them.
//
//	capture -> cut -> batch -> spool -> uplink ==mTLS==> collector
//	   ^________________________________ reload <── configuration store
//
// Capture files are read as the flags say. Capture points on devices, the filter and nearly everything else may come from a
// configuration, which the agent follows: it is put in force between two packets, all of it or nothing.
//
// When the agent is told to stop, or its captures have ended, reading ends first and what is on its way still goes out,
// for as long as the drain timeout allows. What does not is counted, logged and returned as an error.
package agent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sonde.example/agent/capture"
	"sonde.example/agent/spool"
	"sonde.example/agent/uplink"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/confstore"
	"sonde.example/internal/mtls"
	"sonde.example/internal/packet"
	"sonde.example/internal/service"
	"sonde.example/internal/telemetry"
)

// ErrLost is returned by Run when packets that were accepted did not reach a collector.
var ErrLost = errors.New("packets did not reach a collector")

// warnEvery is how often the uplink's warnings are logged at most.
const warnEvery = 10 * time.Second

// maxHelloPoints is how many capture points a Hello may name. Of thousands of files the others appear with their packets.
const maxHelloPoints = 1024

// Options are what code sets, beside the operator's Config.
type Options struct {
	// Dialer replaces TCP in tests.
	Dialer func(ctx context.Context, address string) (net.Conn, error)
	// BatchBytes of packets make a batch full; 0 means batch.MaxBytes.
	BatchBytes int
	// OpenCapture, if set, opens the capture points, each once, whatever their scheme says: for packets that come from
	// code. The text is the one in Config.Captures. What it opens cannot wait: a full spool drops.
	OpenCapture func(ctx context.Context, text string) (capture.Source, error)
	// OpenLive, if set, opens the set of capture points on devices; nil means this host's.
	OpenLive func() (capture.Live, error)
	// Store, if set, is where the configuration comes from, whatever Config.ConfigStore says. Run does not close it.
	Store confstore.Client
}

// Agent is an agent, ready to run. Progress and Ledger may be called by any goroutine at any time.
type Agent struct {
	config       Config
	log          *slog.Logger
	epoch        uint64
	certificates *mtls.Source
	spool        spool.Spool
	state        *stateFile
	admin        *telemetry.Admin
	ready        *telemetry.Ready
	pump         *pump
	live         *livePump // nil when files are captured
	guard        guard
	loops        loopAlarm
	uplinks      []*uplink.Client
	flags        *settings                // what the flags alone say
	running      atomic.Pointer[settings] // in force
	reload       *reload                  // nil without a store
	probe        uplink.ProbeOptions
	enforced     bool          // settings are in force; of the goroutine of control
	begun        chan struct{} // closed when they are
	begin        func()        // closes it

	waiting   atomic.Pointer[map[string]string] // why capture points wait for their device
	sent      atomic.Uint64                     // bytes of batches lent to the uplinks
	books     *books
	enough    enough
	progress  progress
	streams   atomic.Int32
	connected []atomic.Bool // by lane
	sources   sources
	fileBytes int64
	skipped   []error // why captures were left out
}

// Open checks the configuration and everything that it names, and binds the admin server. Who does not come to Run calls
// Close.
func Open(ctx context.Context, config Config, log *slog.Logger, reg *prometheus.Registry, o Options) (*Agent, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	a := &Agent{config: config, epoch: config.Epoch, ready: telemetry.NewReady(uplinkParts(config.Lanes)...), connected: make([]atomic.Bool, config.Lanes), begun: make(chan struct{})}
	a.begin = sync.OnceFunc(func() { close(a.begun) })
	a.sources = sources{opener: o.OpenCapture, filter: config.Filter, programs: map[packet.LinkType]compiled{}}
	for a.epoch == 0 {
		a.epoch = randomEpoch()
	}
	var err error
	if a.flags, err = settingsOfFlags(&a.config); err != nil {
		return nil, err
	}
	a.running.Store(a.flags)
	a.log = log.With(telemetry.KeyComponent, "agent", telemetry.KeyEpoch, fmt.Sprintf("%016x", a.epoch))
	if config.live() && o.OpenCapture == nil {
		if o.OpenLive == nil {
			o.OpenLive = openDevices
		}
		a.live = newLivePump(o.OpenLive)
		a.guard.exclude = a.live.exclude
	}
	if err := a.checkCaptures(ctx); err != nil {
		return nil, err
	}
	if err := a.open(ctx, log, reg, o); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *Agent) open(ctx context.Context, log *slog.Logger, reg *prometheus.Registry, o Options) (err error) {
	if a.certificates, err = mtls.Open(a.config.Certificates, log); err != nil {
		return err
	}
	if err := a.certificates.Require(mtls.RoleAgent); err != nil {
		return err
	}
	if a.spool, err = openSpool(a.config.Spool, a.epoch, a.config.Lanes, a.live == nil && o.OpenCapture == nil); err != nil {
		return err
	}
	if a.config.State != "" {
		if a.state, err = openState(a.config.State, a.epoch, a.config.Lanes, a.log); err != nil {
			return err
		}
	}
	if err := a.openReload(ctx, o.Store, log); err != nil {
		return err
	}
	a.books = newBooks(a.config.Lanes, a.state)
	a.pump = newPump(a, o.BatchBytes)
	if a.live != nil {
		a.live.pump = a.pump
	}
	limited := telemetry.Limited(log, warnEvery)
	for lane := range uint32(a.config.Lanes) {
		a.uplinks = append(a.uplinks, uplink.New(uplink.Options{
			Epoch: a.epoch, Lane: lane, Source: spoolLane{a.spool, lane, &a.sent},
			Addresses: a.config.Collectors, Certificates: a.certificates, ServerName: a.config.ServerName, Log: limited,
			Hello:       func() *ingestv1.Hello { return a.hello(lane) },
			OnWelcome:   a.welcomed,
			OnEnough:    func(numbers []uint64) { a.enough.add(lane, numbers) },
			OnState:     func(connected bool, reason string) { a.onState(lane, connected, reason) },
			OnConnect:   a.guard.OnConnect,
			Dialer:      o.Dialer,
			WaitDurable: a.config.WaitDurable,
		}))
	}
	a.probe = uplink.ProbeOptions{
		Certificates: a.certificates, ServerName: a.config.ServerName, Dialer: o.Dialer, OnConnect: a.guard.OnConnect,
	}
	err = newMetrics(reg, a)
	if err == nil && a.reload != nil {
		err = reg.Register(a.reload.follower.Metrics("agent"))
	}
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if a.config.Admin != "" {
		if a.admin, err = telemetry.OpenAdmin(ctx, a.config.Admin, reg, a.ready, log); err != nil {
			return fmt.Errorf("--admin: %w", err)
		}
	}
	return nil
}

func randomEpoch() uint64 {
	var b [8]byte
	rand.Read(b[:]) // it never fails
	return binary.LittleEndian.Uint64(b[:])
}

// Run captures until ctx ends or all captures have, and then drains. It returns nil when every capture was read and
// everything that was accepted reached a collector.
func (a *Agent) Run(ctx context.Context) error {
	sides, stopSides := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSides()
	services := []service.Service{
		service.Func(func(ctx context.Context) error {
			defer stopSides()
			return a.pipeline(ctx)
		}),
		service.Func(func(context.Context) error { return a.certificates.Run(sides) }),
	}
	if a.admin != nil {
		services = append(services, service.Func(func(context.Context) error { return a.admin.Run(sides) }))
	}
	err := a.settle(service.Run(ctx, services...))
	return errors.Join(errors.Join(a.skipped...), err, a.Close())
}

// pipeline runs the stages. The head stops first; the uplinks go on until nothing is left or the drain has ended.
func (a *Agent) pipeline(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	ended := make(chan struct{}) // the captures have
	stages := []service.Service{service.Func(func(ctx context.Context) error {
		defer close(ended)
		if a.live == nil {
			a.begin()
			return a.pump.run(ctx, work)
		}
		return service.Run(ctx, service.Func(func(ctx context.Context) error { return a.live.run(ctx, work) }),
			service.Func(a.control))
	})}
	var lanes []service.Service
	for _, client := range a.uplinks {
		lanes = append(lanes, service.Func(func(ctx context.Context) error {
			select {
			case <-a.begun:
			case <-ended: // nothing was captured
			}
			err := client.Run(ctx, work)
			if err != nil { // nobody will make room in the spool any more
				cancel()
			}
			return err
		}))
	}
	stages = append(stages, service.Func(func(ctx context.Context) error { return service.Run(ctx, lanes...) }))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		a.endWork(ctx, work, cancel, ended)
	}()
	err := service.InOrder(stages...).Run(ctx)
	cancel()
	<-watched
	return err
}

// endWork ends the drain. After a signal it has the drain timeout; after the end of a capture it has it again with each
// step that the collector makes, for a slow link is no reason to lose what is being sent.
func (a *Agent) endWork(ctx, work context.Context, cancel context.CancelFunc, ended <-chan struct{}) {
	defer cancel()
	select {
	case <-ctx.Done():
	case <-ended:
	case <-work.Done():
		return
	}
	a.ready.Stop()
	timer := time.NewTimer(a.config.DrainTimeout)
	defer timer.Stop()
	signal := ctx.Done()
	if ctx.Err() != nil {
		signal = nil
	}
	for before := a.marks(); ; {
		changed := a.spool.Changed()
		if now := a.marks(); now != before && signal != nil {
			before = now
			timer.Reset(a.config.DrainTimeout)
		}
		select {
		case <-timer.C:
			return
		case <-work.Done():
			return
		case <-signal:
			signal = nil
			timer.Reset(a.config.DrainTimeout)
		case <-changed:
		}
	}
}

// marks grow as collectors take batches.
func (a *Agent) marks() (sum uint64) {
	for _, lane := range a.spool.State().Lanes {
		sum += lane.Received + lane.Durable
	}
	return sum
}

// settle says how it ended; err is why, nil when all went well.
func (a *Agent) settle(err error) error {
	ledger := a.Ledger()
	lost := ledger.Pending()
	for i := range ledger.Lanes {
		lane := &ledger.Lanes[i]
		a.log.Info("lane is done", telemetry.KeyLane, i, "seen", lane.Counters.GetSeen(), "cut", lane.Counters.GetCut(),
			"accepted", lane.Counters.GetAccepted(), "opened_sessions", lane.Counters.GetOpenedSessions(),
			"dropped", lane.Spool.GetDropped(), "released", lane.Spool.GetReleased(), "rejected", lane.Spool.GetRejected(),
			"lost", lane.Pending, "residual", lane.Residual())
	}
	if a.state != nil {
		if closed := a.state.close(lost == 0); closed != nil {
			err = errors.Join(err, fmt.Errorf("close state: %w", closed))
		}
	}
	if lost > 0 {
		a.log.Error("packets are lost: no collector took them in time", "lost", lost)
		if err == nil {
			return fmt.Errorf("%w: %d", ErrLost, lost)
		}
		return fmt.Errorf("%w: %d: %w", ErrLost, lost, err)
	}
	return err
}

// Close lets go of everything. Run does it itself; closing again does nothing.
func (a *Agent) Close() error {
	var bad []error
	if a.admin != nil {
		bad = append(bad, a.admin.Close())
	}
	if a.state != nil {
		bad = append(bad, a.state.close(false))
	}
	if a.spool != nil {
		bad = append(bad, a.spool.Close())
	}
	bad = append(bad, a.reload.close())
	return errors.Join(bad...)
}

// Addr returns the address of the admin server, nil when there is none.
func (a *Agent) Addr() net.Addr {
	if a.admin == nil {
		return nil
	}
	return a.admin.Addr()
}

// Epoch returns the agent's epoch.
func (a *Agent) Epoch() uint64 { return a.epoch }

// Progress is how far reading is.
type Progress struct {
	Packets uint64
	// Bytes of the captures were read, of FileBytes; that is 0 when it is not known. Bytes may fall short of it at the
	// end, for captures hold other things than packets.
	Bytes, FileBytes uint64
}

// Progress tells how far reading is.
func (a *Agent) Progress() Progress {
	p := Progress{Packets: a.progress.packets.Load(), FileBytes: uint64(a.fileBytes)}
	p.Bytes = a.progress.bytes.Load() + recordBytes*p.Packets
	if p.FileBytes > 0 {
		p.Bytes = min(p.Bytes, p.FileBytes)
	}
	return p
}

// pointName returns the name of a capture point, which messages can carry: file names need not be UTF-8.
func (a *Agent) pointName(text string) string {
	if a.config.PlainNames {
		text = strings.TrimPrefix(text, "file:")
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

func (a *Agent) hello(lane uint32) *ingestv1.Hello {
	running := a.running.Load()
	hello := &ingestv1.Hello{Version: a.config.Version, ConfigRevision: running.revision}
	points := running.points
	if a.live == nil {
		points = a.config.Captures
	}
	for _, text := range points[:min(len(points), maxHelloPoints)] {
		hello.CapturePoints = append(hello.CapturePoints, &ingestv1.CapturePoint{Name: a.pointName(text), Filter: running.filter})
	}
	if lane == 0 && a.state != nil {
		hello.Lost = a.state.lanes()
	}
	return hello
}

// welcomed forgets what a collector was told.
func (a *Agent) welcomed(hello *ingestv1.Hello) {
	if len(hello.GetLost()) > 0 {
		a.state.told(hello.GetLost())
	}
}

func (a *Agent) onState(lane uint32, connected bool, reason string) {
	if a.connected[lane].Swap(connected) != connected {
		if connected {
			a.streams.Add(1)
		} else {
			a.streams.Add(-1)
		}
	}
	part := uplinkPart(lane)
	if connected {
		a.ready.Set(part)
	} else {
		a.ready.Unset(part, reason)
	}
}

func uplinkPart(lane uint32) string { return fmt.Sprintf("uplink %d", lane) }

// uplinkParts names what an agent waits for until it is ready.
func uplinkParts(lanes int) (parts []string) {
	for lane := range lanes {
		parts = append(parts, uplinkPart(uint32(lane))) //nolint:gosec // few
	}
	return parts
}
