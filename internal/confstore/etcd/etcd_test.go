package etcd_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sonde.example/internal/confstore"
	"sonde.example/internal/confstore/confstoretest"
	"sonde.example/internal/confstore/etcd"
	"sonde.example/internal/confstore/etcd/embedded"
	"sonde.example/internal/mtls"
	"sonde.example/internal/testenv"
)

// serve runs an embedded server on a folder until the test ends or stop is called.
func serve(t *testing.T, dir, listen string, files mtls.Files) (address string, stop func()) {
	t.Helper()
	server, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, Listen: listen, TLS: files, Log: testenv.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return server.Addr().String(), stop
}

func open(t *testing.T, certificates mtls.Development, address, root string) *etcd.Store {
	t.Helper()
	source := testenv.Source(t, certificates.Service)
	store, err := etcd.Open(t.Context(), etcd.Options{
		Endpoints: []string{address}, Root: root, TLS: source.ClientConfig(mtls.Peer{}), Log: testenv.Log(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func TestStoreKeepsItsPromises(t *testing.T) {
	certificates := testenv.Certificates(t)
	address, _ := serve(t, t.TempDir(), "127.0.0.1:0", certificates.Service)
	confstoretest.Run(t, func(t *testing.T, root string) confstore.Store { return open(t, certificates, address, root) })
}

func TestServerThatComesBackHasEverything(t *testing.T) {
	certificates := testenv.Certificates(t)
	dir := t.TempDir()
	address, stop := serve(t, dir, "127.0.0.1:0", certificates.Service)
	store := open(t, certificates, address, "/t")
	if err := store.Put(t.Context(), "/t/a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	e, err := store.Get(t.Context(), "/t/a")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		next, err := store.Next(t.Context(), "/t/a", e.Stamp)
		if err == nil && string(next.Value) != "2" {
			err = errors.New("got " + string(next.Value))
		}
		got <- err
	}()
	stop()
	serve(t, dir, address, certificates.Service)
	again := open(t, certificates, address, "/t")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := again.Put(ctx, "/t/a", []byte("2"))
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestServerRefusesWhoShowsNoCertificate(t *testing.T) {
	certificates := testenv.Certificates(t)
	address, _ := serve(t, t.TempDir(), "127.0.0.1:0", certificates.Service)
	stranger := testenv.Certificates(t) // of another authority
	store := open(t, stranger, address, "/t")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := store.Put(ctx, "/t/a", []byte("1")); err == nil {
		t.Error("a stranger may write")
	}
}

func TestTakenPortAndLockedFolderAreToldClearly(t *testing.T) {
	certificates := testenv.Certificates(t)
	dir := t.TempDir()
	address, _ := serve(t, dir, "127.0.0.1:0", certificates.Service)
	o := embedded.Options{Dir: t.TempDir(), Listen: address, TLS: certificates.Service, Log: testenv.Log(t)}
	if server, err := embedded.Open(t.Context(), o); err == nil {
		server.Close()
		t.Error("two servers on one port")
	}
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"etcd://a:1": "[a:1] ", "etcd://a:1,b:2/?root=/x/y": "[a:1 b:2] /x/y",
		"etcd://": "", "etcd://a": "", "http://a:1": "", "etcd://a:1?rot=/x": "", "etcd://a:1,:2": "",
	} {
		endpoints, root, err := etcd.ParseURL(text)
		if want == "" {
			if err == nil {
				t.Errorf("%s: got %v, no error", text, endpoints)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := "[" + join(endpoints) + "] " + root; got != want {
			t.Errorf("%s: got %s", text, got)
		}
	}
}

func join(all []string) (text string) {
	for i, s := range all {
		if i > 0 {
			text += " "
		}
		text += s
	}
	return text
}
