package feature

import "math"

// Row is one session's input to a model.
type Row struct {
	Bytes  [ByteColumns]byte
	Series [SeriesColumns]float32
	Meta   [MetaColumns]float32
}

// Extract fills out from what FromHead or FromNative has read. It allocates nothing and is the only place where features
// are made.
func (s *Session) Extract(out *Row) { s.extract(out, false) }

// ExtractWithNames leaves in bytes the names of servers that Extract takes out: for experiments that ask what names are
// worth, never for a model that ships. QUIC's, which it encrypts, stands behind what its header shows.
func (s *Session) ExtractWithNames(out *Row) { s.extract(out, true) }

func (s *Session) extract(out *Row, names bool) {
	clear(out.Bytes[:])
	s.reveal(forward, out.Bytes[:clientBytes:clientBytes], names)
	s.reveal(reverse, out.Bytes[clientBytes:], names)

	clear(out.Series[:])
	for i, p := range s.packets {
		out.Series[i] = float32(p.Size)
		out.Series[MaxPackets+i] = 1
		if p.Reverse {
			out.Series[MaxPackets+i] = -1
		}
		out.Series[2*MaxPackets+i] = log1p(p.Gap)
		out.Series[3*MaxPackets+i] = 1
	}

	for i := range out.Meta {
		out.Meta[i] = nan
	}
	m := &out.Meta
	s.transport(m)
	s.totals(m)
	s.payload(m, forward)
	s.payload(m, reverse)
	s.handshakes(m)
}

var nan = float32(math.NaN()) //nolint:gochecknoglobals // a constant table; Go has no constants of this type

func log1p(micros uint32) float32 { return float32(math.Log1p(float64(micros))) }

func bit(set bool) float32 {
	if set {
		return 1
	}
	return 0
}
