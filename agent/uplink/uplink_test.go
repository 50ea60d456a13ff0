package uplink_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"

	"sonde.example/agent/spool"
	"sonde.example/agent/uplink"
	"sonde.example/agent/uplink/uplinktest"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/mtls"
	"sonde.example/internal/retry"
	"sonde.example/internal/testenv"
)

const epoch = 0xabcdef

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lane is a spool's lane 0 as the uplink wants it.
type lane struct{ spool.Spool }

func (l lane) Next(ctx context.Context, after uint64) (uplink.Batch, bool, error) {
	e, ok, err := l.Spool.Next(ctx, 0, after)
	return uplink.Batch{Sequence: e.Sequence, Skipped: e.Skipped, Payload: e.Payload, Losses: uplink.Losses(e.Losses), Release: e.Release}, ok, err
}

func (l lane) Mark(ctx context.Context, received, durable uint64) error {
	return l.Spool.Mark(ctx, 0, received, durable)
}
func (l lane) Reject(ctx context.Context, sequence uint64) error {
	return l.Spool.Reject(ctx, 0, sequence)
}

func (l lane) Marks() uplink.Marks {
	s := l.State().Lanes[0]
	return uplink.Marks{
		First: s.First, Last: s.Last, Received: s.Received, Durable: s.Durable, DurablePackets: s.DurablePackets,
	}
}

// payload is an encoded batch of the given size, roughly, that says which it is.
func payload(n, size int) []byte {
	to := protowire.AppendTag(nil, 17, protowire.VarintType) // config_revision
	to = protowire.AppendVarint(to, uint64(n))
	to = protowire.AppendTag(to, 100, protowire.BytesType) // data
	return protowire.AppendBytes(to, bytes.Repeat([]byte{byte(n)}, size))
}

// rig is an uplink with a spool on one side and a collector on the other.
type rig struct {
	t         testing.TB
	spool     *spool.Memory
	collector *uplinktest.Collector
	options   uplink.Options
	stop      func() // the collector
}

func newRig(t testing.TB, collector *uplinktest.Collector) *rig {
	t.Helper()
	certificates := testenv.Certificates(t)
	r := &rig{t: t, collector: collector, spool: spool.NewMemory(spool.Options{Epoch: epoch, Lanes: 1, Bytes: 8 << 20})}
	var dial func(context.Context, string) (net.Conn, error)
	dial, r.stop = collector.Serve(t, testenv.Source(t, certificates.Service))
	r.options = uplink.Options{
		Epoch: epoch, Source: lane{r.spool}, Addresses: []string{"one.test:1", "two.test:1"}, ServerName: "localhost",
		Certificates: testenv.Source(t, certificates.Agent), Log: testenv.Log(t), Dialer: dial,
		Hello: func() *ingestv1.Hello { return &ingestv1.Hello{Version: "test"} },
		Retry: retry.Policy{Initial: time.Millisecond, Max: 10 * time.Millisecond},
	}
	return r
}

// append gives so many batches of a size to the spool.
func (r *rig) append(n, size int) {
	r.t.Helper()
	for range n {
		at := int(r.spool.State().Lanes[0].Last) + 1
		text := payload(at, size)
		if _, err := r.spool.Append(r.t.Context(), 0, 10, text[:1], text[1:]); err != nil {
			r.t.Fatal(err)
		}
	}
}

// drain runs the uplink until all is taken.
func (r *rig) drain() error {
	ctx, cancel := context.WithCancel(r.t.Context())
	cancel()
	return uplink.New(r.options).Run(ctx, r.t.Context())
}

