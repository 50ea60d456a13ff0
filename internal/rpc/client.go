package rpc

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"

	"sonde.example/internal/mtls"
)

// DialOptions say what is particular to a client. Certificates is needed; for the rest zero is sound.
type DialOptions struct {
	Certificates *mtls.Source
	// Peer says whom to expect; zero means a service whose certificate carries the host dialed.
	Peer mtls.Peer
	// MaxMessageBytes is the largest message that is taken in; zero means DefaultMaxMessageBytes.
	MaxMessageBytes int
	// BufferPool may be shared by several connections; nil means one of its own.
	BufferPool mem.BufferPool
	// OnConnect, if set, is told the addresses of each new connection before a byte is sent over it; with an error
	// the connection is given up. What it returns, if anything, is called when the connection closes. The agent keeps
	// its own uplink out of its capture by it.
	OnConnect func(local, remote net.Addr) (onClose func(), err error)
	// Dialer replaces TCP, as bufconn does in tests; the address is then not resolved.
	Dialer func(ctx context.Context, address string) (net.Conn, error)
}

const (
	reconnectFirst    = 200 * time.Millisecond
	reconnectMost     = 5 * time.Second // a collector that comes back is found again soon after
	reconnectFactor   = 1.6
	reconnectJitter   = 0.5
	minConnectTimeout = 10 * time.Second
)

// Dial returns a client connection to host:port. Nothing is dialed before the first call, and a call fails, rather than
// waits, while the peer is out of reach. gRPC sends no call a second time, except one that it knows never left or was
// never looked at.
func Dial(address string, o DialOptions) (*grpc.ClientConn, error) {
	pool := o.BufferPool
	if pool == nil {
		pool = NewBufferPool()
	}
	dial := o.Dialer
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
	} else if !strings.Contains(address, ":///") {
		address = "passthrough:///" + address
	}
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(o.Certificates.ClientCredentials(o.Peer)),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := dial(ctx, address)
			if err != nil || o.OnConnect == nil {
				return conn, err
			}
			return reported(conn, o.OnConnect)
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: clientPing, Timeout: clientPingTimeout, PermitWithoutStream: true,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: reconnectFirst, MaxDelay: reconnectMost, Multiplier: reconnectFactor, Jitter: reconnectJitter,
			},
			MinConnectTimeout: minConnectTimeout,
		}),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(Codec(pool)),
			grpc.MaxCallRecvMsgSize(orDefault(o.MaxMessageBytes, DefaultMaxMessageBytes)),
		),
		grpc.WithDisableServiceConfig(), // nobody's DNS server says how we call
		grpc.WithDisableRetry(),
		experimental.WithBufferPool(pool),
	)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return conn, nil
}

// reported tells onConnect of a connection, and what that returns of its end.
func reported(conn net.Conn, onConnect func(local, remote net.Addr) (func(), error)) (net.Conn, error) {
	onClose, err := onConnect(conn.LocalAddr(), conn.RemoteAddr())
	if err != nil {
		conn.Close() //nolint:errcheck,gosec // unused, and the error that matters is returned
		return nil, err
	}
	if onClose == nil {
		return conn, nil
	}
	onClose = sync.OnceFunc(onClose)
	if tcp, ok := conn.(*net.TCPConn); ok { // keepalive sets a socket option, which a plain net.Conn would hide
		return &reportedTCPConn{TCPConn: tcp, onClose: onClose}, nil
	}
	return &reportedConn{Conn: conn, onClose: onClose}, nil
}

// reportedTCPConn tells of its end; so does reportedConn, for connections that are not TCP.
type reportedTCPConn struct {
	*net.TCPConn
	onClose func()
}

// Close closes the connection first: until then it may still send.
func (c *reportedTCPConn) Close() error {
	defer c.onClose()
	return c.TCPConn.Close()
}

type reportedConn struct {
	net.Conn
	onClose func()
}

func (c *reportedConn) Close() error {
	defer c.onClose()
	return c.Conn.Close()
}
