// Package kserve serves the Open Inference Protocol, version 2, over gRPC, so that
// clients made for KServe or Triton work with it unmodified.
//
// A request's tensors come raw or typed; they are compared with what the model's
// file says, name by name and length by length, before anything is multiplied or
// copied, and an error names the tensor, what was expected and what came. Raw
// tensors are not copied on their way to the batcher. Answers are always raw,
// since the Python clients read nothing else. A stream's requests run side by
// side, are answered in their order, and one that fails is answered by an error
// in its place while the stream goes on. What the queue cannot take is refused
// with a trailer that tells clients not to try again at once.
//
// Several of Triton's extensions are there too, because its clients ask for them:
// the model repository, the configuration, the statistics, `classification`,
// priorities and time-outs. Shared memory, tracing and log settings are not.
package kserve

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
	"sonde.example/internal/telemetry"
)

// Compression is the one that requests and answers may use. (Importing it is what
// makes gRPC know it: some clients send nothing else.) Their deflate gets
// UNIMPLEMENTED.
const Compression = gzip.Name

// Reasons in the ErrorInfo of this package's errors.
const (
	// ReasonQueueFull says that the rows do not fit into the queue now.
	ReasonQueueFull = "QUEUE_FULL"
	// ReasonQueueTimeout says that the request's own time-out ran out in the queue.
	ReasonQueueTimeout = "QUEUE_TIMEOUT"
	// ReasonModelRefused says that a model's file must not be served.
	ReasonModelRefused = "MODEL_REFUSED"
)

// retryDelay is after how long a client of ours may come again when the queue was
// full: a few full runs.
const retryDelay = 50 * time.Millisecond

// Predictor runs rows; batcher.Batcher is one. It returns when it no longer
// touches in and out.
type Predictor interface {
	Predict(ctx context.Context, lease serving.Lease, in *serving.Inputs, out *serving.Outputs, o serving.CallOptions) error
}

// Models are the models that are loaded, and the repository they come from;
// model.Repository is one.
type Models interface {
	// Acquire returns a lease on a loaded version, or serving.ErrNotFound; an
	// empty version is the highest.
	Acquire(name, version string) (serving.Lease, error)
	// Loaded returns leases on everything that is loaded, by name and version.
	Loaded() []serving.Lease
	// Index lists every version in the repository or loaded.
	Index() ([]serving.Entry, error)
	// Load brings a model into the state that policy asks for, or changes nothing:
	// serving.ErrNotFound, serving.ErrRefused.
	Load(ctx context.Context, name string, policy serving.VersionPolicy) error
	// Unload takes a model out of service; serving.ErrNotFound if it is not in it.
	Unload(name string) error
}

// Options say how a service works.
type Options struct {
	// Models has what is served.
	Models Models
	// Predictor runs it.
	Predictor Predictor
	// Route, if set, may hand rows that no version was asked for to another version: it takes the lease and returns the
	// one to run them with, of a model with the same inputs.
	Route func(lease serving.Lease, in *serving.Inputs) serving.Lease
	// Ready tells whether the server takes requests.
	Ready func() bool
	// Version is the program's.
	Version string
	// Workers, MaxQueueRows and MaxDelay are the batcher's; ModelConfig tells them.
	Workers, MaxQueueRows int
	MaxDelay              time.Duration
}

// Service is inference.GRPCInferenceService.
type Service struct {
	kservev2.UnimplementedGRPCInferenceServiceServer
	opts    Options
	log     *slog.Logger
	buffers mem.BufferPool // of requests
}

// New makes a service.
func New(o Options, log *slog.Logger) *Service {
	return &Service{opts: o, log: log.With(telemetry.KeyComponent, "kserve"), buffers: rpc.NewBufferPool()}
}

// Register puts the service on a server.
func (s *Service) Register(server grpc.ServiceRegistrar) {
	server.RegisterService(description(), s)
}

// ServerLive says yes.
func (s *Service) ServerLive(context.Context, *kservev2.ServerLiveRequest) (*kservev2.ServerLiveResponse, error) {
	return &kservev2.ServerLiveResponse{Live: true}, nil
}

