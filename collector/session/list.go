package session

// A state is in at most one list of each kind at a time. The lists are intrusive: joining and leaving costs no memory.
const (
	byAge    = iota // dirty or clean
	byOutbox        // ready or lent
	kinds
)

type link struct {
	in         *list
	prev, next *state
}

// list is a queue of states. It is guarded by its lane's mutex.
type list struct {
	kind        int
	front, back *state
	n           int
}

// push puts a state at the back, out of whatever list of the same kind it was in.
func (l *list) push(s *state) {
	k := &s.links[l.kind]
	if k.in != nil {
		k.in.remove(s)
	}
	*k = link{in: l, prev: l.back}
	if l.back == nil {
		l.front = s
	} else {
		l.back.links[l.kind].next = s
	}
	l.back = s
	l.n++
}

// remove takes a state out, if it is in.
func (l *list) remove(s *state) {
	k := &s.links[l.kind]
	if k.in != l {
		return
	}
	if k.prev == nil {
		l.front = k.next
	} else {
		k.prev.links[l.kind].next = k.next
	}
	if k.next == nil {
		l.back = k.prev
	} else {
		k.next.links[l.kind].prev = k.prev
	}
	*k = link{}
	l.n--
}

func (l *list) after(s *state) *state { return s.links[l.kind].next }

func (s *state) leave(kind int) {
	if in := s.links[kind].in; in != nil {
		in.remove(s)
	}
}
