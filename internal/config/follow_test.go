package config_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	configv1 "sonde.example/gen/go/sonde/config/v1"

	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/testenv"
)

var errAway = errors.New("the store is away")

// store is one that can be away, and tells what was written.
type store struct {
	mu      sync.Mutex
	entries map[string]confstore.Entry
	stamp   uint64
	changed chan struct{}
	away    bool
	puts    []string // "state wanted running"
	closed  bool
}

func newStore() *store {
	return &store{entries: map[string]confstore.Entry{}, changed: make(chan struct{})}
}

func (s *store) set(key string, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stamp++
	s.entries[key] = confstore.Entry{Key: key, Value: value, Stamp: s.stamp}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *store) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *store) state() error {
	switch {
	case s.closed:
		return confstore.ErrClosed
	case s.away:
		return errAway
	}
	return nil
}

func (s *store) Get(_ context.Context, key string) (confstore.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.state(); err != nil {
		return confstore.Entry{}, err
	}
	e := s.entries[key]
	if e.Value == nil {
		return confstore.Entry{}, confstore.ErrNotFound
	}
	return e, nil
}

func (s *store) Next(ctx context.Context, key string, after uint64) (confstore.Entry, error) {
	for {
		s.mu.Lock()
		e, changed, err := s.entries[key], s.changed, s.state()
		s.mu.Unlock()
		if err != nil {
			return confstore.Entry{}, err
		}
		if e.Stamp > after && (after > 0 || e.Value != nil) {
			return e, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return confstore.Entry{}, ctx.Err()
		}
	}
}

func (s *store) Put(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	err := s.state()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	status, _, err := config.DecodeStatus(value)
	if err != nil {
		return err
	}
	s.set(key, value)
	s.mu.Lock()
	defer s.mu.Unlock()
	state := strings.TrimPrefix(status.GetState().String(), "CONFIG_STATE_")
	s.puts = append(s.puts, fmt.Sprintf("%s %d %d", state, status.GetWantedRevision(), status.GetRunningRevision()))
	return nil
}

func (s *store) Close() error { s.setAway(true); return nil }

func (s *store) status(t testing.TB, key string) *configv1.ConfigStatus {
	t.Helper()
	e, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return must3(t)(config.DecodeStatus(e.Value))
}

