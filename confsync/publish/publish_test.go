package publish_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	"sonde.example/confsync/change/sqlite"
	"sonde.example/confsync/publish"
	configv1 "sonde.example/gen/go/sonde/config/v1"
	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/retry"
	"sonde.example/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 20 * time.Second
	look     = 5 * time.Millisecond
)

// world is tables, a store and a publisher between them.
type world struct {
	*testing.T
	ctx   context.Context
	db    *sql.DB
	path  string
	store *faulty
	keys  config.Keys
	o     publish.Options
	stop  func()
}

// faulty is a store that fails where a test wants it to.
type faulty struct {
	*confstore.Memory
	mu     sync.Mutex
	before func() error // a publish does not come about
	after  func() error // a publish does, and its answer is lost
}

func (f *faulty) Lead(ctx context.Context, candidate string) (confstore.Term, error) {
	term, err := f.Memory.Lead(ctx, candidate)
	if err != nil {
		return nil, err
	}
	return &faultyTerm{term, f}, nil
}

type faultyTerm struct {
	confstore.Term
	f *faulty
}

func (t *faultyTerm) Publish(ctx context.Context, changes []confstore.Change, checkpoint []byte) error {
	t.f.mu.Lock()
	before, after := t.f.before, t.f.after
	t.f.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	err := t.Term.Publish(ctx, changes, checkpoint)
	if err == nil && after != nil {
		return after()
	}
	return err
}

