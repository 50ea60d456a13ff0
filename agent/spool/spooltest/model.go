package spooltest

import (
	"testing"

	"pgregory.net/rapid"

	"sonde.example/agent/spool"
)

// modelBatch is a batch of the model; gone ones stay in the list.
type modelBatch struct {
	packets int
	size    int64
	gone    bool
	lent    bool
	open    bool // gone while it was under way
}

func (s suite) model(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		const room = 5
		sp := s.open(t, Options{Epoch: 1, Lanes: 1, Bytes: room * (100 + s.overhead)})
		defer sp.Close()
		var (
			batches []modelBatch
			want    = spool.LaneState{First: 1}
			bytes   int64
		)
		let := func(i int, count *uint64) {
			b := &batches[i]
			if b.gone {
				return
			}
			b.gone = true
			bytes -= b.size
			if count != nil {
				*count += uint64(b.packets)
			}
		}
		learn := func(b *modelBatch, count *uint64) {
			if b.open {
				b.open = false
				*count += uint64(b.packets)
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"append": func(r *rapid.T) {
				b := modelBatch{packets: rapid.IntRange(0, 9).Draw(r, "packets"), size: rapid.Int64Range(0, 200).Draw(r, "size") + s.overhead}
				for bytes+b.size > sp.State().Limit {
					oldest := &batches[want.First-1]
					switch {
					case want.First <= want.Received:
						let(int(want.First-1), &want.Released)
					case oldest.lent && !oldest.gone:
						oldest.open = true
						let(int(want.First-1), nil)
					default:
						let(int(want.First-1), &want.Dropped)
					}
					want.First++
				}
				batches = append(batches, b)
				bytes += b.size
				want.Last++
				if got, err := sp.Append(t.Context(), 0, b.packets, make([]byte, b.size-s.overhead)); err != nil || got != want.Last {
					r.Fatalf("append: %d, %v", got, err)
				}
			},
			"mark": func(r *rapid.T) {
				received := rapid.Uint64Range(0, want.Last+2).Draw(r, "received")
				durable := rapid.Uint64Range(0, want.Last+2).Draw(r, "durable")
				if err := sp.Mark(t.Context(), 0, received, durable); err != nil {
					r.Fatal(err)
				}
				want.Durable = max(want.Durable, min(durable, want.Last))
				want.Received = max(want.Received, min(received, want.Last), want.Durable)
				for i := range want.Received {
					learn(&batches[i], &want.Released)
				}
				for ; want.First <= want.Durable; want.First++ {
					if b := batches[want.First-1]; !b.gone {
						want.DurablePackets += uint64(b.packets)
					}
					let(int(want.First-1), nil)
				}
			},
			"reject": func(r *rapid.T) {
				sequence := rapid.Uint64Range(0, want.Last+1).Draw(r, "sequence")
				if err := sp.Reject(t.Context(), 0, sequence); err != nil {
					r.Fatal(err)
				}
				if sequence > 0 && sequence <= want.Last {
					learn(&batches[sequence-1], &want.Rejected)
				}
				if sequence >= want.First && sequence <= want.Last {
					let(int(sequence-1), &want.Rejected)
				}
			},
			"next": func(r *rapid.T) {
				after := rapid.Uint64Range(0, want.Last+1).Draw(r, "after")
				e, ok, err := sp.Next(t.Context(), 0, after)
				if err != nil {
					r.Fatal(err)
				}
				for i := after; i < want.Last; i++ {
					learn(&batches[i], &want.Dropped)
				}
				first := after + 1
				for first <= want.Last && batches[first-1].gone {
					first++
				}
				if ok {
					batches[first-1].lent = true
				}
				if ok != (first <= want.Last) || ok && (e.Sequence != first || uint64(e.Skipped) != first-after-1 || e.Packets != batches[first-1].packets || e.Losses != want.Losses) {
					r.Fatalf("after %d: %+v, %t, want %d", after, e, ok, first)
				}
				e.Release()
			},
			"": func(r *rapid.T) {
				want.PendingBatches, want.PendingPackets = 0, 0
				for i := want.Received; i < want.Last; i++ {
					if b := batches[i]; !b.gone || b.open {
						want.PendingBatches++
						want.PendingPackets += uint64(b.packets)
					}
				}
				if got := lane(sp); got != want || sp.State().Bytes != bytes {
					r.Fatalf("lane is\n%+v, want\n%+v; %d bytes, want %d", got, want, sp.State().Bytes, bytes)
				}
			},
		})
	})
}
