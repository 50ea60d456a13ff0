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
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

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
	err  error
	held func(ctx context.Context) error // if set, asked before each run

	mu      sync.Mutex
	options []serving.CallOptions
	rows    []int
}

func (d *direct) Predict(ctx context.Context, lease serving.Lease, in *serving.Inputs, out *serving.Outputs, o serving.CallOptions) error {
	d.mu.Lock()
	d.options, d.rows = append(d.options, o), append(d.rows, in.Rows)
	d.mu.Unlock()
	if d.held != nil {
		if err := d.held(ctx); err != nil {
			return err
		}
	}
	if d.err != nil {
		return d.err
	}
	if err := lease.Runner(0).Run(ctx, in, out); err != nil || o.MadeUp {
		return err
	}
	lease.Drift().Count(in, out)
	return nil
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
func want(t *testing.T, s *inferencev1.Session, change func(*feature.Row)) (probs [3]float64) {
	t.Helper()
	var head feature.Session
	var row feature.Row
	if err := head.FromNative(s); err != nil {
		t.Fatal(err)
	}
	head.Extract(&row)
	if change != nil {
		change(&row)
	}
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
		probs := want(t, native, nil)
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
	if d.options[1].Priority != serving.PriorityInteractive {
		t.Error("a hundred sessions that say nothing are not interactive")
	}
	if _, err := s.Classify(t.Context(), &inferencev1.ClassifyRequest{Sessions: many[:1], Priority: inferencev1.Priority_PRIORITY_BULK}); err != nil {
		t.Fatal(err)
	}
	if d.options[2].Priority != serving.PriorityBulk {
		t.Error("one session for which nobody waits is not bulk")
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
		"priority":      {&inferencev1.ClassifyRequest{Priority: 7}, codes.InvalidArgument, "priority"},
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
		labels = append(labels, fmt.Sprintf("%s:%s:%v:%v", l.GetName(), l.GetCategory(), l.GetWeak(), l.GetUnknownBelow()))
	}
	if diff := cmp.Diff([]string{"web:web:false:0.4", "mail:messages:false:0.4", "dns::true:0.4"}, labels); diff != "" {
		t.Error(diff)
	}
	if r.GetModel() != "sonde" || r.GetVersion() != "2" || r.GetUnknownBelow() != 0.4 || r.GetMetricsJson() != `{"macro_f1": 0.5}` ||
		r.GetCreateTime().AsTime().Year() != 2026 || r.GetCard() != "# A model of tests\n" || len(r.GetSha256()) != 64 {
		t.Errorf("got %v", r)
	}
	if r.GetSchemaJson() != string(feature.Schema()) || r.GetSchemaSha256() != feature.SchemaSHA256() {
		t.Error("the schema is another one")
	}
	first, err := s.GetModel(t.Context(), &inferencev1.GetModelRequest{Version: "1"})
	if err != nil || first.GetCard() != "" || first.GetSha256() == r.GetSha256() {
		t.Errorf("version 1: %v, %v", first, err)
	}
}

func TestClassifyMarksWeakLabels(t *testing.T) {
	s, _ := open(t)
	// Nothing but a size: most like dns to these weights.
	for _, size := range []int32{-1, -100, -1400, 1400, 100} {
		r, err := s.Classify(t.Context(), &inferencev1.ClassifyRequest{Sessions: []*inferencev1.Session{{IpProtocol: 17, SignedSizes: []int32{size, size}, GapsUs: []uint32{0, 1}}}})
		if err != nil {
			t.Fatal(err)
		}
		if c := r.GetClassifications()[0]; c.GetWeak() != (c.GetLabel() == "dns") {
			t.Errorf("got %v", c)
		}
	}
}

func TestGetDrift(t *testing.T) {
	s, d := open(t)
	sessions := []*inferencev1.Session{session("a"), session("b"), session("c"), {IpProtocol: 17, SignedSizes: []int32{120}, GapsUs: []uint32{0}}}
	if _, err := s.Classify(t.Context(), &inferencev1.ClassifyRequest{Sessions: sessions}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Explain(t.Context(), &inferencev1.ExplainRequest{Session: session("a")}); err != nil {
		t.Fatal(err)
	}
	if last := d.options[len(d.options)-1]; !last.MadeUp {
		t.Error("what Explain makes up counts as traffic")
	}
	r, err := s.GetDrift(t.Context(), &inferencev1.GetDriftRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := []*inferencev1.Drift{
		{
			Name: "series: first payload size", Bins: []string{"below 1", "1 to 100", "from 100", "absent"},
			Reference: []float64{0.5, 0.25, 0.25, 0}, Seen: []float64{0.75, 0, 0.25, 0}, Psi: 2.057,
		},
		{
			Name: "meta: packets", Bins: []string{"below 2", "2 to 6", "6 to 12", "from 12", "absent"},
			Reference: []float64{0.25, 0.25, 0.25, 0.25, 0}, Seen: []float64{0.25, 0, 0.75, 0, 0}, Psi: 4.459,
		},
	}
	slices.Reverse(want) // the greatest first
	if diff := cmp.Diff(want, r.GetFeatures(), protocmp.Transform(), cmpopts.EquateApprox(0, 0.001)); diff != "" {
		t.Error(diff)
	}
	if r.GetModel() != "sonde" || r.GetVersion() != "2" || r.GetSessions() != 4 || r.GetReferenceUnknownRate() != 0.05 ||
		time.Since(r.GetStartTime().AsTime()) > time.Hour || r.GetUnknownRate() < 0 || r.GetUnknownRate() > 1 {
		t.Errorf("got %v", r)
	}
	for drift, bins := range map[*inferencev1.Drift][]string{
		r.GetConfidence(): {"below 0.4", "0.4 to 0.6", "0.6 to 0.9", "from 0.9"}, r.GetEnergy(): {"below -2", "-2 to -1", "from -1"},
		r.GetClasses(): {"web", "mail", "dns"},
	} {
		sum := 0.0
		for _, share := range drift.GetSeen() {
			sum += share
		}
		if diff := cmp.Diff(bins, drift.GetBins()); diff != "" || math.Abs(sum-1) > 1e-9 || !(drift.GetPsi() > 0) {
			t.Errorf("%v %s", drift, diff)
		}
	}
	_, err = s.GetDrift(t.Context(), &inferencev1.GetDriftRequest{Version: "1"})
	if status.Code(err) != codes.FailedPrecondition || rpc.Reason(err) != server.ReasonNoReference {
		t.Errorf("without a reference: %v", err)
	}
	if _, err = s.GetDrift(t.Context(), &inferencev1.GetDriftRequest{Model: "other"}); status.Code(err) != codes.NotFound {
		t.Errorf("no such model: %v", err)
	}
}

func TestExplainTakesPartsAway(t *testing.T) {
	s, d := open(t)
	r, err := s.Explain(t.Context(), &inferencev1.ExplainRequest{Session: session("a")})
	if err != nil {
		t.Fatal(err)
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
	// What there is nothing of, DNS, TLS and QUIC and packets after the sixth, is not named.
	names := slices.Sorted(maps.Keys(parts))
	for _, part := range []string{
		"IP protocol", "packet sizes and directions", "packet times", "payload statistics", "opening words", "packet 1", "packet 6",
		"client bytes 0-15", "client bytes 64-127", "server bytes 0-15", "server bytes 16-63",
	} {
		if !slices.Contains(names, part) {
			t.Errorf("%q is not explained: %q", part, names)
		}
	}
	for _, part := range []string{"packet 7", "client bytes 128-255", "server bytes 64-127"} {
		if slices.Contains(names, part) {
			t.Errorf("%q is explained and is not there", part)
		}
	}
	if diff := cmp.Diff([]int{1 + len(names)}, d.rows); diff != "" { // one run of all
		t.Error(diff)
	}
	before, after := want(t, session("a"), nil), want(t, session("a"), func(row *feature.Row) {
		for tensorRow := range feature.SeriesRows {
			row.Series[tensorRow*feature.MaxPackets+3] = 0 // packet 4, the request
		}
	})
	label := map[string]int{"web": 0, "mail": 1, "dns": 2}[r.GetClassification().GetLabel()]
	if drop := parts["packet 4"]; math.Abs(float64(drop)-(before[label]-after[label])) > 1e-5 {
		t.Errorf("packet 4 did %v, want %v", drop, before[label]-after[label])
	}
	after = want(t, session("a"), func(row *feature.Row) { clear(row.Bytes[:16]) })
	if drop := parts["client bytes 0-15"]; math.Abs(float64(drop)-(before[label]-after[label])) > 1e-5 {
		t.Errorf("the first bytes did %v, want %v", drop, before[label]-after[label])
	}
	if c := r.GetClassification(); math.Abs(float64(c.GetProbability())-before[label]) > 1e-5 || c.GetPackets() != 6 || c.GetModelVersion() != "2" || len(c.GetTop()) != 3 {
		t.Errorf("classification %v", c)
	}
	if _, err := s.Explain(t.Context(), &inferencev1.ExplainRequest{}); rpc.Field(err) != "session" {
		t.Errorf("got %v", err)
	}
	broken := &inferencev1.Session{SignedSizes: []int32{1}}
	if _, err := s.Explain(t.Context(), &inferencev1.ExplainRequest{Session: broken}); rpc.Field(err) != "session" {
		t.Errorf("got %v", err)
	}
	empty, err := s.Explain(t.Context(), &inferencev1.ExplainRequest{Session: &inferencev1.Session{}})
	if err != nil || slices.ContainsFunc(empty.GetContributions(), func(c *inferencev1.Contribution) bool { return strings.HasPrefix(c.GetPart(), "packet 1") }) {
		t.Errorf("got %v, %v", empty, err)
	}
}
