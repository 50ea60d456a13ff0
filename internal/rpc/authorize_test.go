package rpc_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
	"sonde.example/internal/testenv"
)

// whoami is an echo that answers with the caller.
func whoami(ctx context.Context, _ *text) (*text, error) {
	id, ok := rpc.Caller(ctx)
	if !ok {
		return nil, rpc.NotFound("caller", "")
	}
	return wrapperspb.String(id.String()), nil
}

func TestCallerIsTheCertificates(t *testing.T) {
	h := open(t, handlers{echo: whoami, talk: repeat}, nil)
	got, err := echo(t.Context(), h.client(h.certificates.Agent, nil), "I am spiffe://sonde.internal/operator/admin")
	if err != nil {
		t.Fatal(err)
	}
	if want := "spiffe://sonde.internal/agent/local"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestEveryMethodIsForTheRolesOfTheTable tries each role on each method: listed, built in, registered but forgotten, and
// unknown.
func TestEveryMethodIsForTheRolesOfTheTable(t *testing.T) {
	certificates := map[mtls.Role]func(mtls.Development) mtls.Files{
		mtls.RoleAgent:    func(d mtls.Development) mtls.Files { return d.Agent },
		mtls.RoleService:  func(d mtls.Development) mtls.Files { return d.Service },
		mtls.RoleOperator: func(d mtls.Development) mtls.Files { return d.Operator },
		mtls.RoleViewer:   func(d mtls.Development) mtls.Files { return d.Viewer },
	}
	h := open(t, handlers{echo: whoami, talk: repeat}, nil)
	operators := []mtls.Role{mtls.RoleOperator}
	for method, allowed := range map[string][]mtls.Role{
		echoMethod:                           {mtls.RoleAgent, mtls.RoleOperator},
		talkMethod:                           {mtls.RoleAgent},
		healthv1.Health_Check_FullMethodName: mtls.Roles(),
		reflectionv1.ServerReflection_ServerReflectionInfo_FullMethodName:      operators,
		reflectionv1alpha.ServerReflection_ServerReflectionInfo_FullMethodName: operators,
		forgottenMethod:                                     nil,
		"/" + serviceName + "/":                             nil,
		"/" + serviceName + "/Echo/":                        nil,
		"//" + serviceName + "/Echo":                        nil,
		"/sonde.other.v1.OtherService/Get":                  nil,
		"/grpc.channelz.v1.Channelz/GetServers":             nil, // an operator gets to the handler, and there is none
		strings.ToLower(echoMethod):                         nil,
		"/" + serviceName + "/" + strings.Repeat("x", 2000): nil,
	} {
		for role, files := range certificates {
			conn := h.client(files(h.certificates), nil)
			err := call(t.Context(), conn, method)
			want := codes.PermissionDenied
			if slices.Contains(allowed, role) {
				want = codes.OK
			} else if strings.HasPrefix(method, "/grpc.channelz") && role == mtls.RoleOperator {
				want = codes.Unimplemented
			}
			if got := status.Code(err); got != want {
				t.Errorf("%s on %.80s: %v, want %s", role, method, err, want)
			}
			if want == codes.PermissionDenied && rpc.Reason(err) != rpc.ReasonRole {
				t.Errorf("%s on %.80s: reason %q", role, method, rpc.Reason(err))
			}
		}
	}
}

// call makes a call without messages of any method, and waits for its end.
func call(ctx context.Context, conn *grpc.ClientConn, method string) error {
	stream, err := conn.NewStream(ctx, bothWays(), method)
	if err != nil {
		return err
	}
	if method == echoMethod || strings.Contains(method, "Health") { // unary: they need a message, and an empty one does
		if err := stream.SendMsg(&text{}); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		switch err := stream.RecvMsg(new(text)); {
		case err == nil:
		case status.Code(err) == codes.Unknown: // io.EOF: it ended well
			return nil
		default:
			return err
		}
	}
}

// TestPathWithoutLeadingSlashIsDenied speaks HTTP/2 by hand, for no client library sends such a path.
func TestPathWithoutLeadingSlashIsDenied(t *testing.T) {
	reached := false
	h := open(t, handlers{echo: func(context.Context, *text) (*text, error) {
		reached = true
		return &text{}, nil
	}, talk: repeat}, nil)
	raw, err := h.listener.DialContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, testenv.Source(t, h.certificates.Agent).ClientConfig(mtls.Peer{ServerName: "localhost"}))
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	statusOf := func(stream uint32, path string) string {
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for _, field := range [][2]string{
			{":method", "POST"}, {":scheme", "https"}, {":path", path}, {":authority", "localhost"},
			{"content-type", "application/grpc"}, {"te", "trailers"},
		} {
			if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
				t.Fatal(err)
			}
		}
		if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
		if err := framer.WriteData(stream, true, make([]byte, 5)); err != nil { // one empty message
			t.Fatal(err)
		}
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if headers, ok := frame.(*http2.MetaHeadersFrame); ok && headers.StreamID == stream {
				for _, field := range headers.Fields {
					if field.Name == "grpc-status" {
						return field.Value
					}
				}
			}
		}
	}
	if got := statusOf(1, strings.TrimPrefix(echoMethod, "/")); got != "12" || reached { // UNIMPLEMENTED
		t.Errorf("status %s, handler reached: %v", got, reached)
	}
	if got := statusOf(3, echoMethod); got != "0" || !reached {
		t.Errorf("with the slash: status %s, handler reached: %v", got, reached)
	}
}

