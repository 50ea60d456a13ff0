package cut

// clock is the table's time. It follows the packets' stamps but never goes back, for stamps of several queues or
// interfaces are out of order by a little, and files stamped by several machines by a lot. So no session has a negative
// age, and a stamp from before does not make one old.
//
// When the capture's clock was set back, stamps stay behind for good; time would then stand still until they have caught
// up, perhaps for hours. So after some such packets in a row the table's time goes on from where it stands.
type clock struct {
	now     int64 // nanoseconds
	offset  int64 // added to stamps
	behind  int   // packets in a row that were far behind
	started bool
}

const (
	farBehind    = 10e9 // ns; no queue holds packets back for so long
	behindRepeat = 64   // packets; a stray stamp, or an interface with a clock of its own, proves nothing
)

func (c *clock) advance(stamp int64) {
	if !c.started {
		c.started, c.now = true, stamp
		return
	}
	at := stamp + c.offset
	switch {
	case at >= c.now:
		c.now, c.behind = at, 0
	case c.now-at < farBehind:
		c.behind = 0
	case c.behind < behindRepeat:
		c.behind++
	default:
		c.offset, c.behind = c.now-stamp, 0
	}
}

// atLeast moves the time on when no packet does. A clock that no packet has started stands.
func (c *clock) atLeast(stamp int64) {
	if c.started {
		c.now = max(c.now, stamp+c.offset)
	}
}
