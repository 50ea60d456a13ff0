package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"sonde.example/agent/cut"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/packet"
)

// IANA protocol numbers.
const (
	protocolTCP = 6
	protocolUDP = 17
)

// variation is something that networks do to packets. It changes a copy of a session's frames and returns them; frames
// that it leaves as they are make no row.
type variation struct {
	name, help string
	change     func(w *packet.Walker, r *rand.Rand, frames []frame) []frame
}

// variations returns all, in the order of the help.
func variations() []variation {
	return []variation{
		{"loss", "one packet in twenty never came to the capture point", loss},
		{"reorder", "one packet in ten overtakes the one before it", reorder},
		{"mtu", "TCP segments are split where the path carries shorter ones", mtu},
		{"oneway", "one direction takes another way, past the capture point", oneway},
		{"midstream", "the capture began when the session was under way", midstream},
		{"truncate", "packets are captured with a snap length of 128 bytes", truncate},
		{"nat", "addresses and ports are others; the row must be the same", nat},
	}
}

func variantNames() []string {
	var names []string
	for _, v := range variations() {
		names = append(names, v.name)
	}
	return names
}

func variantsHelp() string {
	var b strings.Builder
	for _, v := range variations() {
		fmt.Fprintf(&b, "  %-9s  %s\n", v.name, v.help)
	}
	return b.String()
}

// augmented returns the session that an agent would have cut out of the changed packets, nil if nothing changed. What is
// random in the change follows from seed and name alone.
func augmented(w *packet.Walker, v *conversation, name, seed string, payloadsOnly bool) *conversation {
	sum := sha256.Sum256([]byte("sonde augment " + name + " " + seed))
	r := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])))
	all := variations()
	at := slices.IndexFunc(all, func(v variation) bool { return v.name == name })
	frames := all[at].change(w, r, slices.Clone(v.frames))
	if len(frames) == 0 || slices.EqualFunc(frames, v.frames, sameFrame) {
		return nil
	}
	c := newCutter(w, payloadsOnly, true)
	table := c.table()
	for _, f := range frames {
		take(table, &cut.Packet{Data: f.data, Time: f.time, Original: f.original, Link: f.link})
	}
	for table.End(flowv1.EndReason_END_REASON_CAPTURE_END) {
	}
	if len(c.conversations) == 0 || len(c.conversations[0].head.GetCaptured()) == 0 {
		return nil
	}
	return c.conversations[0]
}

func sameFrame(a, b frame) bool {
	return a.time == b.time && a.original == b.original && a.link == b.link && bytes.Equal(a.data, b.data)
}

func loss(_ *packet.Walker, r *rand.Rand, frames []frame) []frame {
	return slices.DeleteFunc(frames, func(frame) bool { return r.IntN(20) == 0 })
}

// reorder exchanges what two neighbours carry; times stay in order, as a capture has them.
func reorder(_ *packet.Walker, r *rand.Rand, frames []frame) []frame {
	for i := 1; i < len(frames); i++ {
		if r.IntN(10) == 0 {
			frames[i-1], frames[i] = frames[i], frames[i-1]
			frames[i-1].time, frames[i].time = frames[i].time, frames[i-1].time
			i++ // overtaken once is enough
		}
	}
	return frames
}

// segmentSizes are what usual paths leave of an Ethernet frame's 1460 bytes: the least that every path carries, IPv6's
// least, and what tunnels take off.
var segmentSizes = [...]int{536, 1220, 1340, 1400} //nolint:gochecknoglobals // a constant table; Go has no constants of this type

func mtu(w *packet.Walker, r *rand.Rand, frames []frame) []frame {
	size := segmentSizes[r.IntN(len(segmentSizes))]
	var out []frame
	for _, f := range frames {
		out = append(out, split(w, f, size)...)
	}
	return out
}