func TestNobodyComesInWithoutACertificate(t *testing.T) {
	h := open(t, handlers{echo: whoami, talk: repeat}, nil)
	for name, client := range map[string]*tls.Config{
		"no certificate": {ServerName: "localhost", RootCAs: h.source.ClientConfig(mtls.Peer{}).RootCAs, NextProtos: []string{"h2"}},
		"another authority": func() *tls.Config {
			config := testenv.Source(t, testenv.Certificates(t).Agent).ClientConfig(mtls.Peer{ServerName: "localhost"})
			config.RootCAs = h.source.ClientConfig(mtls.Peer{}).RootCAs
			return config
		}(),
	} {
		raw, err := h.listener.DialContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		client.MinVersion = tls.VersionTLS13
		conn := tls.Client(raw, client)
		if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "remote error: tls:") {
			t.Errorf("%s: %v", name, err)
		}
		_ = raw.Close()
	}
}

func TestClientRefusesAnotherRoleThanService(t *testing.T) {
	h := open(t, handlers{echo: whoami, talk: repeat}, nil)
	conn := h.client(h.certificates.Agent, func(o *rpc.DialOptions) { o.Peer.Roles = []mtls.Role{mtls.RoleOperator} })
	if _, err := echo(t.Context(), conn, ""); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "unwanted role") {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"127.0.0.1", "::1", "localhost"} {
		conn = h.client(h.certificates.Agent, func(o *rpc.DialOptions) { o.Peer.ServerName = name })
		if _, err := echo(t.Context(), conn, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	conn = h.client(h.certificates.Agent, func(o *rpc.DialOptions) { o.Peer.ServerName = "collector.example" })
	if _, err := echo(t.Context(), conn, ""); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "collector.example") {
		t.Errorf("got %v", err)
	}
}

func TestRunFailsWhenAMethodIsMissingInTheTable(t *testing.T) {
	source := testenv.Source(t, testenv.Certificates(t).Service)
	for name, test := range map[string]struct {
		handlers handlers
		table    rpc.Table
		want     []string
	}{
		"empty":         {handlers{}, nil, []string{echoMethod, talkMethod}},
		"forgotten":     {handlers{forgotten: true}, table(), []string{forgottenMethod}},
		"typo":          {handlers{}, rpc.Table{echoMethod: {mtls.RoleAgent}, talkMethod: {mtls.RoleAgent}, echoMethod + "o": {mtls.RoleAgent}}, []string{echoMethod + "o"}},
		"no role":       {handlers{}, rpc.Table{echoMethod: {}, talkMethod: {mtls.RoleAgent}}, []string{echoMethod}},
		"no sound role": {handlers{}, rpc.Table{echoMethod: {"root"}, talkMethod: {mtls.RoleAgent}}, []string{echoMethod, `"root"`}},
	} {
		t.Run(name, func(t *testing.T) {
			server := rpc.NewServer(rpc.ServerOptions{Certificates: source, Table: test.table, Log: testenv.Log(t)})
			test.handlers.register(server)
			if err := rpc.CheckTable(server, test.table); err == nil {
				t.Error("the check finds nothing")
			}
			listener := bufconn.Listen(1)
			err := server.Run(t.Context(), listener)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not name %s", err, want)
				}
			}
			if _, err := listener.Dial(); err == nil {
				t.Error("the listener is still open")
			}
		})
	}
}

func TestReflectionListsServicesForOperators(t *testing.T) {
	h := open(t, handlers{echo: whoami, talk: repeat}, nil)
	stream, err := reflectionv1.NewServerReflectionClient(h.client(h.certificates.Operator, nil)).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, service := range answer.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	if !slices.Contains(names, serviceName) || !slices.Contains(names, "grpc.health.v1.Health") {
		t.Errorf("got %q", names)
	}
}

