package uplink

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
)

// ProbeOptions are the part of Options that connecting needs.
type ProbeOptions struct {
	Certificates *mtls.Source
	ServerName   string
	OnConnect    func(localPort uint16, remote netip.AddrPort) (onClose func(), err error)
	Dialer       func(ctx context.Context, address string) (net.Conn, error)
}

// Probe tells whether a collector answers at an address: it connects, and both sides prove who they are. It waits as long
// as ctx lets it for that, but not for a collector that refuses.
func Probe(ctx context.Context, o ProbeOptions, address string) (err error) {
	conn, err := rpc.Dial(address, rpc.DialOptions{
		Certificates: o.Certificates, Peer: mtls.Peer{ServerName: o.ServerName}, OnConnect: o.OnConnect, Dialer: o.Dialer,
	})
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it has told what it was made for
	conn.Connect()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		if state == connectivity.TransientFailure {
			return fmt.Errorf("collector %s does not answer: %w", address, reason(ctx, conn))
		}
		if !conn.WaitForStateChange(ctx, state) {
			return fmt.Errorf("collector %s does not answer: %w", address, ctx.Err())
		}
	}
	return nil
}

// reason asks a connection that has failed why.
func reason(ctx context.Context, conn *grpc.ClientConn) error {
	_, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
	return err
}
