package packet

import (
	"encoding/binary"
	"math"
	"sync"
	"sync/atomic"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
)

// MaxTunnelPorts is how many ports of each kind an agent may name.
const MaxTunnelPorts = 16

// maxWalkers bounds how many are kept. A site has a few sets of ports; an agent that names others all the time has them made
// each time.
const maxWalkers = 64

// Walkers gives the walker for each capture point's tunnel ports, for whoever reads packets again that an agent has read
// before: only with the agent's ports are the inner headers the same. Any number of goroutines may use one.
type Walkers struct {
	fallback atomic.Pointer[Walker]

	mu    sync.RWMutex // guards known
	known map[string]*Walker
}

// NewWalkers returns walkers, of which the one for capture points that name no ports has the given ones.
func NewWalkers(options Options) *Walkers {
	w := &Walkers{known: map[string]*Walker{}}
	w.SetDefault(options)
	return w
}

// SetDefault changes the ports for capture points that name none.
func (w *Walkers) SetDefault(options Options) { w.fallback.Store(NewWalker(options)) }

// For returns the walker for tunnel ports, the default for nil. Ports that are none, and beyond MaxTunnelPorts, are left out.
func (w *Walkers) For(ports *flowv1.TunnelPorts) *Walker {
	if ports == nil {
		return w.fallback.Load()
	}
	options := OptionsFrom(ports)
	key := options.Key()
	w.mu.RLock()
	walker := w.known[key]
	w.mu.RUnlock()
	if walker != nil {
		return walker
	}
	walker = NewWalker(options)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.known) < maxWalkers {
		w.known[key] = walker
	}
	return walker
}

// OptionsFrom reads tunnel ports; nil are the well-known ones.
func OptionsFrom(ports *flowv1.TunnelPorts) Options {
	if ports == nil {
		return DefaultOptions()
	}
	return Options{
		VXLAN: portList(ports.GetVxlan()), Geneve: portList(ports.GetGeneve()),
		GTPU: portList(ports.GetGtpU()), Teredo: portList(ports.GetTeredo()),
	}
}

func portList(from []uint32) (ports []uint16) {
	for _, p := range from[:min(len(from), MaxTunnelPorts)] {
		if p > 0 && p <= math.MaxUint16 {
			ports = append(ports, uint16(p))
		}
	}
	return ports
}

// Key is the same for the same ports in the same order, and no other; it is not empty.
func (o Options) Key() string {
	var key []byte
	for _, list := range [][]uint16{o.VXLAN, o.Geneve, o.GTPU, o.Teredo} {
		key = append(key, byte(len(list)))
		for _, p := range list {
			key = binary.BigEndian.AppendUint16(key, p)
		}
	}
	return string(key)
}
