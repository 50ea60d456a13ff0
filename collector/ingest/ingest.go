// Package ingest is the collector's door: it takes the streams of agents and gives their batches to the session store.
//
// A stream carries one lane. Hello comes in and Welcome goes out; then batches come in, in order, and acks, rejections and
// directives go out. The agent's id is its certificate's, never what it says. One goroutine receives, checks and applies,
// one sends; acks go out at most 50 ms after the marks moved. What comes in is bounded in bytes, for each agent and in
// total: when the bound is reached a stream stops receiving, and HTTP/2 pushes back. A batch that can never be taken is
// rejected for good and its sequence counts as applied, lest one poisoned batch stop an agent for ever. A second stream of
// a lane fences the first. When the collector stops, or the agent's certificate has ended, the agent is told to drain: it
// closes its side, and what it sent until then is applied and acknowledged.
package ingest

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
	"sonde.example/internal/rpc"
)

// Limits of what one message may hold. They are the contract's: Welcome tells the first two.
const (
	MaxBatchBytes    = 4 << 20
	MaxBatchPackets  = 65536
	MaxBatchSessions = 65536
	maxInterfaces    = 1024
	maxTextBytes     = 4096 // capture points, names, versions
	maxPoints        = 1024 // capture points in a Hello
	maxLostLanes     = 1024
	maxLanes         = 16      // an agent has 1 to 4
	maxSequence      = 1 << 62 // far beyond any agent's life, far from overflow
)

// Sink is where batches go. All methods may be called at the same time. The session package's Store says what they promise.
type Sink interface {
	Resume(ctx context.Context, lane packet.Lane, hello *ingestv1.Hello) (welcome *ingestv1.Welcome, fence uint64, err error)
	NextMarks(ctx context.Context, lane packet.Lane, seen *ingestv1.Ack) (*ingestv1.Ack, error)
	// Apply only borrows the batch. One without counters was rejected: only its sequence counts. An error that asks for a
	// delay (package retry) means that there is no room; every other ends the stream.
	Apply(ctx context.Context, lane packet.Lane, fence uint64, batch *ingestv1.Batch) (enough []uint64, err error)
}

// Options are what code sets. Zero fields mean the defaults.
type Options struct {
	Log *slog.Logger
	// Bytes bounds the messages being worked on, of all agents; 256 MiB. AgentBytes those of one agent; 32 MiB.
	Bytes, AgentBytes int64
	// AckDelay is how late an ack may be; 50 ms.
	AckDelay time.Duration
	// HelloTimeout is how long a stream may stay silent at first; 10 s.
	HelloTimeout time.Duration
	// DrainGrace is what an agent gets to finish in after Drain; 4 s, since a connection whose certificate has ended is cut
	// after 5 s.
	DrainGrace time.Duration
}

// Service implements IngestService. New makes one; Wait ends it.
type Service struct {
	ingestv1.UnimplementedIngestServiceServer
	sink      Sink
	o         Options
	log       *slog.Logger
	admission *admission
	presence  presence
	receivers sync.WaitGroup
	scratch   sync.Pool      // of *request
	buffers   mem.BufferPool // for messages that came in pieces
	counts    counts

	mu      sync.Mutex // guards streams
	streams map[packet.Lane]*stream
}

// counts are the service's own, added to once a batch.
type counts struct {
	batches, packets, bytes atomic.Uint64
	rejected                [reasons]atomic.Uint64
}

// Stats is what came in since the start, and who is connected.
type Stats struct {
	Streams                 int
	Batches, Packets, Bytes uint64
	Rejected                map[string]uint64 // by reason
}

// reasons is how many reasons of rejection there are, with the unspecified one.
const reasons = 6

// RejectionReasons returns the keys of Stats.Rejected, in the order of their numbers from 1.
func RejectionReasons() []string {
	return []string{"out_of_order", "full", "malformed", "checksum", "too_large"}
}

// New returns a service in front of a sink.
func New(sink Sink, o Options) *Service {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	o.Bytes = cmp.Or(o.Bytes, 256<<20)
	o.AgentBytes = cmp.Or(o.AgentBytes, 32<<20)
	o.AckDelay = cmp.Or(o.AckDelay, 50*time.Millisecond)
	o.HelloTimeout = cmp.Or(o.HelloTimeout, 10*time.Second)
	o.DrainGrace = cmp.Or(o.DrainGrace, 4*time.Second)
	return &Service{
		sink: sink, o: o, log: o.Log.With("component", "ingest"),
		admission: newAdmission(o.Bytes, o.AgentBytes),
		scratch:   sync.Pool{New: func() any { return new(request) }},
		buffers:   rpc.NewBufferPool(),
		streams:   map[packet.Lane]*stream{},
	}
}

// Register puts the service on a server.
func (s *Service) Register(server grpc.ServiceRegistrar) {
	ingestv1.RegisterIngestServiceServer(server, s)
}

// Wait returns when no goroutine of a stream is left. Call it after the server has ended.
func (s *Service) Wait() { s.receivers.Wait() }

// Stats returns what came in since the start.
func (s *Service) Stats() Stats {
	s.mu.Lock()
	streams := len(s.streams)
	s.mu.Unlock()
	stats := Stats{
		Streams: streams, Batches: s.counts.batches.Load(), Packets: s.counts.packets.Load(), Bytes: s.counts.bytes.Load(),
		Rejected: map[string]uint64{},
	}
	for i, reason := range RejectionReasons() {
		stats.Rejected[reason] = s.counts.rejected[i+1].Load()
	}
	return stats
}

// enter makes the stream its lane's, and fences an older one, and those of the agent's other epochs.
func (s *Service) enter(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for lane, other := range s.streams {
		if lane.Agent == st.lane.Agent && (lane == st.lane || lane.Epoch != st.lane.Epoch) {
			other.end(ErrFenced)
		}
	}
	s.streams[st.lane] = st
}

// leave lets the lane go, if it is still the stream's.
func (s *Service) leave(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[st.lane] == st {
		delete(s.streams, st.lane)
	}
}
