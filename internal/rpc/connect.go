package rpc

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// dialTCP connects, and tells onConnect of each attempt before its SYN goes out: the socket gets its port first, and only
// then connects. Addresses are tried one after the other, so that there is one attempt at a time to account for.
func dialTCP(ctx context.Context, address string, onConnect func(uint16, netip.AddrPort) (func(), error)) (net.Conn, error) {
	if onConnect == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	release := func() {} // of the attempt at hand
	dialer := net.Dialer{FallbackDelay: -1, Control: func(_, address string, raw syscall.RawConn) error {
		release() // the address before was given up
		release = func() {}
		remote, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", address, err)
		}
		port, err := takePort(raw, remote.Addr())
		if err != nil {
			return fmt.Errorf("take a port for %s: %w", address, err)
		}
		onClose, err := onConnect(port, remote)
		if err == nil && onClose != nil {
			release = sync.OnceFunc(onClose)
		}
		return err
	}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		release()
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn) // keepalive sets a socket option, which a plain net.Conn would hide
	if !ok {
		panic("what was dialed over TCP is a TCP connection")
	}
	return &reportedConn{TCPConn: tcp, onClose: release}, nil
}

// reportedConn tells of its end.
type reportedConn struct {
	*net.TCPConn
	onClose func()
}

// Close closes the connection first: until then it may still send.
func (c *reportedConn) Close() error {
	defer c.onClose()
	return c.TCPConn.Close()
}
