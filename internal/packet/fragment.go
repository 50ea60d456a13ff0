package packet

// FragmentKey names the packet that a fragment belongs to. All fragments of one packet have the same key; it is
// comparable. Within one direction a sender uses an identification again only when the old fragments have died out, at
// high rates within seconds (RFC 4963), so forget it soon.
type FragmentKey struct {
	Scope               Scope
	Source, Destination [16]byte
	ID                  uint32
	Version             uint8
	// Protocol is IPv4's (RFC 791); for IPv6 it is 0, since its first fragment may show another one than the later
	// ones, and the identification alone decides (RFC 8200 section 4.5).
	Protocol uint8
}

// FragmentKey returns the key of a fragment. For a frame that is none it means nothing.
func (i *Info) FragmentKey() FragmentKey {
	k := &i.Key
	f := FragmentKey{Scope: k.Scope, Source: k.Low, Destination: k.High, ID: i.FragmentID, Version: k.Version}
	if i.Reversed {
		f.Source, f.Destination = k.High, k.Low
	}
	if k.Version == 4 {
		f.Protocol = k.Protocol
	}
	return f
}