// check looks at what the collector has: every sequence up to the last once, or known as gap or rejected.
func (r *rig) check(last uint64, gaps, rejected []uint64) uplinktest.Lane {
	r.t.Helper()
	l := r.collector.Lane(r.t, epoch, 0, func(uplinktest.Lane) bool { return true })
	var want, got []uint64
	for sequence := uint64(1); sequence <= last; sequence++ {
		if !slices.Contains(gaps, sequence) && !slices.Contains(rejected, sequence) {
			want = append(want, sequence)
		}
	}
	for _, b := range l.Batches {
		got = append(got, b.GetSequence())
		if b.GetConfigRevision() != b.GetSequence() || len(b.GetData()) > 0 && b.GetData()[0] != byte(b.GetSequence()) {
			r.t.Errorf("sequence %d carries batch %d", b.GetSequence(), b.GetConfigRevision())
		}
	}
	if !slices.Equal(got, want) || !slices.Equal(l.Gaps, gaps) || !slices.Equal(l.Rejected, rejected) {
		r.t.Errorf("applied %v, want %v; gaps %v, want %v; rejected %v, want %v", got, want, l.Gaps, gaps, l.Rejected, rejected)
	}
	return l
}

func TestUplinkSendsEverythingInOrder(t *testing.T) {
	for _, size := range []int{0, 10, 2000, 300 << 10} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			r := newRig(t, uplinktest.New())
			r.append(20, size)
			if err := r.drain(); err != nil {
				t.Fatal(err)
			}
			l := r.check(20, nil, nil)
			if h := l.Hellos[0]; h.GetVersion() != "test" || h.GetFirstAvailableSequence() != 1 || len(l.Wrong) > 0 {
				t.Errorf("hello %v, wrong %q", h, l.Wrong)
			}
		})
	}
}

// TestUplinkSurvivesTheEndOfItsStream ends the stream at each message, before or after the batch is applied.
func TestUplinkSurvivesTheEndOfItsStream(t *testing.T) {
	const batches = 6
	for at := uint64(1); at <= batches; at++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("at %d, applied %t", at, after), func(t *testing.T) {
				collector := uplinktest.New()
				var once sync.Once
				collector.OnBatch = func(b *ingestv1.Batch) (v uplinktest.Verdict) {
					if b.GetSequence() == at {
						once.Do(func() { v = uplinktest.Verdict{Kill: true, After: after} })
					}
					return v
				}
				collector.Keep = 2
				r := newRig(t, collector)
				r.append(batches, 5000)
				if err := r.drain(); err != nil {
					t.Fatal(err)
				}
				r.check(batches, nil, nil)
			})
		}
	}
}

func TestUplinkGoesBackWhenABatchIsRejectedForNow(t *testing.T) {
	for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
		collector := uplinktest.New()
		rejections := 0
		collector.OnBatch = func(b *ingestv1.Batch) (v uplinktest.Verdict) {
			if b.GetSequence()%3 == 0 && rejections < 7 {
				rejections++
				v.Reject = &ingestv1.Rejection{Reason: ingestv1.RejectionReason_REJECTION_REASON_FULL, RetryDelay: durationpb.New(delay)}
			}
			return v
		}
		r := newRig(t, collector)
		r.append(12, 5000)
		if err := r.drain(); err != nil {
			t.Fatal(err)
		}
		if l := r.check(12, nil, nil); rejections != 7 || len(l.Wrong) > 0 || len(l.Hellos) != 1 {
			t.Errorf("%d rejections, wrong %q, %d streams", rejections, l.Wrong, len(l.Hellos))
		}
	}
}

func TestUplinkCountsWhatIsRejectedForGood(t *testing.T) {
	collector := uplinktest.New()
	collector.OnBatch = func(b *ingestv1.Batch) (v uplinktest.Verdict) {
		if b.GetSequence() == 4 || b.GetSequence() == 12 {
			v.Reject = &ingestv1.Rejection{Reason: ingestv1.RejectionReason_REJECTION_REASON_MALFORMED, Detail: "a test"}
		}
		return v
	}
	r := newRig(t, collector)
	r.append(12, 5000)
	if err := r.drain(); err != nil {
		t.Fatal(err)
	}
	r.append(1, 10)
	if err := r.drain(); err != nil {
		t.Fatal(err)
	}
	l := r.check(13, nil, []uint64{4, 12})
	if got := r.spool.State().Lanes[0]; got.Rejected != 20 || got.PendingPackets != 0 {
		t.Errorf("lane %+v", got)
	}
	if got := l.Batches[len(l.Batches)-1].GetSpool().GetRejected(); got != 20 {
		t.Errorf("last batch tells of %d rejected packets, want 20", got)
	}
}

