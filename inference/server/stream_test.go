package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/inference/server"
	"sonde.example/internal/serving"
)

// pipe is a stream without a wire: whoever holds it is the client. As with gRPC, Recv waits until there is something, the
// client has closed its side (close in) or the context ends.
type pipe struct {
	grpc.ServerStream
	ctx context.Context
	in  chan *inferencev1.ClassifyStreamRequest
	out chan *inferencev1.ClassifyStreamResponse
}

func (p *pipe) Context() context.Context { return p.ctx }

func (p *pipe) Recv() (*inferencev1.ClassifyStreamRequest, error) {
	select {
	case r, ok := <-p.in:
		if !ok {
			return nil, io.EOF
		}
		return r, nil
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	}
}

func (p *pipe) Send(r *inferencev1.ClassifyStreamResponse) error {
	select {
	case p.out <- r:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// streaming runs a stream in a bubble, which fails the test if anything is left of it when it has ended. held, if set, is
// asked before each run.
func streaming(t *testing.T, held func(ctx context.Context) error, test func(p *pipe, cancel func(), ended <-chan error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, d := open(t)
		d.held = held
		ctx, cancel := context.WithCancel(t.Context())
		p := &pipe{ctx: ctx, in: make(chan *inferencev1.ClassifyStreamRequest), out: make(chan *inferencev1.ClassifyStreamResponse)}
		ended := make(chan error, 1)
		go func() {
			defer cancel() // as gRPC does when the handler has returned
			ended <- s.ClassifyStream(p)
		}()
		test(p, cancel, ended)
	})
}

func request(id string) *inferencev1.ClassifyStreamRequest {
	return &inferencev1.ClassifyStreamRequest{Request: &inferencev1.ClassifyRequest{Id: id, Sessions: []*inferencev1.Session{session(id)}}}
}

func TestStreamAnswersInOrder(t *testing.T) {
	var turns chan chan struct{}
	held := func(context.Context) error {
		turn := make(chan struct{})
		turns <- turn
		<-turn
		return nil
	}
	streaming(t, held, func(p *pipe, _ func(), ended <-chan error) {
		turns = make(chan chan struct{}, 3)
		for i := range 3 {
			p.in <- request(fmt.Sprint(i))
			synctest.Wait()
		}
		first, second, third := <-turns, <-turns, <-turns
		close(third)
		close(second)
		synctest.Wait()
		select {
		case r := <-p.out:
			t.Errorf("%v was answered before the first", r)
		default:
		}
		close(first)
		for i := range 3 {
			if r := (<-p.out).GetResponse(); r.GetId() != fmt.Sprint(i) || len(r.GetClassifications()) != 1 || r.GetVersion() != "2" {
				t.Errorf("answer %d is %v", i, r)
			}
		}
		close(p.in)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestStreamSurvivesRequestsThatFail(t *testing.T) {
	full := fmt.Errorf("%w: 3 rows", serving.ErrFull)
	secret := errors.New("10.0.0.1 does not answer")
	var next error
	streaming(t, func(context.Context) error { return next }, func(p *pipe, _ func(), ended <-chan error) {
		crooked := request("crooked")
		crooked.Request.Sessions[0].GapsUs = nil
		other := request("other")
		other.Request.Model = "other"
		for _, c := range []struct {
			request *inferencev1.ClassifyStreamRequest
			run     error
			code    codes.Code
			message string
		}{
			{request("1"), nil, codes.OK, ""},
			{crooked, nil, codes.InvalidArgument, "sessions[0]: session contradicts itself: gaps_us has 0 entries, signed_sizes has 6"},
			{other, nil, codes.NotFound, `no model "other"`},
			{request("full"), full, codes.ResourceExhausted, full.Error()},
			{request("bug"), secret, codes.Internal, "internal error"},
			{&inferencev1.ClassifyStreamRequest{}, nil, codes.OK, ""}, // of no sessions
			{request("2"), nil, codes.OK, ""},
		} {
			next = c.run
			p.in <- c.request
			r, id := <-p.out, c.request.GetRequest().GetId()
			if e := r.GetError(); codes.Code(e.GetCode()) != c.code || e.GetMessage() != c.message || e != nil && e.GetId() != id {
				t.Errorf("%s: got %v", id, r)
			}
			if c.code == codes.OK && (r.GetResponse() == nil || r.GetResponse().GetId() != id) {
				t.Errorf("%s: got %v", id, r)
			}
		}
		close(p.in)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// No more than 64 requests are taken before the first is answered, whether the model is slow or the client.
func TestStreamTakesSixtyFourAtOnce(t *testing.T) {
	const window = 64
	var gate chan struct{}
	for name, held := range map[string]func(context.Context) error{
		"slow model":  func(context.Context) error { <-gate; return nil },
		"slow client": nil,
	} {
		t.Run(name, func(t *testing.T) {
			streaming(t, held, func(p *pipe, _ func(), ended <-chan error) {
				gate = make(chan struct{})
				for i := range window {
					p.in <- request(fmt.Sprint(i))
				}
				synctest.Wait()
				select {
				case p.in <- request("too much"):
					t.Error("one more was taken")
				default:
				}
				close(gate)
				<-p.out
				p.in <- request("last")
				close(p.in)
				var last string
				for range window {
					last = (<-p.out).GetResponse().GetId()
				}
				if last != "last" {
					t.Errorf("the last answer is %q", last)
				}
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestStreamEndsWithItsClient(t *testing.T) {
	held := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	streaming(t, held, func(p *pipe, cancel func(), ended <-chan error) {
		for i := range 10 {
			p.in <- request(fmt.Sprint(i))
		}
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
	streaming(t, nil, func(_ *pipe, cancel func(), ended <-chan error) { // nothing on its way
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

var _ inferencev1.ClassifierServiceServer = (*server.Service)(nil)
