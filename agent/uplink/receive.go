package uplink

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/telemetry"
)

// receive takes in what the collector answers until the stream ends.
func (s *stream) receive(ctx context.Context) {
	for {
		answer, err := s.rpc.Recv()
		if err == nil {
			err = s.take(ctx, answer)
		}
		if err != nil {
			s.update(func() { s.err = err })
			return
		}
	}
}

// update changes what both goroutines share and wakes the sender.
func (s *stream) update(change func()) {
	s.mu.Lock()
	change()
	s.mu.Unlock()
	select {
	case s.events <- struct{}{}:
	default:
	}
}

func (s *stream) take(ctx context.Context, answer *ingestv1.IngestResponse) error {
	o := &s.client.o
	switch m := answer.GetMessage().(type) {
	case *ingestv1.IngestResponse_Ack:
		s.update(func() {
			s.reached(m.Ack.GetReceived())
			s.window = m.Ack.GetWindowBytes()
		})
		return o.Source.Mark(ctx, m.Ack.GetReceived(), m.Ack.GetDurable())
	case *ingestv1.IngestResponse_Rejection:
		return s.rejected(ctx, m.Rejection)
	case *ingestv1.IngestResponse_Directive:
		if o.OnEnough != nil {
			o.OnEnough(m.Directive.GetEnough())
		}
		return nil
	case *ingestv1.IngestResponse_Drain:
		s.client.log.Info("collector drains the stream")
		s.update(func() { s.drain = true })
		return nil
	default:
		return fmt.Errorf("collector sent %T, which does not belong here", m)
	}
}

// reached moves received. What had flown up to there has landed. The lock is held.
func (s *stream) reached(received uint64) {
	if received > s.received {
		s.received, s.held = received, 0
	}
	landed := 0
	for ; landed < len(s.flying) && s.flying[landed].sequence <= received; landed++ {
		s.flown -= s.flying[landed].bytes
	}
	s.flying = s.flying[landed:]
}

func (s *stream) rejected(ctx context.Context, r *ingestv1.Rejection) error {
	c, sequence := s.client, r.GetSequence()
	attributes := []any{
		telemetry.KeySequence, sequence, telemetry.KeyReason, r.GetReason().String(), "detail", r.GetDetail(),
	}
	if r.RetryDelay == nil { // never again: it counts as taken
		c.log.Log(ctx, slog.LevelError, "collector rejected a batch for good", attributes...)
		s.update(func() {
			if sequence == s.received+1 {
				s.reached(sequence)
			}
		})
		return c.o.Source.Reject(ctx, sequence)
	}
	c.log.Log(ctx, slog.LevelDebug, "collector wants a batch again", attributes...)
	s.update(func() { s.again(sequence, r.GetRetryDelay().AsDuration()) })
	return nil
}

// again makes the sender go back to a sequence after a delay. A collector that goes on asking, and receives nothing, is
// asked more and more slowly. The lock is held.
func (s *stream) again(sequence uint64, delay time.Duration) {
	s.after = max(sequence, s.received+1) - 1
	for len(s.flying) > 0 && s.flying[len(s.flying)-1].sequence > s.after {
		s.flown -= s.flying[len(s.flying)-1].bytes
		s.flying = s.flying[:len(s.flying)-1]
	}
	if s.held > 0 {
		delay = max(delay, s.client.o.Retry.Wait(s.held))
	}
	s.held++
	s.holdUntil = time.Now().Add(delay)
}
