package route_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"go.uber.org/goleak"

	"sonde.example/inference/model"
	"sonde.example/inference/model/modeltest"
	"sonde.example/inference/route"
	"sonde.example/internal/config"
	"sonde.example/internal/serving"
	"sonde.example/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// direct runs rows at once, but holds those of a version.
type direct struct {
	mu   sync.Mutex
	hold string
	free chan struct{}
	err  error
}

func (d *direct) Predict(ctx context.Context, lease serving.Lease, in *serving.Inputs, out *serving.Outputs, _ serving.CallOptions) error {
	d.mu.Lock()
	hold, err := d.hold, d.err
	d.mu.Unlock()
	if hold == lease.Info().VersionString() {
		select {
		case <-d.free:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return lease.Runner(0).Run(ctx, in, out)
}

// world is a router over a repository with versions 1 and 2, which differ, 3, which says what 1 says, and 4, which is bad.
type world struct {
	*route.Router
	t      *testing.T
	models *model.Repository
	direct *direct

	mu   sync.Mutex
	rows map[route.Outcome]int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	files := maps.Clone(modeltest.Trained(t, "sonde", modeltest.SchemaSHA256))
	files["sonde/3/model.onnx"] = files["sonde/1/model.onnx"]
	files["sonde/4/model.onnx"] = &fstest.MapFile{Data: []byte("not a model")}
	files["plain/1/model.onnx"] = files["sonde/1/model.onnx"]
	w := &world{t: t, direct: &direct{free: make(chan struct{})}, rows: map[route.Outcome]int{}}
	w.models = model.New(model.Options{
		Folders: []model.Folder{{FS: files, Origin: "test"}}, Opener: &modeltest.Fake{}, Workers: 1,
		Contract: model.Contract{SchemaSHA256: modeltest.SchemaSHA256},
	}, testenv.Log(t))
	if err := w.models.Load(t.Context(), "plain", serving.VersionPolicy{}); err != nil {
		t.Fatal(err)
	}
	w.Router = route.New(route.Options{Models: w.models, Predictor: w.direct, Model: "plain", Log: testenv.Log(t), Compared: func(o route.Outcome, n int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.rows[o] += n
	}})
	t.Cleanup(func() {
		if err := w.models.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) apply(p route.Plan) {
	w.t.Helper()
	if warning, err := w.Apply(w.t.Context(), p); err != nil || warning != "" {
		w.t.Fatal(warning, err)
	}
}

// ask runs rows as the services do, and tells which version answered.
func (w *world) ask(rows int, seed uint64) string {
	w.t.Helper()
	lease, err := w.Acquire("", "")
	if err != nil {
		w.t.Fatal(err)
	}
	in := modeltest.Rows(lease.Info(), rows, seed)
	lease = w.Route(lease, in)
	defer lease.Release()
	if err := w.Predict(w.t.Context(), lease, in, serving.NewOutputs(lease.Info(), rows), serving.CallOptions{}); err != nil {
		w.t.Fatal(err)
	}
	return lease.Info().Name + "/" + lease.Info().VersionString()
}

func (w *world) counted(o route.Outcome) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rows[o]
}

func (w *world) loaded() string {
	var all []string
	for _, lease := range w.models.Loaded() {
		all = append(all, lease.Info().Name+"/"+lease.Info().VersionString())
		lease.Release()
	}
	return strings.Join(all, " ")
}

func TestPlansReplaceEachOther(t *testing.T) {
	w := newWorld(t)
	if got := w.ask(1, 1); got != "plain/1" {
		t.Errorf("without a plan %s answers", got)
	}
	for _, step := range []struct {
		plan            route.Plan
		answers, loaded string
	}{
		{route.Plan{Model: "sonde", Version: "1"}, "sonde/1", "plain/1 sonde/1"},
		{route.Plan{Model: "sonde", Version: "2"}, "sonde/2", "plain/1 sonde/2"},
		{route.Plan{Model: "sonde", Version: "2", Shadow: "1"}, "sonde/2", "plain/1 sonde/1 sonde/2"},
		{route.Plan{Model: "sonde", Version: "1", Canary: "3", Percent: 100}, "sonde/3", "plain/1 sonde/1 sonde/3"},
		{route.Plan{Model: "sonde", Version: "1", Canary: "3"}, "sonde/1", "plain/1 sonde/1 sonde/3"},
		{route.Plan{}, "plain/1", "plain/1 sonde/1 sonde/3"},
	} {
		w.apply(step.plan)
		if got := w.ask(1, 1); got != step.answers || w.loaded() != step.loaded {
			t.Errorf("%+v: %s answers, loaded are %s", step.plan, got, w.loaded())
		}
	}
	if warning, err := w.Apply(t.Context(), route.Plan{Percent: 5}); err != nil || !strings.Contains(warning, "canary_percent") {
		t.Errorf("a share for nobody: %q, %v", warning, err)
	}
}

func TestAPlanThatCannotBeServedChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.apply(route.Plan{Model: "sonde", Version: "1", Shadow: "3"})
	before, loaded := w.Plan(), w.loaded()
	for field, p := range map[string]route.Plan{
		config.FieldModel:         {Model: "nothing"},
		config.FieldModelVersion:  {Model: "sonde", Version: "4", Shadow: "2"},
		config.FieldShadowVersion: {Model: "sonde", Version: "2", Shadow: "4"},
		config.FieldCanaryVersion: {Model: "sonde", Version: "2", Shadow: "3", Canary: "5", Percent: 1},
	} {
		_, err := w.Apply(t.Context(), p)
		if config.FieldOf(err) != field || w.Plan() != before || w.loaded() != loaded {
			t.Errorf("%+v: %v; plan %+v, loaded %s", p, err, w.Plan(), w.loaded())
		}
	}
	if got := w.ask(1, 1); got != "sonde/1" {
		t.Errorf("%s answers", got)
	}
	if err := errors.Join(w.Load(t.Context(), "sonde", serving.VersionPolicy{}), w.Unload("sonde")); !errors.Is(err, serving.ErrRefused) {
		t.Errorf("what the plan names was changed by others: %v", err)
	}
	if err := w.Unload("plain"); err != nil {
		t.Errorf("what it does not name: %v", err)
	}
}

func TestRequestsNeverMissAVersionThatLeaves(t *testing.T) {
	w := newWorld(t)
	w.apply(route.Plan{Model: "sonde", Version: "1"})
	stop, asked := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				asked <- n
				return
			default:
				w.ask(1, uint64(n))
				n++
			}
		}
	}()
	for n := range 60 {
		w.apply(route.Plan{Model: "sonde", Version: string("12"[n%2]), Canary: "3", Percent: 50})
	}
	close(stop)
	if <-asked == 0 {
		t.Error("nothing was asked")
	}
}