func TestUplinkTellsWhatTheSpoolDropped(t *testing.T) {
	r := newRig(t, uplinktest.New())
	r.spool = spool.NewMemory(spool.Options{Epoch: epoch, Lanes: 1, Bytes: 4 * 6000})
	r.options.Source = lane{r.spool}
	r.append(10, 5000)
	if err := r.drain(); err != nil {
		t.Fatal(err)
	}
	l := r.check(10, []uint64{1, 2, 3, 4, 5, 6}, nil)
	// Hello says that 7 is the first one there is; so nothing was skipped, and the collector books the gap itself.
	if got := l.Hellos[0].GetFirstAvailableSequence(); got != 7 || l.Batches[0].GetSpool().GetDropped() != 60 {
		t.Errorf("first available %d, %v", got, l.Batches[0].GetSpool())
	}
}

func TestUplinkKeepsToTheWindow(t *testing.T) {
	collector := uplinktest.New()
	collector.SetWindow(0)
	r := newRig(t, collector)
	r.append(8, 5000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- uplink.New(r.options).Run(ctx, t.Context()) }()
	l := collector.Lane(t, epoch, 0, func(l uplinktest.Lane) bool { return len(l.Hellos) == 1 })
	if len(l.Batches) > 0 {
		t.Errorf("%d batches through a window of 0", len(l.Batches))
	}
	collector.SetWindow(1) // one always fits
	collector.Lane(t, epoch, 0, func(l uplinktest.Lane) bool { return len(l.Batches) == 8 })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.check(8, nil, nil)
}

func TestUplinkPassesDirectivesOn(t *testing.T) {
	collector := uplinktest.New()
	collector.OnBatch = func(*ingestv1.Batch) uplinktest.Verdict { return uplinktest.Verdict{Enough: []uint64{5, 6}} }
	r := newRig(t, collector)
	got := make(chan []uint64, 1)
	r.options.OnEnough = func(numbers []uint64) { got <- numbers }
	r.append(1, 10)
	if err := r.drain(); err != nil {
		t.Fatal(err)
	}
	if numbers := <-got; !slices.Equal(numbers, []uint64{5, 6}) {
		t.Errorf("got %v", numbers)
	}
}

func TestUplinkComesAgainAfterADrain(t *testing.T) {
	collector := uplinktest.New()
	collector.OnBatch = func(b *ingestv1.Batch) uplinktest.Verdict { return uplinktest.Verdict{Drain: b.GetSequence()%4 == 0} }
	collector.SetWindow(1) // so that it asks before the last batch is under way
	r := newRig(t, collector)
	r.append(10, 100)
	if err := r.drain(); err != nil {
		t.Fatal(err)
	}
	if l := r.check(10, nil, nil); len(l.Hellos) < 2 || len(l.Wrong) > 0 {
		t.Errorf("%d streams, wrong %q", len(l.Hellos), l.Wrong)
	}
}

func TestUplinkWaitsUntilEverythingIsDurableWhenAskedTo(t *testing.T) {
	collector := uplinktest.New()
	collector.Keep = 3
	r := newRig(t, collector)
	r.options.WaitDurable = true
	r.append(5, 100)
	done := make(chan error, 1)
	go func() { done <- r.drain() }()
	collector.Lane(t, epoch, 0, func(l uplinktest.Lane) bool { return l.Received == 5 && l.Durable == 2 })
	select {
	case err := <-done:
		t.Fatalf("did not wait: %v", err)
	default:
	}
	collector.SetDurable()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := r.spool.State().Lanes[0]; got.Durable != 5 || got.First != 6 {
		t.Errorf("lane %+v", got)
	}
}

