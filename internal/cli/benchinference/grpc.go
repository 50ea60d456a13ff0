//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	kservev2 "sonde.example/gen/go/inference"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
)

// connections to a gRPC server, as a collector has them.
const connections = 2

// mostWaiting bounds the requests of a stream that wait for their answers, beyond what load leaves under way.
const mostWaiting = 1 << 16

// server is a gRPC server of its own process, with mutual TLS.
type server struct {
	*process
	source  *mtls.Source
	close   []func() error
	tensors []kservev2.GRPCInferenceServiceClient
	native  []inferencev1.ClassifierServiceClient
	next    atomic.Uint64
	counts  bool // whether it counts its runs
}

// startServer starts a program that listens where --listen says, and waits until it is ready.
func startServer(ctx context.Context, certs mtls.Development, counts bool, program string, args ...string) (_ *server, err error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	args = append(args, "--listen="+address,
		"--tls-ca="+certs.Service.CA, "--tls-certificate="+certs.Service.Certificate, "--tls-key="+certs.Service.Key)
	s := &server{counts: counts}
	if program, err = filepath.Abs(program); err != nil {
		return nil, err
	}
	if s.source, err = mtls.Open(certs.Service, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	if s.process, err = start(ctx, "", nil, program, args...); err != nil {
		return nil, err
	}
	s.close = append(s.close, s.process.stop)
	for range connections {
		conn, err := rpc.Dial(address, rpc.DialOptions{Certificates: s.source, MaxMessageBytes: rpc.InferenceMaxMessageBytes})
		if err != nil {
			return nil, errors.Join(err, s.stop())
		}
		s.close = append(s.close, conn.Close)
		s.tensors = append(s.tensors, kservev2.NewGRPCInferenceServiceClient(conn))
		s.native = append(s.native, inferencev1.NewClassifierServiceClient(conn))
	}
	err = s.await(ctx, func(ctx context.Context) error {
		r, err := s.tensors[0].ServerReady(ctx, &kservev2.ServerReadyRequest{})
		if err == nil && !r.GetReady() {
			err = errors.New("not ready")
		}
		return err
	})
	return s, err
}

func (s *server) stop() error {
	var all []error
	for len(s.close) > 0 {
		all = append(all, s.close[len(s.close)-1]())
		s.close = s.close[:len(s.close)-1]
	}
	return errors.Join(all...)
}

func (s *server) runs(ctx context.Context) (rows, runs uint64, err error) {
	if !s.counts {
		return 0, 0, nil
	}
	r, err := s.tensors[0].ModelStatistics(ctx, &kservev2.ModelStatisticsRequest{Name: modelName})
	for _, m := range r.GetModelStats() {
		rows, runs = rows+m.GetInferenceCount(), runs+m.GetExecutionCount()
	}
	return rows, runs, err
}

// unary sends tensors by ModelInfer.
type unary struct{ *server }

func (t unary) call(ctx context.Context, b *batch, check bool) error {
	r, err := t.tensors[t.next.Add(1)%connections].ModelInfer(ctx, b.infer)
	if err != nil {
		return err
	}
	return checkTensors(b, r, check && t.counts)
}

// checkTensors looks at the length of the answer, and at all of it if it is asked to.
func checkTensors(b *batch, r *kservev2.ModelInferResponse, check bool) error {
	if len(r.GetRawOutputContents()) != 2 || len(r.GetRawOutputContents()[0]) != 4*len(b.probs) {
		return errors.New("the answer has another form than was asked for")
	}
	if !check {
		return nil
	}
	return b.checkRaw(r.GetRawOutputContents()[0])
}

// native sends sessions by Classify.
type native struct{ *server }

func (t native) call(ctx context.Context, b *batch, check bool) error {
	r, err := t.server.native[t.next.Add(1)%connections].Classify(ctx, b.classify)
	if err != nil {
		return err
	}
	if len(r.GetClassifications()) != b.rows {
		return fmt.Errorf("%d classifications came for %d sessions", len(r.GetClassifications()), b.rows)
	}
	if !check {
		return nil
	}
	return b.checkLabels(r.GetClassifications())
}

// streamed sends tensors by ModelStreamInfer, one stream a connection; answers come in the order of the requests.
type streamed struct {
	*server
	streams []*stream
}

type stream struct {
	client  kservev2.GRPCInferenceService_ModelStreamInferClient
	sending sync.Mutex               // guards Send, and that waiting has the same order
	waiting chan chan<- streamAnswer // whose answers are to come; the receiver never waits for a sender
}

type streamAnswer struct {
	response *kservev2.ModelInferResponse
	err      error
}

// openStreams opens the streams; they end with ctx.
func openStreams(ctx context.Context, s *server) (*streamed, error) {
	t := &streamed{server: s}
	for _, client := range s.tensors {
		c, err := client.ModelStreamInfer(ctx)
		if err != nil {
			return nil, err
		}
		opened := &stream{client: c, waiting: make(chan chan<- streamAnswer, mostWaiting)}
		t.streams = append(t.streams, opened)
		go opened.receive()
	}
	return t, nil
}

func (s *stream) receive() {
	for answer := range s.waiting {
		r, err := s.client.Recv()
		if err == nil && r.GetErrorMessage() != "" {
			err = errors.New(r.GetErrorMessage())
			if strings.Contains(r.GetErrorMessage(), "maximum queue size") { // Triton's words
				err = errors.Join(err, errRefused)
			}
		}
		answer <- streamAnswer{r.GetInferResponse(), err}
	}
}

func (s *stream) send(r *kservev2.ModelInferRequest) (<-chan streamAnswer, error) {
	answer := make(chan streamAnswer, 1)
	s.sending.Lock()
	defer s.sending.Unlock()
	s.waiting <- answer
	return answer, s.client.Send(r)
}

func (t *streamed) call(_ context.Context, b *batch, check bool) error {
	answer, err := t.streams[t.next.Add(1)%connections].send(b.infer)
	if err != nil {
		return err
	}
	a := <-answer
	if a.err != nil {
		return a.err
	}
	return checkTensors(b, a.response, check && t.counts)
}

// close lets the receivers end.
func (t *streamed) close() {
	for _, s := range t.streams {
		close(s.waiting)
	}
}

// used hides process.used behind the server's name.
func (s *server) used() (time.Duration, error) { return s.process.used() }