func TestTheShadowDropsWhatItHasNoTimeFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.apply(route.Plan{Model: "sonde", Version: "1", Shadow: "2"})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		w.direct.hold = "2"
		const rows, requests = 1000, 10
		for seed := range uint64(requests) {
			w.ask(rows, seed) // nobody waits
		}
		synctest.Wait()
		if kept, dropped := 8, w.counted(route.Dropped); dropped != (requests-kept)*rows {
			t.Errorf("dropped %d rows", dropped)
		}
		close(w.direct.free)
		synctest.Wait()
		if agree, differ := w.counted(route.Agree), w.counted(route.Differ); agree+differ != 8*rows || differ == 0 || agree == 0 {
			t.Errorf("%d agree, %d differ", agree, differ)
		}
		w.ask(rows, 99) // there is room again
		synctest.Wait()
		if n := w.counted(route.Agree) + w.counted(route.Differ); n != 9*rows {
			t.Errorf("compared %d rows", n)
		}
		w.direct.mu.Lock()
		w.direct.err = errors.New("it breaks")
		w.direct.mu.Unlock()
		w.ask(rows, 100)
		synctest.Wait()
		if n := w.counted(route.Failed); n != rows {
			t.Errorf("failed %d rows", n)
		}
		w.direct.mu.Lock()
		w.direct.hold = ""
		w.direct.mu.Unlock()
		before := w.counted(route.Agree)
		w.apply(route.Plan{Model: "sonde", Version: "1", Shadow: "3"})
		w.ask(rows, 101)
		synctest.Wait()
		if n := w.counted(route.Agree) - before; n != rows {
			t.Errorf("of an equal version %d rows agree", n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestTheCanarysShareIsItsShare(t *testing.T) {
	w := newWorld(t)
	for _, percent := range []uint32{0, 1, 10, 50, 99, 100} {
		w.apply(route.Plan{Model: "sonde", Version: "1", Canary: "2", Percent: percent})
		const requests = 1500
		canary := 0
		for seed := range uint64(requests) {
			if w.ask(1, seed) == "sonde/2" {
				canary++
			}
		}
		want := requests * int(percent) / 100
		if slack := 45; canary < want-slack || canary > want+slack || percent == 0 && canary != 0 || percent == 100 && canary != requests {
			t.Errorf("%d %%: %d of %d", percent, canary, requests)
		}
	}
}

func BenchmarkAcquireAndRoute(b *testing.B) {
	w := &world{}
	files := modeltest.Trained(b, "sonde", modeltest.SchemaSHA256)
	w.models = model.New(model.Options{
		Folders: []model.Folder{{FS: files, Origin: "test"}}, Opener: &modeltest.Fake{}, Workers: 1,
		Contract: model.Contract{SchemaSHA256: modeltest.SchemaSHA256},
	}, testenv.Log(b))
	w.Router = route.New(route.Options{Models: w.models, Model: "sonde", Log: testenv.Log(b)})
	if _, err := w.Apply(b.Context(), route.Plan{Version: "1", Canary: "2", Percent: 50}); err != nil {
		b.Fatal(err)
	}
	lease, err := w.Acquire("", "")
	if err != nil {
		b.Fatal(err)
	}
	in := modeltest.Rows(lease.Info(), 64, 1)
	lease.Release()
	b.ReportAllocs()
	for b.Loop() {
		lease, err := w.Acquire("", "")
		if err != nil {
			b.Fatal(err)
		}
		w.Route(lease, in).Release()
	}
}
