package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"sonde.example/internal/confstore"
	"sonde.example/internal/mtls"
	"sonde.example/internal/testenv"
)

// Tests that look into the server, or do to it what the adaptor cannot.

func raw(t *testing.T, certificates mtls.Development, address string) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"https://" + address}, Context: context.WithoutCancel(t.Context()), Logger: zap.NewNop(),
		TLS: testenv.Source(t, certificates.Service).ClientConfig(mtls.Peer{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

func TestNothingIsLostByACompaction(t *testing.T) {
	certificates := testenv.Certificates(t)
	address, _ := serve(t, t.TempDir(), "127.0.0.1:0", certificates.Service)
	store, server := open(t, certificates, address, "/t"), raw(t, certificates, address)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	term, err := store.Lead(ctx, "one")
	if err != nil {
		t.Fatal(err)
	}
	publish := func(key string, value []byte) uint64 {
		t.Helper()
		if err := term.Publish(ctx, []confstore.Change{{Key: key, Value: value}}, nil); err != nil {
			t.Fatal(err)
		}
		_, stamp, err := store.List(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		return stamp
	}
	still := publish("/t/agents/still", []byte("s"))
	created := publish("/t/agents/gone", []byte("1"))
	first := publish("/t/agents/there", []byte("1"))
	publish("/t/agents/gone", nil)
	head := publish("/t/agents/there", []byte("2"))
	if _, err := server.Compact(ctx, int64(head)); err != nil {
		t.Fatal(err)
	}
	if e, err := store.Next(ctx, "/t/agents/there", first); err != nil || string(e.Value) != "2" {
		t.Errorf("a key that changed: got %q, %v", e.Value, err)
	}
	gone, err := store.Next(ctx, "/t/agents/gone", created)
	if err != nil || gone.Value != nil || gone.Stamp <= created {
		t.Errorf("a key that went: got %q at %d, %v", gone.Value, gone.Stamp, err)
	}
	if _, _, err := store.NextUnder(ctx, "/t/agents/", first); !errors.Is(err, confstore.ErrCompacted) {
		t.Errorf("what came after is forgotten: %v", err)
	}
	// Neither a key that stood still nor one whose end was told has news, until it has.
	for key, after := range map[string]uint64{"/t/agents/still": still, "/t/agents/gone": gone.Stamp} {
		told := make(chan error, 1)
		go func() {
			e, err := store.Next(ctx, key, after)
			if err == nil && string(e.Value) != "news" {
				err = fmt.Errorf("%s: told %q at %d", key, e.Value, e.Stamp)
			}
			told <- err
		}()
		publish("/t/agents/other", []byte("x"))
		publish(key, []byte("news"))
		if err := <-told; err != nil {
			t.Error(err)
		}
	}
}

// What a lease that runs out does to a leader that was paused, without the wait.
func TestLeaderWhoseLeaseRanOutIsFenced(t *testing.T) {
	certificates := testenv.Certificates(t)
	address, _ := serve(t, t.TempDir(), "127.0.0.1:0", certificates.Service)
	server := raw(t, certificates, address)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	paused, err := open(t, certificates, address, "/t").Lead(ctx, "paused")
	if err != nil {
		t.Fatal(err)
	}
	leases, err := server.Leases(ctx)
	if err != nil || len(leases.Leases) != 1 {
		t.Fatalf("got %v, %v", leases, err)
	}
	if _, err := server.Revoke(ctx, leases.Leases[0].ID); err != nil {
		t.Fatal(err)
	}
	store := open(t, certificates, address, "/t")
	if err := paused.Publish(ctx, []confstore.Change{{Key: "/t/agents/a", Value: []byte("late")}}, nil); !errors.Is(err, confstore.ErrFenced) {
		t.Errorf("nobody else leads yet: %v", err)
	}
	next, err := store.Lead(ctx, "next")
	if err != nil {
		t.Fatal(err)
	}
	if err := paused.Publish(ctx, []confstore.Change{{Key: "/t/agents/a", Value: []byte("late")}}, nil); !errors.Is(err, confstore.ErrFenced) {
		t.Errorf("somebody else leads: %v", err)
	}
	select {
	case <-paused.Lost():
	case <-ctx.Done():
		t.Error("it is not told")
	}
	if err := next.Publish(ctx, []confstore.Change{{Key: "/t/agents/a", Value: []byte("1")}}, nil); err != nil {
		t.Error(err)
	}
	if e, err := store.Get(ctx, "/t/agents/a"); err != nil || string(e.Value) != "1" {
		t.Errorf("got %q, %v", e.Value, err)
	}
}

func TestParentsCountWhatWasCreated(t *testing.T) {
	certificates := testenv.Certificates(t)
	address, _ := serve(t, t.TempDir(), "127.0.0.1:0", certificates.Service)
	store, server := open(t, certificates, address, "/t"), raw(t, certificates, address)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	term, err := store.Lead(ctx, "one")
	if err != nil {
		t.Fatal(err)
	}
	moved := int64(0)
	// step does something, and says what the record has to hold then and whether it was written.
	step := func(name string, want string, written bool, do func() error) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		response, err := server.Get(ctx, "/sonde:creates/t/status")
		if err != nil || len(response.Kvs) != 1 {
			t.Fatalf("%s: got %v, %v", name, response, err)
		}
		record := response.Kvs[0]
		if string(record.Value) != want || (record.ModRevision > moved) != written {
			t.Errorf("%s: %q creates, written at %d after %d", name, record.Value, record.ModRevision, moved)
		}
		if children, err := server.Get(ctx, "/t/status/a"); err != nil {
			t.Fatal(err)
		} else if written && len(children.Kvs) > 0 && children.Kvs[0].ModRevision != record.ModRevision {
			t.Errorf("%s: the key was written at %d, the record at %d", name, children.Kvs[0].ModRevision, record.ModRevision)
		}
		moved = record.ModRevision
	}
	put := func(value string) func() error {
		return func() error { return store.Put(ctx, "/t/status/a", []byte(value)) }
	}
	publish := func(changes ...confstore.Change) func() error {
		return func() error { return term.Publish(ctx, changes, nil) }
	}
	step("put creates", "1", true, put("1"))
	step("put updates", "1", false, put("2"))
	step("publish updates", "1", false, publish(confstore.Change{Key: "/t/status/a", Value: []byte("3")}))
	step("publish deletes", "1", true, publish(confstore.Change{Key: "/t/status/a"}))
	step("nothing to delete", "1", false, publish(confstore.Change{Key: "/t/status/a"}))
	step("publish creates two", "3", true, publish(
		confstore.Change{Key: "/t/status/a", Value: []byte("4")}, confstore.Change{Key: "/t/status/b", Value: []byte("4")}))
	step("another parent", "3", false, publish(confstore.Change{Key: "/t/agents/a", Value: []byte("1")}))
	step("delete and create", "4", true, publish(
		confstore.Change{Key: "/t/status/a"}, confstore.Change{Key: "/t/status/c", Value: []byte("5")}))
}
