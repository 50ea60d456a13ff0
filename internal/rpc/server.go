package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/experimental"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"sonde.example/internal/mtls"
	"sonde.example/internal/telemetry"
)

// ServerOptions say what is particular to a daemon's server. Certificates, Table and Log are needed; for the rest zero
// is sound.
type ServerOptions struct {
	Certificates *mtls.Source
	Table        Table // who may call what; health, reflection and channelz need no entry
	Log          *slog.Logger

	// Daemon begins the metrics' names, as in sonde_collector_rpc_requests_total, on Registry; without a Registry
	// nothing is counted.
	Daemon   string
	Registry prometheus.Registerer
	// Ready is what the health service tells; nil means that it is ready until it drains.
	Ready *telemetry.Ready

	// MapError may turn a sentinel of the daemon into a status of this package; it returns nil for others.
	MapError func(error) error
	// OnDrain, if set, is called when the drain begins, before Draining's channels close.
	OnDrain func()
	// DrainTimeout is how long calls may take to end after the drain began; zero means 10 s.
	DrainTimeout time.Duration

	MaxMessageBytes      int            // zero means DefaultMaxMessageBytes
	MaxConcurrentStreams uint32         // a connection; zero means 64
	MaxConnections       int            // open at once; zero means 4,096
	BufferPool           mem.BufferPool // nil means one of its own
}

const (
	defaultDrainTimeout   = 10 * time.Second
	defaultMaxStreams     = 64   // an agent needs 4 lanes and a watch; a tool with many tails shares a connection
	defaultMaxConnections = 4096 // four times a thousand agents
	// workersPerCore goroutines wait for calls, with stacks that have grown already: growing one anew for each call takes 6 %
	// of a small one's time. When all are busy, with streams say, a call gets a goroutine of its own, as always.
	workersPerCore = 16
)

// Server is a gRPC server. Register services on it, then Run it once.
type Server struct {
	grpc         *grpc.Server
	gate         *mtls.Gate
	certificates *mtls.Source
	table        Table
	log          *slog.Logger
	metrics      *metrics
	ready        *telemetry.Ready
	mapError     func(error) error
	onDrain      func()
	drainTimeout time.Duration
	maxConns     int
}

// NewServer returns a server with health and reflection registered. Who does not come to Run calls Close.
func NewServer(o ServerOptions) *Server {
	pool := o.BufferPool
	if pool == nil {
		pool = NewBufferPool()
	}
	s := &Server{
		gate:         o.Certificates.ServerCredentials(),
		certificates: o.Certificates,
		table:        builtIn().with(o.Table),
		log:          o.Log.With(telemetry.KeyComponent, "rpc"),
		ready:        o.Ready,
		mapError:     o.MapError,
		onDrain:      o.OnDrain,
		drainTimeout: orDefault(o.DrainTimeout, defaultDrainTimeout),
		maxConns:     orDefault(o.MaxConnections, defaultMaxConnections),
	}
	if s.ready == nil {
		s.ready = telemetry.NewReady()
	}
	s.metrics = newMetrics(o.Registry, o.Daemon, s.table)
	s.grpc = grpc.NewServer(
		grpc.Creds(s.gate),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: serverPing, Timeout: serverPingTimeout,
			MaxConnectionAge: maxConnectionAge, MaxConnectionAgeGrace: maxConnectionAgeGrace,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minClientPing, PermitWithoutStream: true}),
		grpc.ConnectionTimeout(connectionTimeout),
		grpc.MaxConcurrentStreams(orDefault(o.MaxConcurrentStreams, defaultMaxStreams)),
		grpc.MaxRecvMsgSize(orDefault(o.MaxMessageBytes, DefaultMaxMessageBytes)),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.WaitForHandlers(true),
		grpc.NumStreamWorkers(uint32(workersPerCore*runtime.GOMAXPROCS(0))),
		experimental.BufferPool(pool),
		grpc.ForceServerCodecV2(Codec(pool)),
		grpc.ChainUnaryInterceptor(s.measureUnary, s.translateUnary, s.authorizeUnary),
		grpc.ChainStreamInterceptor(s.measureStream, s.translateStream, s.authorizeStream),
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { // nobody comes here: the table has no such method
			return status.Error(codes.Unimplemented, "unknown method")
		}),
	)
	healthv1.RegisterHealthServer(s, &health{ready: s.ready, services: s.GetServiceInfo})
	reflection.Register(s)
	return s
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// RegisterService makes Server a grpc.ServiceRegistrar; generated code calls it.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, implementation any) {
	s.grpc.RegisterService(desc, implementation)
}

// GetServiceInfo tells what is registered.
func (s *Server) GetServiceInfo() map[string]grpc.ServiceInfo { return s.grpc.GetServiceInfo() }

// Close ends everything at once, without a drain.
func (s *Server) Close() {
	s.gate.Close()
	s.grpc.Stop()
}

// Run serves until ctx ends, and closes the listener. It fails at once when a registered method is not in the table.
// When ctx ends the server is not ready any more, Draining's channels close, no new calls are taken, and those under way
// have the drain timeout to end in; then they are cut. Run returns after every handler has returned.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	defer s.gate.Close()
	if err := CheckTable(s, s.table); err != nil {
		s.grpc.Stop()
		return errors.Join(err, listener.Close())
	}
	s.log.Info("gRPC listens", telemetry.KeyAddress, listener.Addr().String())
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(newLimitedListener(listener, s.maxConns)) }()
	select {
	case err := <-served:
		s.grpc.Stop()
		return fmt.Errorf("serve gRPC on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	s.drain()
	if err := <-served; !errors.Is(err, grpc.ErrServerStopped) { // as it is when ctx ended before serving began
		return err
	}
	return nil
}

func (s *Server) drain() {
	s.ready.Stop()
	if s.onDrain != nil {
		s.onDrain()
	}
	s.gate.Drain()
	stopped := make(chan struct{})
	cut := time.AfterFunc(s.drainTimeout, func() {
		defer close(stopped)
		s.log.Warn("drain took too long, calls under way are cut")
		s.grpc.Stop() // makes GracefulStop return
	})
	s.grpc.GracefulStop()
	if !cut.Stop() {
		<-stopped
	}
}

func (s *Server) measureUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	end := s.metrics.begin(info.FullMethod, false)
	response, err := handler(ctx, request)
	end(status.Code(err))
	return response, err
}

func (s *Server) measureStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	end := s.metrics.begin(info.FullMethod, true)
	err := handler(server, stream)
	end(status.Code(err))
	return err
}

func (s *Server) translateUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	response, err := handler(ctx, request)
	return response, s.translate(ctx, info.FullMethod, err)
}

func (s *Server) translateStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return s.translate(stream.Context(), info.FullMethod, handler(server, stream))
}

// translate is the one table between errors inside and statuses outside.
func (s *Server) translate(ctx context.Context, method string, err error) error {
	if err == nil {
		return nil
	}
	if s.mapError != nil {
		if mapped := s.mapError(err); mapped != nil {
			err = mapped
		}
	}
	known, out := outgoing(ctx, err)
	if !known {
		s.log.Error("call failed with an error that has no status", telemetry.KeyMethod, method, telemetry.KeyError, err)
	}
	return out
}
