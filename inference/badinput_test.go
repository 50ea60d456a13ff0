package inference_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/inference"
	"sonde.example/inference/model/modeltest"
	"sonde.example/internal/feature"
	"sonde.example/internal/mtls"
	"sonde.example/internal/testenv"
)

type inferRequest = kservev2.ModelInferRequest

// float changes element i of a tensor's raw contents.
func float(tensor, i int, v float64) func(*inferRequest) {
	return func(r *inferRequest) {
		binary.LittleEndian.PutUint32(r.RawInputContents[tensor][4*i:], math.Float32bits(float32(v)))
	}
}

// typed moves the contents of the request into typed ones, and changes those.
func typed(change func(bytes, series, meta *kservev2.InferTensorContents)) func(*inferRequest) {
	return func(r *inferRequest) {
		for n, raw := range r.RawInputContents {
			c := &kservev2.InferTensorContents{}
			r.Inputs[n].Contents = c
			if n == 0 {
				for _, b := range raw {
					c.UintContents = append(c.UintContents, uint32(b))
				}
				continue
			}
			for i := 0; i < len(raw); i += 4 {
				c.Fp32Contents = append(c.Fp32Contents, math.Float32frombits(binary.LittleEndian.Uint32(raw[i:])))
			}
		}
		r.RawInputContents = nil
		change(r.Inputs[0].Contents, r.Inputs[1].Contents, r.Inputs[2].Contents)
	}
}

