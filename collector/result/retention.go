package result

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"sonde.example/internal/telemetry"
)

const (
	// purgeInterval is how often old rows are looked for. What is kept for a day is kept for ten minutes more at most.
	purgeInterval = 10 * time.Minute
	// purgeLimit is how many rows go at once, so that those who write never wait for long.
	purgeLimit = 1000
)

// Purger is what Retention needs of a Store.
type Purger interface {
	// Purge deletes up to limit results and up to limit heads of sessions opened before the given times, and tells how
	// many rows went.
	Purge(ctx context.Context, results, heads time.Time, limit int) (deleted int, err error)
}

// Retention deletes results and packets when their time has come: the payload of a session is personal data.
type Retention struct {
	store   Purger
	keep    atomic.Pointer[keep]
	changed chan struct{} // 1: look at once
	log     *slog.Logger
}

type keep struct{ results, packets time.Duration }

// NewRetention returns a retention that keeps results and packets for so long after their session opened. Zero keeps
// results for ever, and no packets: those of a time when they were kept go. Run starts it.
func NewRetention(store Purger, keepResults, keepPackets time.Duration, log *slog.Logger) *Retention {
	r := &Retention{store: store, changed: make(chan struct{}, 1), log: log.With(telemetry.KeyComponent, "retention")}
	r.keep.Store(&keep{keepResults, keepPackets})
	return r
}

// Keep changes both times from now on. What is too old by them goes at once. Any goroutine may call it.
func (r *Retention) Keep(results, packets time.Duration) {
	next := &keep{results, packets}
	if *r.keep.Swap(next) == *next {
		return
	}
	select {
	case r.changed <- struct{}{}:
	default: // Run has not looked since the last time
	}
}

// KeepsPackets tells whether packets are kept at all.
func (r *Retention) KeepsPackets() bool { return r.keep.Load().packets > 0 }

// Run looks at once and then every ten minutes, until ctx ends. When the store does not answer, the next look makes up
// for it.
func (r *Retention) Run(ctx context.Context) error {
	ticker := time.NewTicker(purgeInterval)
	defer ticker.Stop()
	for {
		if err := r.purge(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("old results are not deleted, it is tried again", telemetry.KeyError, err, telemetry.KeyDuration, purgeInterval)
		}
		select {
		case <-ticker.C:
		case <-r.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// purge deletes in steps until nothing old is left.
func (r *Retention) purge(ctx context.Context) error {
	now, keep := time.Now(), r.keep.Load()
	results := time.Time{} // no session is as old
	if keep.results > 0 {
		results = now.Add(-keep.results)
	}
	for {
		deleted, err := r.store.Purge(ctx, results, now.Add(-keep.packets), purgeLimit)
		if err != nil || deleted == 0 || ctx.Err() != nil {
			return err
		}
	}
}
