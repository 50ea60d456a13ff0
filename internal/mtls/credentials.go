package mtls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// alpn is the one protocol spoken inside.
const alpn = "h2"

// Peer says whom a client wants to find at the other end.
type Peer struct {
	// ServerName is the DNS name or IP address that the certificate must carry; empty takes the host dialed.
	ServerName string
	// Roles that will do; empty means RoleService.
	Roles []Role
}

// ServerConfig returns settings for a TLS server: TLS 1.3, a client certificate that chains to an authority and has a
// sound identity in this daemon's trust domain. Each handshake uses the files as they are then.
func (s *Source) ServerConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{alpn},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.current.Load().server, nil
		},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.current.Load().certificate, nil
		},
	}
}

// serverConfig has no session tickets: a resumed session would skip the look at the certificate, and connections live
// long enough for full handshakes not to matter.
func (s *Source) serverConfig(st *state) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{alpn},
		Certificates:           []tls.Certificate{*st.certificate},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              st.roots,
		SessionTicketsDisabled: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := s.admit(cs, Roles())
			return err
		},
	}
}

// ClientConfig returns settings for a TLS client. The server's chain and name are verified, and its identity must be in
// this daemon's trust domain and have a role that peer wants. The client certificate is always the newest; the
// authorities are those of now, so long-lived clients of another kind than gRPC take a new one for each connection.
func (s *Source) ClientConfig(peer Peer) *tls.Config {
	roles := peer.Roles
	if len(roles) == 0 {
		roles = []Role{RoleService}
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{alpn},
		ServerName: peer.ServerName,
		RootCAs:    s.current.Load().roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return s.current.Load().certificate, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := s.admit(cs, roles)
			return err
		},
	}
}

// admit looks at a peer whose chain has been verified.
func (s *Source) admit(cs tls.ConnectionState, roles []Role) (Identity, error) {
	if len(cs.PeerCertificates) == 0 {
		return Identity{}, errNoPeer
	}
	id, err := IdentityOf(cs.PeerCertificates[0])
	if err != nil {
		return Identity{}, err
	}
	if own := s.Identity().TrustDomain; id.TrustDomain != own {
		return Identity{}, fmt.Errorf("%w: %s is not in trust domain %s", ErrIdentity, id, own)
	}
	if !slices.Contains(roles, id.Role) {
		return Identity{}, fmt.Errorf("%w: %s, wanted %v", ErrRole, id, roles)
	}
	return id, s.Valid(id)
}

// ClientCredentials returns gRPC credentials for connections to peer. Unlike ClientConfig they use, in each handshake,
// the authorities of that moment.
func (s *Source) ClientCredentials(peer Peer) credentials.TransportCredentials {
	return &clientCredentials{source: s, peer: peer}
}

type clientCredentials struct {
	source *Source
	peer   Peer
}

func (c *clientCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if c.peer.ServerName != "" {
		authority = c.peer.ServerName // gRPC verifies the authority's host, whatever the settings say
	}
	return credentials.NewTLS(c.source.ClientConfig(c.peer)).ClientHandshake(ctx, authority, raw)
}

func (c *clientCredentials) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("credentials of a client used by a server")
}

func (c *clientCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

func (c *clientCredentials) Clone() credentials.TransportCredentials {
	clone := *c
	return &clone
}

func (c *clientCredentials) OverrideServerName(name string) error {
	c.peer.ServerName = name
	return nil
}

// AuthInfo is what a Gate tells about each connection; gRPC hands it to every call as peer.AuthInfo.
type AuthInfo struct {
	credentials.TLSInfo
	Identity Identity
	conn     *gatedConn
}

// Draining is closed when the connection is to end soon: the gate drains, or the peer's certificate has expired or was
// revoked. Streams then finish what they have in hand; an invalid peer's connection is closed 5 s later. It is closed as
// well when the connection has ended.
func (a AuthInfo) Draining() <-chan struct{} {
	return a.conn.draining
}

// Gate is a server's TLS side. It knows every open connection, which is how they can be told to drain.
type Gate struct {
	source *Source

	mu       sync.Mutex // guards what follows
	conns    map[*gatedConn]struct{}
	draining bool
}

// ServerCredentials returns a gate for one gRPC server. The source watches its connections while Run runs, until
// Gate.Close.
func (s *Source) ServerCredentials() *Gate {
	g := &Gate{source: s, conns: map[*gatedConn]struct{}{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gates[g] = struct{}{}
	return g
}

// Drain closes AuthInfo.Draining of every connection, open ones and those to come. Nothing else happens to them.
func (g *Gate) Drain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.draining = true
	for c := range g.conns {
		c.drain()
	}
}

// Close makes the source forget the gate.
func (g *Gate) Close() {
	g.source.mu.Lock()
	defer g.source.mu.Unlock()
	delete(g.source.gates, g)
}

// sweep drains connections whose peer is not valid any more, and closes those that were drained long enough ago.
func (s *Source) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for g := range s.gates {
		for _, c := range g.invalid(now) {
			c.Close() //nolint:errcheck // the peer is turned out; nobody can act on the error
		}
	}
}

func (g *Gate) invalid(now time.Time) (overdue []*gatedConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		err := g.source.Valid(c.identity)
		switch {
		case err == nil:
		case c.closeAt.IsZero():
			g.source.log.Warn("peer's certificate is not valid any more, connection drains", "peer", c.identity.String(), "err", err)
			c.closeAt = now.Add(closeGrace)
			c.drain()
		case !now.Before(c.closeAt):
			overdue = append(overdue, c)
		}
	}
	return overdue
}

// ServerHandshake implements credentials.TransportCredentials.
func (g *Gate) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c := &gatedConn{Conn: raw, gate: g, draining: make(chan struct{})}
	conn, info, err := credentials.NewTLS(g.source.ServerConfig()).ServerHandshake(c)
	if err != nil {
		return nil, nil, err
	}
	tlsInfo, ok := info.(credentials.TLSInfo)
	if !ok {
		panic("gRPC's TLS handshake gives TLSInfo")
	}
	if c.identity, err = g.source.admit(tlsInfo.State, Roles()); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	g.enter(c)
	return conn, AuthInfo{TLSInfo: tlsInfo, Identity: c.identity, conn: c}, nil
}

func (g *Gate) enter(c *gatedConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns[c] = struct{}{}
	if g.draining {
		c.drain()
	}
}

// ClientHandshake implements credentials.TransportCredentials.
func (g *Gate) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("credentials of a server used by a client")
}

// Info implements credentials.TransportCredentials.
func (g *Gate) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials. There is one gate a server, so the clone is the gate.
func (g *Gate) Clone() credentials.TransportCredentials { return g }

// OverrideServerName implements credentials.TransportCredentials; a server has no use for it.
func (g *Gate) OverrideServerName(string) error { return nil }

// gatedConn is the connection below TLS; its Close is the one that TLS and gRPC end up calling.
type gatedConn struct {
	net.Conn
	gate     *Gate
	identity Identity
	draining chan struct{}
	drained  sync.Once
	closeAt  time.Time // guarded by gate.mu; zero while the peer is valid
}

func (c *gatedConn) drain() {
	c.drained.Do(func() { close(c.draining) })
}

func (c *gatedConn) Close() error {
	c.drain()
	c.gate.mu.Lock()
	delete(c.gate.conns, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
