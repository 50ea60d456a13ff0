// Package etcd keeps the configuration in etcd, one server of it or a cluster. Reads are linearizable, a watch asks for a
// leader, so that a member cut off from the others is noticed, and what a watch missed by a compaction or a wiped server is
// read again. Publishing is one transaction that compares the leader's key and the checkpoint: who was paused and replaced
// cannot write, whatever its clock says. Leases tell only that a leader is gone; they exclude nobody.
package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"sonde.example/internal/confstore"
	"sonde.example/internal/service"
)

const (
	dialTimeout   = 5 * time.Second
	keepAlive     = 10 * time.Second
	keepAliveWait = 5 * time.Second
	// lookAgain is how long a watch is trusted: a server that was wiped, or restored from an older copy, says nothing
	// to a watcher that waits for a revision it has not reached yet.
	lookAgain = time.Minute
)

// Options for Open. Endpoints and Log are needed.
type Options struct {
	// Endpoints are host:port.
	Endpoints []string
	// Root is where the tree begins; the election is below it.
	Root string
	// TLS is this side's; nil speaks in the clear.
	TLS *tls.Config
	Log *slog.Logger
}

// Store is a confstore.Store.
type Store struct {
	client    *clientv3.Client
	root      string
	log       *slog.Logger
	lookAgain time.Duration
	closed    atomic.Bool
	open      context.Context // ends with Close
	end       context.CancelFunc
}

var _ confstore.Store = (*Store)(nil)

// ParseURL reads etcd://host:port[,host:port...][?root=/sonde]. An empty root is the default's.
func ParseURL(text string) (endpoints []string, root string, err error) {
	rest, ok := strings.CutPrefix(text, "etcd://")
	if !ok {
		return nil, "", fmt.Errorf("%q is not etcd://host:port", service.Redacted(text))
	}
	hosts, query, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, "", fmt.Errorf("%q: %w", text, err)
	}
	for name := range values {
		if name != "root" {
			return nil, "", fmt.Errorf("unknown URL parameter %q", name)
		}
	}
	for endpoint := range strings.SplitSeq(strings.TrimSuffix(hosts, "/"), ",") {
		if host, port, err := net.SplitHostPort(endpoint); err != nil || host == "" || port == "" {
			return nil, "", fmt.Errorf("%q is not host:port", endpoint)
		}
		endpoints = append(endpoints, endpoint)
	}
	return endpoints, values.Get("root"), nil
}

// Open returns a store that connects when it is needed. It does not wait for a server.
func Open(ctx context.Context, o Options) (*Store, error) {
	if len(o.Endpoints) == 0 {
		return nil, errors.New("no etcd endpoint")
	}
	scheme := "http://"
	if o.TLS != nil {
		scheme = "https://"
	}
	config := clientv3.Config{
		TLS: o.TLS, Context: context.WithoutCancel(ctx), DialTimeout: dialTimeout,
		DialKeepAliveTime: keepAlive, DialKeepAliveTimeout: keepAliveWait, PermitWithoutStream: true,
		// Its own log repeats what the calls return.
		Logger: zap.NewNop(),
	}
	for _, endpoint := range o.Endpoints {
		config.Endpoints = append(config.Endpoints, scheme+endpoint)
	}
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("etcd client: %w", err)
	}
	s := &Store{client: client, root: strings.TrimSuffix(o.Root, "/"), log: o.Log, lookAgain: lookAgain}
	s.open, s.end = context.WithCancel(config.Context)
	return s, nil
}

// Close implements confstore.Client.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.end()
	if err := s.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// while returns a context that also ends with Close: a closed client tries for seconds before it gives up. Call the function
// when done.
func (s *Store) while(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(s.open, cancel)
	return ctx, func() { forget(); cancel() }
}

