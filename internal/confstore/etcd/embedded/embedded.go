// Package embedded is an etcd server inside this process: the store of a machine that needs no other. It is the same server
// and keeps the same files as one outside; clients reach it over TLS like any other, and must show a certificate.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sonde.example/internal/mtls"
	"sonde.example/internal/telemetry"
)

const (
	startTimeout   = 30 * time.Second // a large log on a slow disk
	maxTxnOps      = 4096             // a front end's transactions have several operations for each node
	maxRequest     = 4 << 20          // bytes
	logEvery       = 10 * time.Second
	memberName     = "sonde"
	compactEvery   = "1h"
	quotaBytes     = 256 << 20 // of the file; a tree of ten thousand agents takes a tenth
	tickMillis     = 100
	electionMillis = 1000
)

// Options for Open. All are needed.
type Options struct {
	// Dir is made if it is not there.
	Dir string
	// Listen is host:port for clients; port 0 takes a free one.
	Listen string
	// TLS is the server's certificate, and the authority whose clients it takes.
	TLS mtls.Files
	Log *slog.Logger
}

// Server is a running server.
type Server struct {
	etcd    *embed.Etcd
	addr    net.Addr
	serving *atomic.Bool
	close   sync.Once // etcd's own Close panics the second time
}

// Open starts the server on its folder, and waits until it answers.
func Open(ctx context.Context, o Options) (*Server, error) {
	if err := free(ctx, o.Listen); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	serving := new(atomic.Bool)
	etcd, err := embed.StartEtcd(configure(o, bridge{log: telemetry.Limited(o.Log, logEvery), serving: serving}))
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("listen on %s: %w", o.Listen, err)
		}
		return nil, fmt.Errorf("embedded etcd on %s: %w", o.Dir, err)
	}
	s := &Server{etcd: etcd, addr: etcd.Clients[0].Addr(), serving: serving}
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case <-etcd.Server.ReadyNotify():
		serving.Store(true)
		return s, nil
	case err = <-etcd.Err():
	case <-etcd.Server.StopNotify():
		err = errors.New("it stopped")
	case <-timer.C:
		err = fmt.Errorf("not ready within %s", startTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(fmt.Errorf("embedded etcd on %s: %w", o.Dir, err), s.Close())
}

// free tells whether the address can be had, for etcd's own error names neither.
func free(ctx context.Context, address string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return listener.Close()
}

func configure(o Options, log zapcore.Core) *embed.Config {
	c := embed.NewConfig()
	c.Name, c.Dir = memberName, filepath.Clean(o.Dir)
	client := url.URL{Scheme: "https", Host: o.Listen}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	// There are no peers. Their listener cannot be left out; it takes a free port on loopback, and asks for a certificate.
	peer := url.URL{Scheme: "https", Host: "127.0.0.1:0"}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	c.InitialCluster = memberName + "=" + peer.String()
	if exists(filepath.Join(o.Dir, "member")) {
		c.ClusterState = embed.ClusterStateFlagExisting
	}
	tls := transport.TLSInfo{CertFile: o.TLS.Certificate, KeyFile: o.TLS.Key, TrustedCAFile: o.TLS.CA, ClientCertAuth: true}
	c.ClientTLSInfo, c.PeerTLSInfo = tls, tls
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(log))
	c.EnableGRPCGateway = false
	c.TickMs, c.ElectionMs = tickMillis, electionMillis
	c.MaxTxnOps, c.MaxRequestBytes, c.QuotaBackendBytes = maxTxnOps, maxRequest, quotaBytes
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModePeriodic, compactEvery
	return c
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// Addr is where clients are served.
func (s *Server) Addr() net.Addr { return s.addr }

// Run serves until ctx ends or the server fails, and stops it.
func (s *Server) Run(ctx context.Context) error {
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.etcd.Err():
		err = fmt.Errorf("embedded etcd: %w", err)
	case <-s.etcd.Server.StopNotify():
		err = errors.New("embedded etcd stopped")
	}
	return errors.Join(err, s.Close())
}

// Close stops the server. Closing again does nothing.
func (s *Server) Close() error {
	s.close.Do(func() {
		s.serving.Store(false)
		s.etcd.Close()
	})
	return nil
}