// TestBadRequestsOnTheWire sends what is wrong with a request one way or another through mutual TLS to a daemon with the
// model that ships. Each gets the status and the words of its own, in a call and in a stream, and the next good one is
// answered.
func TestBadRequestsOnTheWire(t *testing.T) {
	d := start(t, shipped)
	client := kservev2.NewGRPCInferenceServiceClient(d.dial(d.certs.Service))
	stream, err := client.ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const bad, max = codes.InvalidArgument, math.MaxInt64
	shape := func(tensor int, dims ...int64) func(*inferRequest) {
		return func(r *inferRequest) { r.Inputs[tensor].Shape = dims }
	}
	for name, c := range map[string]struct {
		spoil func(*inferRequest)
		code  codes.Code
		says  string
	}{
		"nan in series":           {float(1, 100, math.NaN()), bad, `inputs[1]: input "series": element 4 of row 1 is NaN, it must be a finite number`},
		"infinity in series":      {float(1, 3, math.Inf(1)), bad, `input "series": element 3 of row 0 is +Inf, it must be a finite number`},
		"infinity in meta":        {float(2, 96, math.Inf(-1)), bad, `input "meta": element 0 of row 1 is -Inf, it must be a finite number, or NaN where the feature is absent`},
		"typed nan in series":     {typed(func(_, series, _ *kservev2.InferTensorContents) { series.Fp32Contents[0] = float32(math.NaN()) }), bad, `input "series": element 0 of row 0 is NaN`},
		"unknown model":           {func(r *inferRequest) { r.ModelName = "sondes" }, codes.NotFound, `no model "sondes"`},
		"no model":                {func(r *inferRequest) { r.ModelName = strings.Repeat("x", 10_000) }, codes.NotFound, `no model "xxx`},
		"unknown version":         {func(r *inferRequest) { r.ModelVersion = "2" }, codes.NotFound, `no model version "sonde/2"`},
		"wrong name":              {func(r *inferRequest) { r.Inputs[2].Name = "mata" }, bad, `inputs[2].name: model "sonde" has no input "mata"`},
		"twice":                   {func(r *inferRequest) { r.Inputs[2].Name = "bytes" }, bad, `input "bytes" comes twice`},
		"nothing":                 {func(r *inferRequest) { r.Inputs, r.RawInputContents = nil, nil }, bad, `input "bytes" is missing`},
		"missing":                 {func(r *inferRequest) { r.Inputs, r.RawInputContents = r.Inputs[:2], r.RawInputContents[:2] }, bad, `inputs: input "meta" is missing`},
		"wrong type":              {func(r *inferRequest) { r.Inputs[1].Datatype = "FP16" }, bad, `inputs[1].datatype: input "series" is FP32, "FP16" came`},
		"strings":                 {func(r *inferRequest) { r.Inputs[0].Datatype = "BYTES" }, bad, `input "bytes" is UINT8, "BYTES" came`},
		"no type":                 {func(r *inferRequest) { r.Inputs[0].Datatype = "" }, bad, `input "bytes" is UINT8, "" came`},
		"wrong shape":             {shape(1, 2, 24, 4), bad, `inputs[1].shape: input "series" has shape [-1 4 24], [2 24 4] came`},
		"no batch dimension":      {shape(2, 96), bad, `input "meta" has shape [-1 96], [96] came`},
		"no shape":                {shape(2), bad, `input "meta" has shape [-1 96], [] came`},
		"many dimensions":         {shape(2, make([]int64, 100_000)...), bad, `input "meta" has shape [-1 96], [0 0 0 0 0 0 0 0] came`},
		"negative rows":           {shape(0, -2, 784), bad, `input "bytes": -2 rows came, a request has 1 to 4096`},
		"negative dimension":      {shape(0, 2, -784), bad, `input "bytes" has shape [-1 784], [2 -784] came`},
		"overflowing rows":        {shape(0, max/784+2, 784), bad, `rows came, a request has 1 to 4096`},
		"overflowing to the rows": {shape(0, math.MinInt64+2, 784), bad, `rows came, a request has 1 to 4096`},
		"overflowing product":     {shape(1, 2, max, max), bad, `input "series" has shape [-1 4 24]`},
		"no rows":                 {shape(0, 0, 784), bad, `0 rows came`},
		"other rows":              {shape(2, 1, 96), bad, `inputs[2].shape: input "meta" has 1 rows, the ones before have 2`},
		"too many rows":           {shape(0, 4097, 784), bad, `4097 rows came, a request has 1 to 4096`},
		"raw too long":            {func(r *inferRequest) { r.RawInputContents[2] = append(r.RawInputContents[2], 0) }, bad, `raw_input_contents[2]: input "meta" of FP32 [2 96] needs 768 bytes, 769 came`},
		"raw too many":            {func(r *inferRequest) { r.RawInputContents = append(r.RawInputContents, nil) }, bad, `raw_input_contents: 4 entries for 3 inputs`},
		"mixed in one input":      {func(r *inferRequest) { r.Inputs[0].Contents = &kservev2.InferTensorContents{UintContents: []uint32{1}} }, bad, `contents must not be specified for input "bytes" when raw_input_contents is used`},
		"mixed between inputs": {func(r *inferRequest) {
			r.Inputs[2].Contents = &kservev2.InferTensorContents{Fp32Contents: make([]float32, 2*96)}
			r.RawInputContents = r.RawInputContents[:2]
		}, bad, `raw_input_contents: 2 entries for 3 inputs`},
		"typed out of range":  {typed(func(bytes, _, _ *kservev2.InferTensorContents) { bytes.UintContents[800] = 256 }), bad, `input "bytes": element 800 is 256, out of the range of UINT8`},
		"typed too few":       {typed(func(_, _, meta *kservev2.InferTensorContents) { meta.Fp32Contents = meta.GetFp32Contents()[1:] }), bad, `input "meta" needs 192 elements in fp32_contents, 191 came`},
		"typed in two fields": {typed(func(_, _, meta *kservev2.InferTensorContents) { meta.Fp64Contents = []float64{1} }), bad, `input "meta" of FP32 comes in fp32_contents only`},
		"typed in wrong field": {typed(func(bytes, _, _ *kservev2.InferTensorContents) {
			bytes.UintContents, bytes.BytesContents = nil, [][]byte{{1}}
		}), bad, `input "bytes" of UINT8 comes in uint_contents only`},
		"unknown output": {func(r *inferRequest) {
			r.Outputs = []*kservev2.ModelInferRequest_InferRequestedOutputTensor{{Name: "scores"}}
		}, bad, `outputs[0].name: model "sonde" has no output "scores"`},
		"sequence": {func(r *inferRequest) {
			r.Parameters = map[string]*kservev2.InferParameter{"sequence_id": {ParameterChoice: &kservev2.InferParameter_Uint64Param{Uint64Param: 1}}}
		}, bad, `sequences are not supported`},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, 2, 1)
			r.Id = "its id"
			c.spoil(r)
			_, err := client.ModelInfer(t.Context(), r)
			if status.Code(err) != c.code || !strings.Contains(status.Convert(err).Message(), c.says) {
				t.Errorf("got %v, want %v: %s", err, c.code, c.says)
			}
			for _, r := range []*inferRequest{r, request(t, 2, 1)} {
				if err := stream.Send(r); err != nil {
					t.Fatal(err)
				}
			}
			inBand, err := stream.Recv()
			if err != nil || !strings.HasPrefix(inBand.GetErrorMessage(), "[request id: its id] ") || !strings.Contains(inBand.GetErrorMessage(), c.says) || inBand.GetInferResponse().GetId() != "its id" {
				t.Errorf("in the stream: got %v, %v", inBand, err)
			}
			if good, err := stream.Recv(); err != nil || good.GetErrorMessage() != "" {
				t.Fatalf("in the stream: a good request gets %v, %v", good, err)
			}
			if _, err := client.ModelInfer(t.Context(), request(t, 2, 1)); err != nil {
				t.Fatalf("a good request gets %v", err)
			}
		})
	}
	absent := request(t, 2, 1)
	float(2, 5, math.NaN())(absent)
	if _, err := client.ModelInfer(t.Context(), absent); err != nil {
		t.Errorf("an absent feature is refused: %v", err)
	}
}

