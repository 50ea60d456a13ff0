package agent

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// loopAlarm notices when an agent sends up nearly as much as it captures: it may be capturing its own uplink, in a form that
// nothing recognises as that. Heads end such a loop soon; without them (head_packets 0) it grows until the link is full. But
// whoever sends every packet comes near the mark without any loop, too, so that it only asks somebody to look.
type loopAlarm struct {
	since          time.Time
	sent, captured uint64 // as of then
	on             atomic.Bool
}

const (
	// loopWindow and loopShare: what was sent in that time is more than that share of what was captured (design notes, loop
	// guard).
	loopWindow = 30 * time.Second
	loopShare  = 0.9
	// loopLeast is how much must have been sent: of a few small packets what a batch says about them is larger than they are.
	loopLeast = 16 << 20
)

// look takes the totals as of now. It belongs to one goroutine.
func (l *loopAlarm) look(now time.Time, sent, captured uint64, log *slog.Logger) {
	if l.since.IsZero() {
		l.since, l.sent, l.captured = now, sent, captured
		return
	}
	if now.Sub(l.since) < loopWindow {
		return
	}
	up, in := sent-l.sent, captured-l.captured
	l.since, l.sent, l.captured = now, sent, captured
	on := up >= loopLeast && float64(up) > loopShare*float64(in)
	if was := l.on.Swap(on); on && !was {
		log.Error("nearly as much is sent as is captured: look whether the agent captures its own uplink", "sent_bytes", up, "captured_bytes", in)
	} else if was && !on {
		log.Info("less is sent than is captured again", "sent_bytes", up, "captured_bytes", in)
	}
}
