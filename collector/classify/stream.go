package classify

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	kservev2 "sonde.example/gen/go/inference"
)

// callsFor is for how long requests go by calls when a stream has given no answer and a call has.
const callsFor = 10 * time.Minute

// parameterTimeout is how long a request may wait in the server's queue, in microseconds: an extension of Triton's, which
// others ignore.
const parameterTimeout = "timeout"

// errStrange ends a stream on which something comes that nobody waits for: ids are not echoed, say.
var errStrange = errors.New("an answer on the stream belongs to no request")

// errInBand wraps what a server says of a request that failed on a stream. There is no code in it.
var errInBand = errors.New("answer on the stream")

// streams sends requests over one ModelStreamInfer, which is opened when it is needed and again when it has ended.
//
//	infer: Send -> ... server ... -> Recv: receive -> the infer that waits, by id
type streams struct {
	server kservev2.GRPCInferenceServiceClient

	mu       sync.Mutex // guards what follows
	open     *stream    // nil: none yet
	calls    time.Time  // until then no stream is used
	requests uint64     // numbers them
}

// stream is one ModelStreamInfer. It ends with its connection.
type stream struct {
	grpc   grpc.BidiStreamingClient[kservev2.ModelInferRequest, kservev2.ModelStreamInferResponse]
	cancel context.CancelFunc

	sending sync.Mutex // held over a Send

	mu       sync.Mutex // guards what follows
	waiting  map[string]chan<- answer
	answered bool  // at least once
	ended    error // why nothing can be asked any more
}

type answer struct {
	response *kservev2.ModelInferResponse
	err      error
}

// usable tells whether streams are worth a try.
func (s *streams) usable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !time.Now().Before(s.calls)
}

// avoid uses calls for a while.
func (s *streams) avoid() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = time.Now().Add(callsFor)
}

// infer sends one request and waits for its answer or the end of ctx; after that r is not read any more. It sets the
// request's id and, as a stream has no deadline for each, its time-out in the server's queue. With an error, fruitless
// tells that this stream has never answered anything.
func (s *streams) infer(ctx context.Context, r *kservev2.ModelInferRequest) (response *kservev2.ModelInferResponse, fruitless bool, err error) {
	st, id, err := s.take(ctx)
	if err != nil {
		return nil, true, err
	}
	r.Id = id
	if deadline, ok := ctx.Deadline(); ok {
		r.Parameters = map[string]*kservev2.InferParameter{parameterTimeout: {
			ParameterChoice: &kservev2.InferParameter_Int64Param{Int64Param: max(time.Until(deadline).Microseconds(), 1)},
		}}
	}
	done := make(chan answer, 1)
	st.ask(ctx, r, done)
	select {
	case a := <-done:
		return a.response, st.fruitless(), a.err
	case <-ctx.Done():
		st.cancel() // answers come in order: this one may hold up those behind it, which go by calls now
		return nil, st.fruitless(), status.FromContextError(ctx.Err()).Err()
	}
}

// take returns the open stream, or opens one, which lives on when ctx has ended.
func (s *streams) take(ctx context.Context) (_ *stream, id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	id = strconv.FormatUint(s.requests, 10)
	if s.open != nil && s.open.alive() {
		return s.open, id, nil
	}
	living, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g, err := s.server.ModelStreamInfer(living)
	if err != nil {
		cancel()
		return nil, "", err
	}
	s.open = &stream{grpc: g, cancel: cancel, waiting: map[string]chan<- answer{}}
	go s.open.receive()
	return s.open, id, nil
}

func (s *stream) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended == nil
}

func (s *stream) fruitless() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.answered
}

// ask sends a request whose answer, or error, is to go to done. It does not wait for a server that does not read for longer
// than ctx: then the whole stream ends.
func (s *stream) ask(ctx context.Context, r *kservev2.ModelInferRequest, done chan<- answer) {
	s.mu.Lock()
	if s.ended != nil {
		done <- answer{err: s.ended}
	} else {
		s.waiting[r.GetId()] = done
	}
	s.mu.Unlock()

	s.sending.Lock()
	defer s.sending.Unlock()
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	if err := s.grpc.Send(r); err != nil {
		s.cancel() // it has ended already; receive knows why, and tells done
	}
}

// receive hands answers to who waits for them, until the stream ends; then it tells those that are left why.
func (s *stream) receive() {
	defer s.cancel()
	for {
		response, err := s.grpc.Recv()
		if err == nil {
			err = s.hand(response)
		}
		if err != nil {
			s.end(err)
			return
		}
	}
}

func (s *stream) hand(response *kservev2.ModelStreamInferResponse) error {
	id := response.GetInferResponse().GetId()
	s.mu.Lock()
	defer s.mu.Unlock()
	done := s.waiting[id]
	if done == nil {
		return errStrange
	}
	delete(s.waiting, id)
	s.answered = true
	if message := response.GetErrorMessage(); message != "" {
		done <- answer{err: fmt.Errorf("%w: %s", errInBand, message)}
		return nil
	}
	done <- answer{response: response.GetInferResponse()}
	return nil
}

func (s *stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = err
	for _, done := range s.waiting {
		done <- answer{err: err}
	}
	clear(s.waiting)
}
