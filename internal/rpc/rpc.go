// Package rpc is how this house makes a gRPC server and a gRPC client, so that every daemon's are alike: mutual TLS,
// keepalive, bounded messages and headers, one buffer pool. A server answers only methods that its closed table gives to
// the caller's role, turns errors into statuses with details in one place, counts what it does, and ends by draining:
// streams are told through Draining, calls under way finish, what is left after a while is cut. A client sends nothing
// twice behind its user's back. Both use a codec that lets a message refer to its bytes in place.
package rpc

import (
	"context"
	"time"

	"sonde.example/internal/mtls"
)

const (
	// DefaultMaxMessageBytes is the largest message that is taken in: a blob of 4 MiB and what goes with it (65,536
	// packets' columns take about 1.3 MiB).
	DefaultMaxMessageBytes = 6 << 20
	// InferenceMaxMessageBytes is for tensors.
	InferenceMaxMessageBytes = 64 << 20

	maxHeaderBytes = 8 << 10 // far more than ours send; bounds what a peer can make us keep

	// Server's keepalive: an agent that vanished is noticed after 30 s + 10 s.
	serverPing        = 30 * time.Second
	serverPingTimeout = 10 * time.Second
	// Clients ping every 20 s; gRPC lets none ping more often than every 10 s.
	clientPing        = 20 * time.Second
	clientPingTimeout = 10 * time.Second
	minClientPing     = 15 * time.Second

	// Backstop for clients that do not rotate their streams themselves.
	maxConnectionAge      = 30 * time.Minute
	maxConnectionAgeGrace = 2 * time.Minute
	connectionTimeout     = 10 * time.Second
)

type callerKey struct{}

type caller struct {
	identity mtls.Identity
	draining <-chan struct{}
}

// WithCaller returns a context that carries a caller, as the server's does for every call. Tests use it to call a
// handler directly. draining may be nil.
func WithCaller(ctx context.Context, id mtls.Identity, draining <-chan struct{}) context.Context {
	return context.WithValue(ctx, callerKey{}, caller{id, draining})
}

// Caller returns who makes the call, by the verified certificate. There is one in every handler's context.
func Caller(ctx context.Context) (mtls.Identity, bool) {
	c, ok := ctx.Value(callerKey{}).(caller)
	return c.identity, ok
}

// Draining returns a channel that is closed when the call is to end soon: the server stops, or the caller's certificate
// has expired or was revoked; or when its connection has ended. A handler of a long stream says so in its own words,
// finishes what it has in hand and returns; after the drain timeout, or 5 s for a certificate, the connection is cut.
func Draining(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c.draining
}
