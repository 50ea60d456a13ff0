package rpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
	"sonde.example/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The service under test: Echo answers with what echo returns, Talk runs talk. Forgotten is registered on demand and in no
// table.
const (
	serviceName     = "sonde.test.v1.TestService"
	echoMethod      = "/" + serviceName + "/Echo"
	talkMethod      = "/" + serviceName + "/Talk"
	forgottenMethod = "/" + serviceName + "/Forgotten"
)

type text = wrapperspb.StringValue

type handlers struct {
	echo      func(ctx context.Context, in *text) (*text, error)
	talk      func(stream grpc.ServerStream) error
	forgotten bool // registers a method that is in no table
}

func (h handlers) register(registrar grpc.ServiceRegistrar) {
	unary := func(_ any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		in := new(text)
		if err := decode(in); err != nil {
			return nil, err
		}
		info := &grpc.UnaryServerInfo{FullMethod: echoMethod}
		return interceptor(ctx, in, info, func(ctx context.Context, _ any) (any, error) { return h.echo(ctx, in) })
	}
	desc := &grpc.ServiceDesc{
		ServiceName: serviceName,
		Methods:     []grpc.MethodDesc{{MethodName: "Echo", Handler: unary}},
		Streams: []grpc.StreamDesc{{
			StreamName: "Talk", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error { return h.talk(stream) },
		}},
	}
	if h.forgotten {
		desc.Streams = append(desc.Streams, grpc.StreamDesc{
			StreamName: "Forgotten", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error { return h.talk(stream) },
		})
	}
	registrar.RegisterService(desc, nil)
}

// repeat is a talk that sends back what it receives until the client has said everything.
func repeat(stream grpc.ServerStream) error {
	for {
		in := new(text)
		if err := stream.RecvMsg(in); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(in); err != nil {
			return err
		}
	}
}

// table lets agents and operators echo, and agents talk.
func table() rpc.Table {
	return rpc.Table{
		echoMethod: {mtls.RoleAgent, mtls.RoleOperator},
		talkMethod: {mtls.RoleAgent},
	}
}

// house is a server that runs, in memory, until the test ends.
type house struct {
	t            testing.TB
	certificates mtls.Development
	source       *mtls.Source
	listener     *bufconn.Listener
	stop         func() error // ends Run and returns what it returned; only once
}

func open(t testing.TB, h handlers, change func(*rpc.ServerOptions)) *house {
	t.Helper()
	certificates := testenv.Certificates(t)
	house := &house{t: t, certificates: certificates, listener: bufconn.Listen(1 << 20)}
	house.source = testenv.Source(t, certificates.Service)
	options := rpc.ServerOptions{Certificates: house.source, Table: table(), Log: testenv.Log(t)}
	if change != nil {
		change(&options)
	}
	server := rpc.NewServer(options)
	h.register(server)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, house.listener) }()
	stopped := false
	house.stop = func() error {
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		cancel()
		if !stopped {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return house
}

// client connects with the given files; it is closed when the test ends.
func (h *house) client(files mtls.Files, change func(*rpc.DialOptions)) *grpc.ClientConn {
	h.t.Helper()
	options := rpc.DialOptions{
		Certificates: testenv.Source(h.t, files),
		Dialer: func(ctx context.Context, _ string) (net.Conn, error) {
			return h.listener.DialContext(ctx)
		},
	}
	if change != nil {
		change(&options)
	}
	conn, err := rpc.Dial("localhost", options)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := conn.Close(); err != nil && status.Code(err) != codes.Canceled { // closed by the test itself
			h.t.Error(err)
		}
	})
	return conn
}

func echo(ctx context.Context, conn *grpc.ClientConn, message string) (string, error) {
	out := new(text)
	err := conn.Invoke(ctx, echoMethod, wrapperspb.String(message), out)
	return out.GetValue(), err
}

func bothWays() *grpc.StreamDesc {
	return &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
}

// talk opens a stream and makes sure, with one message there and back, that the handler runs.
func talk(ctx context.Context, t testing.TB, conn *grpc.ClientConn) grpc.ClientStream {
	t.Helper()
	stream, err := conn.NewStream(ctx, bothWays(), talkMethod)
	if err != nil {
		t.Fatal(err)
	}
	say(t, stream, "hello")
	return stream
}

func say(t testing.TB, stream grpc.ClientStream, message string) {
	t.Helper()
	if err := stream.SendMsg(wrapperspb.String(message)); err != nil {
		t.Fatal(err)
	}
	out := new(text)
	if err := stream.RecvMsg(out); err != nil {
		t.Fatal(err)
	}
	if out.GetValue() != message {
		t.Fatalf("got %q, want %q", out.GetValue(), message)
	}
}
