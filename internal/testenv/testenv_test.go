package testenv_test

import (
	"strings"
	"testing"

	"sonde.example/internal/testenv"
)

// recorder is a test that only notes how it would end.
type recorder struct {
	testing.TB
	skipped, failed string
}

type ended struct{}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, _ ...any) {
	r.skipped = format
	panic(ended{})
}

func (r *recorder) Fatalf(format string, _ ...any) {
	r.failed = format
	panic(ended{})
}

// record runs f and swallows the end that a real test would have had.
func record(t *testing.T, f func(testing.TB)) *recorder {
	t.Helper()
	r := &recorder{TB: t}
	func() {
		defer func() {
			if got := recover(); got != nil && got != any(ended{}) {
				panic(got)
			}
		}()
		f(r)
	}()
	return r
}

func TestServiceNeverSkipsWhatIsRequired(t *testing.T) {
	for _, test := range []struct {
		name, url, require  string
		want                string
		wantSkip, wantFatal bool
	}{
		{name: "there", url: "redis://127.0.0.1:1", require: "redis", want: "redis://127.0.0.1:1"},
		{name: "not there", wantSkip: true},
		{name: "another is required", require: "mysql,rabbitmq", wantSkip: true},
		{name: "required", require: "mysql,redis", wantFatal: true},
		{name: "all required", require: "all", wantFatal: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("SONDE_TEST_REDIS", test.url)
			t.Setenv("SONDE_TEST_REQUIRE", test.require)
			got := ""
			r := record(t, func(tb testing.TB) { got = testenv.Service(tb, "redis") })
			if got != test.want || (r.skipped != "") != test.wantSkip || (r.failed != "") != test.wantFatal {
				t.Errorf("got %q, skipped %q, failed %q", got, r.skipped, r.failed)
			}
		})
	}
}

func TestCorpusIsAFolderOrNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("SONDE_TEST_CORPUS", dir)
	if got := testenv.Corpus(t); got != dir {
		t.Errorf("got %q", got)
	}
	t.Setenv("SONDE_TEST_CORPUS", "")
	if got := testenv.Corpus(t); got != "" {
		t.Errorf("got %q", got)
	}
	t.Setenv("SONDE_TEST_CORPUS", dir+"/missing")
	if r := record(t, func(tb testing.TB) { testenv.Corpus(tb) }); !strings.Contains(r.failed, "is not a folder") {
		t.Errorf("failed with %q", r.failed)
	}
}
