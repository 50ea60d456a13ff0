// Package dispatch carries sessions from the session store to the result store: the relay takes what the outbox lends,
// publishes it to a queue and confirms what the queue has answered for; the worker takes micro-batches from the queue, has
// their heads classified, commits the results and only then acknowledges. Every hop is at least once, and nothing here
// remembers anything: who dies half-way leaves the work to whoever comes next, and writing a result twice is writing it
// once. While inference or the result store is away the worker waits with what it holds, rejects nothing, and the queue,
// then the outbox, then the agents' windows fill up behind it.
//
//	outbox -> relay -> queue -> worker -> classifier
//	                              '-----> results, then settle
package dispatch

import (
	"context"
	"errors"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
)

// ErrClosed says that the queue was closed.
var ErrClosed = errors.New("queue is closed")

// Message is one session on its way. Whoever receives it owns it.
type Message struct {
	// Session is never nil.
	Session *flowv1.Session
	// DeliveryCount is how often it was rejected before.
	DeliveryCount int
}

// Handler returns one error for each message, in order: nil acknowledges, the context's own error gives the message back,
// any other rejects it, and its DeliveryCount grows by one. While inference or the database is away it waits, and nothing
// is rejected.
type Handler func(ctx context.Context, messages []Message) []error

// Queue hands messages from one process to another, at least once. All methods may be called at the same time.
type Queue interface {
	// Publish returns nil when the queue answers for every message; after an error publish all again. It waits while the
	// queue is full.
	Publish(ctx context.Context, messages ...Message) error
	// Consume calls handle with up to limit messages until ctx ends, takes no more while handle waits, and returns when
	// the last call has returned and been answered. Messages come in the order of their publication, except those that
	// were given back or rejected.
	Consume(ctx context.Context, limit int, handle Handler) error
	// Close fails calls under way with ErrClosed.
	Close() error
}
