package dispatch_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/collector/dispatch"
	"sonde.example/internal/feature"
	"sonde.example/internal/packet"
	"sonde.example/internal/record"
	"sonde.example/internal/testenv"
)

// frame is an IPv4 packet with a UDP datagram, without a link header.
func frame(payload string) []byte {
	n := 28 + len(payload)
	header := []byte{
		0x45, 0, byte(n >> 8), byte(n), 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
		0x10, 0x00, 0x20, 0x00, byte((n - 20) >> 8), byte(n - 20), 0, 0,
	}
	return append(header, payload...)
}

// session has a head of one datagram whose payload is its id, so that a classifier can tell who it is.
func session(id string) *flowv1.Session {
	data := frame(id)
	return &flowv1.Session{
		Id: id, Agent: "a", FiveTuple: &flowv1.FiveTuple{IpProtocol: 17},
		Counts:      &flowv1.Counts{ForwardPackets: 1},
		HeadPackets: 1,
		Head: &flowv1.Packets{
			TimeDeltasNs: []int64{0}, Captured: []uint32{uint32(len(data))}, Missing: []uint32{0}, Flags: []uint32{0},
			Interfaces: []*flowv1.Interface{{LinkType: uint32(packet.LinkRaw)}}, Data: data,
		},
		Evidence:         &flowv1.Evidence{Gaps: 3},
		HandedOverTimeNs: time.Now().UnixNano(),
	}
}

// counts is a hand-over without a head.
func counts(id string) *flowv1.Session {
	return &flowv1.Session{Id: id, Counts: &flowv1.Counts{ForwardPackets: 9, Ended: true}, HandedOverTimeNs: time.Now().UnixNano()}
}

// world is all that a worker works with, in memory. Its functions may be replaced before run.
type world struct {
	t        *testing.T
	queue    *dispatch.Memory
	registry *prometheus.Registry
	worker   *dispatch.Worker

	mu       sync.Mutex // guards what follows
	classify func(ctx context.Context, ids []string) error
	put      func(ctx context.Context, ids []string) error
	settle   func(ctx context.Context, ids []string) error
	events   []string // what happened, in order
	calls    [][]string
	stored   map[string]*record.Entry
	tail     []*queryv1.Result
}

func newWorld(t *testing.T, change func(*dispatch.WorkerOptions)) *world {
	t.Helper()
	fine := func(context.Context, []string) error { return nil }
	w := &world{
		t: t, queue: dispatch.NewMemory(16 << 20), registry: prometheus.NewPedanticRegistry(),
		classify: fine, put: fine, settle: fine, stored: map[string]*record.Entry{},
	}
	options := dispatch.WorkerOptions{
		Queue: w.queue, Classifier: w, Results: w, Settler: settler{w}, Tail: tail{w}, Walkers: packet.NewWalkers(packet.Options{}),
		Log: testenv.Log(t), Metrics: dispatch.NewMetrics(w.registry, w.queue.Len),
	}
	if change != nil {
		change(&options)
	}
	w.worker = dispatch.NewWorker(options)
	return w
}

func (w *world) note(what string, ids []string) {
	w.events = append(w.events, what+" "+strings.Join(ids, ","))
}

// Classify calls everything by its own payload.
func (w *world) Classify(ctx context.Context, sessions []*feature.Session) ([]*flowv1.Classification, error) {
	ids := make([]string, len(sessions))
	for i, s := range sessions {
		ids[i] = string(s.Forward())
	}
	w.mu.Lock()
	w.calls = append(w.calls, ids)
	w.note("classify", ids)
	w.mu.Unlock()
	if err := w.classify(ctx, ids); err != nil {
		return nil, err
	}
	answers := make([]*flowv1.Classification, len(ids))
	for i, id := range ids {
		answers[i] = &flowv1.Classification{Label: "label of " + id}
	}
	return answers, nil
}

// Put merges as a store does, and says so in each result.
func (w *world) Put(ctx context.Context, entries ...*record.Entry) error {
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.Result.GetSessionId()
	}
	if err := w.put(ctx, ids); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("put", ids)
	for _, e := range entries {
		w.stored[e.Result.GetSessionId()] = &record.Entry{Result: e.Result, Head: e.Head}
		e.Result = record.New(session(e.Result.GetSessionId()), e.Result.GetClassification(), nil, e.Result.GetFailure()).Result
		e.Result.CommunityId = "merged"
	}
	return nil
}

type settler struct{ *world }

func (w settler) Settle(ctx context.Context, stored ...*flowv1.Session) error {
	ids := make([]string, len(stored))
	for i, s := range stored {
		ids[i] = s.GetId()
	}
	if err := w.settle(ctx, ids); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("settle", ids)
	return nil
}

type tail struct{ *world }

func (w tail) Publish(results ...*queryv1.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tail = append(w.tail, results...)
	w.note("tail", nil)
}

func (w *world) publish(sessions ...*flowv1.Session) {
	w.t.Helper()
	for _, s := range sessions {
		if err := w.queue.Publish(w.t.Context(), dispatch.Message{Session: s}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// run lets the worker work until it has nothing left to do in the given time of the bubble.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	defer cancel()
	if err := w.worker.Run(ctx); err != nil {
		w.t.Errorf("Run: %v", err)
	}
}

func (w *world) metric(name, labels string, want float64) {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var pairs []string
			for _, l := range m.GetLabel() {
				pairs = append(pairs, l.GetName()+"="+l.GetValue())
			}
			if f.GetName() != name || strings.Join(pairs, ",") != labels {
				continue
			}
			got := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if got != want {
				w.t.Errorf("metric %s{%s} = %v, want %v", name, labels, got, want)
			}
			return
		}
	}
	w.t.Errorf("no metric %s{%s}", name, labels)
}

// left returns what is still in the queue, by id and delivery count.
func (w *world) left() map[string]int {
	w.t.Helper()
	left := map[string]int{}
	if n, _ := w.queue.Len(); n == 0 {
		return left
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	if err := w.queue.Consume(ctx, 1000, func(_ context.Context, messages []dispatch.Message) []error {
		for _, m := range messages {
			left[m.Session.GetId()] = m.DeliveryCount
		}
		return make([]error, len(messages))
	}); err != nil {
		w.t.Errorf("Consume: %v", err)
	}
	return left
}

func ids(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("session-%02d", i)
	}
	return all
}

func sessions(ids []string) []*flowv1.Session {
	all := make([]*flowv1.Session, len(ids))
	for i, id := range ids {
		all[i] = session(id)
	}
	return all
}
