// Package server is the ClassifierService: raw sessions come in, labels go out.
//
// It is for people with grpcurl and for programs that know no tensors. Features
// are computed here, by the code that training used, and the rows take the same way
// through the batcher as those of the tensor protocol, before the collectors' bulk
// unless the caller says that nobody waits for them. A session that contradicts
// itself is refused by its field before anything is run. A stream carries many
// requests, answers them in their order, and survives those that fail. GetModel and
// GetDrift tell what is loaded and how far what it sees has moved from what it was
// trained on. Explain takes one part of a session's features away at a time, runs
// all that in one request, and tells what it did to the probability.
package server

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/internal/feature"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
	"sonde.example/internal/telemetry"
)

// Reasons in the ErrorInfo of this package's errors.
const (
	// ReasonQueueFull says that the sessions do not fit into the queue now.
	ReasonQueueFull = "QUEUE_FULL"
	// ReasonNoClassifier says that the model is none that classifies sessions.
	ReasonNoClassifier = "NO_CLASSIFIER"
)

// retryDelay is after how long a caller may come again when the queue was full: a
// few full runs.
const retryDelay = 50 * time.Millisecond

const (
	defaultTop = 5
	maxTop     = 20
)

// Models has what is loaded; model.Repository is one.
type Models interface {
	// Acquire returns a lease on a loaded version, or serving.ErrNotFound; an
	// empty version is the highest.
	Acquire(name, version string) (serving.Lease, error)
}

// Predictor runs rows; batcher.Batcher is one. It returns when it no longer
// touches in and out.
type Predictor interface {
	Predict(ctx context.Context, lease serving.Lease, in *serving.Inputs, out *serving.Outputs, o serving.CallOptions) error
}

// Service is sonde.inference.v1.ClassifierService.
type Service struct {
	inferencev1.UnimplementedClassifierServiceServer
	opts    Options
	scratch sync.Pool // of *scratch, filled anew by every request
}

// scratch is what features are computed in: some 20 KB.
type scratch struct {
	head feature.Session
	row  feature.Row
}

// Options say how a service works. All but Route and Log are needed.
type Options struct {
	// Models has what is served.
	Models Models
	// Predictor runs it.
	Predictor Predictor
	// Model names the model for requests that name none.
	Model func() string
	// Route may hand rows that no version was asked for to another version: it takes the lease and returns the one to run
	// them with, of a model with the same inputs.
	Route func(lease serving.Lease, in *serving.Inputs) serving.Lease
	// Log is told of bugs; nil tells nobody.
	Log *slog.Logger
}

// New makes a service.
func New(o Options) *Service {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Log = o.Log.With(telemetry.KeyComponent, "classifier")
	return &Service{opts: o, scratch: sync.Pool{New: func() any { return &scratch{} }}}
}

// Register puts the service on a server.
func (s *Service) Register(server grpc.ServiceRegistrar) {
	inferencev1.RegisterClassifierServiceServer(server, s)
}

