package capture

import (
	"context"
	"fmt"
	"net/netip"

	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
)

// Point is what a live set is to capture at one place.
type Point struct {
	// Name is the capture point as configured, for example "afpacket:eth0". It tells the points of a set apart.
	Name string
	// Program returns the filter for frames of a link type; an error refuses the point. The zero Program takes everything.
	Program func(link packet.LinkType) (filter.Program, error)
	// SnapLength is how many bytes of a packet are wanted; 0 means all.
	SnapLength int
}

// Flow is a TCP connection of this process that no point of a set may show: the uplink's own. It stands for both directions,
// with VLAN tags and without.
type Flow struct {
	// Local is this side; its address may be unspecified, then any address with this port is meant.
	Local, Remote netip.AddrPort
}

// Live is a set of capture points on devices. Only the goroutine that opened it touches it; to be heard by it while it waits, end its ctx.
type Live interface {
	// ReadPacket waits for a packet of any point. The bytes last until the next call of any method. Info.InterfaceIndex is
	// the number that Replace gave the point. When ctx ends it returns ctx.Err(), and no packet is lost by it. A device that
	// goes down or away ends nothing: the point waits for it, and Waiting tells.
	ReadPacket(ctx context.Context) ([]byte, Info, error)
	// Replace makes points the set's points, in two phases: what is new captures before what is old ends. There is one
	// moment up to which the old points supply packets and from which the new ones do; what both saw in between is left out
	// once, by time stamp, and counted as Dup. A point whose name and snap length stay keeps its ring: a changed filter is
	// attached to the live socket. It returns a number for each point, one never given before for a point that is new.
	// After an error the old points go on and nothing has changed. Nothing of the set is captured before the first call.
	Replace(points []Point) ([]int, error)
	// Exclude replaces the flows that no point shows, in the kernel, before it returns; at most MaxFlows. They stay over
	// Replace. After an error the old ones are in force.
	Exclude(flows []Flow) error
	// Stats counts over all points since Open, those that are gone included, and never goes back.
	Stats() (Stats, error)
	// Waiting tells of each point whose device is down or away, by name, what is wrong; nil when all are well.
	Waiting() map[string]error
	// Close lets go of everything. Closing again does nothing; the other methods return ErrClosed.
	Close() error
}

// MaxFlows is how many flows a set can leave out.
const MaxFlows = 32

// CheckFlows tells why flows cannot be left out: there are more than MaxFlows, or one has no port or no remote address.
func CheckFlows(flows []Flow) error {
	if len(flows) > MaxFlows {
		return fmt.Errorf("%d flows to leave out are more than %d", len(flows), MaxFlows)
	}
	for _, f := range flows {
		if f.Local.Port() == 0 || f.Remote.Port() == 0 || !f.Remote.Addr().IsValid() || f.Remote.Addr().IsUnspecified() {
			return fmt.Errorf("flow from %v to %v cannot be left out: it needs two ports and a remote address", f.Local, f.Remote)
		}
	}
	return nil
}
