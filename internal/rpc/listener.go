package rpc

import (
	"net"
	"sync"
	"sync/atomic"
)

// limitedListener closes connections beyond a number at once, so that a flood costs neither a handshake nor memory, and
// those that are open go on.
type limitedListener struct {
	net.Listener
	open  atomic.Int64
	limit int64
}

func newLimitedListener(listener net.Listener, limit int) *limitedListener {
	return &limitedListener{Listener: listener, limit: int64(limit)}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.limit {
			return &limitedConn{Conn: conn, listener: l}, nil
		}
		l.open.Add(-1)
		conn.Close() //nolint:errcheck,gosec // the peer is turned away; nobody can act on the error
	}
}

type limitedConn struct {
	net.Conn
	listener *limitedListener
	once     sync.Once
}

func (c *limitedConn) Close() error {
	c.once.Do(func() { c.listener.open.Add(-1) })
	return c.Conn.Close()
}
