package session_test

import (
	"testing"
	"time"

	"sonde.example/collector/session"
	"sonde.example/collector/session/sessiontest"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/packet"
)

// BenchmarkApply is the way from checked batches to sessions in the outbox and out again: headers read and compared, heads
// kept, hand-overs lent, confirmed and settled. The mix is one short session of 12 packets for each two of 24 with a tail
// that is only counted.
func BenchmarkApply(b *testing.B) {
	const sessions, batchesAhead = 96, 64
	results := &sessiontest.Results{}
	m, err := session.OpenMemory(b.Context(), session.Options{}, results)
	if err != nil {
		b.Fatal(err)
	}
	agent := sessiontest.NewAgent("agent-1", 7, 0)
	_, fence, err := m.Resume(b.Context(), agent.Lane, agent.Hello(0))
	if err != nil {
		b.Fatal(err)
	}
	assembler := session.NewAssembler(m, packet.NewWalkers(packet.DefaultOptions()))
	payload := string(make([]byte, 120))
	var batches []*ingestv1.Batch
	packets, bytes := 0, 0
	cut := func() {
		batches, packets, bytes = batches[:0], 0, 0
		for range batchesAhead {
			for i := range sessions {
				flow := agent.TCP("10.0.0.1:1000", "10.0.0.2:80")
				n := 12
				if i%3 > 0 {
					n = 24
					flow.Cut(10)
				}
				for range n / 2 {
					flow.Up(payload).Down(payload)
				}
				flow.End(flowv1.EndReason_END_REASON_FIN)
				packets += n
			}
			batch := agent.Batch()
			bytes += len(batch.GetData())
			batches = append(batches, batch)
		}
	}
	b.ReportAllocs()
	total := 0
	for n := 0; b.Loop(); n++ {
		if n%batchesAhead == 0 {
			b.StopTimer()
			cut()
			b.SetBytes(int64(bytes / batchesAhead))
			b.StartTimer()
		}
		if _, err := assembler.Apply(b.Context(), agent.Lane, fence, batches[n%batchesAhead]); err != nil {
			b.Fatal(err)
		}
		taken, err := m.Take(b.Context(), time.Minute, 2*sessions)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Confirm(b.Context(), taken...); err != nil {
			b.Fatal(err)
		}
		if err := m.Settle(b.Context(), taken...); err != nil {
			b.Fatal(err)
		}
		total += packets / batchesAhead
	}
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "packets/s")
}

// BenchmarkApplyTails has packets beyond the heads only, as from an agent that sends every packet.
func BenchmarkApplyTails(b *testing.B) {
	m, err := session.OpenMemory(b.Context(), session.Options{}, &sessiontest.Results{})
	if err != nil {
		b.Fatal(err)
	}
	agent := sessiontest.NewAgent("agent-1", 7, 0)
	_, fence, err := m.Resume(b.Context(), agent.Lane, agent.Hello(0))
	if err != nil {
		b.Fatal(err)
	}
	assembler := session.NewAssembler(m, packet.NewWalkers(packet.DefaultOptions()))
	flow := agent.TCP("10.0.0.1:1000", "10.0.0.2:80")
	payload := string(make([]byte, 120))
	for range 1000 {
		flow.Up(payload).Down(payload)
	}
	batch := agent.Batch()
	b.SetBytes(int64(len(batch.GetData())))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := assembler.Apply(b.Context(), agent.Lane, fence, batch); err != nil {
			b.Fatal(err)
		}
		batch.Sequence++
		batch.Sessions[0].PacketsBefore += 2000
		batch.Sessions[0].Counts.ForwardPackets += 2000
	}
	b.ReportMetric(float64(b.N)*2000/b.Elapsed().Seconds(), "packets/s")
}
