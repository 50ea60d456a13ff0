package model_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"sonde.example/inference/model"
	"sonde.example/inference/model/modeltest"
	"sonde.example/internal/serving"
)

func repository(t *testing.T, o model.Options) *model.Repository {
	t.Helper()
	if o.Opener == nil {
		o.Opener = &modeltest.Fake{}
	}
	if o.Folders == nil {
		o.Folders = []model.Folder{{FS: modeltest.Files(t), Origin: "/models"}}
	}
	o.Contract.SchemaSHA256, o.Workers = modeltest.SchemaSHA256, 2
	r := model.New(o, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func load(t *testing.T, r *model.Repository, name string, p serving.VersionPolicy) {
	t.Helper()
	if err := r.Load(t.Context(), name, p); err != nil {
		t.Fatal(err)
	}
}

func loaded(t *testing.T, r *model.Repository) []string {
	t.Helper()
	var all []string
	for _, l := range r.Loaded() {
		all = append(all, l.Info().Name+"/"+l.Info().VersionString())
		l.Release()
	}
	return all
}

func TestVersionPolicyChooses(t *testing.T) {
	for name, c := range map[string]struct {
		policy serving.VersionPolicy
		want   []string
	}{
		"highest":  {serving.VersionPolicy{}, []string{"good/2"}},
		"latest 2": {serving.VersionPolicy{Latest: 2}, []string{"good/1", "good/2"}},
		"latest 9": {serving.VersionPolicy{Latest: 9}, []string{"good/1", "good/2"}},
		"kept":     {serving.VersionPolicy{Specific: []int64{1}, Keep: true}, []string{"good/1"}},
		"all":      {serving.VersionPolicy{All: true}, []string{"good/1", "good/2"}},
		"specific": {serving.VersionPolicy{Specific: []int64{1, 1}}, []string{"good/1"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := repository(t, model.Options{})
			load(t, r, "good", c.policy)
			if diff := cmp.Diff(c.want, loaded(t, r)); diff != "" {
				t.Error(diff)
			}
		})
	}
	r := repository(t, model.Options{})
	if err := r.Load(t.Context(), "good", serving.VersionPolicy{Specific: []int64{3}}); !errors.Is(err, serving.ErrNotFound) {
		t.Errorf("version 3: got %v", err)
	}
	for _, name := range []string{"nothing", "", ".", "..", "../model", "good/1", "/"} {
		if err := r.Load(t.Context(), name, serving.VersionPolicy{}); !errors.Is(err, serving.ErrNotFound) {
			t.Errorf("model %q: got %v", name, err)
		}
	}
}

func TestAcquireNamesWhatIsNotThere(t *testing.T) {
	r := repository(t, model.Options{})
	load(t, r, "good", serving.VersionPolicy{All: true})
	for version, want := range map[string]string{"": "2", "1": "1", "2": "2"} {
		l, err := r.Acquire("good", version)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Info().VersionString(); got != want {
			t.Errorf("version %q gave %s", version, got)
		}
		l.Release()
	}
	for _, c := range [][2]string{{"bad", ""}, {"good", "3"}, {"good", "01"}, {"good", "-1"}, {"good", "x"}} {
		if _, err := r.Acquire(c[0], c[1]); !errors.Is(err, serving.ErrNotFound) || !strings.Contains(err.Error(), c[0]) {
			t.Errorf("%v: got %v", c, err)
		}
	}
}

func TestABadFileChangesNothing(t *testing.T) {
	for name, want := range map[string]string{
		"wrong-schema/1":      "trained for feature schema " + strings.Repeat("ab", 32) + ", this program computes " + modeltest.SchemaSHA256,
		"missing-output/1":    `output "energy" is missing`,
		"wrong-labels/1":      `output "probs" has 3 columns, but there are 2 labels`,
		"wrong-labels-open/1": `output "probs" has 3 columns, but there are 2 labels`,
		"external-data/1":     "external data is not supported",
		"not-onnx/1":          "not an ONNX model",
		"types/1":             "cannot take the place of a classifier",
	} {
		t.Run(name, func(t *testing.T) {
			folder := fstest.MapFS{"good/1/model.onnx": {Data: modeltest.File(t, "good/1")}}
			r := repository(t, model.Options{Folders: []model.Folder{{FS: folder, Origin: "/models"}}})
			load(t, r, "good", serving.VersionPolicy{})
			folder["good/2/model.onnx"] = &fstest.MapFile{Data: modeltest.File(t, name)}
			err := r.Load(t.Context(), "good", serving.VersionPolicy{})
			if !errors.Is(err, serving.ErrRefused) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/models/good/2/model.onnx") {
				t.Errorf("got %v, want %q", err, want)
			}
			if diff := cmp.Diff([]string{"good/1"}, loaded(t, r)); diff != "" {
				t.Error(diff)
			}
			index, err2 := r.Index()
			if err2 != nil {
				t.Fatal(err2)
			}
			wantIndex := []serving.Entry{
				{Name: "good", Version: "1", State: serving.Ready},
				{Name: "good", Version: "2", State: serving.Unavailable, Reason: err.Error()},
			}
			if diff := cmp.Diff(wantIndex, index); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWarmUpLooksAtTheAnswers(t *testing.T) {
	fake := &modeltest.Fake{}
	var rows []int
	fake.Before = func(_ *serving.Info, n int) error { rows = append(rows, n); return nil }
	r := repository(t, model.Options{Opener: fake})
	load(t, r, "good", serving.VersionPolicy{})
	if diff := cmp.Diff([]int{1, 16, 64, 128}, rows); diff != "" {
		t.Error(diff)
	}
	broken := errors.New("broken")
	fake.Before = func(*serving.Info, int) error { return broken }
	if err := r.Load(t.Context(), "good", serving.VersionPolicy{Specific: []int64{1}}); !errors.Is(err, broken) || !errors.Is(err, serving.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

func TestFilesWinOverBuiltIn(t *testing.T) {
	file := fstest.MapFS{"good/1/model.onnx": {Data: modeltest.File(t, "good/1")}}
	r := repository(t, model.Options{Folders: []model.Folder{{FS: file, Origin: "/models"}, {FS: modeltest.Files(t), Origin: "built in"}}})
	load(t, r, "good", serving.VersionPolicy{})
	l, err := r.Acquire("good", "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if got := l.Info().Origin; got != "/models/good/1/model.onnx" {
		t.Errorf("loaded %s", got)
	}
	names, err := r.Names()
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 10 || names[0] != "custom-operator" {
		t.Errorf("names are %v", names)
	}
}

func TestAnUnchangedFileIsNotLoadedAgain(t *testing.T) {
	fake, opened := &modeltest.Fake{}, 0
	r := repository(t, model.Options{Opener: counter{fake, &opened}})
	for range 3 {
		load(t, r, "good", serving.VersionPolicy{})
	}
	if opened != 1 {
		t.Errorf("opened %d times", opened)
	}
}

type counter struct {
	model.Opener
	n *int
}

func (c counter) Open(ctx context.Context, file []byte, info *serving.Info) (model.Model, error) {
	*c.n++
	return c.Opener.Open(ctx, file, info)
}

func TestALeaseOutlivesTheSwap(t *testing.T) {
	r := repository(t, model.Options{})
	load(t, r, "good", serving.VersionPolicy{Specific: []int64{1}})
	old, err := r.Acquire("good", "")
	if err != nil {
		t.Fatal(err)
	}
	load(t, r, "good", serving.VersionPolicy{Specific: []int64{2}})
	if _, err := r.Acquire("good", "1"); !errors.Is(err, serving.ErrNotFound) {
		t.Errorf("version 1: got %v", err)
	}
	in := modeltest.Rows(old.Info(), 3, 1)
	if err := old.Runner(0).Run(t.Context(), in, serving.NewOutputs(old.Info(), 3)); err != nil {
		t.Error(err)
	}
	closed := make(chan struct{})
	go func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		close(closed)
	}()
	for { // until Close has come
		l, err := r.Acquire("good", "2")
		if err != nil {
			break
		}
		l.Release()
		runtime.Gosched()
	}
	select {
	case <-closed:
		t.Error("closed under a lease")
	default:
	}
	old.Release()
	<-closed
	if err := r.Load(t.Context(), "good", serving.VersionPolicy{}); !errors.Is(err, serving.ErrClosed) {
		t.Errorf("after Close: got %v", err)
	}
}

func TestSwapUnderLoadLosesNothing(t *testing.T) {
	r := repository(t, model.Options{})
	load(t, r, "good", serving.VersionPolicy{})
	stop, runs := make(chan struct{}), atomic.Int64{}
	var wg sync.WaitGroup
	for worker := range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				l, err := r.Acquire("good", "")
				if err != nil {
					t.Error(err)
					return
				}
				if err := l.Runner(worker).Run(t.Context(), modeltest.Rows(l.Info(), 2, 1), serving.NewOutputs(l.Info(), 2)); err != nil {
					t.Error(err)
				}
				l.Release()
				runs.Add(1)
			}
		})
	}
	for n := range 20 {
		load(t, r, "good", serving.VersionPolicy{Specific: []int64{int64(1 + n%2)}})
	}
	close(stop)
	wg.Wait()
	if runs.Load() == 0 {
		t.Error("nothing ran")
	}
}

func TestUnload(t *testing.T) {
	r := repository(t, model.Options{})
	load(t, r, "good", serving.VersionPolicy{})
	if err := r.Unload("good"); err != nil {
		t.Fatal(err)
	}
	if err := r.Unload("good"); !errors.Is(err, serving.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if got := loaded(t, r); len(got) != 0 {
		t.Errorf("still loaded: %v", got)
	}
	load(t, r, "good", serving.VersionPolicy{})
}

func TestVersionsAreKeptUntilTheyAreNotRetained(t *testing.T) {
	r := repository(t, model.Options{})
	load(t, r, "good", serving.VersionPolicy{Specific: []int64{1}})
	load(t, r, "good", serving.VersionPolicy{Specific: []int64{2}, Keep: true})
	if diff := cmp.Diff([]string{"good/1", "good/2"}, loaded(t, r)); diff != "" {
		t.Error(diff)
	}
	r.Retain("good", 2, 7) // there is no 7
	if diff := cmp.Diff([]string{"good/2"}, loaded(t, r)); diff != "" {
		t.Error(diff)
	}
	r.Retain("nothing", 1)
	if versions, err := r.Versions("good"); err != nil || len(versions) != 2 {
		t.Errorf("got %v, %v", versions, err)
	}
	if versions, err := r.Versions("nothing"); err != nil || len(versions) != 0 {
		t.Errorf("got %v, %v", versions, err)
	}
}
