package packet

// Limits of Walk. Three tunnels are one more than providers stack; sixteen headers is what Suricata calls max-layers, and
// no honest frame comes near it. Beyond them a frame costs nothing more.
const (
	MaxTunnels = 3
	MaxLayers  = 16 // link header, tags, labels, IP headers, IPv6 extension headers and tunnel headers
)

// Options says on which UDP ports tunnels are looked for. An empty list switches its kind off.
type Options struct {
	VXLAN  []uint16 // destination port; the source port is a hash of the inner flow (RFC 7348 section 5)
	Geneve []uint16 // destination port, likewise (RFC 8926 section 3.3)
	GTPU   []uint16 // either port (3GPP TS 29.281 section 4.4.2)
	Teredo []uint16 // either port (RFC 4380 section 2.7)
}

// DefaultOptions returns the ports that IANA registered: 4789, 6081, 2152 and 3544.
func DefaultOptions() Options {
	return Options{VXLAN: []uint16{4789}, Geneve: []uint16{6081}, GTPU: []uint16{2152}, Teredo: []uint16{3544}}
}

// Walker reads frames. It does not change after NewWalker; any number of goroutines may use one.
type Walker struct {
	ports []tunnelPort // a handful: a linear search beats a map
}

type tunnelPort struct {
	port uint16
	kind TunnelKind
}

// NewWalker returns a walker for the given tunnel ports. A port listed for two kinds belongs to the first of VXLAN,
// Geneve, GTP-U and Teredo.
func NewWalker(options Options) *Walker {
	w := new(Walker)
	w.add(VXLAN, options.VXLAN)
	w.add(Geneve, options.Geneve)
	w.add(GTPU, options.GTPU)
	w.add(Teredo, options.Teredo)
	return w
}

func (w *Walker) add(kind TunnelKind, ports []uint16) {
	for _, port := range ports {
		w.ports = append(w.ports, tunnelPort{port, kind})
	}
}

// Walk reads the headers of one frame and fills info, whatever it held before. Original is the frame's length on the
// wire; a value below len(frame) is taken for len(frame). After any verdict but OK the contents of info mean nothing.
//
// A tunnel is opened only when what it carries can be read as IP. Otherwise (an ARP request in VXLAN, a DNS answer that
// happens to go to port 4789, an inner header beyond the snap length) the frame belongs to the session of its carrier,
// the innermost header that could be read; so does a fragment of a tunnel packet, whose inside only reassembly would show,
// and what lies deeper than MaxTunnels or MaxLayers.
func (w *Walker) Walk(link LinkType, frame []byte, original int, info *Info) Verdict {
	*info = Info{}
	c := cursor{walker: w, frame: frame, end: max(original, len(frame)), info: info}
	return c.walk(c.begin(link))
}

// A next names the header that follows. Most headers name their successor by EtherType, so the rest of the walk does,
// too; what has none gets a number below 0x0600, where IEEE 802.3 has lengths.
type next uint16

const (
	done  next = iota // the frame is read
	notIP             // it carries something else
	bad               // it cannot be read
	rawIP             // IPv4 or IPv6, by the version nibble

	firstEtherType next = 0x0600
	ipv4           next = 0x0800
	ethernet       next = 0x6558 // Transparent Ethernet Bridging (RFC 1701)
	vlan           next = 0x8100 // IEEE 802.1Q
	ipv6           next = 0x86dd
	pointToPoint   next = 0x880b
	mplsUnicast    next = 0x8847
	mplsMulticast  next = 0x8848
	pppoeSession   next = 0x8864
	vlanProvider   next = 0x88a8 // IEEE 802.1ad
	vnTag          next = 0x8926 // IEEE 802.1BR's forerunner: four bytes that name switch ports, no VLAN
	vlan9100       next = 0x9100 // QinQ before its standard
	vlan9200       next = 0x9200
	vlan9300       next = 0x9300
)

// cursor is the state of one walk. It lives on Walk's stack.
type cursor struct {
	walker  *Walker
	frame   []byte
	at      int // where the next header begins; at most end
	end     int // where the innermost length field read so far says that the packet ends on the wire
	info    *Info
	layers  int
	tunnels int
}

// rest returns the captured bytes from the next header to the end of the packet.
func (c *cursor) rest() []byte {
	end := min(len(c.frame), c.end)
	if c.at >= end {
		return nil
	}
	return c.frame[c.at:end]
}

func (c *cursor) walk(n next) Verdict {
	for ; ; c.layers++ {
		if c.layers >= MaxLayers && n > bad {
			return Undecodable
		}
		switch n {
		case ipv4:
			n = c.ipv4()
		case done:
			return OK
		case ipv6:
			n = c.ipv6()
		case vlan, vlanProvider, vlan9100, vlan9200, vlan9300:
			n = c.vlan()
		case ethernet:
			n = c.ethernet()
		case rawIP:
			n = c.rawIP()
		case mplsUnicast, mplsMulticast:
			n = c.mpls()
		case pppoeSession:
			n = c.pppoe()
		case pointToPoint:
			n = c.ppp()
		case vnTag:
			n = c.vnTag()
		case bad:
			return Undecodable
		default:
			return NonIP
		}
	}
}
