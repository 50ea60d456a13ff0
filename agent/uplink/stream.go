package uplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"

	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/mtls"
	"sonde.example/internal/retry"
	"sonde.example/internal/rpc"
	"sonde.example/internal/telemetry"
)

type rpcStream = grpc.BidiStreamingClient[ingestv1.IngestRequest, ingestv1.IngestResponse]

// stream is one stream. One goroutine sends, another receives, and what they share is here.
type stream struct {
	client  *Client
	address string
	rpc     rpcStream
	hello   uint64          // what Client.hello was before this stream's Hello was made
	stop    <-chan struct{} // closed when a drain is wanted
	events  chan struct{}   // room for one: something below has changed

	mu        sync.Mutex // guards what follows
	after     uint64     // sent up to here
	received  uint64
	window    uint64
	flying    []flight // sent beyond received, oldest first
	flown     uint64   // their bytes
	holdUntil time.Time
	held      int // rejections with a delay since received moved
	drain     bool
	err       error // why nothing will be received any more; io.EOF is the orderly end
}

type flight struct{ sequence, bytes uint64 }

// stream opens a stream to a collector and serves it until it ends; nil when it ended in order.
func (c *Client) stream(ctx context.Context, stop <-chan struct{}, address string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := rpc.Dial(address, rpc.DialOptions{
		Certificates: c.o.Certificates, Peer: mtls.Peer{ServerName: c.o.ServerName},
		OnConnect: c.o.OnConnect, Dialer: c.o.Dialer,
	})
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the stream's own end has told all
	late := time.AfterFunc(welcomeTimeout, cancel)
	defer late.Stop()
	greeted := make(chan struct{})
	go c.giveUp(ctx, address, greeted, cancel)
	up, err := ingestv1.NewIngestServiceClient(conn).Ingest(ctx)
	if err != nil {
		return err
	}
	s := &stream{client: c, address: address, rpc: up, hello: c.hello(), stop: stop, events: make(chan struct{}, 1)}
	if err := s.greet(ctx); err != nil {
		if !late.Stop() {
			err = fmt.Errorf("no welcome within %s: %w", welcomeTimeout, err)
		}
		return err
	}
	late.Stop()
	close(greeted)
	c.log.Info("stream to collector is open", telemetry.KeyAddress, address, "resume_sequence", s.after+1, "window_bytes", s.window)
	c.o.OnState(true, "")
	received := make(chan struct{})
	go func() {
		defer close(received)
		s.receive(ctx)
	}()
	err = s.send(ctx)
	cancel()
	<-received
	return err
}

// giveUp cancels a stream that has not come about when its address is not wanted any more: it may be that of a collector
// that is away.
func (c *Client) giveUp(ctx context.Context, address string, greeted <-chan struct{}, cancel context.CancelFunc) {
	for {
		wanted, moved := c.wanted(address)
		if !wanted {
			cancel()
			return
		}
		select {
		case <-moved:
		case <-greeted:
			return
		case <-ctx.Done():
			return
		}
	}
}

// greet says Hello and takes in Welcome.
func (s *stream) greet(ctx context.Context) error {
	c := s.client
	marks := c.o.Source.Marks()
	hello := c.o.Hello()
	hello.Epoch, hello.Lane = c.o.Epoch, c.o.Lane
	hello.FirstAvailableSequence, hello.LastDurableSequence, hello.LastSentSequence = marks.First, marks.Durable, c.lastSent
	hello.DurablePackets = marks.DurablePackets
	if err := s.rpc.Send(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Hello{Hello: hello}}); err != nil && !errors.Is(err, io.EOF) {
		return err
	} // after io.EOF Recv tells why
	answer, err := s.rpc.Recv()
	if err != nil {
		return err
	}
	welcome := answer.GetWelcome()
	if welcome == nil || welcome.GetResumeSequence() == 0 {
		return errors.New("collector did not answer Hello with a Welcome")
	}
	s.after = welcome.GetResumeSequence() - 1
	s.received, s.window = s.after, welcome.GetWindowBytes()
	if s.after > max(c.lastSent, marks.Last) {
		return retry.Permanent(fmt.Errorf("%w: collector has %d batches of epoch %d, lane %d, and only %d were given",
			ErrEpoch, s.after, c.o.Epoch, c.o.Lane, marks.Last))
	}
	if c.o.OnWelcome != nil {
		c.o.OnWelcome(hello)
	}
	return c.o.Source.Mark(ctx, s.received, 0)
}

// step is what the sender is to do next.
type step struct {
	after uint64
	open  bool          // the window lets a batch through
	hold  time.Duration // until the collector wants to be asked again
	drain bool
	err   error
}

func (s *stream) next() step {
	s.mu.Lock()
	defer s.mu.Unlock()
	hold := time.Until(s.holdUntil)
	// One batch always fits a window that is not zero.
	open := s.window > 0 && (len(s.flying) == 0 || s.flown < s.window)
	return step{after: s.after, open: open && hold <= 0, hold: hold, drain: s.drain, err: s.err}
}

