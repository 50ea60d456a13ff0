package rpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sonde.example/internal/rpc"
)

// TestSilentConnectionIsClosed connects and says nothing, not even the first byte of TLS.
func TestSilentConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, handlers{echo: whoami, talk: repeat}, nil)
		conn, err := h.listener.DialContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want EOF", err)
		}
		if got := time.Since(begun); got != 10*time.Second {
			t.Errorf("closed after %s, want 10s", got)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
}

// blackHole is a connection that, once it is open, swallows what is written and never has anything to read.
type blackHole struct {
	net.Conn
	open   atomic.Bool
	closed chan struct{}
}

func (c *blackHole) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.open.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *blackHole) Write(p []byte) (int, error) {
	if c.open.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// Close tells the other side nothing, as when the power fails.
func (c *blackHole) Close() error {
	close(c.closed)
	return nil
}

// TestVanishedPeerIsNoticed opens a black hole in the middle of a stream: the client notices within 20 s + 10 s, the server
// within 30 s + 10 s.
func TestVanishedPeerIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Time, 1)
		h := open(t, handlers{echo: whoami, talk: func(stream grpc.ServerStream) error {
			if err := repeatOnce(stream); err != nil {
				return err
			}
			<-stream.Context().Done()
			ended <- time.Now()
			return stream.Context().Err()
		}}, nil)
		var hole *blackHole
		conn := h.client(h.certificates.Agent, func(o *rpc.DialOptions) {
			dial := o.Dialer
			o.Dialer = func(ctx context.Context, address string) (net.Conn, error) {
				if hole != nil {
					return nil, errors.New("no way through")
				}
				conn, err := dial(ctx, address)
				hole = &blackHole{Conn: conn, closed: make(chan struct{})}
				return hole, err
			}
		})
		stream := talk(t.Context(), t, conn)
		hole.open.Store(true)
		begun := time.Now()
		if err := stream.RecvMsg(new(text)); status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("the client noticed after %s, want 30s at most", took)
		}
		if took := (<-ended).Sub(begun); took > 40*time.Second {
			t.Errorf("the server noticed after %s, want 40s at most", took)
		}
	})
}

// TestIdleConnectionWithPingsIsLeftAlone waits for 25 minutes: the client's pings must not be too many for the server.
func TestIdleConnectionWithPingsIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, handlers{echo: whoami, talk: repeat}, nil)
		stream := talk(t.Context(), t, h.client(h.certificates.Agent, nil))
		<-time.After(25 * time.Minute)
		say(t, stream, "still here")
	})
}
