package collector_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	kservev2 "sonde.example/gen/go/inference"
	configv1 "sonde.example/gen/go/sonde/config/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/collector"
	"sonde.example/collector/session/sessiontest"
	"sonde.example/internal/config"
	"sonde.example/internal/config/configtest"
	"sonde.example/internal/confstore"
	"sonde.example/internal/feature"
	"sonde.example/internal/label"
	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
	"sonde.example/internal/testenv"
)

// models is an inference service of one model, whose versions come and go; without a version asked for 1 answers.
type models struct {
	kservev2.UnimplementedGRPCInferenceServiceServer
	mu      sync.Mutex
	schemas map[string]string                                         // by version
	refuse  func(version string, r *kservev2.ModelInferRequest) error // if set
}

func (m *models) set(version, schema string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.schemas[version] = schema
}

func (m *models) find(name, version string) (found, schema string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if version == "" {
		version = "1"
	}
	schema, ok = m.schemas[version]
	return version, schema, ok && name == "sonde"
}

func (m *models) ModelReady(_ context.Context, r *kservev2.ModelReadyRequest) (*kservev2.ModelReadyResponse, error) {
	_, _, ok := m.find(r.GetName(), r.GetVersion())
	return &kservev2.ModelReadyResponse{Ready: ok}, nil
}

func (m *models) ModelMetadata(_ context.Context, r *kservev2.ModelMetadataRequest) (*kservev2.ModelMetadataResponse, error) {
	_, schema, ok := m.find(r.GetName(), r.GetVersion())
	if !ok {
		return nil, rpc.NotFound("model", r.GetName())
	}
	return &kservev2.ModelMetadataResponse{Properties: map[string]string{
		label.PropertySchemaSHA256: schema, label.PropertyLabels: `[{"name":"dns"},{"name":"tls"}]`,
	}}, nil
}

func (m *models) ModelInfer(_ context.Context, r *kservev2.ModelInferRequest) (*kservev2.ModelInferResponse, error) {
	version, _, ok := m.find(r.GetModelName(), r.GetModelVersion())
	if !ok {
		return nil, rpc.NotFound("model", r.GetModelName())
	}
	if m.refuse != nil {
		if err := m.refuse(version, r); err != nil {
			return nil, err
		}
	}
	rows := r.GetInputs()[0].GetShape()[0]
	var probs []byte
	for range rows {
		probs = binary.LittleEndian.AppendUint32(probs, math.Float32bits(0.75))
		probs = binary.LittleEndian.AppendUint32(probs, math.Float32bits(0.25))
	}
	return &kservev2.ModelInferResponse{
		ModelName: "sonde", ModelVersion: version,
		Outputs: []*kservev2.ModelInferResponse_InferOutputTensor{
			{Name: "probs", Datatype: "FP32", Shape: []int64{rows, 2}}, {Name: "energy", Datatype: "FP32", Shape: []int64{rows}},
		},
		RawOutputContents: [][]byte{probs, make([]byte, 4*rows)},
	}, nil
}

