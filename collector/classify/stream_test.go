package classify_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kservev2 "sonde.example/gen/go/inference"

	"sonde.example/collector/classify"
	"sonde.example/internal/rpc"
)

// errEnd ends a stream.
var errEnd = rpc.Unavailable(0, rpc.ReasonDraining, "gone soon")

// ModelStreamInfer answers in order, side by side, as the real ones do, unless stream says otherwise.
func (s *server) ModelStreamInfer(stream kservev2.GRPCInferenceService_ModelStreamInferServer) error {
	s.streams.Add(1)
	if s.stream != nil {
		if err := s.stream(stream); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel(nil)
	received := make(chan *kservev2.ModelInferRequest)
	go func() {
		for {
			r, err := stream.Recv()
			if err != nil {
				cancel(err)
				return
			}
			select {
			case received <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	answers := make(chan chan *kservev2.ModelStreamInferResponse, 64)
	defer close(answers)
	working.Go(func() {
		for answer := range answers {
			select {
			case response := <-answer:
				if err := stream.Send(response); err != nil {
					cancel(err)
				}
			case <-ctx.Done():
			}
		}
	})
	for {
		select {
		case r := <-received:
			s.streamed.Add(1)
			answer := make(chan *kservev2.ModelStreamInferResponse, 1)
			answers <- answer
			working.Go(func() { s.answer(ctx, r, answer, cancel) })
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, io.EOF) {
				return cause
			}
			return nil
		}
	}
}

// answer answers a request, in band if it fails.
func (s *server) answer(ctx context.Context, r *kservev2.ModelInferRequest, to chan<- *kservev2.ModelStreamInferResponse, end func(error)) {
	response, err := s.ModelInfer(ctx, r)
	switch {
	case errors.Is(err, errEnd):
		end(err)
	case err != nil:
		message := "internal error"
		if st, ok := status.FromError(err); ok {
			message = st.Message()
		}
		to <- &kservev2.ModelStreamInferResponse{ErrorMessage: message, InferResponse: &kservev2.ModelInferResponse{Id: r.GetId()}}
	default:
		response.Id = r.GetId()
		to <- &kservev2.ModelStreamInferResponse{InferResponse: response}
	}
}

func classifyOne(t *testing.T, client *classify.Client) {
	t.Helper()
	answers, err := client.Classify(t.Context(), sessions(t, 2))
	if err != nil || len(answers) != 2 || answers[1].GetLabel() != "tls" {
		t.Errorf("Classify = %v, %v; want tls", answers, err)
	}
}

func TestOneStreamCarriesAllRequests(t *testing.T) {
	s := newServer()
	client, stop := connectWith(t, s, classify.Options{Stream: true})
	var timeout atomic.Int64
	s.infer = func(_ context.Context, r *kservev2.ModelInferRequest) error {
		timeout.Store(r.GetParameters()["timeout"].GetInt64Param())
		return nil
	}
	for range 5 {
		classifyOne(t, client)
	}
	if s.streams.Load() != 1 || s.streamed.Load() != 5 || s.infers.Load() != 5 {
		t.Errorf("%d streams carried %d of %d requests, want 1 and 5 of 5", s.streams.Load(), s.streamed.Load(), s.infers.Load())
	}
	if got := time.Duration(timeout.Load()) * time.Microsecond; got <= time.Second || got > 2*time.Second {
		t.Errorf("the request may wait for %v, want nearly 2 s", got)
	}
	stop() // with a stream that is open and whose server does not look at the end: it is cut
}

// What a server that drains has not answered goes by a call, and the next request opens a stream anew.
func TestAStreamThatEndsIsOpenedAgain(t *testing.T) {
	s := newServer()
	client, _ := connectWith(t, s, classify.Options{Stream: true})
	classifyOne(t, client)
	var calls atomic.Int64
	s.infer = func(ctx context.Context, r *kservev2.ModelInferRequest) error {
		if r.GetId() == "" {
			calls.Add(1)
			return nil
		}
		return errEnd
	}
	classifyOne(t, client)
	if calls.Load() != 1 {
		t.Errorf("%d calls, want 1", calls.Load())
	}
	s.infer = newServer().infer
	classifyOne(t, client)
	if s.streams.Load() != 2 || s.streamed.Load() != 3 {
		t.Errorf("%d streams carried %d requests, want 2 and 3", s.streams.Load(), s.streamed.Load())
	}
}

// Proxies with lists of methods, and older servers, know no streams; some have them and never answer.
func TestCallsWhereThereAreNoStreams(t *testing.T) {
	for name, c := range map[string]struct {
		stream func(kservev2.GRPCInferenceService_ModelStreamInferServer) error
		late   bool // the first request has no answer in time
	}{
		"unimplemented": {func(kservev2.GRPCInferenceService_ModelStreamInferServer) error {
			return status.Error(codes.Unimplemented, "unknown method")
		}, false},
		"not allowed": {func(kservev2.GRPCInferenceService_ModelStreamInferServer) error {
			return rpc.PermissionDenied("METHOD", "no streams here")
		}, false},
		"ends at once": {func(kservev2.GRPCInferenceService_ModelStreamInferServer) error { return io.EOF }, false},
		"silent": {func(stream kservev2.GRPCInferenceService_ModelStreamInferServer) error {
			<-stream.Context().Done()
			return stream.Context().Err()
		}, true},
		"no ids": {func(stream kservev2.GRPCInferenceService_ModelStreamInferServer) error {
			if _, err := stream.Recv(); err != nil {
				return err
			}
			return stream.Send(&kservev2.ModelStreamInferResponse{InferResponse: &kservev2.ModelInferResponse{}})
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				s.stream = c.stream
				client, _ := connectWith(t, s, classify.Options{Stream: true})
				if c.late {
					if _, err := client.Classify(t.Context(), sessions(t, 1)); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("Classify = %v, want that there was no time", err)
					}
				}
				for range 3 {
					classifyOne(t, client)
				}
				if s.streams.Load() != 1 || s.infers.Load() != 3 || s.streamed.Load() != 0 {
					t.Errorf("%d streams were opened and %d requests answered, want 1 and 3", s.streams.Load(), s.infers.Load())
				}
				s.stream = nil
				time.Sleep(9 * time.Minute)
				classifyOne(t, client)
				if s.streams.Load() != 1 {
					t.Error("a stream was tried again before ten minutes were over")
				}
				time.Sleep(time.Minute)
				classifyOne(t, client)
				if s.streams.Load() != 2 || s.streamed.Load() != 1 {
					t.Errorf("%d streams carried %d requests, want that it is tried again", s.streams.Load(), s.streamed.Load())
				}
			})
		})
	}
}

// A request that the server never answers holds up those behind it on the stream; they do not run out of time for it.
func TestOneRequestDoesNotStopTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		client, _ := connectWith(t, s, classify.Options{Stream: true})
		classifyOne(t, client)
		s.infer = func(ctx context.Context, r *kservev2.ModelInferRequest) error {
			if r.GetInputs()[0].GetShape()[0] == 3 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := client.Classify(t.Context(), sessions(t, 3)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Classify = %v, want that there was no time", err)
			}
		})
		time.Sleep(time.Second)
		classifyOne(t, client)
		wg.Wait()
		classifyOne(t, client)
		if s.streams.Load() != 2 {
			t.Errorf("%d streams, want a second one after the first was given up", s.streams.Load())
		}
	})
}
