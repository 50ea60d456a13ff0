package cut

// wheel is when to look at sessions: a ring of seconds, each with a chain of records. A packet does not move its session
// in it. Only when a record's second comes the table looks how late the session really is, and puts the record on again
// if it has time left. So each record is moved at most once for each of its time-outs, whatever its traffic.
//
//	seconds   ... | 41 | 42 | 43 | 44 | 45 | ...
//	                 ^    |         |
//	        done so far   a-b       c-d-e        chains, oldest entry first
type wheel struct {
	chains  [wheelSlots]chain
	done    int64 // the last second of which nothing is left
	started bool
}

// wheelSlots is a power of two beyond the longest time-out in seconds.
const wheelSlots = 256

type chain struct{ first, last uint32 }

const second = int64(1e9)

// secondOf returns the first whole second at which a deadline has passed.
func secondOf(deadline int64) int64 { return floorDiv(deadline, second) + 1 }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// put chains a record at the second of its deadline. After a leap in time that may lie more than once around ahead; then
// the record is looked at too early, which does no harm.
func (t *Table) put(number uint32, deadline int64) {
	at := min(max(secondOf(deadline), t.wheel.done+1), t.wheel.done+wheelSlots)
	s := t.record(number)
	s.slot = uint32(at & (wheelSlots - 1))
	t.wheel.chains[s.slot].append(t, number, wheelLinks)
}

// move puts a record at another second.
func (t *Table) move(number uint32, deadline int64) {
	s := t.record(number)
	t.wheel.chains[s.slot].remove(t, number, wheelLinks)
	t.put(number, deadline)
}

func wheelLinks(s *Session) *links     { return &s.wheel }
func chronicleLinks(s *Session) *links { return &s.chronicle }

func (c *chain) append(t *Table, number uint32, of func(*Session) *links) {
	*of(t.record(number)) = links{before: c.last}
	if c.last == 0 {
		c.first = number
	} else {
		of(t.record(c.last)).after = number
	}
	c.last = number
}

func (c *chain) remove(t *Table, number uint32, of func(*Session) *links) {
	l := of(t.record(number))
	if l.before == 0 {
		c.first = l.after
	} else {
		of(t.record(l.before)).after = l.after
	}
	if l.after == 0 {
		c.last = l.before
	} else {
		of(t.record(l.after)).before = l.before
	}
	*l = links{}
}
