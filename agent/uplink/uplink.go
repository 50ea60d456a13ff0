// Package uplink carries one lane of the spool to a collector and back what the collector answers. It sends batches in
// order, as many bytes ahead as the collector's window lets it, and tells the spool what was received and what is durable.
// When the stream ends, however it ends, the next one goes on where the collector says. It sends nothing while it must
// wait; then the spool fills. It loses nothing, ends no session, and never gives up but at the end of a drain.
//
//	           Hello ──>            ┌───────────┐ <── Ack: marks, window
//	Source ──> Batch, Batch, … ──>  │ collector │ <── Rejection: again from there, or never again
//	           CloseSend ──>        └───────────┘ <── Directive, Drain, end
package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/mtls"
	"sonde.example/internal/retry"
	"sonde.example/internal/rpc"
	"sonde.example/internal/telemetry"
)

var (
	// ErrDrain is returned by Run when not everything was taken within the drain timeout.
	ErrDrain = errors.New("drain ended before everything was taken")
	// ErrEpoch is returned by Run when the collector has batches of this epoch and lane that this spool never gave: the
	// epoch was used before.
	ErrEpoch = errors.New("epoch was used before")
)

// Source is one lane of a spool. All methods may be called by several goroutines; spool.Spool says what they promise.
type Source interface {
	Next(ctx context.Context, after uint64) (Batch, bool, error)
	Mark(ctx context.Context, received, durable uint64) error
	Reject(ctx context.Context, sequence uint64) error
	Changed() <-chan struct{}
	Marks() Marks
}

// Batch is an encoded sonde.ingest.v1.Batch without sequence, skipped and spool, lent until Release.
type Batch struct {
	Sequence uint64
	Skipped  uint32 // sequences before it that are not there any more
	Payload  []byte
	Losses   Losses // before it
	Release  func()
}

// Marks is how a lane stands.
type Marks struct {
	First, Last       uint64 // the oldest sequence there is, and the last one given
	Received, Durable uint64
	DurablePackets    uint64 // in batches that were kept until they were durable
}

// Losses count packets that the spool let go, and why.
type Losses struct{ Dropped, Released, Rejected uint64 }

// Options for New. Epoch, Source, Addresses, Certificates and Log are needed.
type Options struct {
	Epoch  uint64
	Lane   uint32
	Source Source
	// Addresses of collectors, host:port. One is taken at random for each stream.
	Addresses    []string
	Certificates *mtls.Source
	// ServerName is what the collector's certificate must carry; empty means the host dialed.
	ServerName string
	Log        *slog.Logger

	// Hello has what the agent says of itself; epoch, lane and sequences are filled in. It is called for each stream.
	Hello func() *ingestv1.Hello
	// OnWelcome, if set, is told that a collector has taken the Hello.
	OnWelcome func(*ingestv1.Hello)
	// OnEnough, if set, takes the session numbers of a Directive.
	OnEnough func(numbers []uint64)
	// OnState, if set, is told whether there is a stream; if not, why.
	OnState func(connected bool, reason string)
	// OnConnect is handed to gRPC: see rpc.DialOptions.
	OnConnect func(localPort uint16, remote netip.AddrPort) (onClose func(), err error)
	// Dialer replaces TCP in tests.
	Dialer func(ctx context.Context, address string) (net.Conn, error)

	// WaitDurable makes the drain wait until everything is durable, not only received.
	WaitDurable bool
	// Rotate is the mean life of a stream; zero means DefaultRotate.
	Rotate time.Duration
	// Retry says how long to wait between streams; the zero value is sound.
	Retry retry.Policy
}

const (
	// DefaultRotate is Options.Rotate's default. Each stream ends between 4/5 and 6/5 of it, so that agents which came
	// together do not stay together.
	DefaultRotate = 10 * time.Minute

	welcomeTimeout = 15 * time.Second // to connect, and until Welcome
	finishTimeout  = 30 * time.Second // from closing our side until the collector's last ack
	goodbyeTimeout = 2 * time.Second  // the same when all is received already
	steadyAfter    = 10 * time.Second // a stream that lived so long was no failure to connect

	leaveTimeout = 20 * time.Second // until all is durable at a collector that is left: its deadline is 10 s, unless told otherwise
	leaveSilence = 3 * time.Second  // a collector that acknowledges nothing for so long, though something is under way, is away
)

// Client carries one lane. Run it once.
type Client struct {
	o        Options
	log      *slog.Logger
	lastSent uint64
	last     string // the address taken last

	mu        sync.Mutex // guards what follows
	addresses []string
	hellos    uint64        // grows when Hello has changed
	moved     chan struct{} // closed, and replaced, when any of them changes
}

