package rpc

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
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
	// OnConnect, if set, is told of each TCP connection before the first packet of it goes out: the port of this side (0
	// where the system does not give one away before it connects) and the address of the other. With an error that address
	// is given up. What it returns, if anything, is called once, when the connection is closed or was not made. The agent
	// keeps its own uplink out of its capture by it. A Dialer of one's own goes without.
	OnConnect func(localPort uint16, remote netip.AddrPort) (onClose func(), err error)
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
		dial = func(ctx context.Context, address string) (net.Conn, error) { return DialTCP(ctx, address, o.OnConnect) }
	} else if !strings.Contains(address, ":///") {
		address = "passthrough:///" + address
	}
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(o.Certificates.ClientCredentials(o.Peer)),
		grpc.WithContextDialer(dial),
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