// Classify answers with one classification for each session.
func (s *Service) Classify(ctx context.Context, r *inferencev1.ClassifyRequest) (*inferencev1.ClassifyResponse, error) {
	if n := len(r.GetSessions()); n > serving.MaxRequestRows {
		return nil, rpc.InvalidArgument("sessions", "%d came, at most %d", n, serving.MaxRequestRows)
	}
	if r.GetTopK() > maxTop {
		return nil, rpc.InvalidArgument("top_k", "is %d, at most %d", r.GetTopK(), maxTop)
	}
	top := cmp.Or(int(r.GetTopK()), defaultTop)
	options := serving.CallOptions{Priority: serving.PriorityInteractive}
	switch r.GetPriority() {
	case inferencev1.Priority_PRIORITY_UNSPECIFIED, inferencev1.Priority_PRIORITY_INTERACTIVE:
	case inferencev1.Priority_PRIORITY_BULK:
		options.Priority = serving.PriorityBulk
	default:
		return nil, rpc.InvalidArgument("priority", "%d is none", r.GetPriority())
	}
	lease, err := s.acquire(r.GetModel(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	defer func() { lease.Release() }()
	field := func(i int) string { return fmt.Sprintf("sessions[%d]", i) }
	in, packets, err := s.features(lease.Info(), r.GetSessions(), field)
	if err != nil {
		return nil, err
	}
	if s.opts.Route != nil && r.GetVersion() == "" && in.Rows > 0 {
		lease = s.opts.Route(lease, in)
	}
	classifications, err := s.run(ctx, lease, in, packets, top, options)
	if err != nil {
		return nil, err
	}
	info := lease.Info()
	return &inferencev1.ClassifyResponse{
		Id: r.GetId(), Model: info.Name, Version: info.VersionString(), SchemaSha256: info.Labels.SchemaSHA256,
		Classifications: classifications,
	}, nil
}

// acquire returns a lease on a classifier.
func (s *Service) acquire(name, version string) (serving.Lease, error) {
	if name == "" {
		name = s.opts.Model()
	}
	lease, err := s.opts.Models.Acquire(name, version)
	if errors.Is(err, serving.ErrNotFound) {
		if version != "" {
			name += "/" + version
		}
		return nil, rpc.NotFound("model", name)
	}
	if err != nil {
		return nil, err
	}
	if info := lease.Info(); !info.Classifier() || !fits(info) {
		lease.Release()
		return nil, rpc.FailedPrecondition(ReasonNoClassifier, "model %s does not classify sessions of feature schema %s", name, feature.SchemaSHA256())
	}
	return lease, nil
}

// fits tells whether a model takes the tensors that are computed here. The
// repository has checked it against the same schema; this keeps an index that is
// out of range impossible whoever made the repository.
func fits(info *serving.Info) bool {
	for name, bytes := range map[string]int{
		feature.TensorBytes: feature.ByteColumns, feature.TensorSeries: 4 * feature.SeriesColumns, feature.TensorMeta: 4 * feature.MetaColumns,
	} {
		if i := info.Input(name); i < 0 || info.Inputs[i].RowBytes() != bytes {
			return false
		}
	}
	return len(info.Inputs) == 3 && info.Output(serving.OutputProbs) >= 0 && info.Output(serving.OutputEnergy) >= 0
}

// run runs the rows of sessions that have so many packets, and reads the answers.
func (s *Service) run(ctx context.Context, lease serving.Lease, in *serving.Inputs, packets []uint32, top int, o serving.CallOptions) ([]*flowv1.Classification, error) {
	if in.Rows == 0 {
		return nil, nil
	}
	out, err := s.predict(ctx, lease, in, o)
	if err != nil {
		return nil, err
	}
	info := lease.Info()
	classifications, values := make([]*flowv1.Classification, in.Rows), make([]float32, len(info.Labels.Labels))
	for i := range classifications {
		if classifications[i], err = read(info, out, i, top, values); err != nil {
			return nil, err
		}
		classifications[i].Packets = packets[i]
	}
	return classifications, nil
}

// read turns one row of outputs into a classification, but for the number of packets that it rests on. It needs room for a
// value of each label.
func read(info *serving.Info, out *serving.Outputs, row, top int, values []float32) (*flowv1.Classification, error) {
	probs, energy := out.Data[info.Output(serving.OutputProbs)], out.Data[info.Output(serving.OutputEnergy)]
	for c := range values {
		values[c] = serving.Float32(probs, row*len(values)+c)
	}
	c, err := info.Labels.Classify(values, serving.Float32(energy, row), top)
	if err != nil {
		return nil, fmt.Errorf("model %s version %d: session %d: %w", info.Name, info.Version, row, err)
	}
	c.Model, c.ModelVersion = info.Name, info.VersionString()
	return c, nil
}

// predict runs rows for probabilities and energy.
func (s *Service) predict(ctx context.Context, lease serving.Lease, in *serving.Inputs, o serving.CallOptions) (*serving.Outputs, error) {
	info := lease.Info()
	out := &serving.Outputs{Data: make([][]byte, len(info.Outputs))}
	for _, i := range []int{info.Output(serving.OutputProbs), info.Output(serving.OutputEnergy)} {
		out.Data[i] = make([]byte, in.Rows*info.Outputs[i].RowBytes())
	}
	if err := s.opts.Predictor.Predict(ctx, lease, in, out, o); err != nil {
		return nil, toStatus(err)
	}
	return out, nil
}

// features fills the three tensors, and counts the packets that each session has.
func (s *Service) features(info *serving.Info, sessions []*inferencev1.Session, field func(int) string) (*serving.Inputs, []uint32, error) {
	work, _ := s.scratch.Get().(*scratch)
	defer s.scratch.Put(work)
	rows := len(sessions)
	in, packets := &serving.Inputs{Rows: rows, Data: make([][]byte, len(info.Inputs))}, make([]uint32, rows)
	bytes := make([]byte, 0, rows*feature.ByteColumns)
	series, meta := make([]byte, 0, 4*rows*feature.SeriesColumns), make([]byte, 0, 4*rows*feature.MetaColumns)
	for i, session := range sessions {
		if err := work.head.FromNative(session); err != nil {
			return nil, nil, rpc.InvalidArgument(field(i), "%s", err)
		}
		work.head.Extract(&work.row)
		bytes = append(bytes, work.row.Bytes[:]...)
		series, meta = appendFloats(series, work.row.Series[:]), appendFloats(meta, work.row.Meta[:])
		packets[i] = uint32(len(work.head.Packets()))
	}
	in.Data[info.Input(feature.TensorBytes)] = bytes
	in.Data[info.Input(feature.TensorSeries)] = series
	in.Data[info.Input(feature.TensorMeta)] = meta
	return in, packets, nil
}

func appendFloats(to []byte, values []float32) []byte {
	for _, v := range values {
		to = binary.LittleEndian.AppendUint32(to, math.Float32bits(v))
	}
	return to
}

// toStatus gives the predictor's errors their place on the wire.
func toStatus(err error) error {
	switch {
	case errors.Is(err, serving.ErrFull):
		return rpc.Exhausted(retryDelay, ReasonQueueFull, "%s", err)
	case errors.Is(err, serving.ErrClosed):
		return rpc.Unavailable(retryDelay, rpc.ReasonDraining, "%s", err)
	}
	return err
}