// split cuts a TCP segment that was captured whole into segments of at most size bytes, sent one right behind the other.
func split(w *packet.Walker, f frame, size int) []frame {
	var info packet.Info
	if w.Walk(f.link, f.data, f.original, &info) != packet.OK || info.Key.Protocol != protocolTCP || info.Fragment != packet.NotFragmented ||
		info.PayloadLength <= size || info.PayloadCaptured < info.PayloadLength || info.TCPFlags&packet.SYN != 0 {
		return []frame{f}
	}
	network, transport, ok := headers(f.data, &info)
	if !ok {
		return []frame{f}
	}
	var out []frame
	for at := 0; at < info.PayloadLength; at += size {
		part := f.data[info.PayloadOffset+at : info.PayloadOffset+min(at+size, info.PayloadLength)]
		data := slices.Concat(f.data[:info.PayloadOffset], part)
		length := info.PayloadOffset - network + len(part)
		if info.Key.Version == 4 {
			binary.BigEndian.PutUint16(data[network+2:], uint16(length))
		} else {
			binary.BigEndian.PutUint16(data[network+4:], uint16(length-40))
		}
		binary.BigEndian.PutUint32(data[transport+4:], info.Seq+uint32(at))
		if at+size < info.PayloadLength {
			data[transport+13] &^= packet.FIN | packet.PSH
		}
		out = append(out, frame{data, f.time, len(data), f.link})
	}
	return out
}

// headers finds the innermost IP header, and behind it the TCP or UDP header, in front of the payload.
func headers(data []byte, info *packet.Info) (network, transport int, ok bool) {
	if info.Key.Protocol != protocolTCP && info.Key.Protocol != protocolUDP {
		return 0, 0, false
	}
	source, destination := info.Source(), info.Destination()
	front := data[:info.PayloadOffset]
	network = bytes.LastIndex(front, slices.Concat(source.Address.AsSlice(), destination.Address.AsSlice()))
	fixed := 20
	if info.Key.Version == 4 {
		network -= 12
	} else {
		network -= 8
		fixed = 40
	}
	if network < 0 {
		return 0, 0, false
	}
	ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, source.Port), destination.Port)
	for transport = len(front) - 8; transport >= network+fixed; transport -= 4 { // the nearest one: options may hold anything
		if bytes.HasPrefix(front[transport:], ports) {
			return network, transport, true
		}
	}
	return 0, 0, false
}

// oneway keeps the direction of the packet it draws.
func oneway(w *packet.Walker, r *rand.Rand, frames []frame) []frame {
	reversed := func(f *frame) bool {
		var info packet.Info
		return w.Walk(f.link, f.data, f.original, &info) == packet.OK && info.Reversed
	}
	if len(frames) == 0 {
		return nil
	}
	kept := reversed(&frames[r.IntN(len(frames))])
	return slices.DeleteFunc(frames, func(f frame) bool { return reversed(&f) != kept })
}

// midstream misses up to a handful of packets, never all.
func midstream(_ *packet.Walker, r *rand.Rand, frames []frame) []frame {
	if len(frames) < 2 {
		return nil
	}
	return frames[1+r.IntN(min(len(frames)-1, 6)):]
}

func truncate(_ *packet.Walker, _ *rand.Rand, frames []frame) []frame {
	const snap = 128
	for i := range frames {
		frames[i].data = frames[i].data[:min(snap, len(frames[i].data))]
	}
	return frames
}

// nat gives both endpoints other addresses and ports, the same in all packets.
func nat(w *packet.Walker, r *rand.Rand, frames []frame) []frame {
	var key [16]byte
	binary.LittleEndian.PutUint64(key[:], r.Uint64())
	binary.LittleEndian.PutUint64(key[8:], r.Uint64())
	for i := range frames {
		f := &frames[i]
		var info packet.Info
		if w.Walk(f.link, f.data, f.original, &info) != packet.OK {
			continue
		}
		network, transport, ok := headers(f.data, &info)
		if !ok {
			return nil // a protocol without ports, or a fragment: nothing that is translated
		}
		f.data = bytes.Clone(f.data)
		from, to := network+8, network+40
		if info.Key.Version == 4 {
			from, to = network+12, network+20
		}
		addresses := f.data[from:to]
		for i := range addresses { // both alike, so that who is who does not depend on the direction
			addresses[i] ^= key[i%(len(addresses)/2)]
		}
		for i := range 4 {
			f.data[transport+i] ^= key[14+i%2]
		}
	}
	return frames
}
