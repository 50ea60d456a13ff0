package feature

// maxAhead is how far a segment may lie behind the start of its stream. A head's packets cannot reach that far, so a
// segment that does belongs to something else, for example a reset with an invented sequence number.
const maxAhead = 1 << 24

// segment is one TCP segment's payload. Its bytes lie in the head's.
type segment struct {
	offset int32 // of the sequence number from that of the first packet of its direction
	wire   int32 // bytes on the wire, of which data holds the first
	data   []byte
}

// assembly collects one direction's payload: datagrams one behind the other, TCP segments by sequence number.
//
// The stream that comes out is contiguous: it ends where the first byte is missing, whether by a hole between segments,
// by the snap length or by the payload budget. Bytes that came twice are taken from the segment that begins first, of
// two that begin together from the one captured first. It begins behind the SYN, or without one at the lowest sequence
// number there is.
type assembly struct {
	segments []segment
	first    uint32 // sequence number that offsets count from
	known    bool   // first is set
	start    int32  // where the stream begins, if synced
	synced   bool   // a SYN was seen
	broken   bool   // a datagram was not all there: the stream has ended
}

func (a *assembly) reset() {
	clear(a.segments) // lets go of the head's bytes
	*a = assembly{segments: a.segments[:0]}
}

func (a *assembly) datagram(payload []byte, wire int) {
	if !a.broken {
		a.segments = append(a.segments, segment{data: payload})
		a.broken = len(payload) < wire
	}
}

func (a *assembly) segment(sequence uint32, syn bool, payload []byte, wire int) {
	if syn {
		sequence++
	}
	if !a.known {
		a.first, a.known = sequence, true
	}
	offset := int32(sequence - a.first) // serial number arithmetic (RFC 1982)
	if syn && !a.synced {
		a.start, a.synced = offset, true
	}
	if wire > 0 {
		a.segments = append(a.segments, segment{offset: offset, wire: int32(min(wire, maxAhead)), data: payload})
	}
}

// assemble appends the stream to out and returns it with the number of bytes missing between segments. It lets go of the
// head's bytes.
func (a *assembly) assemble(out []byte) ([]byte, uint64) {
	defer a.reset()
	if !a.known {
		for _, s := range a.segments {
			out = append(out, s.data[:min(len(s.data), MaxStreamBytes-len(out))]...)
		}
		return out, 0
	}
	a.sort()
	if !a.synced && len(a.segments) > 0 {
		a.start = a.segments[0].offset
	}
	var covered int64 // bytes of the stream that segments have reached, whether or not they are held
	var holes uint64
	for _, s := range a.segments {
		from := int64(s.offset) - int64(a.start)
		to := from + int64(s.wire)
		if to <= 0 || from > maxAhead {
			continue
		}
		if from > covered {
			holes += uint64(from - covered)
		}
		covered = max(covered, to)
		if have := int64(len(out)) - from; have >= 0 && have < int64(len(s.data)) {
			data := s.data[have:]
			out = append(out, data[:min(len(data), MaxStreamBytes-len(out))]...)
		}
	}
	return out, holes
}

// sort orders the few segments by offset and keeps the order of equal ones.
func (a *assembly) sort() {
	for i := 1; i < len(a.segments); i++ {
		for j := i; j > 0 && a.segments[j].offset < a.segments[j-1].offset; j-- {
			a.segments[j], a.segments[j-1] = a.segments[j-1], a.segments[j]
		}
	}
}
