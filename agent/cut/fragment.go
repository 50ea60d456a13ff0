package cut

import "sonde.example/internal/packet"

// fragments remember which session the first fragment of a packet belonged to, for the later ones carry no ports. Nothing
// is held back: a later fragment that comes before the first is not matched.
type fragments struct {
	trackers map[packet.FragmentKey]int // index into ring
	ring     []fragment                 // oldest at next, once it is full
	next     int
}

type fragment struct {
	id       packet.FragmentKey
	key      packet.Key
	reversed bool
	at       int64
}

const (
	maxFragments = 1024 // packets whose fragments are under way at once; about 200 KiB
	fragmentLife = 15e9 // ns; Linux waits for 30 s, but an identification may be used again within seconds (RFC 4963)
)

// first notes a first fragment. The oldest tracker makes room.
func (f *fragments) first(info *packet.Info, now int64) {
	id := info.FragmentKey()
	entry := fragment{id: id, key: info.Key, reversed: info.Reversed, at: now}
	if at, known := f.trackers[id]; known {
		f.ring[at] = entry
		return
	}
	if f.trackers == nil {
		f.trackers = make(map[packet.FragmentKey]int, maxFragments)
		f.ring = make([]fragment, 0, maxFragments)
	}
	if len(f.ring) < maxFragments {
		f.trackers[id] = len(f.ring)
		f.ring = append(f.ring, entry)
		return
	}
	delete(f.trackers, f.ring[f.next].id)
	f.ring[f.next], f.trackers[id] = entry, f.next
	f.next = (f.next + 1) % maxFragments
}

// later gives a later fragment the key of its first one; false when that was not seen.
func (f *fragments) later(info *packet.Info, now int64) bool {
	at, known := f.trackers[info.FragmentKey()]
	if !known || now-f.ring[at].at > fragmentLife {
		return false
	}
	info.Key, info.Reversed = f.ring[at].key, f.ring[at].reversed
	return true
}
