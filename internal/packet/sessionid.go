package packet

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/oklog/ulid/v2"
)

// SessionID returns the identity of a session for the world outside: a ULID of 26 characters, whose 48 bits of time are
// the milliseconds at which the session was opened (times that do not fit become the nearest that does), and whose 80
// other bits are the first of SHA-256(agent, epoch, lane, number). So ids sort by time, and a replay gives the same ones.
//
// Hashed are the agent's length (8 bytes), the agent, epoch (8), lane index (4) and number (8), numbers big-endian.
func SessionID(lane Lane, number uint64, opened time.Time) string {
	text := make([]byte, 0, 128)
	text = binary.BigEndian.AppendUint64(text, uint64(len(lane.Agent)))
	text = append(text, lane.Agent...)
	text = binary.BigEndian.AppendUint64(text, lane.Epoch)
	text = binary.BigEndian.AppendUint32(text, lane.Index)
	text = binary.BigEndian.AppendUint64(text, number)
	digest := sha256.Sum256(text)

	var id ulid.ULID
	var milliseconds [8]byte
	binary.BigEndian.PutUint64(milliseconds[:], clampMilliseconds(opened, 48))
	copy(id[:6], milliseconds[2:])
	copy(id[6:], digest[:])
	return id.String()
}

// clampMilliseconds returns the milliseconds since 1970 as a number of the given bits.
func clampMilliseconds(t time.Time, width int) uint64 {
	return uint64(max(0, min(t.UnixMilli(), 1<<width-1)))
}

// counterBits is what a session number has below its milliseconds: a million sessions a millisecond before they run ahead.
const counterBits = 20

// Numbers gives out the session numbers of one lane: 44 bits of milliseconds, 20 bits of counter. They only grow, whatever
// the clock does; when it stands still or runs back, the counter goes on, into the milliseconds if need be. The zero value
// is ready, and gives no 0. It is not for concurrent use.
type Numbers struct{ last uint64 }

// NumbersAfter continues after a number that was given out before.
func NumbersAfter(last uint64) Numbers { return Numbers{last} }

// Next returns a number for a session opened at t, greater than all before.
func (n *Numbers) Next(t time.Time) uint64 {
	n.last = max(n.last+1, clampMilliseconds(t, 64-counterBits)<<counterBits)
	return n.last
}

// Last returns the number given out last, 0 if there was none.
func (n *Numbers) Last() uint64 { return n.last }
