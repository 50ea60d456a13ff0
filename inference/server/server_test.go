package server_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/google/go-cmp/cmp"

	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/inference/model"
	"sonde.example/inference/model/modeltest"
	"sonde.example/inference/server"
	"sonde.example/internal/feature"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
	"sonde.example/internal/testenv"
)

// direct runs rows at once, and notes how.
type direct struct {
	err     error
	options []serving.CallOptions
	rows    []int
}

func (d *direct) Predict(ctx context.Context, lease serving.Lease, in *serving.Inputs, out *serving.Outputs, o serving.CallOptions) error {
	d.options, d.rows = append(d.options, o), append(d.rows, in.Rows)
	if d.err != nil {
		return d.err
	}
	return lease.Runner(0).Run(ctx, in, out)
}

func open(t *testing.T) (*server.Service, *direct) {
	t.Helper()
	models := model.New(model.Options{
		Folders: []model.Folder{{FS: modeltest.Trained(t, "sonde", feature.SchemaSHA256()), Origin: "test"}},
		Opener:  &modeltest.Fake{}, Workers: 1, Contract: model.Contract{SchemaSHA256: feature.SchemaSHA256()},
	}, testenv.Log(t))
	if err := models.Load(t.Context(), "sonde", serving.VersionPolicy{All: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := models.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &direct{}
	return server.New(server.Options{Models: models, Predictor: d, Model: func() string { return "sonde" }}), d
}

// session is a small HTTP exchange.
func session(id string) *inferencev1.Session {
	request := "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n" + strings.Repeat("x", 80)
	answer := "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	return &inferencev1.Session{
		Id: id, IpProtocol: 6, SignedSizes: []int32{0, 0, 0, int32(len(request)), 0, -int32(len(answer))},
		GapsUs: []uint32{0, 100, 100, 50, 200, 900}, ReverseEmpty: []uint32{1, 4},
		ForwardPayload: []byte(request), ReversePayload: []byte(answer),
	}
}

// want works the classification out from the features.
func want(t *testing.T, s *inferencev1.Session) (probs [3]float64) {
	t.Helper()
	var head feature.Session
	var row feature.Row
	if err := head.FromNative(s); err != nil {
		t.Fatal(err)
	}
	head.Extract(&row)
	in := &serving.Inputs{Rows: 1, Data: [][]byte{row.Bytes[:], nil, nil}}
	for _, v := range row.Series {
		in.Data[1] = binary.LittleEndian.AppendUint32(in.Data[1], math.Float32bits(v))
	}
	for _, v := range row.Meta {
		in.Data[2] = binary.LittleEndian.AppendUint32(in.Data[2], math.Float32bits(v))
	}
	file := modeltest.File(t, "good/2")
	info, err := model.Inspect(file)
	if err != nil {
		t.Fatal(err)
	}
	info.Name, info.Version = "sonde", 2
	m, err := (&modeltest.Fake{}).Open(t.Context(), file, info)
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.NewRunner()
	if err != nil {
		t.Fatal(err)
	}
	out := serving.NewOutputs(info, 1)
	if err := errors.Join(r.Run(t.Context(), in, out), r.Close(), m.Close()); err != nil {
		t.Fatal(err)
	}
	for i := range probs {
		probs[i] = float64(serving.Float32(out.Data[0], i))
	}
	return probs
}

func TestClassifyComputesFeaturesAndAnswersInOrder(t *testing.T) {
	s, d := open(t)
	other := session("b")
	other.SignedSizes[5] *= 3
	r, err := s.Classify(t.Context(), &inferencev1.ClassifyRequest{Id: "q", Sessions: []*inferencev1.Session{session("a"), other}, TopK: 2})
	if err != nil {
		t.Fatal(err)
	}
	if r.GetId() != "q" || r.GetModel() != "sonde" || r.GetVersion() != "2" || r.GetSchemaSha256() != feature.SchemaSHA256() || len(r.GetClassifications()) != 2 {
		t.Fatalf("got %v", r)
	}
	labels := []string{"web", "mail", "dns"}
	for i, native := range []*inferencev1.Session{session("a"), other} {
		probs := want(t, native)
		best := 0
		for c := range probs {
			if probs[c] > probs[best] {
				best = c
			}
		}
		c := r.GetClassifications()[i]
		if c.GetLabel() != labels[best] || math.Abs(float64(c.GetProbability())-probs[best]) > 1e-5 || c.GetPackets() != 6 ||
			len(c.GetTop()) != 2 || c.GetModel() != "sonde" || c.GetModelVersion() != "2" {
			t.Errorf("session %d: got %v, want %s of %v", i, c, labels[best], probs)
		}
	}
	if d.options[0].Priority != serving.PriorityInteractive {
		t.Error("two sessions are not interactive")
	}
	many := make([]*inferencev1.Session, 100)
	for i := range many {
		many[i] = session(fmt.Sprint(i))
	}
	if r, err = s.Classify(t.Context(), &inferencev1.ClassifyRequest{Model: "sonde", Version: "1", Sessions: many}); err != nil || r.GetVersion() != "1" || len(r.GetClassifications()) != 100 {
		t.Fatalf("got %v, %v", r, err)
	}
	if d.options[1].Priority != serving.PriorityBulk {
		t.Error("a hundred sessions are not bulk")
	}
	if r, err = s.Classify(t.Context(), &inferencev1.ClassifyRequest{}); err != nil || len(r.GetClassifications()) != 0 || r.GetVersion() != "2" {
		t.Errorf("no sessions: got %v, %v", r, err)
	}
}

func TestBadRequestsNameTheirField(t *testing.T) {
	s, d := open(t)
	crooked := session("x")
	crooked.GapsUs = crooked.GapsUs[1:]
	for name, c := range map[string]struct {
		request *inferencev1.ClassifyRequest
		code    codes.Code
		field   string
	}{
		"too many":      {&inferencev1.ClassifyRequest{Sessions: make([]*inferencev1.Session, 4097)}, codes.InvalidArgument, "sessions"},
		"top":           {&inferencev1.ClassifyRequest{TopK: 21}, codes.InvalidArgument, "top_k"},
		"contradiction": {&inferencev1.ClassifyRequest{Sessions: []*inferencev1.Session{session("a"), crooked}}, codes.InvalidArgument, "sessions[1]"},
		"model":         {&inferencev1.ClassifyRequest{Model: "other"}, codes.NotFound, ""},
		"version":       {&inferencev1.ClassifyRequest{Version: "3"}, codes.NotFound, ""},
	} {
		if _, err := s.Classify(t.Context(), c.request); status.Code(err) != c.code || rpc.Field(err) != c.field {
			t.Errorf("%s: got %v in field %q", name, err, rpc.Field(err))
		}
	}
	if len(d.rows) != 0 {
		t.Errorf("%d were run", len(d.rows))
	}
	d.err = fmt.Errorf("%w: 3 rows", serving.ErrFull)
	_, err := s.Classify(t.Context(), &inferencev1.ClassifyRequest{Sessions: []*inferencev1.Session{session("a")}})
	if _, retry := rpc.RetryDelay(err); status.Code(err) != codes.ResourceExhausted || rpc.Reason(err) != server.ReasonQueueFull || !retry {
		t.Errorf("full: got %v", err)
	}
}

func TestGetModel(t *testing.T) {
	s, _ := open(t)
	r, err := s.GetModel(t.Context(), &inferencev1.GetModelRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var labels []string
	for _, l := range r.GetLabels() {
		labels = append(labels, l.GetName()+":"+l.GetCategory())
	}
	if diff := cmp.Diff([]string{"web:web", "mail:messages", "dns:"}, labels); diff != "" {
		t.Error(diff)
	}
	if r.GetModel() != "sonde" || r.GetVersion() != "2" || r.GetUnknownBelow() != 0.4 || r.GetMetricsJson() != `{"macro_f1": 0.5}` ||
		r.GetCreateTime().AsTime().Year() != 2026 {
		t.Errorf("got %v", r)
	}
}

func TestExplainTakesPartsAway(t *testing.T) {
	s, d := open(t)
	r, err := s.Explain(t.Context(), &inferencev1.ExplainRequest{Session: session("a")})
	if err != nil {
		t.Fatal(err)
	}
	// 6 packets, 2 patches of the client's 117 bytes, 1 of the server's 38.
	if diff := cmp.Diff([]int{1, 9}, d.rows); diff != "" {
		t.Error(diff)
	}
	parts := map[string]float32{}
	last := math.Inf(1)
	for _, c := range r.GetContributions() {
		parts[c.GetPart()] = c.GetProbabilityDrop()
		effect := math.Abs(float64(c.GetProbabilityDrop()))
		if effect > last {
			t.Errorf("not sorted: %v", r.GetContributions())
		}
		last = effect
	}
	without := session("a") // packet 4, the request, taken away by hand
	without.SignedSizes = []int32{0, 0, 0, 0, without.GetSignedSizes()[5]}
	without.GapsUs, without.ReverseEmpty = []uint32{0, 100, 100, 250, 900}, []uint32{1, 3}
	before, after := want(t, session("a")), want(t, without)
	label := map[string]int{"web": 0, "mail": 1, "dns": 2}[r.GetClassification().GetLabel()]
	drop, ok := parts["packet 4"]
	if !ok || math.Abs(float64(drop)-(before[label]-after[label])) > 1e-5 {
		t.Errorf("packet 4 did %v, want %v", drop, before[label]-after[label])
	}
	names := slices.Sorted(maps.Keys(parts))
	if diff := cmp.Diff([]string{
		"client payload 0-63", "client payload 64-116",
		"packet 1", "packet 2", "packet 3", "packet 4", "packet 5", "packet 6", "server payload 0-37",
	}, names); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Explain(t.Context(), &inferencev1.ExplainRequest{}); rpc.Field(err) != "session" {
		t.Errorf("got %v", err)
	}
	empty, err := s.Explain(t.Context(), &inferencev1.ExplainRequest{Session: &inferencev1.Session{}})
	if err != nil || len(empty.GetContributions()) != 0 {
		t.Errorf("got %v, %v", empty, err)
	}
}
