package config

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"sonde.example/internal/confstore"
	"sonde.example/internal/retry"
	"sonde.example/internal/telemetry"
)

const (
	// lookEvery is how often the key is read again, give or take a fifth, whatever the watch says: the delay of a watch is
	// unbounded in an unhealthy cluster, and a store that was restored counts its stamps anew.
	lookEvery = 5 * time.Minute
	// readTimeout bounds one read.
	readTimeout = 10 * time.Second
	// firstWait and moreWait bound the wait after a failure: 1 to 30 s.
	firstWait = time.Second
	moreWait  = 29 * time.Second
)

// backoff returns the wait after a number of failures in a row.
func backoff(failures int) time.Duration {
	return firstWait + retry.Policy{Initial: firstWait, Max: moreWait}.Wait(failures)
}

// spread returns d, give or take a part of it, so that not all daemons come at the same time.
func spread(d time.Duration, part float64) time.Duration {
	return time.Duration((1 - part + 2*part*rand.Float64()) * float64(d)) //nolint:gosec // spreads load, keeps no secret
}

// watch keeps the newest entry in offers, until ctx ends or the store is closed. A watch is a hint; every so often it looks.
func (f *Follower[P]) watch(ctx context.Context, offers chan confstore.Entry) error {
	log := telemetry.Limited(f.log, 5*time.Minute)
	stamp, known, failures := f.stamp, f.stamp > 0, 0
	offer := func(entry confstore.Entry) {
		stamp = entry.Stamp
		f.confirmed()
		select { // the one before is not wanted any more
		case <-offers:
		default:
		}
		offers <- entry // there is room: nobody else sends
	}
	for ctx.Err() == nil {
		var err error
		if known {
			known, err = f.next(ctx, stamp, offer)
		} else {
			known, err = f.look(ctx, offer)
		}
		switch {
		case errors.Is(err, confstore.ErrClosed):
			return err
		case err == nil:
			failures = 0
		case ctx.Err() == nil:
			failures++
			wait := backoff(failures)
			log.Warn("configuration store does not answer, what is in force goes on", telemetry.KeyDuration, wait, telemetry.KeyError, err)
			if retry.Sleep(ctx, wait) != nil {
				return nil
			}
		}
	}
	return nil
}

// look reads the key as it stands. A key that is not there is an entry without a value.
func (f *Follower[P]) look(ctx context.Context, offer func(confstore.Entry)) (known bool, err error) {
	reading, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	entry, err := f.opts.Store.Get(reading, f.key())
	if errors.Is(err, confstore.ErrNotFound) {
		entry, err = confstore.Entry{}, nil
	}
	if err != nil {
		return false, err
	}
	offer(entry)
	return true, nil
}

// next waits for the entry after stamp, until it is time to look.
func (f *Follower[P]) next(ctx context.Context, stamp uint64, offer func(confstore.Entry)) (known bool, err error) {
	waiting, cancel := context.WithTimeout(ctx, spread(lookEvery, 0.2))
	defer cancel()
	entry, err := f.opts.Store.Next(waiting, f.key(), stamp)
	switch {
	case err == nil:
		offer(entry)
		return true, nil
	case waiting.Err() != nil && !errors.Is(err, confstore.ErrClosed):
		return false, nil
	}
	return false, err
}
