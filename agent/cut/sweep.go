package cut

import (
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/packet"
)

// sweepMost bounds how often one call of Sweep or End calls the sink.
const sweepMost = 256

// Sweep ends sessions whose time is over and tells counts that are due, a bounded number of them; true means that there
// are more.
func (t *Table) Sweep() (more bool) {
	now := floorDiv(t.clock.now, second)
	if now == t.wheel.done || !t.wheel.started {
		return false
	}
	// Once around is enough to see every record.
	t.wheel.done = max(t.wheel.done, now-wheelSlots)
	for looked := 0; t.wheel.done < now; t.wheel.done++ {
		for {
			number := t.wheel.chains[(t.wheel.done+1)&(wheelSlots-1)].first
			if number == 0 {
				break
			}
			if looked++; looked > sweepMost {
				return true
			}
			if s := t.record(number); secondOf(s.deadline()) <= t.wheel.done+1 {
				t.end(number, s.endOf())
			} else {
				t.putOff(number, s)
			}
		}
	}
	return false
}

// putOff moves a record from the second to be looked at to that of its deadline, and tells what was due until then.
func (t *Table) putOff(number uint32, s *Session) {
	if s.untold {
		t.sink.Counts(s)
		t.told(s)
	}
	t.move(number, s.deadline())
}

// evictLooks bounds the search for a session to evict, and so how often the sink is called in it.
const evictLooks = 64

// evict ends the session that is nearest to its time-out, or one of those near. Records that only seem so are moved to
// where they belong.
func (t *Table) evict() {
	at, looked := t.wheel.done+1, 0
	for {
		number := t.wheel.chains[at&(wheelSlots-1)].first
		switch {
		case number == 0:
			at++
		case looked < evictLooks && secondOf(t.record(number).deadline()) > at:
			looked++
			t.putOff(number, t.record(number))
		default:
			s := t.record(number)
			reason := s.endOf()
			if !s.closing() && s.deadline() >= t.clock.now {
				reason = flowv1.EndReason_END_REASON_EVICTED
				t.evicted[s.hash%evictedSlots] = evicted{s.hash, t.clock.now + s.idle(), true}
			}
			t.end(number, reason)
			return
		}
	}
}

// evicted remembers that a session was evicted, so that the next one of its key says that it goes on. Of two in one place
// the newer is remembered.
type evicted struct {
	hash  uint64
	until int64
	set   bool
}

const evictedSlots = 4096 // a flood evicts more; then being remembered is a matter of luck

// wasEvicted tells whether the packet goes on with a session that was evicted.
func (t *Table) wasEvicted(hash uint64, info *packet.Info) bool {
	e := &t.evicted[hash%evictedSlots]
	if !e.set || e.hash != hash {
		return false
	}
	e.set = false
	opens := info.Key.Protocol == protocolTCP && info.TCPFlags&(packet.SYN|packet.ACK) == packet.SYN
	return t.clock.now <= e.until && !opens
}

// End ends sessions, oldest first, a bounded number of them; true means that there are more. Sessions that TCP has closed
// end as that says, others for the given reason.
func (t *Table) End(reason flowv1.EndReason) (more bool) {
	for range sweepMost {
		number := t.chronicle.first
		if number == 0 {
			return false
		}
		s := t.record(number)
		if s.closing() {
			t.end(number, s.endOf())
		} else {
			t.end(number, reason)
		}
	}
	return t.chronicle.first != 0
}

// Enough stops the heads of the given sessions of a lane: from now on only counts are told. Numbers that are not open
// are passed over. The table looks at every session that is not older than the oldest one named.
func (t *Table) Enough(lane uint32, numbers ...uint64) {
	if len(numbers) == 0 {
		return
	}
	named := make(map[uint64]struct{}, len(numbers))
	oldest := numbers[0]
	for _, number := range numbers {
		named[number] = struct{}{}
		oldest = min(oldest, number)
	}
	for at := t.chronicle.last; at != 0; {
		s := t.record(at)
		at = s.chronicle.before
		if s.Lane != lane || s.own {
			continue
		}
		if s.Number < oldest {
			return
		}
		if _, ok := named[s.Number]; ok {
			s.enough = true
		}
	}
}
