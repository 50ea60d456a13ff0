package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"

	"sonde.example/agent/capture"
	"sonde.example/agent/capture/afpacket"
	"sonde.example/agent/capture/file"
	"sonde.example/agent/spool"
	"sonde.example/agent/uplink"
	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/confstore/etcd"
	"sonde.example/internal/mtls"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
	"sonde.example/internal/rpc"
)

// sources opens capture points with one filter, which it compiles once for each link type: libpcap may have to ask for
// names. It belongs to one goroutine at a time.
type sources struct {
	opener   func(ctx context.Context, text string) (capture.Source, error) // nil goes by the scheme
	filter   string
	programs map[packet.LinkType]compiled
}

type compiled struct {
	program filter.Program
	err     error
}

// filterError is a filter that does not fit a capture point: it is no filter, or none for this link type.
type filterError struct{ error }

func (e filterError) Error() string { return "--filter: " + e.error.Error() }
func (e filterError) Unwrap() error { return e.error }

// openByScheme opens a capture point as its text says.
func openByScheme(ctx context.Context, text string) (capture.Source, error) {
	return file.Open(ctx, capturePath(text), file.Options{})
}

// openDevices opens the set of capture points on devices.
func openDevices() (capture.Live, error) { return afpacket.Open(afpacket.Options{}) }

// open opens a capture point, with the filter.
func (s *sources) open(ctx context.Context, text string) (capture.Source, error) {
	opener := s.opener
	if opener == nil {
		opener = openByScheme
	}
	source, err := opener(ctx, text)
	if err != nil {
		return nil, err
	}
	program, err := s.compile(source.LinkType())
	if err == nil {
		err = source.SetFilter(program)
	}
	if err != nil {
		return nil, errors.Join(filterError{err}, source.Close())
	}
	return source, nil
}

func (s *sources) compile(link packet.LinkType) (filter.Program, error) {
	c, known := s.programs[link]
	if !known {
		c.program, c.err = filter.Compile(s.filter, link)
		s.programs[link] = c
	}
	return c.program, c.err
}

// check opens a capture point and closes it again, so that what is wrong with it is known before anything starts. What
// can be read only once, such as a pipe or what comes from code, it leaves alone.
func (s *sources) check(ctx context.Context, text string) (bytes int64, err error) {
	path := capturePath(text)
	info, err := os.Stat(path)
	if s.opener != nil || path == "-" || err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return 0, nil
	}
	source, err := s.open(ctx, text)
	if err != nil {
		return 0, err
	}
	return info.Size(), source.Close()
}

// checkCaptures checks every capture point. With SkipUnreadable it leaves out those that cannot be opened, unless none
// would be left; then a filter that fits none of them is the one thing to tell.
func (a *Agent) checkCaptures(ctx context.Context) error {
	if a.live != nil {
		return a.checkDevices()
	}
	var readable []string
	var misfit error
	for _, text := range a.config.Captures {
		bytes, err := a.sources.check(ctx, text)
		switch {
		case err == nil:
			readable = append(readable, text)
			a.fileBytes += bytes
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case !a.config.SkipUnreadable:
			return fmt.Errorf("--capture %s: %w", text, err)
		}
		if wrong, ok := errors.AsType[filterError](err); ok {
			misfit = cmp.Or[error](misfit, wrong)
			err = fmt.Errorf("%s: %w", a.pointName(text), err)
		}
		a.skipped = append(a.skipped, err)
	}
	switch {
	case len(readable) > 0:
		a.config.Captures = readable
		return nil
	case misfit != nil:
		return misfit
	}
	return errors.Join(a.skipped...)
}

// checkDevices captures for a moment, so that what is wrong with a device or the filter is known before anything starts.
func (a *Agent) checkDevices() error {
	if len(a.flags.points) == 0 {
		return nil
	}
	set, err := a.live.open()
	if err != nil {
		return fmt.Errorf("--capture: %w", err)
	}
	if _, err = set.Replace(a.flags.capturePoints()); err != nil {
		text := "--capture: %w"
		if config.FieldOf(err) == "filter" {
			text = "--%w"
		}
		err = fmt.Errorf(text, err)
	}
	return errors.Join(err, set.Close())
}

// parseStore reads the URL of a configuration store, and tells where in it the keys begin.
func parseStore(text string) (endpoints []string, root string, err error) {
	endpoints, root, err = etcd.ParseURL(text)
	if err != nil {
		return nil, "", err
	}
	root = cmp.Or(root, config.DefaultRoot)
	_, err = config.NewKeys(root)
	return endpoints, root, err
}

// openStore opens the store of the configuration. It does not wait for it.
func (a *Agent) openStore(ctx context.Context) (store confstore.Client, root string, err error) {
	endpoints, root, err := parseStore(a.config.ConfigStore)
	if err != nil {
		return nil, "", err
	}
	store, err = etcd.Open(ctx, etcd.Options{
		Endpoints: endpoints, Root: root, TLS: a.certificates.ClientConfig(mtls.Peer{}), Log: a.log,
		Dialer: func(ctx context.Context, address string) (net.Conn, error) {
			return rpc.DialTCP(ctx, address, a.guard.OnConnect)
		},
	})
	return store, root, err
}

// openSpool opens the spool by its scheme. Captures that are all files can wait for it.
func openSpool(text string, epoch uint64, lanes int, wait bool) (spool.Spool, error) {
	u, err := parseSpool(text)
	if err != nil {
		return nil, err
	}
	return spool.NewMemory(spool.Options{Epoch: epoch, Lanes: lanes, Bytes: u.bytes, Wait: wait}), nil
}

// spoolLane is the uplink's view of the spool.
type spoolLane struct {
	spool spool.Spool
	lane  uint32
	sent  *atomic.Uint64 // counts the bytes of what was lent
}

var _ uplink.Source = spoolLane{}

func (l spoolLane) Next(ctx context.Context, after uint64) (uplink.Batch, bool, error) {
	e, ok, err := l.spool.Next(ctx, l.lane, after)
	l.sent.Add(uint64(len(e.Payload)))
	return uplink.Batch{Sequence: e.Sequence, Skipped: e.Skipped, Payload: e.Payload, Losses: uplink.Losses(e.Losses), Release: e.Release}, ok, err
}

func (l spoolLane) Mark(ctx context.Context, received, durable uint64) error {
	return l.spool.Mark(ctx, l.lane, received, durable)
}

func (l spoolLane) Reject(ctx context.Context, sequence uint64) error {
	return l.spool.Reject(ctx, l.lane, sequence)
}

func (l spoolLane) Changed() <-chan struct{} { return l.spool.Changed() }

func (l spoolLane) Marks() uplink.Marks {
	s := l.spool.State().Lanes[l.lane]
	return uplink.Marks{
		First: s.First, Last: s.Last, Received: s.Received, Durable: s.Durable,
		DurablePackets: s.DurablePackets,
	}
}
