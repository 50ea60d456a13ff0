// Package query serves what was stored: pages of results, one result, a live tail, and the packets of one session as a
// pcapng file; and it takes down what people say that sessions really were, for the next model to learn from. It reads the result store and never waits for the way of the data: the tail is fed by the worker after each
// commit, and a reader that is too slow loses results, is told how many, and can fetch them by ListResults.
package query

import (
	"cmp"
	"context"
	"errors"

	"google.golang.org/grpc"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/internal/packet"
	"sonde.example/internal/record"
	"sonde.example/internal/rpc"
)

const (
	defaultPageSize = 100
	maxPageSize     = 1000
)

// Results is the part of the result store that queries read; result.Store fits it.
type Results interface {
	Get(ctx context.Context, sessionID string) (*queryv1.Result, error)
	Packets(ctx context.Context, sessionID string) (*flowv1.Packets, error)
	List(ctx context.Context, f record.Filter, pageSize int, pageToken string) ([]*queryv1.Result, string, error)
}

// Service is the QueryService.
type Service struct {
	queryv1.UnimplementedQueryServiceServer
	results        Results
	corrections    Corrections
	maxCorrections int
	walkers        *packet.Walkers
	hub            *Hub
}

// Options say what the service works with.
type Options struct {
	Results     Results
	Corrections Corrections
	// MaxCorrections bounds how many corrections are stored; zero means DefaultMaxCorrections.
	MaxCorrections int
	// Walkers read the heads of sessions that are labelled.
	Walkers *packet.Walkers
	// Hub is told of results by the worker, and of labels by the service.
	Hub *Hub
}

// New returns the service.
func New(o Options) *Service {
	return &Service{
		results: o.Results, corrections: o.Corrections, maxCorrections: cmp.Or(o.MaxCorrections, DefaultMaxCorrections),
		walkers: o.Walkers, hub: o.Hub,
	}
}

// ListResults pages through results.
func (s *Service) ListResults(ctx context.Context, r *queryv1.ListResultsRequest) (*queryv1.ListResultsResponse, error) {
	filter, err := parse(r.GetFilter())
	if err != nil {
		return nil, err
	}
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	results, next, err := s.results.List(ctx, filter, size, r.GetPageToken())
	if err != nil {
		return nil, pageError(err, "ListResults")
	}
	return &queryv1.ListResultsResponse{Results: results, NextPageToken: next}, nil
}

// GetResult returns one result.
func (s *Service) GetResult(ctx context.Context, r *queryv1.GetResultRequest) (*queryv1.GetResultResponse, error) {
	found, err := s.results.Get(ctx, r.GetSessionId())
	if err != nil {
		return nil, notFound(err, r.GetSessionId())
	}
	return &queryv1.GetResultResponse{Result: found}, nil
}

// GetSessionPackets returns one head as pcapng.
func (s *Service) GetSessionPackets(ctx context.Context, r *queryv1.GetSessionPacketsRequest) (*queryv1.GetSessionPacketsResponse, error) {
	packets, err := s.results.Packets(ctx, r.GetSessionId())
	if err != nil {
		return nil, notFound(err, r.GetSessionId())
	}
	found, err := s.results.Get(ctx, r.GetSessionId())
	if err != nil {
		return nil, notFound(err, r.GetSessionId())
	}
	file, err := pcapng(found, packets)
	if err != nil {
		return nil, err
	}
	return &queryv1.GetSessionPacketsResponse{Pcapng: file}, nil
}

// WatchResults sends results as they are stored.
func (s *Service) WatchResults(r *queryv1.WatchResultsRequest, stream grpc.ServerStreamingServer[queryv1.WatchResultsResponse]) error {
	filter, err := parse(r.GetFilter())
	if err != nil {
		return err
	}
	watch := s.hub.watch(filter)
	defer s.hub.leave(watch)
	// The first message tells the caller that nothing stored from now on will be left out.
	if err := stream.Send(&queryv1.WatchResultsResponse{}); err != nil {
		return err
	}
	for {
		select {
		case <-watch.ready:
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-rpc.Draining(stream.Context()):
			if err := send(stream, watch); err != nil {
				return err
			}
			return rpc.Unavailable(0, rpc.ReasonDraining, "the connection is to end")
		}
		if err := send(stream, watch); err != nil {
			return err
		}
	}
}

// send sends what has come, and says what was missed where it would stand.
func send(stream grpc.ServerStreamingServer[queryv1.WatchResultsResponse], w *watch) error {
	results, missed := w.take()
	for _, result := range results {
		if err := stream.Send(&queryv1.WatchResultsResponse{Result: result}); err != nil {
			return err
		}
	}
	if missed == 0 {
		return nil
	}
	return stream.Send(&queryv1.WatchResultsResponse{Missed: missed})
}

// pageSize is the size that a request asks for.
func pageSize(wanted int32) (int, error) {
	switch {
	case wanted == 0:
		return defaultPageSize, nil
	case wanted < 0 || wanted > maxPageSize:
		return 0, rpc.InvalidArgument("page_size", "%d is not within 1 and %d", wanted, maxPageSize)
	}
	return int(wanted), nil
}

func pageError(err error, method string) error {
	if errors.Is(err, record.ErrPageToken) {
		return rpc.InvalidArgument("page_token", "not one that %s gave", method)
	}
	return err
}

func parse(text string) (record.Filter, error) {
	filter, err := record.ParseFilter(text)
	if err != nil {
		return record.Filter{}, rpc.InvalidArgument("filter", "%v", err)
	}
	return filter, nil
}

func notFound(err error, sessionID string) error {
	if errors.Is(err, record.ErrNotFound) {
		return rpc.NotFound("session", sessionID)
	}
	return err
}