// TestTooLargeMessages sends a message above the limit, and one that only becomes too large when it is decompressed.
func TestTooLargeMessages(t *testing.T) {
	d := start(t, nil)
	client := kservev2.NewGRPCInferenceServiceClient(d.dial(d.certs.Service))
	r := request(t, 2, 1)
	r.RawInputContents = append(r.RawInputContents, make([]byte, 65<<20))
	_, err := client.ModelInfer(t.Context(), r)
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "67108864") {
		t.Errorf("got %v, want RESOURCE_EXHAUSTED that tells the limit", err)
	}
	if _, err := client.ModelInfer(t.Context(), request(t, 2, 1)); err != nil {
		t.Errorf("a good request gets %v", err)
	}
	code, message := d.bomb()
	if code != "8" || !strings.Contains(message, "67108864") { // 8 is RESOURCE_EXHAUSTED
		t.Errorf("compressed: got %s %s, want RESOURCE_EXHAUSTED that tells the limit", code, message)
	}
	if _, err := client.ModelInfer(t.Context(), request(t, 2, 1)); err != nil {
		t.Errorf("a good request gets %v", err)
	}
}

// bomb sends 65 MiB of zeros in 66 kB, and returns the status. No client of gRPC would: it is a mebibyte over and over, as
// gzip allows.
func (d *daemon) bomb() (code, message string) {
	d.t.Helper()
	var mebibyte bytes.Buffer
	w := gzip.NewWriter(&mebibyte)
	_, err := w.Write(make([]byte, 1<<20))
	if err := errors.Join(err, w.Close()); err != nil {
		d.t.Fatal(err)
	}
	data := bytes.Repeat(mebibyte.Bytes(), 65)
	body := append(binary.BigEndian.AppendUint32([]byte{1}, uint32(len(data))), data...)
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, "https://"+d.Addr().String()+kservev2.GRPCInferenceService_ModelInfer_FullMethodName, bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	for name, value := range map[string]string{"Content-Type": "application/grpc", "Te": "trailers", "Grpc-Encoding": "gzip"} {
		r.Header.Set(name, value)
	}
	transport := &http.Transport{TLSClientConfig: testenv.Source(d.t, d.certs.Service).ClientConfig(mtls.Peer{}), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(r)
	if err != nil {
		d.t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		d.t.Fatal(err)
	}
	return cmp.Or(response.Trailer.Get("Grpc-Status"), response.Header.Get("Grpc-Status")),
		cmp.Or(response.Trailer.Get("Grpc-Message"), response.Header.Get("Grpc-Message"))
}

// TestBadFilesChangeNothing lays files of all kinds as a newer version beside the one that serves. Each is refused by name,
// with the reason in the index as well, and the old version goes on answering.
func TestBadFilesChangeNothing(t *testing.T) {
	good := modeltest.Trained(t, "sonde", feature.SchemaSHA256())["sonde/1/model.onnx"].Data
	file := func(name string) []byte { return modeltest.File(t, name+"/1") }
	files := map[string]struct {
		data []byte
		says string
	}{
		"empty":           {nil, "not an ONNX model"},
		"text":            {file("not-onnx"), "not an ONNX model"},
		"half":            {good[:len(good)/2], "not an ONNX model: damaged"},
		"first quarter":   {good[:len(good)/4], "not an ONNX model: damaged"},
		"all but a byte":  {good[:len(good)-1], "not an ONNX model: damaged"},
		"unknown node":    {[]byte(strings.ReplaceAll(string(good), "MatMul", "MatMal")), "MatMal"},
		"wrong schema":    {modeltest.File(t, "good/1"), "the model was trained for feature schema " + modeltest.SchemaSHA256 + ", this program computes " + feature.SchemaSHA256()},
		"no schema":       {[]byte(strings.ReplaceAll(string(good), "sonde.schema_sha256", "sonde.schema_sha257")), "metadata has no sonde.schema_sha256"},
		"other outputs":   {ours(file("missing-output")), `output "energy" is missing`},
		"other labels":    {ours(file("wrong-labels")), `output "probs" has 3 columns, but there are 2 labels`},
		"more columns":    {ours(file("wrong-labels-open")), `output "probs" has 3 columns, but there are 2 labels`},
		"no labels":       {ours(file("no-labels")), "metadata sonde.labels"},
		"not a number":    {ours(file("nonsense")), `warm-up of 1 rows: row 0: probability NaN of label "web" is not between 0 and 1`},
		"external data":   {file("external-data"), `weight "w" lies in another file: external data is not supported`},
		"custom operator": {file("custom-operator"), `custom operators of domain "evil" are not supported`},
		"fixed rows":      {file("fixed-rows"), `"x" has shape [1 3]: the first dimension must be open`},
		"strings":         {file("strings"), "cannot take the place of a classifier"},
		"sequence":        {file("sequence"), `"y" is a sequence or a map`},
		"lost rows":       {file("lost-rows"), "cannot take the place of a classifier"},
		"no classifier":   {file("types"), "it has none of Sonde's metadata and cannot take the place of a classifier"},
	}
	dir := t.TempDir()
	write := func(version string, data []byte) {
		t.Helper()
		path := filepath.Join(dir, "sonde", version)
		if err := errors.Join(os.MkdirAll(path, 0o700), os.WriteFile(filepath.Join(path, "model.onnx"), data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("1", good)
	d := start(t, func(c *inference.Config) { c.Models = dir })
	operator := kservev2.NewGRPCInferenceServiceClient(d.dial(d.certs.Operator))
	refused := func(t *testing.T, says string) {
		t.Helper()
		_, err := operator.RepositoryModelLoad(t.Context(), &kservev2.RepositoryModelLoadRequest{ModelName: "sonde"})
		message := status.Convert(err).Message()
		named := filepath.Join(dir, "sonde", "2", "model.onnx") + ": model refused: "
		if status.Code(err) != codes.FailedPrecondition || !strings.HasPrefix(message, named) || !strings.Contains(message, says) {
			t.Errorf("got %v, want %s...%s", err, named, says)
		}
		index, err := operator.RepositoryIndex(t.Context(), &kservev2.RepositoryIndexRequest{})
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(index.GetModels(), func(m *kservev2.RepositoryIndexResponse_ModelIndex) bool { return m.GetVersion() == "2" })
		if at < 0 || index.GetModels()[at].GetState() != "UNAVAILABLE" || !strings.Contains(index.GetModels()[at].GetReason(), says) {
			t.Errorf("the index tells %v", index)
		}
		if r, err := operator.ModelInfer(t.Context(), request(t, 2, 1)); err != nil || r.GetModelVersion() != "1" {
			t.Fatalf("a good request gets %v by version %q", err, r.GetModelVersion())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		t.Run(name, func(t *testing.T) {
			write("2", files[name].data)
			refused(t, files[name].says)
		})
	}
	t.Run("too large", func(t *testing.T) { // with nothing in it
		if err := os.Truncate(filepath.Join(dir, "sonde", "2", "model.onnx"), 1<<30+1); err != nil {
			t.Fatal(err)
		}
		refused(t, "1073741825 bytes are too large, the most are 1073741824")
	})
	write("2", modeltest.Trained(t, "sonde", feature.SchemaSHA256())["sonde/2/model.onnx"].Data)
	if _, err := operator.RepositoryModelLoad(t.Context(), &kservev2.RepositoryModelLoadRequest{ModelName: "sonde"}); err != nil {
		t.Errorf("a good file after all the bad ones: %v", err)
	}
	if r, err := operator.ModelInfer(t.Context(), request(t, 2, 1)); err != nil || r.GetModelVersion() != "2" {
		t.Errorf("got %v by version %q", err, r.GetModelVersion())
	}
}

// ours makes a model of the tests' schema one of the schema in force.
func ours(file []byte) []byte {
	return []byte(strings.ReplaceAll(string(file), modeltest.SchemaSHA256, feature.SchemaSHA256()))
}
