// Package server is the ClassifierService: raw sessions come in, labels go out.
//
// It is for people with grpcurl and for programs that know no tensors. Features
// are computed here, by the code that training used, and the rows take the same way
// through the batcher as those of the tensor protocol; few sessions at once count
// as interactive and go before the collectors' bulk. A session that contradicts
// itself is refused by its field before anything is run. Explain takes one part of
// a session away at a time, runs all that in one request, and tells what it did to
// the probability.
package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/internal/feature"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
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

// interactiveSessions is the most sessions of a request that counts as
// interactive: what a person pastes, not what a program streams.
const interactiveSessions = 16

const (
	defaultTop = 5
	maxTop     = 20
)

// Keys of a model's metadata that only people read.
const (
	propertyMetrics = "sonde.metrics" // JSON, what training printed
	propertyCreated = "sonde.created" // RFC 3339
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

// Options say how a service works. All but Route are needed.
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
}

// New makes a service.
func New(o Options) *Service {
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
	top := int(r.GetTopK())
	if top == 0 {
		top = defaultTop
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
	classifications, err := s.run(ctx, lease, in, packets, top)
	if err != nil {
		return nil, err
	}
	info := lease.Info()
	return &inferencev1.ClassifyResponse{
		Id: r.GetId(), Model: info.Name, Version: info.VersionString(), SchemaSha256: info.Labels.SchemaSHA256,
		Classifications: classifications,
	}, nil
}

// GetModel tells what is loaded.
func (s *Service) GetModel(_ context.Context, r *inferencev1.GetModelRequest) (*inferencev1.GetModelResponse, error) {
	lease, err := s.acquire(r.GetModel(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	info := lease.Info()
	response := &inferencev1.GetModelResponse{
		Model: info.Name, Version: info.VersionString(), SchemaSha256: info.Labels.SchemaSHA256,
		MetricsJson: info.Properties[propertyMetrics],
	}
	for _, l := range info.Labels.Labels {
		response.Labels = append(response.Labels, &inferencev1.ModelLabel{Name: l.Name, Category: l.Category})
	}
	if below := info.Labels.UnknownBelow; len(below) > 0 { // under the least of them it abstains whatever the label
		response.UnknownBelow = float32(slices.Min(below))
	}
	if created, err := time.Parse(time.RFC3339, info.Properties[propertyCreated]); err == nil { // else it is left out
		response.CreateTime = timestamppb.New(created)
	}
	return response, nil
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

// classify computes features, runs them, and reads the answers. field names a
// session in errors.
func (s *Service) classify(ctx context.Context, lease serving.Lease, sessions []*inferencev1.Session, top int, field func(int) string) ([]*flowv1.Classification, error) {
	in, packets, err := s.features(lease.Info(), sessions, field)
	if err != nil {
		return nil, err
	}
	return s.run(ctx, lease, in, packets, top)
}

// run runs the rows of sessions that have so many packets, and reads the answers.
func (s *Service) run(ctx context.Context, lease serving.Lease, in *serving.Inputs, packets []uint32, top int) ([]*flowv1.Classification, error) {
	if in.Rows == 0 {
		return nil, nil
	}
	info := lease.Info()
	probs, energy := info.Output(serving.OutputProbs), info.Output(serving.OutputEnergy)
	out := &serving.Outputs{Data: make([][]byte, len(info.Outputs))}
	for _, i := range []int{probs, energy} {
		out.Data[i] = make([]byte, in.Rows*info.Outputs[i].RowBytes())
	}
	options := serving.CallOptions{Priority: serving.PriorityBulk}
	if in.Rows <= interactiveSessions {
		options.Priority = serving.PriorityInteractive
	}
	if err := s.opts.Predictor.Predict(ctx, lease, in, out, options); err != nil {
		return nil, toStatus(err)
	}
	classifications, row := make([]*flowv1.Classification, in.Rows), make([]float32, len(info.Labels.Labels))
	for i := range classifications {
		for c := range row {
			row[c] = serving.Float32(out.Data[probs], i*len(row)+c)
		}
		c, err := info.Labels.Classify(row, serving.Float32(out.Data[energy], i), top)
		if err != nil {
			return nil, fmt.Errorf("model %s version %d: session %d: %w", info.Name, info.Version, i, err)
		}
		c.Model, c.ModelVersion, c.Packets = info.Name, info.VersionString(), packets[i]
		classifications[i] = c
	}
	return classifications, nil
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
