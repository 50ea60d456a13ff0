package server

import (
	"context"
	"errors"
	"io"
	"sync"

	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/internal/rpc"
	"sonde.example/internal/telemetry"
)

// streamWindow is how many requests of one stream are worked on at once. The next one is read when an answer has been
// sent, so a client that does not read its answers is not read either.
const streamWindow = 64

// ClassifyStream classifies requests side by side and answers them in their order.
//
//	room -> Recv -> requests -> go Classify -> answers (in order) -> Send -> room
//
// It ends when the client has closed its side and everything is answered, or with UNAVAILABLE when the server drains and
// what was taken is answered. What works on requests has ended then, too.
func (s *Service) ClassifyStream(stream inferencev1.ClassifierService_ClassifyStreamServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()

	room := make(chan struct{}, streamWindow) // full of requests that are taken and not answered
	requests := make(chan taken)
	// The receiver is not waited for: a Recv that nothing comes for ends only after this handler has returned.
	go receive(ctx, stream, room, requests)

	answers := make(chan chan *inferencev1.ClassifyStreamResponse, streamWindow)
	var ended error // why no more are taken, once answers is closed
	working.Go(func() {
		defer close(answers)
		for {
			select {
			case r := <-requests:
				if ended = r.err; ended != nil {
					return
				}
				answer := make(chan *inferencev1.ClassifyStreamResponse, 1)
				working.Go(func() { answer <- s.answer(ctx, r.request) })
				answers <- answer // there is a place for each that there is room for
			case <-rpc.Draining(ctx):
				ended = rpc.Unavailable(retryDelay, rpc.ReasonDraining, "the server is shutting down")
				return
			case <-ctx.Done():
				ended = ctx.Err()
				return
			}
		}
	})
	for answer := range answers {
		if err := stream.Send(<-answer); err != nil {
			return err
		}
		<-room
	}
	if errors.Is(ended, io.EOF) {
		return nil
	}
	return ended
}

// taken is what came of a Recv.
type taken struct {
	request *inferencev1.ClassifyRequest
	err     error
}

// receive takes requests while there is room for them, until the client closes its side or ctx ends.
func receive(ctx context.Context, stream inferencev1.ClassifierService_ClassifyStreamServer, room chan<- struct{}, to chan<- taken) {
	for {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		r, err := stream.Recv()
		select {
		case to <- taken{r.GetRequest(), err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// answer classifies one request of a stream; an error becomes part of the answer.
func (s *Service) answer(ctx context.Context, r *inferencev1.ClassifyRequest) *inferencev1.ClassifyStreamResponse {
	response, err := s.Classify(ctx, r)
	if err == nil {
		return &inferencev1.ClassifyStreamResponse{Outcome: &inferencev1.ClassifyStreamResponse_Response{Response: response}}
	}
	st, known := rpc.InBand(ctx, err)
	if !known {
		s.opts.Log.Error("request of a stream failed with an error that has no status", telemetry.KeyError, err)
	}
	return &inferencev1.ClassifyStreamResponse{Outcome: &inferencev1.ClassifyStreamResponse_Error{
		Error: &inferencev1.ClassifyError{Id: r.GetId(), Code: uint32(st.Code()), Message: st.Message()},
	}}
}
