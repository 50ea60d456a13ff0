// Package classify asks an inference server what sessions are. It speaks the Open Inference Protocol v2 with raw contents,
// so that the server may be Sonde's own or any other that runs the same model. Features are computed here, by the code
// that training used; a server whose model was trained on another feature schema is refused, and the worker waits.
package classify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
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

// Names of a model's outputs: FP32 [rows, labels] and FP32 [rows].
const (
	outputProbabilities = "probs"
	outputEnergy        = "energy"
)

// maxVersions bounds what is remembered of models that have answered.
const maxVersions = 16

// Client classifies sessions. It may be used at the same time.
type Client struct {
	server  kservev2.GRPCInferenceServiceClient
	streams *streams     // nil: every request is a call
	answers func(Target) // nil: nobody wants to know
	log     *slog.Logger
	target  atomic.Pointer[Target]

	buffers sync.Pool // of *buffers

	mu       sync.Mutex            // guards versions
	versions map[Target]*label.Set // of versions that have answered
}

// Target is what is asked for.
type Target struct {
	Model   string
	Version string // empty: the one that the server serves by default
}

func (t Target) String() string {
	if t.Version == "" {
		return "model " + t.Model
	}
	return "model " + t.Model + " version " + t.Version
}

// buffers are the three columns of one request. gRPC has encoded them when the call returns; then they are free again.
type buffers struct {
	row                 feature.Row
	bytes, series, meta []byte
}

// Options say how a client asks. The zero value is sound.
type Options struct {
	// Stream sends requests over one stream a connection, where the server has them, instead of in a call each.
	Stream bool
	// Answers, if set, is told of each version when it answers for the first time. It must not wait.
	Answers func(Target)
}

// New returns a client for one model of the server at the other end of conn. Streams end with conn.
func New(conn grpc.ClientConnInterface, target Target, o Options, log *slog.Logger) *Client {
	c := &Client{
		server: kservev2.NewGRPCInferenceServiceClient(conn), answers: o.Answers, log: log.With(telemetry.KeyComponent, "classify"),
		buffers:  sync.Pool{New: func() any { return &buffers{} }},
		versions: map[Target]*label.Set{},
	}
	if o.Stream {
		c.streams = &streams{server: c.server}
	}
	c.Use(target)
	return c
}

// Use asks for another target from the next call on; Prove it first.
func (c *Client) Use(target Target) { c.target.Store(&target) }

// Target returns what is asked for.
func (c *Client) Target() Target { return *c.target.Load() }

// ErrNotServed is returned by Prove when the server answers, and the target would not do.
var ErrNotServed = errors.New("not served")

// Prove tells whether the server has the target and its features are those that are computed here. It changes nothing.
func (c *Client) Prove(ctx context.Context, target Target) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ready, err := c.server.ModelReady(ctx, &kservev2.ModelReadyRequest{Name: target.Model, Version: target.Version})
	if err != nil {
		return fmt.Errorf("inference: %w", err)
	}
	if !ready.GetReady() {
		return fmt.Errorf("%s is %w by inference", target, ErrNotServed)
	}
	properties, err := c.properties(ctx, target)
	if err != nil {
		return fmt.Errorf("inference: metadata of %s: %w", target, err)
	}
	if _, err = fitting(target, properties); err != nil {
		return fmt.Errorf("%w: %w", ErrNotServed, err)
	}
	return nil
}