func TestUplinkRefusesAnEpochThatWasUsedBefore(t *testing.T) {
	r := newRig(t, uplinktest.New())
	r.append(3, 100)
	if err := r.drain(); err != nil {
		t.Fatal(err)
	}
	r.options.Source = lane{spool.NewMemory(spool.Options{Epoch: epoch, Lanes: 1})}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := uplink.New(r.options).Run(ctx, t.Context()); !errors.Is(err, uplink.ErrEpoch) {
		t.Errorf("got %v", err)
	}
}

func TestUplinkIsFencedByAnotherStreamOfItsLane(t *testing.T) {
	r := newRig(t, uplinktest.New())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	first := r.options
	var states []bool
	var mu sync.Mutex
	first.OnState = func(connected bool, _ string) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, connected)
	}
	first.Retry = retry.Policy{Initial: time.Hour, Max: time.Hour, Random: func() float64 { return 1 }}
	go func() { done <- uplink.New(first).Run(ctx, ctx) }()
	r.collector.Lane(t, epoch, 0, func(l uplinktest.Lane) bool { return len(l.Hellos) == 1 })
	r.append(4, 100)
	if err := r.drain(); err != nil {
		t.Fatal(err)
	}
	r.check(4, nil, nil)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("all was taken, by the other stream: %v", err)
	}
}

func TestUplinkTellsWhoDoesNotAcceptWhom(t *testing.T) {
	for _, test := range []struct {
		name        string
		certificate func(mtls.Development) mtls.Files
		server      string
		want        string
	}{
		{"wrong role", func(d mtls.Development) mtls.Files { return d.Viewer }, "localhost", "collector does not take this certificate for an agent's"},
		{"another authority", func(mtls.Development) mtls.Files { return testenv.Certificates(t).Agent }, "localhost", "stream to collector failed"},
		{"wrong name", func(d mtls.Development) mtls.Files { return d.Agent }, "elsewhere", "stream to collector failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			certificates := testenv.Certificates(t)
			dial, _ := uplinktest.New().Serve(t, testenv.Source(t, certificates.Service))
			told := make(chan string, 1)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			log := &logTap{told: told}
			o := uplink.Options{
				Source: lane{spool.NewMemory(spool.Options{Lanes: 1})}, Addresses: []string{"collector.test:7443"}, ServerName: test.server,
				Certificates: testenv.Source(t, test.certificate(certificates)), Log: log.logger(), Dialer: dial,
				Hello: func() *ingestv1.Hello { return &ingestv1.Hello{} },
				Retry: retry.Policy{Initial: time.Millisecond, Max: time.Millisecond},
			}
			done := make(chan error, 1)
			go func() { done <- uplink.New(o).Run(ctx, ctx) }()
			for range 2 { // it goes on trying
				if line := <-told; !strings.Contains(line, test.want) || !strings.Contains(line, "collector.test:7443") {
					t.Errorf("logged %q, want %q", line, test.want)
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Errorf("nothing was left to send: %v", err)
			}
		})
	}
}

func TestUplinkGivesUpADrainWhenWorkEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, uplinktest.New())
		r.stop()
		r.options.Retry = retry.Policy{}
		r.append(3, 100)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		work, end := context.WithTimeout(t.Context(), 30*time.Second)
		defer end()
		begin := time.Now()
		if err := uplink.New(r.options).Run(ctx, work); !errors.Is(err, uplink.ErrDrain) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestUplinkRotatesItsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, uplinktest.New())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- uplink.New(r.options).Run(ctx, t.Context()) }()
		for range 60 {
			r.append(5, 1000)
			time.Sleep(time.Minute)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		l := r.check(300, nil, nil)
		if n := len(l.Hellos); n < 5 || n > 9 || len(l.Wrong) > 0 {
			t.Errorf("%d streams in an hour, wrong %q", n, l.Wrong)
		}
		for i, h := range l.Hellos[1:] {
			if h.GetLastSentSequence() == 0 || h.GetFirstAvailableSequence() == 0 {
				t.Errorf("hello %d: %v", i+1, h)
			}
		}
		r.stop()
	})
}