// serve runs the inference service until the test ends.
func (m *models) serve(t *testing.T, certs mtls.Development) (address string) {
	t.Helper()
	services := []mtls.Role{mtls.RoleService}
	server := rpc.NewServer(rpc.ServerOptions{
		Certificates: testenv.Source(t, certs.Service), Log: testenv.Log(t), MaxMessageBytes: rpc.InferenceMaxMessageBytes,
		Table: rpc.Table{
			kservev2.GRPCInferenceService_ModelReady_FullMethodName: services, kservev2.GRPCInferenceService_ModelMetadata_FullMethodName: services,
			kservev2.GRPCInferenceService_ModelInfer_FullMethodName: services, kservev2.GRPCInferenceService_ServerLive_FullMethodName: services,
			kservev2.GRPCInferenceService_ServerReady_FullMethodName: services, kservev2.GRPCInferenceService_ServerMetadata_FullMethodName: services,
			kservev2.GRPCInferenceService_ModelConfig_FullMethodName: services, kservev2.GRPCInferenceService_ModelStatistics_FullMethodName: services,
			kservev2.GRPCInferenceService_ModelStreamInfer_FullMethodName: services, kservev2.GRPCInferenceService_RepositoryIndex_FullMethodName: services,
			kservev2.GRPCInferenceService_RepositoryModelLoad_FullMethodName:   services,
			kservev2.GRPCInferenceService_RepositoryModelUnload_FullMethodName: services,
		},
	})
	kservev2.RegisterGRPCInferenceServiceServer(server, m)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// world is a collector that follows a table, with an agent, an operator and an inference service.
type world struct {
	*daemon
	t        *testing.T
	config   collector.Config
	table    *configtest.Services
	models   *models
	agent    *sessiontest.Agent
	stream   ingestv1.IngestService_IngestClient
	operator queryv1.QueryServiceClient
	sent     uint64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldFrom(t, func(*collector.Config) {}, "1")
}

func newWorldFrom(t *testing.T, change func(*collector.Config), versions ...string) *world {
	t.Helper()
	c, certs := newConfig(t)
	w := &world{
		t: t, table: configtest.NewServices(t, config.RoleCollector), models: &models{schemas: map[string]string{}},
		agent: sessiontest.NewAgent("local", 7, 0),
	}
	c.Inference, c.Store, c.State, c.Version = w.models.serve(t, certs), w.table.Store, filepath.Join(t.TempDir(), "state"), "1.2.3"
	for _, version := range versions {
		w.models.set(version, feature.SchemaSHA256())
	}
	change(&c)
	w.config, w.daemon = c, run(t, c, certs)
	agent, operator := w.dial(t, certs.Agent), w.dial(t, certs.Operator)
	w.stream, _ = agentStream(t, agent, w.agent.Hello(0))
	w.operator = queryv1.NewQueryServiceClient(operator)
	t.Cleanup(func() {
		if err := w.stream.CloseSend(); err != nil {
			t.Error(err)
		}
		if err := errors.Join(agent.Close(), operator.Close()); err != nil {
			t.Error(err)
		}
		w.end(t)
	})
	return w
}

// send sends what the agent has in a batch.
func (w *world) send() {
	w.t.Helper()
	if err := w.stream.Send(sessiontest.Request(w.agent.Batch())); err != nil {
		w.t.Fatal(err)
	}
	w.sent++
}

// durable waits until all that was sent is in the results.
func (w *world) durable() {
	w.t.Helper()
	for durable := uint64(0); durable < w.sent; {
		r, err := w.stream.Recv()
		if err != nil {
			w.t.Fatal(err)
		}
		durable = r.GetAck().GetDurable()
	}
}

// newest returns the result of the newest session.
func (w *world) newest() *queryv1.Result {
	w.t.Helper()
	list, err := w.operator.ListResults(w.t.Context(), &queryv1.ListResultsRequest{PageSize: 1})
	if err != nil || len(list.GetResults()) != 1 {
		w.t.Fatalf("got %v, %v", list, err)
	}
	return list.GetResults()[0]
}

// classified sends a session that ends, and returns its result.
func (w *world) classified(port string) *queryv1.Result {
	w.t.Helper()
	w.agent.UDP("10.0.0.1:"+port, "10.0.0.2:53").Up("question").Down("answer").End(flowv1.EndReason_END_REASON_IDLE)
	w.send()
	w.durable()
	return w.newest()
}

func TestTheDeadlineChangesForSessionsThatWait(t *testing.T) {
	w := newWorld(t)
	if got := w.table.MustApply(&configv1.ServiceConfig{HandOverDeadline: durationpb.New(time.Minute)}); got.GetVersion() != "1.2.3" || got.GetWarning() != "" {
		t.Errorf("status %v", got)
	}
	w.agent.UDP("10.0.0.1:1000", "10.0.0.2:53").Up("question")
	w.send()
	began := time.Now()
	w.table.MustApply(&configv1.ServiceConfig{HandOverDeadline: durationpb.New(200 * time.Millisecond)})
	w.durable()
	if waited := time.Since(began); waited > 5*time.Second { // by the flags it would be ten
		t.Errorf("handed over after %v", waited)
	}
	w.table.MustFail(&configv1.ServiceConfig{HandOverDeadline: durationpb.New(time.Hour)}, "hand_over_deadline_ms", "1h0m0s is not within 100ms and 1m0s")
	w.table.MustFail(&configv1.ServiceConfig{ShadowVersion: "2"}, "shadow_version", "collector")
}

func TestTheModelVersionChangesAndIsProvedFirst(t *testing.T) {
	w := newWorld(t)
	if got := w.classified("1000"); got.GetClassification().GetModelVersion() != "1" {
		t.Errorf("classified by %v", got.GetClassification())
	}
	w.models.set("2", feature.SchemaSHA256())
	w.table.MustApply(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "2"})
	if got := w.classified("1001"); got.GetClassification().GetModelVersion() != "2" {
		t.Errorf("classified by %v", got.GetClassification())
	}
	w.models.set("3", strings.Repeat("0", 64))
	w.table.MustFail(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "3", KeepPackets: durationpb.New(0)}, "model_version", "feature schema 000000000000")
	w.table.MustFail(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "4"}, "model_version", "model sonde version 4 is not served")
	w.table.MustFail(&configv1.ServiceConfig{Model: "other"}, "model", "model other is not served")
	got := w.classified("1002")
	if got.GetClassification().GetModelVersion() != "2" {
		t.Errorf("classified by %v", got.GetClassification())
	}
	// Nothing of a refused configuration is in force: packets are kept.
	if _, err := w.operator.GetSessionPackets(t.Context(), &queryv1.GetSessionPacketsRequest{SessionId: got.GetSessionId()}); err != nil {
		t.Errorf("packets: %v", err)
	}
	// A version that comes a moment later is waited for.
	revision := w.table.Publish(&configv1.ServiceConfig{Model: "sonde", ModelVersion: "5"})
	w.table.Wait(func(s *configv1.ConfigStatus) bool { return s.GetWantedRevision() == revision })
	w.models.set("5", feature.SchemaSHA256())
	w.table.Wait(func(s *configv1.ConfigStatus) bool {
		return s.GetRunningRevision() == revision && s.GetState() == configv1.ConfigState_CONFIG_STATE_APPLIED
	})
}

