package mtls_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sonde.example/internal/mtls"
	"sonde.example/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handshake makes one TLS connection in memory and returns what each side said of it.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closing(t, listener)
	var wg sync.WaitGroup
	wg.Go(func() {
		raw, err := listener.Accept()
		if err != nil {
			serverErr = err
			return
		}
		conn := tls.Server(raw, server)
		if serverErr = conn.Handshake(); serverErr == nil {
			_, serverErr = conn.Write([]byte("x"))
		}
		serverErr = errors.Join(serverErr, raw.Close())
	})
	conn, err := tls.Dial("tcp", listener.Addr().String(), client)
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, 1)) // TLS 1.3 tells a client only here that its certificate was refused
		_ = conn.Close()
	}
	wg.Wait()
	return serverErr, err
}

func closing(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// forge signs a certificate with the authority of a test, as change wants it. The result can be opened or not.
func forge(t *testing.T, certificates mtls.Development, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	dir := filepath.Dir(certificates.Service.CA)
	authority, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(4711),
		Subject:      pkix.Name{CommonName: "local"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		URIs:         []*url.URL{{Scheme: "spiffe", Host: mtls.DevelopmentDomain, Path: "/agent/local"}},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, authority.Leaf, key.Public(), authority.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// write puts a forged certificate where files say, whole files at a time.
func write(t *testing.T, files mtls.Files, pair tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		files.Certificate: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		files.Key:         {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHandshakeTakesEachRoleAndNothingElse(t *testing.T) {
	certificates := testenv.Certificates(t)
	stranger := testenv.Certificates(t)
	server := testenv.Source(t, certificates.Service).ServerConfig()
	ordinary := func(files mtls.Files) *tls.Config {
		return testenv.Source(t, files).ClientConfig(mtls.Peer{ServerName: "localhost"})
	}
	forged := func(change func(*x509.Certificate)) *tls.Config {
		config := ordinary(certificates.Agent)
		pair := forge(t, certificates, change)
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		return config
	}
	for _, test := range []struct {
		name   string
		client *tls.Config
		want   string // in the server's error; empty: the handshake succeeds
	}{
		{"agent", ordinary(certificates.Agent), ""},
		{"service", ordinary(certificates.Service), ""},
		{"operator", ordinary(certificates.Operator), ""},
		{"viewer", ordinary(certificates.Viewer), ""},
		{"forged but sound", forged(func(*x509.Certificate) {}), ""},
		{"no certificate", func() *tls.Config {
			config := ordinary(certificates.Agent)
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
			return config
		}(), "didn't provide a certificate"},
		{"another authority", func() *tls.Config {
			config := ordinary(certificates.Agent)
			foreign := ordinary(stranger.Agent)
			config.GetClientCertificate = foreign.GetClientCertificate
			return config
		}(), "unknown authority"},
		{"two uris", forged(func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }), "2 URIs"},
		{"malformed uri", forged(uri("spiffe://sonde.internal/agent/a/b")), "is not spiffe://domain/role/id"},
		{"another trust domain", forged(uri("spiffe://elsewhere/agent/local")), "not in trust domain"},
		{"expired", forged(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), "expired"},
		{"only for servers", forged(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "key usage"},
		{"tls 1.2", func() *tls.Config {
			config := ordinary(certificates.Agent)
			config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
			return config
		}(), "unsupported versions"},
	} {
		t.Run(test.name, func(t *testing.T) {
			serverErr, clientErr := handshake(t, server, test.client)
			if test.want == "" {
				if serverErr != nil || clientErr != nil {
					t.Fatalf("server: %v, client: %v", serverErr, clientErr)
				}
				return
			}
			if serverErr == nil || !strings.Contains(serverErr.Error(), test.want) {
				t.Errorf("server says %v, want %q", serverErr, test.want)
			}
			if clientErr == nil {
				t.Error("the client got through")
			}
		})
	}
}

func TestClientChecksServersNameAndRole(t *testing.T) {
	certificates := testenv.Certificates(t)
	client := testenv.Source(t, certificates.Agent)
	impostor := testenv.Source(t, certificates.Operator).ServerConfig() // has no name of a host at all
	forgedServer := testenv.Source(t, certificates.Service).ServerConfig()
	pair := forge(t, certificates, func(*x509.Certificate) {}) // an agent with a name of a host and server usage
	forgedServer.GetConfigForClient = nil
	forgedServer.ClientAuth = tls.RequireAnyClientCert
	forgedServer.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
	server := testenv.Source(t, certificates.Service).ServerConfig()

	for _, test := range []struct {
		name   string
		server *tls.Config
		peer   mtls.Peer
		want   string
	}{
		{"name", server, mtls.Peer{ServerName: "localhost"}, ""},
		{"address", server, mtls.Peer{ServerName: "127.0.0.1"}, ""},
		{"another name", server, mtls.Peer{ServerName: "collector.example"}, "not collector.example"},
		{"another role wanted", server, mtls.Peer{ServerName: "localhost", Roles: []mtls.Role{mtls.RoleViewer}}, "unwanted role"},
		{"operator as server", impostor, mtls.Peer{ServerName: "localhost"}, "certificate"},
		{"agent as server", forgedServer, mtls.Peer{ServerName: "localhost"}, "unwanted role"},
		{"agent that is wanted", forgedServer, mtls.Peer{ServerName: "localhost", Roles: []mtls.Role{mtls.RoleAgent}}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := handshake(t, test.server, client.ClientConfig(test.peer))
			if test.want == "" && err != nil {
				t.Fatal(err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestOpenNamesTheFileThatIsWrong(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *mtls.Files){
		"CA":          func(_ *testing.T, f *mtls.Files) { f.CA = "/nowhere/ca.crt" },
		"certificate": func(_ *testing.T, f *mtls.Files) { f.Certificate = f.Key },
		"key":         func(_ *testing.T, f *mtls.Files) { f.Key = f.Certificate },
		"folder":      func(t *testing.T, f *mtls.Files) { f.CA = t.TempDir() },
		"revoked": func(t *testing.T, f *mtls.Files) {
			f.Revoked = filepath.Join(t.TempDir(), "revoked")
			if err := os.WriteFile(f.Revoked, []byte("12ab\nnot a serial\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := testenv.Certificates(t).Service
			change(t, &files)
			_, err := mtls.Open(files, testenv.Log(t))
			if err == nil {
				t.Fatal("opened")
			}
			paths := []string{files.CA, files.Certificate, files.Key, files.Revoked}
			for _, path := range paths {
				if path != "" && strings.Contains(err.Error(), path) {
					return
				}
			}
			t.Errorf("%v names no file", err)
		})
	}
	t.Run("expired", func(t *testing.T) {
		certificates := testenv.Certificates(t)
		write(t, certificates.Agent, forge(t, certificates, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }))
		if _, err := mtls.Open(certificates.Agent, testenv.Log(t)); !errors.Is(err, mtls.ErrExpired) {
			t.Errorf("got %v, want ErrExpired", err)
		}
	})
}

func TestReloadKeepsTheLastGoodFiles(t *testing.T) {
	certificates := testenv.Certificates(t)
	source := testenv.Source(t, certificates.Agent)
	before := source.Identity()

	for name, broken := range map[string]func(){
		"half written": func() {
			if err := os.WriteFile(certificates.Agent.Certificate, []byte("-----BEGIN CERT"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"another id": func() {
			write(t, certificates.Agent, forge(t, certificates, func(c *x509.Certificate) {
				uri("spiffe://sonde.internal/agent/other")(c)
				c.Subject.CommonName = ""
			}))
		},
		"expired": func() {
			write(t, certificates.Agent, forge(t, certificates, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }))
		},
	} {
		broken()
		if err := source.Reload(); err == nil {
			t.Errorf("%s: taken", name)
		}
		if got := source.Identity(); got != before {
			t.Errorf("%s: identity is %v, want %v", name, got, before)
		}
	}
	write(t, certificates.Agent, forge(t, certificates, func(*x509.Certificate) {}))
	if err := source.Reload(); err != nil {
		t.Fatal(err)
	}
	if got, want := source.Identity().Serial, big.NewInt(4711).Text(16); got != want {
		t.Errorf("serial %s, want %s", got, want)
	}
}

// TestRunFollowsTheFiles drives the poll by the bubble's clock: a broken file is told once and taken once it is whole.
func TestRunFollowsTheFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		certificates := testenv.Certificates(t)
		var text lockedBuffer
		source, err := mtls.Open(certificates.Agent, slog.New(slog.NewTextHandler(&text, nil)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := source.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		first := source.Identity().Serial

		renewed := forge(t, certificates, func(*x509.Certificate) {})
		whole, err := os.ReadFile(certificates.Agent.Key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, certificates.Agent, renewed)
		replacement, err := os.ReadFile(certificates.Agent.Key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(certificates.Agent.Key, whole, 0o600); err != nil { // the old key beside the new certificate
			t.Fatal(err)
		}
		<-time.After(10 * time.Second)
		synctest.Wait()
		if got := source.Identity().Serial; got != first {
			t.Errorf("took a certificate without its key: %s", got)
		}
		if got := strings.Count(text.String(), "certificate files not taken"); got != 1 {
			t.Errorf("told %d times, want once:\n%s", got, text.String())
		}
		if err := os.WriteFile(certificates.Agent.Key, replacement, 0o600); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Second)
		synctest.Wait()
		if got := source.Identity().Serial; got != big.NewInt(4711).Text(16) {
			t.Errorf("serial is still %s", got)
		}

		if err := os.WriteFile(certificates.Agent.Revoked, []byte("0A:BC # stolen\n\n77\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Second)
		synctest.Wait()
		for serial, want := range map[string]bool{"abc": true, "0abc": true, "ABC": true, "77": true, "7": false, "": false} {
			if got := source.Revoked(serial); got != want {
				t.Errorf("Revoked(%q) = %v", serial, got)
			}
		}
		cancel()
		wg.Wait()
	})
}

// TestValidAndWarningFollowTheClock lets a certificate of an hour grow old.
func TestValidAndWarningFollowTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		certificates := testenv.Certificates(t)
		write(t, certificates.Agent, forge(t, certificates, func(*x509.Certificate) {}))
		var text lockedBuffer
		source, err := mtls.Open(certificates.Agent, slog.New(slog.NewTextHandler(&text, nil)))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- source.Run(ctx) }()

		<-time.After(30 * time.Minute)
		if err := source.Valid(source.Identity()); err != nil || strings.Contains(text.String(), "ends soon") {
			t.Errorf("in its middle: %v, log: %s", err, text.String())
		}
		<-time.After(time.Hour)
		if err := source.Valid(source.Identity()); !errors.Is(err, mtls.ErrExpired) {
			t.Errorf("got %v, want ErrExpired", err)
		}
		if got := strings.Count(text.String(), "ends soon"); got != 1 {
			t.Errorf("warned %d times, want once", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAuthorityNeverOverwrites(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	authority, err := mtls.CreateAuthority(dir, "lab.example", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	files, err := authority.Issue(mtls.RoleAgent, "probe", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mtls.CreateAuthority(dir, "lab.example", time.Hour); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second authority: %v, want ErrExist", err)
	}
	if _, err := authority.Issue(mtls.RoleAgent, "probe", nil, time.Hour); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second certificate: %v, want ErrExist", err)
	}
	if _, err := authority.Issue(mtls.RoleAgent, "../x", nil, time.Hour); !errors.Is(err, mtls.ErrIdentity) {
		t.Errorf("id with a slash: %v, want ErrIdentity", err)
	}
	for _, path := range []string{files.Key, filepath.Join(dir, "ca.key")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s has mode %o, want 600", path, got)
		}
	}
	if source := testenv.Source(t, files); source.Identity().String() != "spiffe://lab.example/agent/probe" {
		t.Errorf("identity is %v", source.Identity())
	}
}

// TestEnsureDevelopmentManyTimesAtOnce is several processes that start in an empty state directory.
func TestEnsureDevelopmentManyTimesAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			d, err := mtls.EnsureDevelopment(dir, mtls.DevelopmentOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			server, client := testenv.Source(t, d.Service), testenv.Source(t, d.Agent)
			serverErr, clientErr := handshake(t, server.ServerConfig(), client.ClientConfig(mtls.Peer{ServerName: "localhost"}))
			if err := errors.Join(serverErr, clientErr); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 11 { // two of the authority, two a role, and the revocation list
		t.Errorf("the directory holds %v", entries)
	}
}

func TestEnsureDevelopmentAfterwards(t *testing.T) {
	dir := t.TempDir()
	if _, err := mtls.EnsureDevelopment(dir, mtls.DevelopmentOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := mtls.EnsureDevelopment(dir, mtls.DevelopmentOptions{}); err != nil {
		t.Errorf("with the authority's key put away: %v", err)
	}
	if _, err := mtls.EnsureDevelopment(dir, mtls.DevelopmentOptions{Agent: "second"}); err == nil || !strings.Contains(err.Error(), "no ca.key") {
		t.Errorf("one more without the authority's key: %v", err)
	}
	if _, err := mtls.EnsureDevelopment(dir, mtls.DevelopmentOptions{Hosts: []string{"collector.example"}}); err == nil || !strings.Contains(err.Error(), "service-local.crt: not good for host collector.example") {
		t.Errorf("another host: %v", err)
	}
}

// lockedBuffer is a buffer for a log.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
