// Package classify asks an inference server what sessions are. It speaks the Open Inference Protocol v2 with raw contents,
// so that the server may be Sonde's own or any other that runs the same model. Features are computed here, by the code
// that training used; a server whose model was trained on another feature schema is refused, and the worker waits.
package classify

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kservev2 "sonde.example/gen/go/inference"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"

	"sonde.example/internal/feature"
	"sonde.example/internal/label"
	"sonde.example/internal/retry"
	"sonde.example/internal/rpc"
	"sonde.example/internal/telemetry"
)

// callTimeout bounds one request: a hundred times what a full one takes on a busy machine.
const callTimeout = 2 * time.Second

// maxVersions bounds what is remembered of models that have answered.
const maxVersions = 16

// Client classifies sessions. It may be used at the same time.
type Client struct {
	server kservev2.GRPCInferenceServiceClient
	model  string
	log    *slog.Logger

	buffers sync.Pool // of *buffers

	mu       sync.Mutex // guards versions
	versions map[string]*label.Set
}

// buffers are the three columns of one request. A request's bytes are free again when the call has returned.
type buffers struct {
	row                 feature.Row
	bytes, series, meta []byte
}

// New returns a client for one model of the server at the other end of conn.
func New(conn grpc.ClientConnInterface, model string, log *slog.Logger) *Client {
	return &Client{
		server: kservev2.NewGRPCInferenceServiceClient(conn), model: model, log: log.With(telemetry.KeyComponent, "classify"),
		buffers:  sync.Pool{New: func() any { return &buffers{} }},
		versions: map[string]*label.Set{},
	}
}

// Classify returns one classification for each session, in order, without the number of packets that each rests on. A
// permanent error (retry.Permanent) says that the server took the request and these sessions cannot be classified; any
// other that the server is away, busy, or has no model that fits.
func (c *Client) Classify(ctx context.Context, sessions []*feature.Session) ([]*flowv1.Classification, error) {
	b, _ := c.buffers.Get().(*buffers)
	defer c.buffers.Put(b)
	b.fill(sessions)

	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	response, err := c.server.ModelInfer(ctx, b.request(c.model, len(sessions)))
	if err != nil {
		return nil, outcome(err)
	}
	version := response.GetModelVersion()
	labels, err := c.labels(ctx, version)
	if err != nil {
		return nil, err
	}
	classifications, err := read(response, labels, len(sessions))
	if err != nil {
		return nil, retry.Permanent(err)
	}
	for _, classification := range classifications {
		classification.Model, classification.ModelVersion = response.GetModelName(), version
	}
	return classifications, nil
}

// Ready tells whether the server has a model that fits. It asks the server.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.labels(ctx, "")
	return err
}

// labels returns what the model says of its outputs, asking the server once for each version.
func (c *Client) labels(ctx context.Context, version string) (*label.Set, error) {
	c.mu.Lock()
	set := c.versions[version]
	c.mu.Unlock()
	if set != nil && version != "" {
		return set, nil
	}
	metadata, err := c.server.ModelMetadata(ctx, &kservev2.ModelMetadataRequest{Name: c.model, Version: version})
	if err != nil {
		return nil, fmt.Errorf("metadata of model %s: %w", c.model, err)
	}
	if set, err = label.Read(metadata.GetProperties()); err != nil {
		return nil, fmt.Errorf("model %s version %s: %w", c.model, version, err)
	}
	if want := feature.SchemaSHA256(); set.SchemaSHA256 != want {
		return nil, fmt.Errorf("model %s version %s was trained on feature schema %.12s, this collector computes %.12s: load another version",
			c.model, version, set.SchemaSHA256, want)
	}
	if version == "" {
		return set, nil
	}
	c.log.Info("model answers", telemetry.KeyModel, c.model, telemetry.KeyModelVersion, version)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.versions) >= maxVersions {
		clear(c.versions)
	}
	c.versions[version] = set
	return set, nil
}

// outcome marks what the server says of the request itself as permanent; all else may pass.
func outcome(err error) error {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.Internal, codes.OutOfRange, codes.DataLoss:
		return retry.Permanent(err)
	}
	if wait, ok := rpc.RetryDelay(err); ok {
		return retry.After(err, wait)
	}
	return err
}

func (b *buffers) fill(sessions []*feature.Session) {
	b.bytes, b.series, b.meta = b.bytes[:0], b.series[:0], b.meta[:0]
	for _, s := range sessions {
		s.Extract(&b.row)
		b.bytes = append(b.bytes, b.row.Bytes[:]...)
		b.series = appendFloats(b.series, b.row.Series[:])
		b.meta = appendFloats(b.meta, b.row.Meta[:])
	}
}

func appendFloats(to []byte, values []float32) []byte {
	for _, v := range values {
		to = binary.LittleEndian.AppendUint32(to, math.Float32bits(v))
	}
	return to
}

func (b *buffers) request(model string, rows int) *kservev2.ModelInferRequest {
	tensor := func(name, datatype string, dimensions ...int64) *kservev2.ModelInferRequest_InferInputTensor {
		return &kservev2.ModelInferRequest_InferInputTensor{Name: name, Datatype: datatype, Shape: append([]int64{int64(rows)}, dimensions...)}
	}
	return &kservev2.ModelInferRequest{
		ModelName: model,
		Inputs: []*kservev2.ModelInferRequest_InferInputTensor{
			tensor("bytes", "UINT8", feature.ByteColumns),
			tensor("series", "FP32", feature.SeriesRows, feature.MaxPackets),
			tensor("meta", "FP32", feature.MetaColumns),
		},
		Outputs: []*kservev2.ModelInferRequest_InferRequestedOutputTensor{{Name: "probs"}, {Name: "energy"}},
		// Encoded while the call is being made; the buffers are not written to before it has returned.
		RawInputContents: [][]byte{b.bytes, b.series, b.meta},
	}
}

// read takes the answer apart, checking everything that another server might do otherwise.
func read(response *kservev2.ModelInferResponse, labels *label.Set, rows int) ([]*flowv1.Classification, error) {
	columns := len(labels.Labels)
	probabilities, err := floats(response, "probs", rows*columns)
	if err != nil {
		return nil, err
	}
	energies, err := floats(response, "energy", rows)
	if err != nil {
		return nil, err
	}
	classifications := make([]*flowv1.Classification, rows)
	for i := range classifications {
		if classifications[i], err = labels.Classify(probabilities[i*columns:(i+1)*columns], energies[i], 0); err != nil {
			return nil, fmt.Errorf("session %d of the request: %w", i, err)
		}
	}
	return classifications, nil
}

func floats(response *kservev2.ModelInferResponse, name string, count int) ([]float32, error) {
	for i, output := range response.GetOutputs() {
		if output.GetName() != name {
			continue
		}
		if i >= len(response.GetRawOutputContents()) || output.GetDatatype() != "FP32" {
			return nil, fmt.Errorf("output %s: %s without raw contents, expected raw FP32", name, output.GetDatatype())
		}
		raw := response.GetRawOutputContents()[i]
		if len(raw) != 4*count {
			return nil, fmt.Errorf("output %s: %d bytes, expected %d", name, len(raw), 4*count)
		}
		values := make([]float32, count)
		for j := range values {
			values[j] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*j:]))
		}
		return values, nil
	}
	return nil, fmt.Errorf("output %s is missing from the answer", name)
}