// Classify returns one classification for each session, in order, without the number of packets that each rests on. A
// permanent error (retry.Permanent) says that the server has a model that fits, took the request, and these sessions
// cannot be classified; any other that the server is away, busy, or has no model that fits. One that is
// context.DeadlineExceeded says that there was no answer within two seconds.
func (c *Client) Classify(ctx context.Context, sessions []*feature.Session) ([]*flowv1.Classification, error) {
	b, _ := c.buffers.Get().(*buffers)
	defer c.buffers.Put(b)
	b.fill(sessions)

	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if c.unknown() {
		if err := c.Ready(ctx); err != nil { // lest a model of another schema turns sessions down
			return nil, err
		}
	}
	target := c.Target()
	response, err := c.infer(ctx, b.request(target, len(sessions)))
	if err != nil {
		return nil, c.outcome(ctx, err)
	}
	answered := Target{target.Model, response.GetModelVersion()}
	labels, err := c.labels(ctx, answered)
	if err != nil {
		return nil, err
	}
	classifications, err := read(response, labels, len(sessions))
	if err != nil {
		if errors.Is(err, label.ErrOutput) {
			return nil, retry.Permanent(err)
		}
		c.forget(answered) // it may have been loaded again with other labels
		return nil, fmt.Errorf("%s: %w", answered, err)
	}
	for _, classification := range classifications {
		classification.Model, classification.ModelVersion = response.GetModelName(), answered.Version
	}
	return classifications, nil
}

// infer asks over a stream, and by a call when there is none or it gives no answer: what failed on a stream has no code,
// and a call's tells what to do.
func (c *Client) infer(ctx context.Context, r *kservev2.ModelInferRequest) (*kservev2.ModelInferResponse, error) {
	if c.streams == nil || !c.streams.usable() {
		return c.server.ModelInfer(ctx, r)
	}
	response, fruitless, streamed := c.streams.infer(ctx, r)
	if streamed == nil {
		return response, nil
	}
	err := streamed
	if ctx.Err() == nil {
		r.Id, r.Parameters = "", nil
		response, err = c.server.ModelInfer(ctx, r)
	}
	if fruitless && (err == nil || ctx.Err() != nil) {
		c.streams.avoid()
		c.log.Info("the server answers no streams, asking by calls", telemetry.KeyError, streamed, telemetry.KeyDuration, callsFor)
	}
	return response, err
}

// Ready tells whether the server has a model that fits. It asks the server.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.ask(ctx, c.Target())
	return err
}

// outcome judges an error of the server. What it says of the request itself is permanent, if the model that it has now
// fits; all else may pass.
func (c *Client) outcome(ctx context.Context, err error) error {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.Internal, codes.OutOfRange, codes.DataLoss:
		if unready := c.Ready(ctx); unready != nil {
			return fmt.Errorf("%w; %w", err, unready)
		}
		return retry.Permanent(err)
	case codes.DeadlineExceeded:
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	if wait, ok := rpc.RetryDelay(err); ok {
		return retry.After(err, wait)
	}
	return err
}

// unknown tells whether no version of the model has answered yet.
func (c *Client) unknown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.versions) == 0
}

func (c *Client) forget(answered Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.versions, answered)
}

// labels returns what a version of the model says of its outputs; the server is asked once.
func (c *Client) labels(ctx context.Context, answered Target) (*label.Set, error) {
	c.mu.Lock()
	set := c.versions[answered]
	c.mu.Unlock()
	if set != nil {
		return set, nil
	}
	set, err := c.ask(ctx, answered)
	if err != nil {
		return nil, err
	}
	c.log.Info("model answers", telemetry.KeyModel, answered.Model, telemetry.KeyModelVersion, answered.Version)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.versions) >= maxVersions {
		clear(c.versions)
	}
	c.versions[answered] = set
	if c.answers != nil {
		c.answers(answered)
	}
	return set, nil
}

// ask reads what a version says of itself, the default one when it is empty, and refuses one of another feature schema.
func (c *Client) ask(ctx context.Context, target Target) (*label.Set, error) {
	properties, err := c.properties(ctx, target)
	if err != nil {
		err = fmt.Errorf("metadata of %s: %w", target, err)
		if wait, ok := rpc.RetryDelay(err); ok {
			return nil, retry.After(err, wait)
		}
		return nil, err
	}
	return fitting(target, properties)
}

// fitting reads a model's properties, and refuses those of another feature schema.
func fitting(target Target, properties map[string]string) (*label.Set, error) {
	set, err := label.Read(properties)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", target, err)
	}
	if want := feature.SchemaSHA256(); set.SchemaSHA256 != want {
		return nil, fmt.Errorf("%s was trained on feature schema %.12s, this collector computes %.12s: load another version",
			target, set.SchemaSHA256, want)
	}
	return set, nil
}

