package etcd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sonde.example/internal/confstore"
	"sonde.example/internal/confstore/confstoretest"
	"sonde.example/internal/confstore/etcd"
	"sonde.example/internal/mtls"
	"sonde.example/internal/testenv"
)

// within bounds what a test waits for.
const within = time.Minute

// process is a stock server outside of this process, so that it can be killed. Its limits are the usual ones.
type process struct {
	*testing.T
	binary, dir, address string
	files                mtls.Files
	running              *exec.Cmd
	silent               chan struct{} // closed when it has said its last word
}

// launch starts the server that SONDE_TEST_ETCD names, on a folder and a port of its own.
func launch(t *testing.T, certificates mtls.Development) *process {
	t.Helper()
	p := &process{
		T: t, binary: testenv.Service(t, "etcd"), dir: filepath.Join(t.TempDir(), "data"),
		address: "127.0.0.1:0", files: certificates.Service,
	}
	p.start()
	t.Cleanup(p.kill)
	return p
}

// start runs it, on the address it had before, and returns when it serves.
func (p *process) start() {
	p.Helper()
	p.running = exec.Command(p.binary,
		"--data-dir", p.dir, "--name", "outside",
		"--listen-client-urls", "https://"+p.address, "--advertise-client-urls", "https://"+p.address,
		"--listen-peer-urls", "http://127.0.0.1:0", "--initial-advertise-peer-urls", "http://127.0.0.1:0",
		"--initial-cluster", "outside=http://127.0.0.1:0",
		"--cert-file", p.files.Certificate, "--key-file", p.files.Key,
		"--trusted-ca-file", p.files.CA, "--client-cert-auth", "--enable-grpc-gateway=false")
	said, err := p.running.StderrPipe()
	if err != nil {
		p.Fatal(err)
	}
	if err := p.running.Start(); err != nil {
		p.Fatal(err)
	}
	p.silent = make(chan struct{})
	serves := make(chan string, 1)
	go p.listen(said, serves)
	select {
	case p.address = <-serves:
	case <-p.silent:
		p.Fatalf("etcd ended: %v", p.running.Wait())
	case <-time.After(within):
		p.Fatal("etcd does not serve")
	}
}

// listen reads its log, a JSON object a line, up to the end: it tells where it serves, and passes on what went wrong.
func (p *process) listen(said io.Reader, serves chan<- string) {
	defer close(p.silent)
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		var line struct{ Level, Msg, Address string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			p.Logf("etcd: %s", lines.Text())
			continue
		}
		if strings.HasPrefix(line.Msg, "serving client traffic") {
			select {
			case serves <- line.Address:
			default:
			}
		}
		if line.Level == "fatal" || line.Level == "panic" {
			p.Logf("etcd: %s", lines.Text())
		}
	}
	if err := lines.Err(); err != nil {
		p.Logf("etcd's log: %v", err)
	}
}

// kill ends it on the spot, as kill -9 does.
func (p *process) kill() {
	if p.running == nil {
		return
	}
	if err := p.running.Process.Kill(); err != nil {
		p.Error(err)
	}
	<-p.silent
	var exit *exec.ExitError
	if err := p.running.Wait(); err != nil && !errors.As(err, &exit) {
		p.Error(err)
	}
	p.running = nil
}

// wipe takes everything from it.
func (p *process) wipe() {
	p.Helper()
	p.kill()
	if err := os.RemoveAll(p.dir); err != nil {
		p.Fatal(err)
	}
	p.start()
}

// insist does it again until it succeeds: while the server is away calls may fail.
func insist(ctx context.Context, t *testing.T, do func() error) {
	t.Helper()
	for {
		err := do()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Error(err)
			return
		}
	}
}

func TestOutsideServerKeepsItsPromises(t *testing.T) {
	certificates := testenv.Certificates(t)
	server := launch(t, certificates)
	confstoretest.Run(t, func(t *testing.T, root string) confstore.Store {
		return open(t, certificates, server.address, root)
	})
}

