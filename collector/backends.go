package collector

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"sonde.example/collector/dispatch"
	"sonde.example/collector/result"
	"sonde.example/collector/result/sqlite"
	"sonde.example/collector/session"
	"sonde.example/internal/packet"
	"sonde.example/internal/service"
)

// queueBytes bounds the queue in memory: some two thousand hand-overs of the largest size, and far more usual ones. What
// does not fit stays in the outbox.
const queueBytes = 64 << 20

// results is all that the collector wants of its result store.
type results interface {
	result.Store
	result.Past
	result.Ledger
}

// sessions is all that it wants of its session store.
type sessions interface {
	session.Store
	session.Outbox
	session.Ledger
	service.Service
	Usage() session.Usage
}

func openResults(ctx context.Context, url string) (results, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		return sqlite.Open(ctx, path)
	}
	return nil, fmt.Errorf("--results: no store for %q", service.Redacted(url))
}

func openSessions(ctx context.Context, c *Config, walker *packet.Walker, journal session.Journal, log *slog.Logger) (sessions, error) {
	if c.Sessions != "mem:" {
		return nil, fmt.Errorf("--sessions: no store for %q", service.Redacted(c.Sessions))
	}
	bytes, err := service.ParseBytes(c.SessionBytes)
	if err != nil {
		return nil, fmt.Errorf("--session-bytes: %w", err)
	}
	return session.OpenMemory(ctx, session.Options{
		Log: log, Walker: walker, Deadline: c.HandOverDeadline, Bytes: bytes,
	}, journal)
}

// queue is all that it wants of its queue.
type queue interface {
	dispatch.Queue
	Len() (messages, bytes int)
	Idle() bool
}

func openQueue(url string) (queue, error) {
	if url != "mem:" {
		return nil, fmt.Errorf("--queue: no queue for %q", service.Redacted(url))
	}
	return dispatch.NewMemory(queueBytes), nil
}
