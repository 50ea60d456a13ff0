package result

import (
	"context"
	"log/slog"
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
	store       Purger
	keepResults time.Duration
	keepPackets time.Duration
	log         *slog.Logger
}

// NewRetention returns a retention that keeps results and packets for so long after their session opened. Zero keeps
// results for ever, and no packets: those of a time when they were kept go. Run starts it.
func NewRetention(store Purger, keepResults, keepPackets time.Duration, log *slog.Logger) *Retention {
	return &Retention{store: store, keepResults: keepResults, keepPackets: keepPackets, log: log.With(telemetry.KeyComponent, "retention")}
}

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
		case <-ctx.Done():
			return nil
		}
	}
}

// purge deletes in steps until nothing old is left.
func (r *Retention) purge(ctx context.Context) error {
	now := time.Now()
	results := time.Time{} // no session is as old
	if r.keepResults > 0 {
		results = now.Add(-r.keepResults)
	}
	for {
		deleted, err := r.store.Purge(ctx, results, now.Add(-r.keepPackets), purgeLimit)
		if err != nil || deleted == 0 || ctx.Err() != nil {
			return err
		}
	}
}
