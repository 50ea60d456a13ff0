package collector

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sonde.example/collector/dispatch"
	"sonde.example/collector/result"
	"sonde.example/collector/result/sqlite"
	"sonde.example/collector/session"
	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/confstore/etcd"
	"sonde.example/internal/mtls"
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
	result.Corrections
	result.Ledger
}

// sessions is all that it wants of its session store.
type sessions interface {
	session.Store
	session.Outbox
	session.Ledger
	service.Service
	Usage() session.Usage
	SetDeadline(deadline time.Duration)
	SetBytes(bytes int64)
}

func openResults(ctx context.Context, url string) (results, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		return sqlite.Open(ctx, path)
	}
	return nil, fmt.Errorf("--results: no store for %q", service.Redacted(url))
}

func openSessions(ctx context.Context, c *Config, walkers *packet.Walkers, journal session.Journal, log *slog.Logger) (sessions, error) {
	if c.Sessions != "mem:" {
		return nil, fmt.Errorf("--sessions: no store for %q", service.Redacted(c.Sessions))
	}
	bytes, err := service.ParseBytes(c.SessionBytes)
	if err != nil {
		return nil, fmt.Errorf("--session-bytes: %w", err)
	}
	return session.OpenMemory(ctx, session.Options{
		Log: log, Walkers: walkers, Deadline: c.HandOverDeadline, Bytes: bytes,
	}, journal)
}

// parseStore reads the URL of the configuration store.
func parseStore(url string) (endpoints []string, keys config.Keys, err error) {
	endpoints, root, err := etcd.ParseURL(url)
	if err != nil {
		return nil, config.Keys{}, err
	}
	keys, err = config.NewKeys(cmp.Or(root, config.DefaultRoot))
	return endpoints, keys, err
}

// openStore returns the configuration store, nil without one. It connects when it is needed.
func openStore(ctx context.Context, c *Config, certs *mtls.Source, log *slog.Logger) (confstore.Client, config.Keys, error) {
	if c.Store != nil || c.ConfigStore == "" {
		keys, err := config.NewKeys(config.DefaultRoot)
		return c.Store, keys, err
	}
	endpoints, keys, err := parseStore(c.ConfigStore)
	if err != nil {
		return nil, keys, err
	}
	store, err := etcd.Open(ctx, etcd.Options{Endpoints: endpoints, Root: keys.Root(), TLS: certs.ClientConfig(mtls.Peer{}), Log: log})
	if err != nil {
		return nil, keys, err
	}
	return store, keys, nil
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
