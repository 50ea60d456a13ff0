package dispatch_test

import (
	"context"
	"crypto/sha1" //nolint:gosec // as Community ID does
	"encoding/base64"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/collector/dispatch"
	"sonde.example/collector/result/sqlite"
	"sonde.example/internal/feature"
	"sonde.example/internal/packet"
)

// instant is a classifier that knows at once, and the session store and tail behind it.
type instant struct {
	settled atomic.Int64
	want    int64
	done    context.CancelFunc
}

func (*instant) Classify(_ context.Context, sessions []*feature.Session) ([]*flowv1.Classification, error) {
	var row feature.Row
	answers := make([]*flowv1.Classification, len(sessions))
	for i, s := range sessions {
		s.Extract(&row)
		answers[i] = &flowv1.Classification{
			Label: "tls", Category: "web", Probability: 0.9, Model: "sessions", ModelVersion: "1",
			Top: []*flowv1.Label{{Name: "tls", Probability: 0.9}, {Name: "dns", Probability: 0.1}},
		}
	}
	return answers, nil
}

func (s *instant) Settle(_ context.Context, stored ...*flowv1.Session) error {
	if s.settled.Add(int64(len(stored))) >= s.want {
		s.done()
	}
	return nil
}

func (*instant) Publish(...*queryv1.Result) {}

// busySession is a session as it comes in a mix: a head of eight packets and some 2 KiB.
func busySession(n int) *flowv1.Session {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	opened := time.Unix(1_700_000_000, int64(n)*50_000)
	s := &flowv1.Session{
		Id: packet.SessionID(packet.Lane{Agent: "a", Epoch: 7}, uint64(n), opened), Agent: "a", Epoch: 7, Number: uint64(n),
		CapturePoint: "file:web.pcap",
		FiveTuple: &flowv1.FiveTuple{
			ClientAddress: binary.BigEndian.AppendUint32(nil, 10<<24+uint32(n)), ClientPort: 40_000,
			ServerAddress: []byte{192, 168, 0, 1}, ServerPort: 443, IpProtocol: 17,
		},
		Counts: &flowv1.Counts{
			ForwardPackets: 5, ForwardBytes: 800, ReversePackets: 3, ReverseBytes: 2000, Ended: true,
			OpenedTimeNs: opened.UnixNano(), LastTimeNs: opened.UnixNano() + 5e7,
		},
		HeadPackets: 8, Evidence: &flowv1.Evidence{ConfigRevision: 3}, HandedOverTimeNs: time.Now().UnixNano(),
		Head: &flowv1.Packets{
			BaseTimeNs: opened.UnixNano(), Interfaces: []*flowv1.Interface{{CapturePoint: "file:web.pcap", LinkType: uint32(packet.LinkRaw)}},
		},
	}
	payload := make([]byte, 250)
	for i := range uint32(8) {
		for j := range payload {
			payload[j] = byte(rng.Uint32())
		}
		data := frame(string(payload))
		s.Head.TimeDeltasNs = append(s.Head.TimeDeltasNs, int64(i)*1e6)
		s.Head.Captured = append(s.Head.Captured, uint32(len(data)))
		s.Head.Missing = append(s.Head.Missing, 0)
		s.Head.Flags = append(s.Head.Flags, i%2)
		s.Head.Ordinals = append(s.Head.Ordinals, i)
		s.Head.Data = append(s.Head.Data, data...)
	}
	return s
}

// communityID is one as far as an index is concerned: 28 characters in no order.
func communityID(n int) string {
	digest := sha1.Sum(binary.BigEndian.AppendUint64(nil, uint64(n))) //nolint:gosec // as Community ID does
	return "1:" + base64.StdEncoding.EncodeToString(digest[:])
}

// processor returns the processor time that the process has taken so far, its own and the kernel's for it.
func processor(b *testing.B) (user, system time.Duration) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
}

// BenchmarkDownstream carries sessions from the queue into SQLite, with a classifier that costs nothing but the features.
func BenchmarkDownstream(b *testing.B) {
	store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "results.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	}()
	const kinds = 4096
	models := make([]*flowv1.Session, kinds)
	for n := range models {
		models[n] = busySession(n)
	}
	b.SetBytes(int64(proto.Size(models[0])))
	b.ReportAllocs()
	b.ResetTimer()
	user, system := processor(b)

	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	sink := &instant{want: int64(b.N), done: cancel}
	queue := dispatch.NewMemory(64 << 20)
	worker := dispatch.NewWorker(dispatch.WorkerOptions{
		Queue: queue, Classifier: sink, Results: store, Settler: sink, Tail: sink,
		Walkers: packet.NewWalkers(packet.Options{}), Log: slog.New(slog.DiscardHandler),
	})
	go func() {
		messages := make([]dispatch.Message, 0, 64)
		for n := range b.N {
			model := models[n%kinds]
			messages = append(messages, dispatch.Message{Session: &flowv1.Session{
				Id:    packet.SessionID(packet.Lane{Agent: "a", Epoch: 7}, uint64(n), time.Unix(1_700_000_000, int64(n)*50_000)),
				Agent: "a", Epoch: 7, Number: uint64(n), CapturePoint: model.GetCapturePoint(), CommunityId: communityID(n),
				FiveTuple: model.GetFiveTuple(), Counts: model.GetCounts(), HeadPackets: model.GetHeadPackets(),
				Evidence: model.GetEvidence(), Head: model.GetHead(), HandedOverTimeNs: time.Now().UnixNano(),
			}})
			if len(messages) == cap(messages) || n == b.N-1 {
				if queue.Publish(ctx, messages...) != nil {
					return // it is over
				}
				messages = messages[:0]
			}
		}
	}()
	if err := worker.Run(ctx); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	userNow, systemNow := processor(b)
	b.ReportMetric(float64(userNow-user)/float64(b.N)/1000, "user-us/op")
	b.ReportMetric(float64(systemNow-system)/float64(b.N)/1000, "system-us/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sessions/s")
}