func must3(t testing.TB) func(*configv1.ConfigStatus, string, error) *configv1.ConfigStatus {
	return func(s *configv1.ConfigStatus, _ string, err error) *configv1.ConfigStatus {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// daemon is one that obeys, and takes down what it was told.
type daemon struct {
	t        *testing.T
	store    *store
	keys     config.Keys
	folder   string
	follower *config.AgentFollower
	bootID   string

	mu      sync.Mutex
	applied []uint64
	deleted int
	answer  func(p *configv1.PublishedAgentConfig) (string, error)
	stop    func()
}

func newDaemon(t *testing.T, s *store, folder string) *daemon {
	t.Helper()
	keys, err := config.NewKeys(config.DefaultRoot)
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, store: s, keys: keys, folder: folder, bootID: config.NewBootID()}
	d.follower, err = config.NewAgentFollower(config.FollowerOptions[*configv1.PublishedAgentConfig]{
		Store: s, Keys: keys, Role: config.RoleAgent, Name: "a1", Cache: folder, BootID: d.bootID, Version: "1.2.3", Log: testenv.Log(t),
		Apply: func(_ context.Context, p *configv1.PublishedAgentConfig) (string, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.answer != nil {
				if warning, err := d.answer(p); err != nil || warning != "" {
					return warning, err
				}
			}
			d.applied = append(d.applied, p.GetRevision())
			return "", nil
		},
		Deleted: func(context.Context) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.deleted++
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// start boots and runs until stop, or the end of the test.
func (d *daemon) start() {
	ctx, cancel := context.WithCancel(d.t.Context())
	d.follower.Boot(ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.follower.Run(ctx) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			d.t.Error(err)
		}
	})
	d.t.Cleanup(d.stop)
	synctest.Wait()
}

func (d *daemon) configKey() string { return d.keys.Config(config.RoleAgent, "a1") }
func (d *daemon) statusKey() string { return d.keys.Status(config.RoleAgent, "a1") }

// publish makes a configuration whose filter tells the revisions apart.
func (d *daemon) publish(revision uint64, filter string) {
	d.t.Helper()
	d.store.set(d.configKey(), d.encoded(revision, filter))
}

func (d *daemon) encoded(revision uint64, filter string) []byte {
	d.t.Helper()
	p := publishedAgent(revision, &configv1.AgentConfig{Filter: filter})
	p.CommitTime = timestamppb.New(time.Now().Add(-40 * time.Millisecond))
	return must[[]byte](d.t)(config.EncodeAgent(p))
}

func (d *daemon) want(applied ...uint64) {
	d.t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.applied, applied) {
		d.t.Errorf("applied %d, want %d", d.applied, applied)
	}
}

func (d *daemon) wantDeleted(times int) {
	d.t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.deleted != times {
		d.t.Errorf("deleted %d times, want %d", d.deleted, times)
	}
}

// wantStatus compares what the store has: state, wanted, running and a part of error and warning.
func (d *daemon) wantStatus(state configv1.ConfigState, wanted, running uint64, text string) *configv1.ConfigStatus {
	d.t.Helper()
	synctest.Wait()
	s := d.store.status(d.t, d.statusKey())
	if s.GetState() != state || s.GetWantedRevision() != wanted || s.GetRunningRevision() != running ||
		!strings.Contains(s.GetError()+s.GetWarning(), text) || (text == "") != (s.GetError()+s.GetWarning() == "") {
		d.t.Errorf("status is %v, want %v %d %d %q", s, state, wanted, running, text)
	}
	return s
}

const (
	applying = configv1.ConfigState_CONFIG_STATE_APPLYING
	applied  = configv1.ConfigState_CONFIG_STATE_APPLIED
	failed   = configv1.ConfigState_CONFIG_STATE_FAILED
)

func TestAConfigurationIsAppliedAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, newStore(), t.TempDir())
		d.start()
		if _, err := d.store.Get(t.Context(), d.statusKey()); !errors.Is(err, confstore.ErrNotFound) {
			t.Errorf("a status without a configuration: %v", err)
		}
		d.publish(1, "tcp")
		d.want(1)
		s := d.wantStatus(applied, 1, 1, "")
		if s.GetLatency().AsDuration() != 40*time.Millisecond || s.GetBootId() != d.bootID || s.GetVersion() != "1.2.3" ||
			s.GetRole() != "agent" || s.GetRunningHash() == "" || s.GetFromCache() || s.GetStatusTime() == nil {
			t.Errorf("status is %v", s)
		}
		d.publish(2, "udp")
		d.want(1, 2)
		d.store.set(d.configKey(), d.encoded(2, "udp")) // the same again
		d.want(1, 2)
		time.Sleep(time.Hour) // looks change nothing either
		d.want(1, 2)
	})
}

func TestApplyingIsReportedWhileItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, newStore(), "")
		d.answer = func(*configv1.PublishedAgentConfig) (string, error) { time.Sleep(3 * time.Second); return "", nil }
		d.start()
		d.publish(1, "tcp")
		time.Sleep(time.Second)
		d.wantStatus(applying, 1, 0, "")
		time.Sleep(3 * time.Second)
		d.wantStatus(applied, 1, 1, "")
	})
}

func TestARefusedConfigurationLeavesTheOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, newStore(), t.TempDir())
		attempts := 0
		d.answer = func(p *configv1.PublishedAgentConfig) (string, error) {
			if p.GetConfig().GetFilter() == "bad" {
				attempts++
				return "", fmt.Errorf("point 1: %w", config.Wrong("filter", "syntax error at 3"))
			}
			return "", nil
		}
		d.start()
		d.publish(1, "tcp")
		d.want(1)
		d.publish(2, "bad")
		if s := d.wantStatus(failed, 2, 1, "syntax error at 3"); s.GetField() != "filter" || s.GetLatency() != nil {
			t.Errorf("status is %v", s)
		}
		time.Sleep(time.Hour)
		if attempts != 1 {
			t.Errorf("%d attempts", attempts)
		}
		d.publish(3, "bad") // the row was touched
		synctest.Wait()
		if attempts != 2 {
			t.Errorf("%d attempts after a touch", attempts)
		}
		d.publish(4, "udp")
		d.want(1, 4)
		d.wantStatus(applied, 4, 4, "")
	})
}

func TestWhatDoesNotValidateIsNotTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, newStore(), "")
		d.start()
		d.publish(1, "tcp")
		d.want(1)
		p := publishedAgent(2, &configv1.AgentConfig{CapturePoints: []string{"file:/x"}})
		d.store.set(d.configKey(), must[[]byte](t)(config.EncodeAgent(p)))
		if s := d.wantStatus(failed, 2, 1, "afpacket"); s.GetField() != "device" {
			t.Errorf("field is %q", s.GetField())
		}
		p = publishedAgent(3, &configv1.AgentConfig{})
		p.Name = "a2"
		d.store.set(d.configKey(), must[[]byte](t)(config.EncodeAgent(p)))
		d.wantStatus(failed, 3, 1, "agent a2")
		p = publishedAgent(4, &configv1.AgentConfig{})
		p.Schema = 9
		d.store.set(d.configKey(), must[[]byte](t)(config.EncodeAgent(p)))
		d.wantStatus(failed, 4, 1, "unknown schema 9")
		d.store.set(d.configKey(), []byte("garbage"))
		time.Sleep(2 * time.Second) // only the words have changed
		d.wantStatus(failed, 4, 1, "proto")
		d.store.set(d.configKey(), []byte(strings.Replace(string(d.encoded(5, "udp")), `"config":{`, `"config":{"new":1,`, 1)))
		d.wantStatus(applied, 5, 5, "new")
		d.want(1, 5)
	})
}

func TestErrorsAreMadeFitForARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, newStore(), "")
		d.answer = func(*configv1.PublishedAgentConfig) (string, error) {
			return "", errors.New(strings.Repeat("ü", 2000) + "\xff")
		}
		d.start()
		d.publish(1, "tcp")
		if s := d.wantStatus(failed, 1, 0, "üü"); len(s.GetError()) > 1024 {
			t.Errorf("%d bytes", len(s.GetError()))
		}
	})
}

func TestALaterErrorIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, newStore(), "")
		there := false
		d.answer = func(*configv1.PublishedAgentConfig) (string, error) {
			if !there {
				return "", config.Later(config.Wrong("collector", "not there"), 20*time.Second)
			}
			return "", nil
		}
		d.start()
		d.publish(1, "tcp")
		if s := d.wantStatus(failed, 1, 0, "not there"); s.GetField() != "collector" || s.GetError() != "not there" {
			t.Errorf("status is %v", s)
		}
		d.mu.Lock()
		there = true
		d.mu.Unlock()
		time.Sleep(19 * time.Second)
		d.want()
		time.Sleep(2 * time.Second)
		d.want(1)
		d.wantStatus(applied, 1, 1, "")
	})
}

func TestOnlyTheNewestOfManyEditsIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, newStore(), t.TempDir())
		d.answer = func(*configv1.PublishedAgentConfig) (string, error) {
			time.Sleep(50 * time.Millisecond)
			return "", nil
		}
		d.start()
		for i := range 5 {
			d.publish(uint64(i+1), fmt.Sprint("port ", i+1))
			time.Sleep(2 * time.Millisecond)
		}
		time.Sleep(time.Second)
		d.want(1, 5)
		d.wantStatus(applied, 5, 5, "")
		d.store.mu.Lock()
		defer d.store.mu.Unlock()
		if n := len(d.store.puts); n < 3 || n > 4 || d.store.puts[0] != "APPLYING 1 0" || d.store.puts[n-2] != "APPLYING 5 1" {
			t.Errorf("written %q", d.store.puts)
		}
	})
}

func TestDriftIsAppliedAndOlderRevisionsAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, newStore(), t.TempDir())
		d.start()
		d.publish(7, "tcp")
		d.publish(7, "udp") // both within one moment, or one after the other
		synctest.Wait()
		d.publish(7, "icmp")
		synctest.Wait()
		if s := d.follower.State(); s.Drifts == 0 || s.Running != 7 {
			t.Errorf("state is %+v", s)
		}
		d.mu.Lock()
		before := slices.Clone(d.applied)
		d.mu.Unlock()
		d.publish(5, "arp")
		time.Sleep(2 * time.Second)
		d.wantStatus(applied, 7, 7, "revision 5 is offered")
		d.want(before...)
		d.publish(8, "arp")
		d.wantStatus(applied, 8, 8, "")
	})
}

func TestADeletedConfigurationHasItsGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, newStore(), t.TempDir())
		d.start()
		d.publish(1, "tcp")
		synctest.Wait()
		d.store.set(d.configKey(), nil)
		time.Sleep(29 * time.Second)
		d.publish(2, "tcp") // delete + insert
		time.Sleep(time.Minute)
		d.wantDeleted(0)
		d.want(1, 2)
		d.store.set(d.configKey(), nil)
		time.Sleep(31 * time.Second)
		d.wantDeleted(1)
		if s := d.wantStatus(applied, 2, 0, "deleted"); s.GetRunningHash() != "" {
			t.Errorf("status is %v", s)
		}
		time.Sleep(time.Hour)
		d.wantDeleted(1)
		d.stop()
		again := newDaemon(t, newStore(), d.folder)
		again.store.setAway(true)
		again.start()
		again.want() // the file on disk says that it was deleted
		again.store.setAway(false)
		again.publish(3, "tcp")
		time.Sleep(time.Minute)
		again.want(3)
	})
}

func TestADaemonStartsFromItsCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newDaemon(t, newStore(), t.TempDir())
		first.start()
		first.publish(3, "tcp")
		synctest.Wait()
		first.stop()

		d := newDaemon(t, newStore(), first.folder)
		d.store.setAway(true)
		began := time.Now()
		d.start()
		if took := time.Since(began); took > time.Second {
			t.Errorf("boot took %v", took)
		}
		d.want(3)
		if s := d.follower.State(); !s.FromCache || s.Running != 3 || s.Latency != 0 || !s.Confirmed.IsZero() {
			t.Errorf("state is %+v", s)
		}
		time.Sleep(10 * time.Minute)
		d.want(3)
		d.store.setAway(false)
		d.publish(3, "tcp")
		time.Sleep(time.Minute)
		d.want(3) // the store has the same
		if s := d.wantStatus(applied, 3, 3, ""); s.GetFromCache() {
			t.Errorf("status is %v", s)
		}
		d.publish(4, "udp")
		d.want(3, 4)
	})
}

func TestTheStoreGoesAwayWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, newStore(), "")
		d.start()
		d.publish(1, "tcp")
		synctest.Wait()
		d.store.setAway(true)
		d.publish(2, "udp")
		time.Sleep(time.Hour)
		d.want(1)
		if s := d.follower.State(); time.Since(s.Confirmed) < 59*time.Minute {
			t.Errorf("last heard of %v ago", time.Since(s.Confirmed))
		}
		d.store.setAway(false)
		time.Sleep(31 * time.Second)
		d.want(1, 2)
		time.Sleep(31 * time.Second)
		d.wantStatus(applied, 2, 2, "")
	})
}

// TestARestoredStoreIsFollowed: its stamps begin anew, so that a watch alone would wait for ever.
func TestARestoredStoreIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, newStore(), "")
		d.start()
		for i := range 5 {
			d.publish(uint64(i+1), fmt.Sprint("port ", i+1))
			synctest.Wait()
		}
		d.store.mu.Lock()
		d.store.stamp, d.store.entries = 1, map[string]confstore.Entry{}
		d.store.entries[d.configKey()] = confstore.Entry{Key: d.configKey(), Value: d.encoded(9, "arp"), Stamp: 1}
		d.store.mu.Unlock()
		time.Sleep(6*time.Minute + time.Second)
		d.want(1, 2, 3, 4, 5, 9)
		d.publish(10, "icmp")
		time.Sleep(6*time.Minute + time.Second)
		d.want(1, 2, 3, 4, 5, 9, 10)
	})
}

func TestAKeyThatWentWhileTheDaemonWasAwayHasItsGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newDaemon(t, newStore(), t.TempDir())
		first.start()
		first.publish(3, "tcp")
		synctest.Wait()
		first.stop()
		d := newDaemon(t, newStore(), first.folder)
		d.start()
		d.want(3)
		time.Sleep(31 * time.Second)
		d.wantDeleted(1)
	})
}

func TestADamagedCacheIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		first := newDaemon(t, newStore(), folder)
		first.start()
		first.publish(3, "tcp")
		synctest.Wait()
		first.publish(4, "udp")
		synctest.Wait()
		first.stop()
		path := filepath.Join(folder, "config-agent-a1.json")
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content[len(content)/2] ^= 1
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		d := newDaemon(t, newStore(), folder)
		d.store.setAway(true)
		d.start()
		d.want(3) // the one before
		d.stop()
		if err := os.WriteFile(path+".1", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		none := newDaemon(t, newStore(), folder)
		none.store.setAway(true)
		none.start()
		none.want()
		none.store.setAway(false)
		none.publish(5, "arp")
		time.Sleep(time.Minute)
		none.want(5)
	})
}

func TestADiskThatTakesNothingIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		obstacle := filepath.Join(folder, "config-agent-a1.json.tmp", "x") // nobody can write a file where a folder is
		if err := os.MkdirAll(obstacle, 0o700); err != nil {
			t.Fatal(err)
		}
		d := newDaemon(t, newStore(), folder)
		d.start()
		d.publish(1, "tcp")
		d.want(1)
		d.wantStatus(applied, 1, 1, "not kept on disk")
		if err := os.RemoveAll(filepath.Dir(obstacle)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute) // it is tried again with each look
		d.wantStatus(applied, 1, 1, "")
		d.stop()
		again := newDaemon(t, newStore(), folder)
		again.store.setAway(true)
		again.start()
		again.want(1)
	})
}

// crash is a process that dies with the daemon on its trial: nothing in it gets to say goodbye.
func crash(t *testing.T, s *store, folder string, applied ...uint64) {
	t.Helper()
	saved := map[string][]byte{}
	d := newDaemon(t, s, folder)
	d.start()
	d.want(applied...)
	for _, name := range []string{"config-agent-a1.json", "config-agent-a1.json.1", "config-agent-a1.guard.json"} {
		if content, err := os.ReadFile(filepath.Join(folder, name)); err == nil {
			saved[name] = content
		}
	}
	d.stop()
	for name, content := range saved { // as it was at the moment of its death
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAConfigurationThatKillsIsDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder, s := t.TempDir(), newStore()
		first := newDaemon(t, s, folder)
		first.start()
		first.publish(1, "tcp")
		time.Sleep(2 * time.Minute)
		first.publish(2, "udp")
		synctest.Wait()
		first.stop() // in good order: no crash

		crash(t, s, folder, 2)
		crash(t, s, folder, 2)
		d := newDaemon(t, s, folder)
		d.start()
		d.want(1) // the one before, from disk
		d.wantStatus(failed, 2, 1, "brought the process down 2 times")
		d.publish(3, "udp") // published anew: the operator wants it
		d.want(1, 3)
		time.Sleep(2 * time.Minute) // it lives
		d.stop()
		crash(t, s, folder, 3)
		crash(t, s, folder, 3)
		crash(t, s, folder, 3) // trusted now: whoever kills it, it is not the configuration
	})
}

func TestTwoDaemonsOfOneNameAreFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		a, b := newDaemon(t, s, ""), newDaemon(t, s, "")
		a.start()
		b.start()
		a.publish(1, "tcp")
		synctest.Wait()
		time.Sleep(3 * time.Minute)
		if a.follower.State().Conflicts+b.follower.State().Conflicts == 0 {
			t.Error("nobody noticed")
		}
		b.stop()
		time.Sleep(8 * time.Minute)
		a.wantStatus(applied, 1, 1, "")
	})
}

func TestStatusesAreRefreshedAndNotTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, newStore(), "")
		d.start()
		d.publish(1, "tcp")
		synctest.Wait()
		d.store.mu.Lock()
		before := len(d.store.puts)
		d.store.mu.Unlock()
		time.Sleep(10*time.Minute + time.Second)
		d.store.mu.Lock()
		defer d.store.mu.Unlock()
		if n := len(d.store.puts) - before; n < 9 || n > 11 {
			t.Errorf("%d refreshes in ten minutes", n)
		}
	})
}