func TestPacketsAreKeptNoMoreAtOnce(t *testing.T) {
	w := newWorld(t)
	before := w.classified("1000")
	packets := func(r *queryv1.Result) error {
		_, err := w.operator.GetSessionPackets(t.Context(), &queryv1.GetSessionPacketsRequest{SessionId: r.GetSessionId()})
		return err
	}
	if err := packets(before); err != nil {
		t.Fatal(err)
	}
	w.table.MustApply(&configv1.ServiceConfig{KeepPackets: durationpb.New(0), SessionBytes: 64 << 20})
	after := w.classified("1001")
	if err := packets(after); err == nil {
		t.Error("packets of a new session are kept")
	}
	for deadline := time.Now().Add(10 * time.Second); packets(before) == nil; {
		if time.Now().After(deadline) {
			t.Fatal("packets kept before stay")
		}
	}
}

// unreachable is a store that never answers.
type unreachable struct{ confstore.Client }

func (unreachable) Get(ctx context.Context, _ string) (confstore.Entry, error) {
	<-ctx.Done()
	return confstore.Entry{}, ctx.Err()
}

func (unreachable) Next(ctx context.Context, _ string, _ uint64) (confstore.Entry, error) {
	<-ctx.Done()
	return confstore.Entry{}, ctx.Err()
}

func (unreachable) Put(ctx context.Context, _ string, _ []byte) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestTheLastGoodConfigurationIsInForceWithoutTheStore starts a collector again while the store is away.
func TestTheLastGoodConfigurationIsInForceWithoutTheStore(t *testing.T) {
	first := newWorld(t)
	first.models.set("2", feature.SchemaSHA256())
	first.table.MustApply(&configv1.ServiceConfig{ModelVersion: "2"})
	state := first.config.State
	again := newWorldFrom(t, func(c *collector.Config) { c.Store, c.State = unreachable{}, state }, "1", "2")
	if got := again.classified("1000"); got.GetClassification().GetModelVersion() != "2" {
		t.Errorf("classified by %v", got.GetClassification())
	}
}

// TestTunnelPortsChangeForInterfacesThatTellNone has an agent whose interfaces tell no ports look for VXLAN on a port of its own.
func TestTunnelPortsChangeForInterfacesThatTellNone(t *testing.T) {
	w := newWorld(t)
	sent := func(port string) *queryv1.Result {
		t.Helper()
		w.agent.UDP("10.0.0.1:"+port, "10.0.0.2:53").VXLAN(8472).Up("question").Down("answer").End(flowv1.EndReason_END_REASON_IDLE)
		w.send()
		w.durable()
		return w.newest()
	}
	if got := sent("1000"); got.GetState() != queryv1.ResultState_RESULT_STATE_COUNTED {
		t.Errorf("packets that contradict their session were taken: %v", got)
	}
	w.table.MustApply(&configv1.ServiceConfig{TunnelPorts: &flowv1.TunnelPorts{Vxlan: []uint32{4789, 8472}}})
	if got := sent("1001"); got.GetClassification().GetPackets() != 2 || got.GetScope().GetTunnelId() != 42 {
		t.Errorf("got %v", got)
	}
	w.agent.Ports = &flowv1.TunnelPorts{Vxlan: []uint32{8472}}
	w.table.MustApply(&configv1.ServiceConfig{}) // the well-known ones again
	if got := sent("1002"); got.GetClassification().GetPackets() != 2 {
		t.Errorf("got %v", got)
	}
	w.agent.Ports = nil
	if got := sent("1003"); got.GetState() != queryv1.ResultState_RESULT_STATE_COUNTED {
		t.Errorf("got %v", got)
	}
	w.table.MustFail(&configv1.ServiceConfig{TunnelPorts: &flowv1.TunnelPorts{GtpU: []uint32{0}}}, "gtp_u_ports", "0 is not a port")
}
