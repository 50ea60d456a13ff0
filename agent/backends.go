package agent

import (
	"context"
	"errors"
	"fmt"
	"os"

	"sonde.example/agent/capture"
	"sonde.example/agent/capture/file"
	"sonde.example/agent/spool"
	"sonde.example/agent/uplink"
	"sonde.example/internal/packet/filter"
)

// openSource opens a capture point by its scheme.
func openSource(ctx context.Context, text, filterText string) (capture.Source, error) {
	path, err := capturePath(text)
	if err != nil {
		return nil, err
	}
	s, err := file.Open(ctx, path, file.Options{})
	if err != nil {
		return nil, err
	}
	program, err := filter.Compile(filterText, s.LinkType())
	if err == nil {
		err = s.SetFilter(program)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--filter: %w", err), s.Close())
	}
	return s, nil
}

// checkSource opens a capture point and closes it again, so that what is wrong with it is known before anything starts.
// What can be read only once, such as a pipe, it leaves alone.
func checkSource(ctx context.Context, text, filterText string) (bytes int64, err error) {
	path, err := capturePath(text)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	if path == "-" || err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return 0, nil
	}
	s, err := openSource(ctx, text, filterText)
	if err != nil {
		return 0, err
	}
	return info.Size(), s.Close()
}

// openSpool opens the spool by its scheme. Captures that are all files can wait for it.
func openSpool(text string, epoch uint64, lanes int) (spool.Spool, error) {
	u, err := parseSpool(text)
	if err != nil {
		return nil, err
	}
	return spool.NewMemory(spool.Options{Epoch: epoch, Lanes: lanes, Bytes: u.bytes, Wait: true}), nil
}

// spoolLane is the uplink's view of the spool.
type spoolLane struct {
	spool spool.Spool
	lane  uint32
}

var _ uplink.Source = spoolLane{}

func (l spoolLane) Next(ctx context.Context, after uint64) (uplink.Batch, bool, error) {
	e, ok, err := l.spool.Next(ctx, l.lane, after)
	return uplink.Batch{Sequence: e.Sequence, Skipped: e.Skipped, Payload: e.Payload, Release: e.Release}, ok, err
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
		Losses: uplink.Losses{Dropped: s.Dropped, Released: s.Released, Rejected: s.Rejected},
	}
}