// send sends until the stream is to end or has ended.
func (s *stream) send(ctx context.Context) error {
	rotate := s.client.o.Rotate
	life := time.NewTimer(rotate*4/5 + time.Duration(rand.Float64()*float64(rotate)*2/5)) //nolint:gosec // spreads load
	defer life.Stop()
	hold := time.NewTimer(0)
	defer hold.Stop()
	stop, stopping := s.stop, false
	for {
		changed := s.client.o.Source.Changed() // before looking, so that nothing slips through
		wanted, moved := s.client.wanted(s.address)
		if !wanted {
			return s.leave(ctx)
		}
		next := s.next()
		switch {
		case next.err != nil:
			return ended(next.err)
		case next.drain, fired(life.C), s.client.hello() != s.hello:
			return s.finish(ctx, finishTimeout)
		case stopping && s.client.drained():
			return s.finish(ctx, goodbyeTimeout)
		case next.open:
			sent, err := s.one(ctx, next.after)
			if err != nil {
				return err
			}
			if sent {
				continue
			}
		}
		if next.hold > 0 {
			hold.Reset(next.hold)
		}
		select {
		case <-s.events:
		case <-changed:
		case <-moved:
		case <-hold.C:
		case <-stop:
			stopping, stop = true, nil
		case <-life.C:
			return s.finish(ctx, finishTimeout)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func fired(timer <-chan time.Time) bool {
	select {
	case <-timer:
		return true
	default:
		return false
	}
}

// ended says why a stream that was not to end did.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("collector ended the stream")
	}
	return err
}

// one sends the next batch, if there is one.
func (s *stream) one(ctx context.Context, after uint64) (sent bool, err error) {
	c := s.client
	batch, ok, err := c.o.Source.Next(ctx, after)
	if !ok || err != nil {
		return false, err
	}
	switch s.launch(after, batch) {
	case launched:
	case moved:
		batch.Release()
		return true, nil // look again
	default:
		batch.Release()
		return false, nil
	}
	c.lastSent = max(c.lastSent, batch.Sequence)
	m := &message{batch: batch}
	err = s.rpc.SendMsg(m)
	if !m.taken {
		batch.Release()
	}
	if errors.Is(err, io.EOF) { // the stream has ended, and the receiver knows why
		return false, s.wait(ctx, nil)
	}
	return err == nil, err
}

type launch uint8

const (
	launched launch = iota
	moved           // the sender was told meanwhile to go on elsewhere
	tooMuch         // the window has no room for it
)

// launch notes that a batch is under way, if it may be.
func (s *stream) launch(after uint64, batch Batch) launch {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := uint64(len(batch.Payload))
	switch {
	case s.after != after:
		return moved
	case len(s.flying) > 0 && s.flown+size > s.window:
		return tooMuch
	}
	s.after = batch.Sequence
	s.flying = append(s.flying, flight{batch.Sequence, size})
	s.flown += size
	return launched
}

// leave ends the stream for another collector's. Everything sent over it is waited for until it is durable here, so that
// the other one does not get it, too.
func (s *stream) leave(ctx context.Context) error {
	c := s.client
	c.log.Info("leaving collector for another", telemetry.KeyAddress, s.address)
	most := time.NewTimer(leaveTimeout)
	defer most.Stop()
	silence := time.NewTimer(leaveSilence)
	defer silence.Stop()
	heard := uint64(0)
	for {
		changed := c.o.Source.Changed()
		s.mu.Lock()
		after, received, err := s.after, s.received, s.err
		s.mu.Unlock()
		switch {
		case err != nil:
			return nil // whatever it was, the next stream is another's
		case c.o.Source.Marks().Durable >= after:
			return s.finish(ctx, goodbyeTimeout)
		case received >= after:
			silence.Stop() // it has everything, and takes its time
		case received > heard:
			heard = received
			silence.Reset(leaveSilence)
		}
		select {
		case <-s.events:
		case <-changed:
		case <-silence.C:
			c.log.Warn("collector that is left does not answer; what it has not acknowledged goes to the other", telemetry.KeyAddress, s.address)
			return nil
		case <-most.C:
			c.log.Warn("collector that is left has not stored everything in time; the other gets it too", telemetry.KeyAddress, s.address)
			return s.finish(ctx, goodbyeTimeout)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// wait waits until the stream has ended, and says why.
func (s *stream) wait(ctx context.Context, timeout <-chan time.Time) error {
	for {
		if err := s.next().err; err != nil {
			return ended(err)
		}
		select {
		case <-s.events:
		case <-timeout:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// finish closes our side and waits for the collector's last ack, which it follows by its end of the stream. What was not
// received by then goes over the next stream.
func (s *stream) finish(ctx context.Context, timeout time.Duration) error {
	if err := s.rpc.CloseSend(); err != nil {
		return err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		if err := s.next().err; errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		select {
		case <-s.events:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
