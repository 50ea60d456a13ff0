package uplink_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sonde.example/agent/spool"
	"sonde.example/agent/uplink"
	"sonde.example/agent/uplink/uplinktest"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/retry"
	"sonde.example/internal/testenv"
)

const (
	oldAddress = "old.test:1"
	newAddress = "new.test:1"
)

// move is an uplink with two collectors.
type move struct {
	*rig
	other *uplinktest.Collector
	run   func() (client *uplink.Client, stop func())
}

func newMove(t *testing.T) *move {
	certificates := testenv.Certificates(t)
	m := &move{rig: &rig{t: t, collector: uplinktest.New()}, other: uplinktest.New()}
	m.spool = spool.NewMemory(spool.Options{Epoch: epoch, Lanes: 1, Bytes: 8 << 20})
	toOld, stopOld := m.collector.Serve(t, testenv.Source(t, certificates.Service))
	toNew, _ := m.other.Serve(t, testenv.Source(t, certificates.Service))
	m.stop = stopOld
	m.options = uplink.Options{
		Epoch: epoch, Source: lane{m.spool}, Addresses: []string{oldAddress}, ServerName: "localhost",
		Certificates: testenv.Source(t, certificates.Agent), Log: testenv.Log(t),
		Hello: func() *ingestv1.Hello { return &ingestv1.Hello{} },
		Retry: retry.Policy{Initial: time.Minute, Max: time.Minute},
		Dialer: func(ctx context.Context, address string) (net.Conn, error) {
			switch address {
			case oldAddress:
				return toOld(ctx, address)
			case newAddress:
				return toNew(ctx, address)
			}
			return nil, errors.New("nobody there")
		},
	}
	m.run = func() (*uplink.Client, func()) {
		client := uplink.New(m.options)
		ctx, cancel := context.WithCancel(t.Context())
		work, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- client.Run(ctx, work) }()
		return client, func() {
			cancel()
			end()
			if err := <-ended; err != nil && !errors.Is(err, uplink.ErrDrain) {
				t.Error(err)
			}
		}
	}
	return m
}

func received(n uint64) func(uplinktest.Lane) bool {
	return func(l uplinktest.Lane) bool { return l.Received >= n }
}

func count(t *testing.T, l uplinktest.Lane, from, to uint64) {
	t.Helper()
	if uint64(len(l.Batches)) != to-from+1 || l.Batches[0].GetSequence() != from || l.Batches[len(l.Batches)-1].GetSequence() != to {
		var got []uint64
		for _, b := range l.Batches {
			got = append(got, b.GetSequence())
		}
		t.Errorf("got %v, want %d to %d", got, from, to)
	}
}

func TestRedirectSendsNothingTwice(t *testing.T) {
	m := newMove(t)
	m.collector.Keep = 3 // acknowledged, and not yet durable
	client, stop := m.run()
	m.append(10, 100)
	m.collector.Lane(t, epoch, 0, received(10))
	client.Redirect([]string{newAddress})
	m.append(5, 100)
	m.collector.SetDurable()
	l := m.other.Lane(t, epoch, 0, received(15))
	// A batch that the stream was just taking when it was told to leave goes with it.
	left := l.Hellos[0].GetLastDurableSequence()
	if packets := l.Hellos[0].GetDurablePackets(); left < 10 || packets != 10*left {
		t.Errorf("the other collector is told of %d packets, durable up to %d", packets, left)
	}
	count(t, l, left+1, 15)
	count(t, m.collector.Lane(t, epoch, 0, received(left)), 1, left)
	stop()
}

func TestRedirectLeavesACollectorThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMove(t)
		m.options.Addresses = []string{"away.test:1"}
		client, stop := m.run()
		m.append(5, 100)
		synctest.Wait() // it has failed once, and waits for a minute
		began := time.Now()
		client.Redirect([]string{newAddress})
		count(t, m.other.Lane(t, epoch, 0, received(5)), 1, 5)
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %s", took)
		}
		stop()
	})
}

func TestRedirectDoesNotWaitForACollectorThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMove(t)
		m.collector.Keep = 100 // never durable
		client, stop := m.run()
		m.append(5, 100)
		m.collector.Lane(t, epoch, 0, received(5))
		client.Redirect([]string{newAddress})
		began := time.Now()
		count(t, m.other.Lane(t, epoch, 0, received(5)), 1, 5)
		if took := time.Since(began); took < 20*time.Second || took > 25*time.Second {
			t.Errorf("took %s", took)
		}
		stop()
	})
}

func TestRedirectBackGoesOnWhereTheFirstOneIs(t *testing.T) {
	m := newMove(t)
	client, stop := m.run()
	m.append(3, 100)
	m.collector.Lane(t, epoch, 0, received(3))
	client.Redirect([]string{newAddress})
	m.append(3, 100)
	m.other.Lane(t, epoch, 0, received(6))
	client.Redirect([]string{oldAddress})
	m.append(3, 100)
	l := m.collector.Lane(t, epoch, 0, received(9))
	// A batch that the stream was just taking when it was told to leave goes with it.
	if hello := l.Hellos[len(l.Hellos)-1]; hello.GetLastDurableSequence() < 6 || hello.GetDurablePackets() != 10*hello.GetLastDurableSequence() {
		t.Errorf("told of %d packets, durable up to %d", hello.GetDurablePackets(), hello.GetLastDurableSequence())
	}
	stop()
}

func TestProbe(t *testing.T) {
	m := newMove(t)
	o := uplink.ProbeOptions{Certificates: m.options.Certificates, ServerName: "localhost", Dialer: m.options.Dialer}
	if err := uplink.Probe(t.Context(), o, newAddress); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*uplink.ProbeOptions) string{
		"nobody":       func(*uplink.ProbeOptions) string { return "away.test:1" },
		"another name": func(o *uplink.ProbeOptions) string { o.ServerName = "other.test"; return newAddress },
	} {
		o := o
		address := change(&o)
		if err := uplink.Probe(t.Context(), o, address); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	o.Dialer = func(ctx context.Context, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	if err := uplink.Probe(ended, o, newAddress); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestRefreshBringsANewHello(t *testing.T) {
	m := newMove(t)
	m.options.Retry = retry.Policy{Initial: time.Millisecond, Max: time.Millisecond}
	var revision atomic.Uint64
	m.options.Hello = func() *ingestv1.Hello { return &ingestv1.Hello{ConfigRevision: revision.Load()} }
	m.collector.Keep = 3 // acknowledged, and not yet durable
	client, stop := m.run()
	m.append(10, 100)
	m.collector.Lane(t, epoch, 0, received(10))
	for n := uint64(1); n <= 3; n++ {
		revision.Store(n)
		client.Refresh()
		m.collector.Lane(t, epoch, 0, func(l uplinktest.Lane) bool { return l.Hellos[len(l.Hellos)-1].GetConfigRevision() == n })
		m.append(5, 100)
	}
	l := m.collector.Lane(t, epoch, 0, received(25))
	count(t, l, 1, 25) // none twice
	if len(l.Hellos) != 4 {
		t.Errorf("%d streams, want 4", len(l.Hellos))
	}
	stop()
}