func TestMetricsNameNoMethodThatCallersMadeUp(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := open(t, handlers{echo: whoami, talk: repeat}, func(o *rpc.ServerOptions) { o.Registry, o.Daemon = registry, "collector" })
	conn := h.client(h.certificates.Agent, nil)
	for _, method := range []string{echoMethod, echoMethod, "/made.Up/Method", "/made.Up/Other"} {
		if err := call(t.Context(), conn, method); (err == nil) != (method == echoMethod) {
			t.Errorf("%s: %v", method, err)
		}
	}
	if err := h.stop(); err != nil { // the counters move after the client has its answer
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetValue())
			}
			key := family.GetName() + " " + strings.Join(labels, " ")
			got[key] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	for key, want := range map[string]float64{
		"sonde_collector_rpc_requests_total OK " + echoMethod:          2,
		"sonde_collector_rpc_requests_total PermissionDenied unlisted": 2,
		"sonde_collector_rpc_seconds " + echoMethod:                    2,
		"sonde_collector_rpc_in_flight " + echoMethod:                  0,
	} {
		if value, ok := got[key]; !ok || value != want {
			t.Errorf("%s is %v, want %v; all: %v", key, value, want, got)
		}
	}
}

func TestConnectionsBeyondTheLimitAreTurnedAway(t *testing.T) {
	h := open(t, handlers{echo: whoami, talk: repeat}, func(o *rpc.ServerOptions) { o.MaxConnections = 2 })
	first, second := h.client(h.certificates.Agent, nil), h.client(h.certificates.Agent, nil)
	for _, conn := range []*grpc.ClientConn{first, second} {
		if _, err := echo(t.Context(), conn, ""); err != nil {
			t.Fatal(err)
		}
	}
	third := h.client(h.certificates.Agent, nil)
	if _, err := echo(t.Context(), third, ""); status.Code(err) != codes.Unavailable {
		t.Errorf("third connection: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out := new(text)
	if err := third.Invoke(ctx, echoMethod, &text{}, out, grpc.WaitForReady(true)); err != nil {
		t.Errorf("after one has left: %v", err)
	}
}

func TestOnConnectIsToldBeforeTheConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	certificates := testenv.Certificates(t)
	server := rpc.NewServer(rpc.ServerOptions{Certificates: testenv.Source(t, certificates.Service), Table: table(), Log: testenv.Log(t)})
	handlers{echo: whoami, talk: repeat}.register(server)
	accepted := make(chan net.Addr, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, &noticed{Listener: listener, accepted: accepted}) }()

	type flow struct {
		port   uint16
		remote netip.AddrPort
	}
	opened, closed := make(chan flow, 1), make(chan struct{})
	conn, err := rpc.Dial(listener.Addr().String(), rpc.DialOptions{
		Certificates: testenv.Source(t, certificates.Agent),
		OnConnect: func(port uint16, remote netip.AddrPort) (func(), error) {
			select {
			case <-accepted:
				t.Error("the connection was there before it was told of")
			default:
			}
			opened <- flow{port, remote}
			return func() { close(closed) }, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := echo(t.Context(), conn, ""); err != nil {
		t.Fatal(err)
	}
	got, peer := <-opened, (<-accepted).(*net.TCPAddr)
	if got.remote.String() != listener.Addr().String() || int(got.port) != peer.Port {
		t.Errorf("told of port %d to %s, and %s came", got.port, got.remote, peer)
	}
	select {
	case <-closed:
		t.Error("closed while in use")
	default:
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	<-closed
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// noticed tells who was accepted first.
type noticed struct {
	net.Listener
	accepted chan net.Addr
}

func (n *noticed) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if err == nil {
		select {
		case n.accepted <- conn.RemoteAddr():
		default:
		}
	}
	return conn, err
}

func TestOnConnectIsToldOfConnectionsThatFail(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	listener.Close()
	closed := make(chan struct{}, 100)
	conn, err := rpc.Dial(nobody, rpc.DialOptions{
		Certificates: testenv.Source(t, testenv.Certificates(t).Agent),
		OnConnect: func(uint16, netip.AddrPort) (func(), error) {
			return func() { closed <- struct{}{} }, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := echo(t.Context(), conn, ""); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	<-closed
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func TestOnConnectCanRefuse(t *testing.T) {
	conn, err := rpc.Dial("127.0.0.1:1", rpc.DialOptions{
		Certificates: testenv.Source(t, testenv.Certificates(t).Agent),
		OnConnect: func(uint16, netip.AddrPort) (func(), error) {
			return nil, errors.New("capture is not excluded")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := echo(t.Context(), conn, ""); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "capture is not excluded") {
		t.Errorf("got %v", err)
	}
}
