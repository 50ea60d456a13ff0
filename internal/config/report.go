package config

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	configv1 "sonde.example/gen/go/sonde/config/v1"

	"sonde.example/internal/confstore"
	"sonde.example/internal/telemetry"
)

const (
	// reportEvery is the least time between two statuses that differ in words only.
	reportEvery = time.Second
	// refreshEvery is how often a status is written anew, give or take a tenth, so that an old one is seen to be old.
	refreshEvery = time.Minute
	// conflictLasts is for how long after another daemon was seen the warning stands.
	conflictLasts = 5 * time.Minute
)

// reporter writes the newest status under the daemon's key: at once when the state or a revision has changed, otherwise at
// most once a second, and anew every minute. Before it does so it looks whether somebody else writes there.
type reporter struct {
	store  confstore.Client
	key    string
	bootID string
	log    *slog.Logger

	changed   chan struct{} // 1: there is something new
	conflicts atomic.Uint64
	seen      time.Time // another daemon; only Run's

	mu     sync.Mutex // guards status
	status *configv1.ConfigStatus
}

func newReporter(store confstore.Client, key, bootID string, log *slog.Logger) *reporter {
	return &reporter{store: store, key: key, bootID: bootID, log: telemetry.Limited(log, 5*time.Minute), changed: make(chan struct{}, 1)}
}

// set takes the newest status; it is not to be changed afterwards.
func (r *reporter) set(status *configv1.ConfigStatus) {
	r.mu.Lock()
	same := proto.Equal(r.status, status)
	if !same {
		r.status = status
	}
	r.mu.Unlock()
	if same {
		return
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *reporter) newest() *configv1.ConfigStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// Run writes until ctx ends. While the store is away the newest status waits.
func (r *reporter) Run(ctx context.Context) error {
	var written *configv1.ConfigStatus
	var last time.Time // of the last attempt
	failures, refresh := 0, spread(refreshEvery, 0.1)
	timer := stopped()
	defer timer.Stop()
	for {
		if status := r.newest(); status != nil {
			wait := refresh
			switch {
			case failures > 0:
				wait = backoff(failures)
			case written == nil || differs(status, written):
				wait = 0
			case status != written:
				wait = reportEvery
			}
			timer.Reset(max(0, time.Until(last.Add(wait))))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.changed:
			if failures > 0 { // the wait that was drawn stays
				continue
			}
		case <-timer.C:
			status := r.newest()
			err := r.write(ctx, status, status == written)
			last = time.Now()
			switch {
			case ctx.Err() != nil:
				return nil
			case errors.Is(err, confstore.ErrClosed):
				return err
			case err != nil:
				failures++
				r.log.Warn("status is not written, it is tried again", telemetry.KeyError, err)
			default:
				written, failures, refresh = status, 0, spread(refreshEvery, 0.1)
			}
		}
	}
}

// differs tells whether a change must not wait.
func differs(a, b *configv1.ConfigStatus) bool {
	return a.GetState() != b.GetState() || a.GetWantedRevision() != b.GetWantedRevision() || a.GetRunningRevision() != b.GetRunningRevision()
}

// write puts the status with its time. When it is only refreshed, there must be one of ours.
func (r *reporter) write(ctx context.Context, status *configv1.ConfigStatus, refresh bool) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	status = proto.CloneOf(status)
	status.StatusTime = timestamppb.Now()
	if refresh {
		other, err := r.other(ctx)
		if err != nil {
			return err
		}
		if other != "" {
			r.conflicts.Add(1)
			r.seen = time.Now()
			r.log.Error("another daemon has the same name", "boot_id", other)
		}
	}
	if !r.seen.IsZero() && time.Since(r.seen) < conflictLasts {
		status.Warning = joined(status.GetWarning(), "another daemon has the same name")
	}
	value, err := EncodeStatus(status)
	if err != nil {
		return err
	}
	return r.store.Put(ctx, r.key, value)
}

// other returns the boot id of who wrote the status since we did, if that was somebody else.
func (r *reporter) other(ctx context.Context) (bootID string, err error) {
	entry, err := r.store.Get(ctx, r.key)
	if errors.Is(err, confstore.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	status, _, err := DecodeStatus(entry.Value)
	if err != nil || status.GetBootId() == r.bootID {
		return "", nil //nolint:nilerr // what cannot be read is written over
	}
	return status.GetBootId(), nil
}