func newWorld(t *testing.T) *world {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	w := &world{T: t, ctx: ctx, path: filepath.Join(t.TempDir(), "config.db"), store: &faulty{Memory: confstore.NewMemory()}}
	made, err := sqlite.Open(ctx, w.path)
	if err == nil {
		err = made.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if w.db, err = sqlite.OpenDB(ctx, w.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	if w.keys, err = config.NewKeys("/t"); err != nil {
		t.Fatal(err)
	}
	w.o = publish.Options{Store: w.store, Keys: w.keys, Candidate: "one", Compile: publish.CompileFilter, Log: testenv.Log(t)}
	return w
}

// start runs a publisher until the test ends, or stop is called.
func (w *world) start() {
	w.Helper()
	source, err := sqlite.Open(w.ctx, w.path)
	if err != nil {
		w.Fatal(err)
	}
	o := w.o
	o.Source = source
	if o.Metrics, err = publish.NewMetrics(prometheus.NewRegistry()); err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- publish.New(o).Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, source.Close()); err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(w.stop)
}

func (w *world) exec(text string, args ...any) {
	w.Helper()
	if _, err := w.db.ExecContext(w.ctx, text, args...); err != nil {
		w.Fatal(err)
	}
}

// agent waits until an agent's published configuration is as wanted.
func (w *world) agent(name string, until func(*configv1.PublishedAgentConfig) bool) *configv1.PublishedAgentConfig {
	w.Helper()
	var after uint64
	var last string
	for {
		e, err := w.store.Next(w.ctx, w.keys.Config(config.RoleAgent, name), after)
		if err != nil {
			w.Fatalf("%v; last was %s", err, last)
		}
		after, last = e.Stamp, string(e.Value)
		if e.Value == nil {
			continue
		}
		p, _, err := config.DecodeAgent(e.Value)
		if err != nil {
			w.Fatal(err)
		}
		if until(p) {
			return p
		}
	}
}

func revision(n uint64) func(*configv1.PublishedAgentConfig) bool {
	return func(p *configv1.PublishedAgentConfig) bool { return p.GetRevision() == n }
}

// row waits until a query gives one row with a text as wanted.
func (w *world) row(want, query string, args ...any) {
	w.Helper()
	var got string
	for {
		err := w.db.QueryRowContext(w.ctx, query, args...).Scan(&got)
		if err == nil && strings.Contains(got, want) {
			return
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) || retry.Sleep(w.ctx, look) != nil {
			w.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
}

// gone waits until a key is not there.
func (w *world) gone(key string) {
	w.Helper()
	for {
		if _, err := w.store.Get(w.ctx, key); errors.Is(err, confstore.ErrNotFound) {
			return
		}
		if retry.Sleep(w.ctx, look) != nil {
			w.Fatalf("%s is still there", key)
		}
	}
}

func TestRowsBecomeConfigurations(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO agent_group (name, filter, payload_bytes) VALUES ('edge', 'tcp port 80', 1000)`)
	w.exec(`INSERT INTO agent_config (name, group_name, device, payload_bytes) VALUES ('a1', 'edge', 'eth0, afpacket:eth1', 2000)`)
	w.start()
	p := w.agent("a1", revision(1))
	c := p.GetConfig()
	if fmt.Sprint(c.GetCapturePoints()) != "[afpacket:eth0 afpacket:eth1]" || c.GetFilter() != "tcp port 80" || c.GetPayloadBytes() != 2000 {
		t.Errorf("got %v", c)
	}
	if len(p.GetPrograms()) != 2 || p.GetHash() != config.HashAgent(c) || p.GetCommitTime() == nil || !strings.HasPrefix(p.GetSourcePosition(), "sqlite:") {
		t.Errorf("got %v", p)
	}
	w.exec(`UPDATE agent_config SET filter = 'vlan' WHERE name = 'a1'`)
	if p := w.agent("a1", revision(2)); len(p.GetPrograms()) != 1 || p.GetConfig().GetFilter() != "vlan" {
		t.Errorf("got %v", p)
	}
	w.exec(`UPDATE agent_config SET filter = NULL WHERE name = 'a1'`)
	w.agent("a1", revision(3))
	w.exec(`UPDATE agent_group SET filter = 'udp' WHERE name = 'edge'`)
	if p := w.agent("a1", revision(4)); p.GetConfig().GetFilter() != "udp" {
		t.Errorf("got %v", p)
	}
	w.exec(`INSERT INTO service_config (role, name, hand_over_deadline_ms, vxlan_ports) VALUES ('collector', 'default', 5000, '4789,8472')`)
	e, err := w.store.Next(w.ctx, w.keys.Config(config.RoleCollector, "default"), 0)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := config.DecodeService(e.Value)
	if err != nil || s.GetConfig().GetHandOverDeadline().AsDuration() != 5*time.Second || len(s.GetConfig().GetTunnelPorts().GetVxlan()) != 2 ||
		len(s.GetConfig().GetTunnelPorts().GetGeneve()) != 1 {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestWrongRowsAreToldAndStopNobody(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO agent_config (name, device, filter) VALUES ('a1', 'eth0', 'tcp'), ('a2', 'eth0', 'udp')`)
	w.start()
	w.agent("a1", revision(1))
	for sql, want := range map[string]string{
		`UPDATE agent_config SET filter = 'tcp prot 80' WHERE name = 'a1'`:                   "filter|character 5",
		`UPDATE agent_config SET filter = 'tcp', head_packets = 'many' WHERE name = 'a1'`:    "head_packets|many",
		`UPDATE agent_config SET head_packets = 24, device = 'a b' WHERE name = 'a1'`:        "device|a b",
		`UPDATE agent_config SET device = 'eth0', group_name = 'nosuch' WHERE name = 'a1'`:   "group_name|nosuch",
		`UPDATE agent_config SET group_name = NULL, collector = 'nowhere' WHERE name = 'a1'`: "collector|nowhere",
	} {
		w.exec(`UPDATE agent_config SET filter = 'tcp', head_packets = NULL, device = 'eth0', group_name = NULL, collector = NULL WHERE name = 'a1'`)
		w.exec(sql)
		field, text, _ := strings.Cut(want, "|")
		w.row(field, `SELECT field FROM agent_status WHERE role = 'agent' AND name = 'a1' AND state = 'FAILED' AND error LIKE '%' || ? || '%'`, text)
	}
	w.exec(`UPDATE agent_config SET filter = 'udp port 53' WHERE name = 'a2'`)
	w.agent("a2", revision(2))
	if p := w.agent("a1", revision(1)); p.GetConfig().GetFilter() != "tcp" {
		t.Errorf("the last good value was replaced by %v", p)
	}
	w.exec(`UPDATE agent_config SET filter = 'icmp', head_packets = NULL, device = 'eth0', group_name = NULL, collector = NULL WHERE name = 'a1'`)
	w.agent("a1", revision(2))
}

func TestStatusesComeBack(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO agent_config (name, device) VALUES ('a1', 'eth0')`)
	w.start()
	p := w.agent("a1", revision(1))
	status := &configv1.ConfigStatus{
		Role: config.RoleAgent, Name: "a1", State: configv1.ConfigState_CONFIG_STATE_APPLIED, WantedRevision: 1, RunningRevision: 1,
		RunningHash: p.GetHash(), Latency: durationpb.New(42 * time.Millisecond), BootId: "b",
	}
	put := func(key string, s *configv1.ConfigStatus) {
		t.Helper()
		value, err := config.EncodeStatus(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.store.Put(w.ctx, key, value); err != nil {
			t.Fatal(err)
		}
	}
	put(w.keys.Status(config.RoleAgent, "a1"), status)
	w.row("APPLIED 1 1 42", `SELECT state || ' ' || revision_wanted || ' ' || revision_running || ' ' || CAST(latency_ms AS INTEGER) FROM agent_status WHERE name = 'a1'`)
	w.row("1", `SELECT count(*) FROM agent_history WHERE name = 'a1' AND state = 'APPLIED'`)
	// One for another, and what is none, are not carried.
	put(w.keys.Status(config.RoleAgent, "a2"), status)
	if err := w.store.Put(w.ctx, w.keys.Status(config.RoleAgent, "a3"), []byte("{")); err != nil {
		t.Fatal(err)
	}
	// A wrong row is told beside what runs.
	w.exec(`UPDATE agent_config SET filter = 'tcp prot' WHERE name = 'a1'`)
	w.row("FAILED 2 1", `SELECT state || ' ' || revision_wanted || ' ' || revision_running FROM agent_status WHERE name = 'a1'`)
	put(w.keys.Status(config.RoleAgent, "a1"), status) // its refresh does not hide it
	w.exec(`UPDATE agent_config SET filter = NULL WHERE name = 'a1'`)
	w.row("APPLIED 1 1", `SELECT state || ' ' || revision_wanted || ' ' || revision_running FROM agent_status WHERE name = 'a1'`)
	var others int
	if err := w.db.QueryRowContext(w.ctx, `SELECT count(*) FROM agent_status WHERE name <> 'a1'`).Scan(&others); err != nil || others != 0 {
		t.Errorf("%d statuses of others, %v", others, err)
	}
	// What a daemon has refused is tried again when its row is touched.
	status.State, status.WantedRevision = configv1.ConfigState_CONFIG_STATE_FAILED, 1
	put(w.keys.Status(config.RoleAgent, "a1"), status)
	w.row("FAILED", `SELECT state FROM agent_status WHERE name = 'a1'`)
	w.exec(`UPDATE agent_config SET name = name WHERE name = 'a1'`)
	w.agent("a1", revision(2))
	w.exec(`UPDATE agent_config SET name = name WHERE name = 'a1'`) // not refused: nothing to do
	// A daemon that runs more than its key has gets more than that.
	status.WantedRevision, status.RunningRevision = 70, 70
	put(w.keys.Status(config.RoleAgent, "a1"), status)
	w.agent("a1", revision(71))
}

func TestRenamedAndDeletedRows(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO agent_config (name, device) VALUES ('a1', 'eth0'), ('b', 'eth1'), ('c', 'eth2')`)
	w.start()
	w.agent("a1", revision(1))
	w.exec(`UPDATE agent_config SET name = 'a2' WHERE name = 'a1'`)
	p := w.agent("a2", revision(1))
	if _, err := w.store.Get(w.ctx, w.keys.Config(config.RoleAgent, "a1")); !errors.Is(err, confstore.ErrNotFound) {
		t.Errorf("the old name's key is still there beside %v: %v", p, err)
	}
	tx, err := w.db.BeginTx(w.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{`UPDATE agent_config SET name = 'x' WHERE name = 'b'`, `UPDATE agent_config SET name = 'b' WHERE name = 'c'`, `UPDATE agent_config SET name = 'c' WHERE name = 'x'`} {
		if _, err := tx.ExecContext(w.ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	device := func(name string) func(*configv1.PublishedAgentConfig) bool {
		return func(p *configv1.PublishedAgentConfig) bool {
			return fmt.Sprint(p.GetConfig().GetCapturePoints()) == "[afpacket:"+name+"]"
		}
	}
	w.agent("b", device("eth2"))
	w.agent("c", device("eth1"))
	w.exec(`DELETE FROM agent_config WHERE name = 'b'`)
	w.gone(w.keys.Config(config.RoleAgent, "b"))
	w.exec(`INSERT INTO agent_config (name, device) VALUES ('b', 'eth9')`)
	if p := w.agent("b", device("eth9")); p.GetRevision() != 3 {
		t.Errorf("revision %d goes back", p.GetRevision())
	}
}

func TestManyDeletionsAreHeld(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.exec(`INSERT INTO agent_config (name, device) VALUES (?, 'eth0')`, fmt.Sprintf("a%02d", i))
	}
	w.start()
	w.agent("a29", revision(1))
	w.exec(`DELETE FROM agent_config`)
	w.exec(`INSERT INTO agent_config (name, device) VALUES ('z', 'eth0')`)
	w.agent("z", revision(1))
	w.agent("a00", revision(1))
	w.stop()
	w.start() // nor by a reconcile
	w.exec(`UPDATE agent_config SET device = 'eth1' WHERE name = 'z'`)
	w.agent("z", revision(2))
	w.agent("a00", revision(1))
	w.stop()
	w.o.ConfirmDeletions = true
	w.start()
	w.gone(w.keys.Config(config.RoleAgent, "a00"))
	w.agent("z", revision(2))
}

func TestLostAnswersAreLookedUp(t *testing.T) {
	for name, fault := range map[string]func(*faulty, func() error){
		"before": func(f *faulty, do func() error) { f.before = do },
		"after":  func(f *faulty, do func() error) { f.after = do },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.exec(`INSERT INTO agent_config (name, device) VALUES ('a1', 'eth0')`)
			left := 3
			fault(w.store, func() error {
				w.store.mu.Lock()
				defer w.store.mu.Unlock()
				if left--; left >= 0 {
					return errors.New("the line is dead")
				}
				return nil
			})
			w.start()
			w.agent("a1", revision(1))
			for n := uint64(2); n < 6; n++ {
				w.exec(`UPDATE agent_config SET payload_bytes = ? WHERE name = 'a1'`, n)
				if p := w.agent("a1", func(p *configv1.PublishedAgentConfig) bool { return uint64(p.GetConfig().GetPayloadBytes()) == n }); p.GetRevision() != n {
					t.Errorf("revision %d, want %d", p.GetRevision(), n)
				}
			}
		})
	}
}

func TestADeposedLeaderPublishesNothing(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO agent_config (name, device) VALUES ('a1', 'eth0')`)
	w.start()
	w.agent("a1", revision(1))
	w.store.Depose() // as if it had slept; it does not know
	other, err := w.store.Memory.Lead(w.ctx, "two")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Publish(w.ctx, nil, []byte("two")); err != nil {
		t.Fatal(err)
	}
	w.exec(`UPDATE agent_config SET payload_bytes = 7 WHERE name = 'a1'`)
	short, cancel := context.WithTimeout(w.ctx, 300*time.Millisecond)
	defer cancel()
	e, err := w.store.Get(w.ctx, w.keys.Config(config.RoleAgent, "a1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Next(short, w.keys.Config(config.RoleAgent, "a1"), e.Stamp); err == nil {
		t.Error("a deposed leader has published")
	}
	if err := other.Resign(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.agent("a1", revision(2)) // it leads again
}

func TestASlowFilterKeepsNobodyWaiting(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	w.o.Compile = func(text string) ([]*configv1.Program, error) {
		if text == "slow" {
			<-release
		}
		return publish.CompileFilter("tcp")
	}
	w.exec(`INSERT INTO agent_config (name, device, filter) VALUES ('a1', 'eth0', 'slow'), ('a2', 'eth0', 'fast')`)
	w.start()
	w.agent("a2", revision(1))
	w.exec(`UPDATE agent_config SET payload_bytes = 7 WHERE name = 'a2'`)
	w.agent("a2", revision(2))
	close(release)
	w.agent("a1", revision(1))
}

func TestEverythingIsPublishedInParts(t *testing.T) {
	w := newWorld(t)
	w.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 350)
		INSERT INTO agent_config (name, device) SELECT 'a' || i, 'eth0' FROM n`)
	w.start()
	for i := 1; i <= 350; i++ {
		w.agent(fmt.Sprintf("a%d", i), revision(1))
	}
}