// explain says what an error means: ErrClosed after Close, the context's own, or what the server said.
func (s *Store) explain(ctx context.Context, what string, err error) error {
	switch {
	case err == nil:
		return nil
	case s.closed.Load():
		return confstore.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("etcd: %s: %w", what, err)
}

// Get implements confstore.Client.
func (s *Store) Get(ctx context.Context, key string) (confstore.Entry, error) {
	ctx, done := s.while(ctx)
	defer done()
	response, err := s.client.Get(ctx, key)
	if err != nil {
		return confstore.Entry{}, s.explain(ctx, "get "+key, err)
	}
	if len(response.Kvs) == 0 {
		return confstore.Entry{}, fmt.Errorf("%s: %w", key, confstore.ErrNotFound)
	}
	return entry(response.Kvs[0]), nil
}

func entry(kv *mvccpb.KeyValue) confstore.Entry {
	value := kv.Value
	if value == nil {
		value = []byte{} // nil means deleted
	}
	return confstore.Entry{Key: string(kv.Key), Value: value, Stamp: uint64(kv.ModRevision)}
}

// Next implements confstore.Client.
func (s *Store) Next(ctx context.Context, key string, after uint64) (confstore.Entry, error) {
	ctx, done := s.while(ctx)
	defer done()
	for forgotten := false; ; {
		response, err := s.client.Get(ctx, key)
		if err != nil {
			return confstore.Entry{}, s.explain(ctx, "get "+key, err)
		}
		head := uint64(response.Header.Revision)
		there := len(response.Kvs) > 0
		wiped := head < after
		switch {
		case there && (wiped || uint64(response.Kvs[0].ModRevision) > after):
			return entry(response.Kvs[0]), nil
		case !there && after > 0 && (wiped || forgotten):
			return confstore.Entry{Key: key, Stamp: head}, nil
		}
		from := after + 1
		if after == 0 || forgotten {
			from = head + 1
		}
		events, err := s.watch(ctx, key, from)
		switch {
		case errors.Is(err, confstore.ErrCompacted):
			forgotten = true
		case err != nil:
			return confstore.Entry{}, s.explain(ctx, "watch "+key, err)
		case len(events) > 0:
			return newest(events[len(events)-1]), nil
		default:
			forgotten = false // look again
		}
	}
}

func newest(event *clientv3.Event) confstore.Entry {
	if event.Type == mvccpb.Event_DELETE {
		return confstore.Entry{Key: string(event.Kv.Key), Stamp: uint64(event.Kv.ModRevision)}
	}
	return entry(event.Kv)
}

// watch returns the first events from a revision on; none when there were none for a while.
func (s *Store) watch(ctx context.Context, key string, from uint64, more ...clientv3.OpOption) ([]*clientv3.Event, error) {
	watching, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), s.lookAgain)
	defer cancel()
	options := append([]clientv3.OpOption{clientv3.WithRev(int64(from))}, more...)
	for response := range s.client.Watch(watching, key, options...) {
		switch err := response.Err(); {
		case errors.Is(err, rpctypes.ErrCompacted):
			return nil, confstore.ErrCompacted
		case err != nil && watching.Err() == nil:
			return nil, err
		case len(response.Events) > 0:
			return response.Events, nil
		}
	}
	if ctx.Err() != nil || s.closed.Load() {
		return nil, context.Canceled
	}
	return nil, nil // time to look again, or the stream broke
}

// List implements confstore.Store.
func (s *Store) List(ctx context.Context, prefix string) ([]confstore.Entry, uint64, error) {
	ctx, done := s.while(ctx)
	defer done()
	response, err := s.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
	if err != nil {
		return nil, 0, s.explain(ctx, "list "+prefix, err)
	}
	var all []confstore.Entry
	for _, kv := range response.Kvs {
		all = append(all, entry(kv))
	}
	return all, uint64(response.Header.Revision), nil
}

// NextUnder implements confstore.Store.
func (s *Store) NextUnder(ctx context.Context, prefix string, after uint64) ([]confstore.Entry, uint64, error) {
	ctx, done := s.while(ctx)
	defer done()
	for {
		// A server that was wiped or restored would say nothing until it has come to the stamp.
		response, err := s.client.Get(ctx, s.checkpointKey(), clientv3.WithCountOnly())
		if err != nil {
			return nil, 0, s.explain(ctx, "look at the store's revision", err)
		}
		if uint64(response.Header.Revision) < after {
			return nil, 0, confstore.ErrCompacted
		}
		events, err := s.watch(ctx, prefix, after+1, clientv3.WithPrefix())
		if errors.Is(err, confstore.ErrCompacted) {
			return nil, 0, err
		}
		if err != nil {
			return nil, 0, s.explain(ctx, "watch "+prefix, err)
		}
		if len(events) == 0 {
			continue
		}
		// The newest of each key, in the order of the keys' last writes.
		var all []confstore.Entry
		seen := map[string]bool{}
		for i := len(events) - 1; i >= 0; i-- {
			if e := newest(events[i]); !seen[e.Key] {
				seen[e.Key] = true
				all = append(all, e)
			}
		}
		return all, uint64(events[len(events)-1].Kv.ModRevision), nil
	}
}
