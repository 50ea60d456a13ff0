package packet

import "math"

// HeadLimits says how much of a session is its head.
type HeadLimits struct {
	// Packets is how many packets the head has; 0 means all, whole, however much payload they carry.
	Packets uint32
	// PayloadBytes is how much transport payload the head has, in both directions together; 0 means none: then
	// packets are kept to their headers, even if Packets is 0.
	PayloadBytes uint32
}

// DefaultHeadLimits returns 24 packets and 4 KiB of payload.
func DefaultHeadLimits() HeadLimits { return HeadLimits{Packets: 24, PayloadBytes: 4096} }

// Head applies the rule by which a session's first packets are kept and the others only counted. The agent's cut and the
// collector apply the same rule, so both know when a head is full. It is a small value, one for each session; a copy with
// the same counts goes on at the same place.
type Head struct {
	Limits HeadLimits
	// Packets and PayloadBytes are what has been taken so far. They stop at their type's greatest value.
	Packets      uint32
	PayloadBytes uint32
}

// Full tells whether no further packet will be kept.
func (h *Head) Full() bool { return h.Limits.Packets > 0 && h.Packets >= h.Limits.Packets }

// Take decides on the session's next packet, of which captured bytes are there: whether it belongs to the head, and how
// many of its first bytes are kept, at most captured. That is all of them while the payload budget lasts, without what lies
// behind the payload (Ethernet padding); then as much payload as the budget still allows; then only headers.
func (h *Head) Take(info *Info, captured int) (keep bool, length int) {
	if h.Full() {
		return false, 0
	}
	payload := uint32(min(uint64(max(0, info.PayloadCaptured)), math.MaxUint32))
	whole := h.Limits.Packets == 0 && h.Limits.PayloadBytes > 0
	if !whole {
		payload = min(payload, h.Limits.PayloadBytes-min(h.PayloadBytes, h.Limits.PayloadBytes))
	}
	h.Packets = saturate(h.Packets, 1)
	h.PayloadBytes = saturate(h.PayloadBytes, payload)
	if whole {
		return true, captured
	}
	return true, min(info.PayloadOffset+int(payload), captured)
}

func saturate(a, b uint32) uint32 { return uint32(min(uint64(a)+uint64(b), math.MaxUint32)) }
