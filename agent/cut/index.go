package cut

import "sonde.example/internal/packet"

// index finds records by key: open addressing with linear probing, deleting by shifting back, so that it never needs
// cleaning up and does not allocate while the number of sessions stays what it is. Attackers cannot choose keys that
// meet, for the hash is keyed.
type index struct {
	slots []indexSlot // a power of two
	used  int
}

// indexSlot holds the upper half of the hash and the record's number; 0 is an empty slot.
type indexSlot struct{ tag, record uint32 }

const firstIndexSlots = 1024

// bytesPerSlot times slots for each record, at the least load after growing, is what the index takes.
const (
	bytesPerSlot   = 8
	slotsPerRecord = 3
)

func newIndex() index { return index{slots: make([]indexSlot, firstIndexSlots)} }

// find returns the record with the key, 0 if there is none.
func (x *index) find(t *Table, hash uint64, key *packet.Key) uint32 {
	mask := uint32(len(x.slots) - 1)
	for at := uint32(hash) & mask; ; at = (at + 1) & mask {
		slot := x.slots[at]
		if slot.record == 0 {
			return 0
		}
		if slot.tag == uint32(hash>>32) && t.record(slot.record).Key == *key {
			return slot.record
		}
	}
}

func (x *index) insert(t *Table, hash uint64, record uint32) {
	if x.used*4 >= len(x.slots)*3 {
		x.grow(t)
	}
	x.put(hash, record)
	x.used++
}

func (x *index) put(hash uint64, record uint32) {
	mask := uint32(len(x.slots) - 1)
	at := uint32(hash) & mask
	for x.slots[at].record != 0 {
		at = (at + 1) & mask
	}
	x.slots[at] = indexSlot{uint32(hash >> 32), record}
}

func (x *index) grow(t *Table) {
	old := x.slots
	x.slots = make([]indexSlot, 2*len(old))
	for _, slot := range old {
		if slot.record != 0 {
			x.put(t.record(slot.record).hash, slot.record)
		}
	}
}

// remove takes out a record that is in the index.
func (x *index) remove(t *Table, hash uint64, record uint32) {
	mask := uint32(len(x.slots) - 1)
	at := uint32(hash) & mask
	for x.slots[at].record != record {
		at = (at + 1) & mask
	}
	x.used--
	for next := (at + 1) & mask; ; next = (next + 1) & mask {
		slot := x.slots[next]
		if slot.record == 0 {
			break
		}
		// A slot may move to the hole if that is not before its home.
		home := uint32(t.record(slot.record).hash) & mask
		if (next-home)&mask >= (next-at)&mask {
			x.slots[at] = slot
			at = next
		}
	}
	x.slots[at] = indexSlot{}
}