// ServerReady says whether requests are taken.
func (s *Service) ServerReady(context.Context, *kservev2.ServerReadyRequest) (*kservev2.ServerReadyResponse, error) {
	return &kservev2.ServerReadyResponse{Ready: s.opts.Ready()}, nil
}

// ModelReady says whether a model is loaded.
func (s *Service) ModelReady(_ context.Context, r *kservev2.ModelReadyRequest) (*kservev2.ModelReadyResponse, error) {
	lease, err := s.opts.Models.Acquire(r.GetName(), r.GetVersion())
	if err != nil {
		return &kservev2.ModelReadyResponse{}, nil //nolint:nilerr // not there is not ready
	}
	lease.Release()
	return &kservev2.ModelReadyResponse{Ready: true}, nil
}

// ModelInfer runs one request.
func (s *Service) ModelInfer(ctx context.Context, r *kservev2.ModelInferRequest) (*kservev2.ModelInferResponse, error) {
	response, err := s.infer(ctx, r)
	if errors.Is(err, serving.ErrFull) {
		// gRFC A6: clients that try again by themselves would only add to the load.
		if err := grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", "-1")); err != nil {
			s.log.Debug("no trailer", telemetry.KeyError, err)
		}
	}
	return response, toStatus(err)
}

// infer runs one request; the error is not yet a status.
func (s *Service) infer(ctx context.Context, r *kservev2.ModelInferRequest) (*kservev2.ModelInferResponse, error) {
	lease, err := s.acquire(r.GetModelName(), r.GetModelVersion())
	if err != nil {
		return nil, err
	}
	defer func() { lease.Release() }()
	begun := time.Now()
	in, wanted, options, err := read(lease.Info(), r)
	if err != nil {
		lease.Stats().Fail(serving.Other, 1, time.Since(begun))
		return nil, err
	}
	if s.opts.Route != nil && r.GetModelVersion() == "" {
		lease = s.opts.Route(lease, in)
		if wanted, err = wantedOutputs(lease.Info(), r.GetOutputs()); err != nil {
			return nil, err
		}
	}
	info := lease.Info()
	out := room(info, wanted, in.Rows)
	if err := s.opts.Predictor.Predict(ctx, lease, in, out, options); err != nil {
		return nil, err
	}
	return encode(info, r.GetId(), wanted, in.Rows, out)
}

// read takes a request apart.
func read(info *serving.Info, r *kservev2.ModelInferRequest) (in *serving.Inputs, outputs []wanted, o serving.CallOptions, err error) {
	if o, err = callOptions(r.GetParameters()); err != nil {
		return nil, nil, o, err
	}
	if outputs, err = wantedOutputs(info, r.GetOutputs()); err != nil {
		return nil, nil, o, err
	}
	in, err = decode(info, r)
	return in, outputs, o, err
}

// acquire returns a lease, or NOT_FOUND.
func (s *Service) acquire(name, version string) (serving.Lease, error) {
	lease, err := s.opts.Models.Acquire(name, version)
	if errors.Is(err, serving.ErrNotFound) {
		return lease, notFound(name, version)
	}
	return lease, err
}

func notFound(name, version string) error {
	if version != "" {
		return rpc.NotFound("model version", name+"/"+version)
	}
	return rpc.NotFound("model", name)
}

// toStatus gives the daemon's errors their place on the wire. What it does not
// know is a bug or already a status.
func toStatus(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, serving.ErrRefused):
		return rpc.FailedPrecondition(ReasonModelRefused, "%s", err)
	case errors.Is(err, serving.ErrFull):
		return rpc.Unavailable(retryDelay, ReasonQueueFull, "Exceeds maximum queue size")
	case errors.Is(err, serving.ErrTimeout):
		return rpc.Unavailable(0, ReasonQueueTimeout, "Request timeout expired")
	case errors.Is(err, serving.ErrClosed):
		return rpc.Unavailable(retryDelay, rpc.ReasonDraining, "%s", err)
	}
	return err
}