// properties are in a model's metadata. Triton's has none; there they stand as parameters in the model's configuration.
func (c *Client) properties(ctx context.Context, target Target) (map[string]string, error) {
	metadata, err := c.server.ModelMetadata(ctx, &kservev2.ModelMetadataRequest{Name: target.Model, Version: target.Version})
	if err != nil || len(metadata.GetProperties()) > 0 {
		return metadata.GetProperties(), err
	}
	response, err := c.server.ModelConfig(ctx, &kservev2.ModelConfigRequest{Name: target.Model, Version: target.Version})
	if status.Code(err) == codes.Unimplemented { // a server that knows the protocol's six calls only
		return nil, nil
	}
	properties := map[string]string{}
	for name, parameter := range response.GetConfig().GetParameters() {
		properties[name] = parameter.GetStringValue()
	}
	return properties, err
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

func (b *buffers) request(target Target, rows int) *kservev2.ModelInferRequest {
	tensor := func(name, datatype string, dimensions ...int64) *kservev2.ModelInferRequest_InferInputTensor {
		return &kservev2.ModelInferRequest_InferInputTensor{Name: name, Datatype: datatype, Shape: append([]int64{int64(rows)}, dimensions...)}
	}
	return &kservev2.ModelInferRequest{
		ModelName: target.Model, ModelVersion: target.Version,
		Inputs: []*kservev2.ModelInferRequest_InferInputTensor{
			tensor(feature.TensorBytes, "UINT8", feature.ByteColumns),
			tensor(feature.TensorSeries, "FP32", feature.SeriesRows, feature.MaxPackets),
			tensor(feature.TensorMeta, "FP32", feature.MetaColumns),
		},
		Outputs:          []*kservev2.ModelInferRequest_InferRequestedOutputTensor{{Name: outputProbabilities}, {Name: outputEnergy}},
		RawInputContents: [][]byte{b.bytes, b.series, b.meta},
	}
}

// read takes the answer apart, checking everything that another server might do otherwise.
func read(response *kservev2.ModelInferResponse, labels *label.Set, rows int) ([]*flowv1.Classification, error) {
	columns := len(labels.Labels)
	probabilities, err := floats(response, outputProbabilities, rows, columns)
	if err != nil {
		return nil, err
	}
	energies, err := floats(response, outputEnergy, rows, 1)
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

// floats returns an output of so many rows and columns.
func floats(response *kservev2.ModelInferResponse, name string, rows, columns int) ([]float32, error) {
	at := slices.IndexFunc(response.GetOutputs(), func(o *kservev2.ModelInferResponse_InferOutputTensor) bool { return o.GetName() == name })
	if at < 0 {
		return nil, fmt.Errorf("output %s is missing from the answer", name)
	}
	output := response.GetOutputs()[at]
	if output.GetDatatype() != "FP32" || !shaped(output.GetShape(), rows, columns) {
		return nil, fmt.Errorf("output %s is %s %d, expected FP32 [%d %d]", name, output.GetDatatype(), output.GetShape(), rows, columns)
	}
	if at >= len(response.GetRawOutputContents()) {
		return nil, fmt.Errorf("output %s has no raw contents", name)
	}
	raw := response.GetRawOutputContents()[at]
	if len(raw) != 4*rows*columns {
		return nil, fmt.Errorf("output %s: %d bytes, expected %d", name, len(raw), 4*rows*columns)
	}
	values := make([]float32, rows*columns)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return values, nil
}

// shaped tells whether a shape is [rows columns]; a single column may be left out.
func shaped(shape []int64, rows, columns int) bool {
	if columns == 1 && len(shape) == 1 {
		return shape[0] == int64(rows)
	}
	return len(shape) == 2 && shape[0] == int64(rows) && shape[1] == int64(columns)
}