// A server is killed again and again. Who waits is told of each write, what was acknowledged is there, and who led leads.
func TestWatchersAndLeaderOutliveAKilledServer(t *testing.T) {
	certificates := testenv.Certificates(t)
	server := launch(t, certificates)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	store, reader := open(t, certificates, server.address, "/t"), open(t, certificates, server.address, "/t")
	term, err := store.Lead(ctx, "one")
	if err != nil {
		t.Fatal(err)
	}
	_, stamp, err := store.List(ctx, "/t/agents/")
	if err != nil {
		t.Fatal(err)
	}

	const last = 4
	byKey, underPrefix := make(chan string, last), make(chan string, last)
	watching := make(chan struct{}, 2)
	defer func() { cancel(); <-watching; <-watching }()
	go func() {
		defer func() { watching <- struct{}{} }()
		for after := uint64(0); ctx.Err() == nil; {
			if e, err := reader.Next(ctx, "/t/agents/a", after); err == nil {
				after = e.Stamp
				byKey <- string(e.Value)
			}
		}
	}()
	go func() {
		defer func() { watching <- struct{}{} }()
		for after := stamp; ctx.Err() == nil; {
			if all, next, err := reader.NextUnder(ctx, "/t/agents/", after); err == nil {
				after = next
				underPrefix <- string(all[0].Value)
			}
		}
	}()
	for i := 1; i <= last; i++ {
		value := fmt.Append(nil, i)
		insist(ctx, t, func() error { return publishOnce(ctx, term, "/t/agents/a", value) })
		for name, told := range map[string]<-chan string{"by key": byKey, "under the prefix": underPrefix} {
			select {
			case got := <-told:
				if got != string(value) {
					t.Errorf("%s: told %q, wrote %q", name, got, value)
				}
			case <-ctx.Done():
				t.Fatalf("%s: not told of write %d", name, i)
			}
		}
		server.kill()
		gone, stop := context.WithTimeout(ctx, 50*time.Millisecond)
		if _, err := store.Get(gone, "/t/agents/a"); err == nil || errors.Is(err, confstore.ErrNotFound) {
			t.Errorf("a server that is away answers: %v", err)
		}
		stop()
		server.start()
		insist(ctx, t, func() error {
			e, err := store.Get(ctx, "/t/agents/a")
			if err == nil && string(e.Value) != string(value) {
				t.Errorf("kept %q, acknowledged was %q", e.Value, value)
			}
			return err
		})
	}
	select {
	case <-term.Lost():
		t.Error("the term ended with the server")
	default:
	}
	insist(ctx, t, func() error { return term.Resign(ctx) })
}

// publishOnce publishes as the contract says: after an error the checkpoint tells what became of it.
func publishOnce(ctx context.Context, term confstore.Term, key string, value []byte) error {
	known, err := term.Checkpoint(ctx)
	if err != nil || string(known) == string(value) {
		return err
	}
	return term.Publish(ctx, []confstore.Change{{Key: key, Value: value}}, value)
}

func TestWipedServerIsNoticed(t *testing.T) {
	certificates := testenv.Certificates(t)
	server := launch(t, certificates)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	waiting, store := open(t, certificates, server.address, "/t"), open(t, certificates, server.address, "/t")
	etcd.SetLookAgain(waiting, 100*time.Millisecond)
	for i := range 10 {
		if err := store.Put(ctx, "/t/agents/a", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	before, err := store.Get(ctx, "/t/agents/a")
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan confstore.Entry, 1)
	again := make(chan struct{})
	go func() { // it waits when the server is wiped
		defer close(again)
		insist(ctx, t, func() error {
			e, err := waiting.Next(ctx, "/t/agents/a", before.Stamp)
			if err == nil {
				told <- e
			}
			return err
		})
		insist(ctx, t, func() error {
			_, _, err := waiting.NextUnder(ctx, "/t/agents/", before.Stamp)
			if errors.Is(err, confstore.ErrCompacted) {
				return nil
			}
			return errors.Join(errors.New("not told to list again"), err)
		})
	}()
	server.wipe()
	insist(ctx, t, func() error {
		e, err := store.Next(ctx, "/t/agents/a", before.Stamp)
		if err == nil && (e.Value != nil || e.Stamp >= before.Stamp) {
			t.Errorf("got %q at %d", e.Value, e.Stamp)
		}
		return err
	})
	select {
	case e := <-told:
		if e.Value != nil || e.Stamp >= before.Stamp {
			t.Errorf("who waited got %q at %d", e.Value, e.Stamp)
		}
	case <-ctx.Done():
		t.Error("who waited is not told")
	}
	<-again
	if err := store.Put(ctx, "/t/agents/a", []byte("new")); err != nil {
		t.Fatal(err)
	}
	e, err := store.Next(ctx, "/t/agents/a", before.Stamp)
	if err != nil || string(e.Value) != "new" {
		t.Errorf("got %q, %v", e.Value, err)
	}
}

func TestClosedStoreLeavesNoGoroutine(t *testing.T) {
	certificates := testenv.Certificates(t)
	server := launch(t, certificates)
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	store := open(t, certificates, server.address, "/t")
	if _, err := store.Lead(ctx, "one"); err != nil {
		t.Fatal(err)
	}
	_, stamp, err := store.List(ctx, "/t/")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 3)
	go func() { _, err := store.Next(ctx, "/t/agents/a", 0); ended <- err }()
	go func() { _, _, err := store.NextUnder(ctx, "/t/agents/", stamp); ended <- err }()
	go func() { _, err := store.Lead(ctx, "two"); ended <- err }()
	if err := store.Put(ctx, "/t/status/a", nil); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	for range cap(ended) {
		if err := <-ended; !errors.Is(err, confstore.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
	goleak.VerifyNone(t, before)
}
