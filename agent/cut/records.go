package cut

import (
	"slices"
	"unsafe"
)

// Records hold the open sessions of one table or of several, of one goroutine, within one bound. Whoever opens a session
// when it is reached makes the table with the most sessions let go of the one nearest to its end; so a flood at one
// capture point does not drive the few sessions of another one out. What was allocated once is kept for use again. Each
// table's index of its sessions grows with the most that it has ever had, and so may, with several tables, come to a tenth
// of the bound for each.
type Records struct {
	slabs  []*[slabRecords]Session
	free   uint32 // chained by wheel.after
	made   uint32
	open   uint32
	most   uint32
	tables []*Table // those that have open sessions
}

const (
	// slabRecords are allocated at once. Records never move.
	slabRecords = 512
	// minSessions is the smallest bound.
	minSessions = 16
)

// BytesPerSession is what a session takes of the bound.
const BytesPerSession = int64(unsafe.Sizeof(Session{})) + bytesPerSlot*slotsPerRecord

// NewRecords returns an empty store of at most so many bytes, at least what 16 sessions need.
func NewRecords(bytes int64) *Records {
	r := new(Records)
	r.Resize(bytes)
	return r
}

// Resize changes the bound. What is beyond a smaller one leaves as new sessions open, two for each.
func (r *Records) Resize(bytes int64) {
	r.most = uint32(min(max(bytes/BytesPerSession, minSessions), 1<<30))
}

// Sessions returns how many are open.
func (r *Records) Sessions() int { return int(r.open) }

// evictMost is how many sessions leave for one that opens: more than one while the bound is below what there is.
const evictMost = 2

// take returns an unused record, for a table that has a session more from now on.
func (t *Table) take() uint32 {
	r := t.options.Records
	for range evictMost {
		if r.open < r.most {
			break
		}
		r.largest().evict()
	}
	if r.open++; t.index.used == 0 {
		r.tables = append(r.tables, t)
	}
	number := r.free
	if number != 0 {
		at := number - 1
		r.free = r.slabs[at/slabRecords][at%slabRecords].wheel.after
	} else {
		if r.made == uint32(len(r.slabs)*slabRecords) {
			r.slabs = append(r.slabs, new([slabRecords]Session))
		}
		r.made++
		number = r.made
	}
	t.slabs = r.slabs
	return number
}

// give takes a record back that its table does not know any more.
func (r *Records) give(t *Table, number uint32) {
	t.record(number).wheel.after, r.free = r.free, number
	if r.open--; t.index.used == 0 {
		r.tables = slices.DeleteFunc(r.tables, func(other *Table) bool { return other == t })
	}
}

// largest returns the table with the most sessions. There is one, for the bound is not zero.
func (r *Records) largest() *Table {
	largest := r.tables[0]
	for _, t := range r.tables[1:] {
		if t.index.used > largest.index.used {
			largest = t
		}
	}
	return largest
}