// New returns a client. Nothing is dialed before Run.
func New(o Options) *Client {
	if o.Rotate == 0 {
		o.Rotate = DefaultRotate
	}
	if o.OnState == nil {
		o.OnState = func(bool, string) {}
	}
	return &Client{
		o: o, addresses: slices.Clone(o.Addresses), moved: make(chan struct{}),
		log: o.Log.With(telemetry.KeyComponent, "uplink", telemetry.KeyLane, o.Lane),
	}
}

// Redirect replaces the addresses of collectors, at any time. Where the address of the stream under way is none of them any
// more, nothing new is sent over it; it ends when everything it has sent is durable, so that no other collector gets that
// again, or when the collector does not answer, or after leaveTimeout. The next stream begins at once, with one of the new
// addresses, and brings what is not durable.
func (c *Client) Redirect(addresses []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Equal(c.addresses, addresses) {
		return
	}
	c.addresses = slices.Clone(addresses)
	c.move()
}

// Refresh says that Hello has something else to say than before, at any time. The stream under way ends in order, as after
// its life, and the next one begins with the new Hello. Calls while there is none, or while it ends, cost nothing.
func (c *Client) Refresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hellos++
	c.move()
}

// move wakes who waits for a change. The lock is held.
func (c *Client) move() {
	close(c.moved)
	c.moved = make(chan struct{})
}

// hello counts the changes of Hello.
func (c *Client) hello() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hellos
}

// wanted tells whether an address is one of the present ones, and what tells when that may change.
func (c *Client) wanted(address string) (wanted bool, moved <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.addresses, address), c.moved
}

// Run sends until ctx ends, and then until everything is taken (received, or durable), or work ends: then it returns
// ErrDrain. Work does not end before ctx.
func (c *Client) Run(ctx, work context.Context) error {
	for failures := 0; ; {
		if ctx.Err() != nil && c.drained() {
			return nil
		}
		address := c.choose()
		began := time.Now()
		err := c.stream(work, ctx.Done(), address)
		if retry.IsPermanent(err) {
			return err
		}
		if work.Err() != nil {
			if c.drained() {
				return nil
			}
			return ErrDrain
		}
		if err == nil { // rotated, or drained by the collector: come again, but not all at once
			failures = 0
			if !c.pause(work, address, c.o.Retry.Wait(1)) {
				return ErrDrain
			}
			continue
		}
		if time.Since(began) >= steadyAfter {
			failures = 0
		}
		failures++
		wait := c.o.Retry.Wait(failures)
		if asked, ok := rpc.RetryDelay(err); ok {
			wait = max(wait, asked)
		}
		c.report(work, address, err, wait)
		if !c.pause(work, address, wait) {
			return ErrDrain
		}
	}
}

// pause waits between two streams, not at all when the address is none of the present ones any more. It returns false when
// work has ended and something is left.
func (c *Client) pause(work context.Context, address string, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		wanted, moved := c.wanted(address)
		if !wanted {
			return true
		}
		select {
		case <-timer.C:
			return true
		case <-moved:
		case <-work.Done():
			return c.drained()
		}
	}
}

// drained tells whether a drain has nothing left to wait for.
func (c *Client) drained() bool {
	marks := c.o.Source.Marks()
	if c.o.WaitDurable {
		return marks.Durable >= marks.Last
	}
	return marks.Received >= marks.Last
}

// choose takes an address at random, and after each stream another one if there is one.
func (c *Client) choose() string {
	c.mu.Lock()
	addresses := c.addresses
	c.mu.Unlock()
	at := rand.IntN(len(addresses)) //nolint:gosec // spreads load, keeps no secret
	if addresses[at] == c.last && len(addresses) > 1 {
		at = (at + 1 + rand.IntN(len(addresses)-1)) % len(addresses) //nolint:gosec // likewise
	}
	c.last = addresses[at]
	return c.last
}

// report logs why there is no stream. What a person must mend is an error, the rest heals by itself.
func (c *Client) report(ctx context.Context, address string, err error, wait time.Duration) {
	level, text := slog.LevelWarn, "stream to collector failed, trying again"
	switch status.Code(err) {
	case codes.Unauthenticated:
		level, text = slog.LevelError, "collector does not accept this agent's certificate, trying again"
	case codes.PermissionDenied:
		level, text = slog.LevelError, "collector does not take this certificate for an agent's, trying again"
	case codes.FailedPrecondition, codes.InvalidArgument, codes.Unimplemented:
		level, text = slog.LevelError, "collector does not understand this agent, trying again"
	case codes.Aborted:
		text = "another stream of this lane took over, trying again"
	}
	reason := rpc.Reason(err)
	c.log.Log(ctx, level, text, telemetry.KeyAddress, address, telemetry.KeyReason, reason,
		telemetry.KeyDuration, wait, telemetry.KeyError, err)
	c.o.OnState(false, fmt.Sprintf("no stream to %s", address))
}
