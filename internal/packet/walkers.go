package packet

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
)

const (
	// MaxTunnelPorts bounds the ports of each kind. Walk searches them one by one.
	MaxTunnelPorts = 16
	// maxWalkers bounds how many walkers Walkers remembers. Agents are told their ports group by group, so a few are used.
	maxWalkers = 64
	// maxPortsKey is the longest text of AppendPorts: of each kind the number of ports, and the ports.
	maxPortsKey = 4 * (1 + 2*MaxTunnelPorts)
)

// CheckPorts tells what is wrong with tunnel ports from outside: more than MaxTunnelPorts of a kind, or one that is not
// within 1 and 65535. Unset ports are right.
func CheckPorts(ports *flowv1.TunnelPorts) error {
	for i, list := range portLists(ports) {
		if len(list) > MaxTunnelPorts {
			return fmt.Errorf("%d ports of %s, %d at most", len(list), portNames()[i], MaxTunnelPorts)
		}
		for _, port := range list {
			if port == 0 || port > math.MaxUint16 {
				return fmt.Errorf("%d is no port of %s", port, portNames()[i])
			}
		}
	}
	return nil
}

// portLists returns the lists in the order in which NewWalker looks at them.
func portLists(ports *flowv1.TunnelPorts) [4][]uint32 {
	return [4][]uint32{ports.GetVxlan(), ports.GetGeneve(), ports.GetGtpU(), ports.GetTeredo()}
}

func portNames() [4]string { return [4]string{"VXLAN", "Geneve", "GTP-U", "Teredo"} }

// AppendPorts appends a text by which ports can be compared: nothing for unset ones, which differ from those that switch
// every kind off. What CheckPorts refuses is left out, as it is in the walkers.
func AppendPorts(to []byte, ports *flowv1.TunnelPorts) []byte {
	if ports == nil {
		return to
	}
	for _, list := range portLists(ports) {
		count := len(to)
		to = append(to, 0)
		for _, port := range list {
			if port > 0 && port <= math.MaxUint16 && to[count] < MaxTunnelPorts {
				to[count]++
				to = binary.BigEndian.AppendUint16(to, uint16(port))
			}
		}
	}
	return to
}

// OptionsOf returns the options for tunnel ports, DefaultOptions for unset ones. What CheckPorts refuses is left out.
func OptionsOf(ports *flowv1.TunnelPorts) Options {
	if ports == nil {
		return DefaultOptions()
	}
	var lists [4][]uint16
	text := AppendPorts(nil, ports)
	for i := range lists {
		n := int(text[0])
		text = text[1:]
		for range n {
			lists[i] = append(lists[i], binary.BigEndian.Uint16(text))
			text = text[2:]
		}
	}
	return Options{VXLAN: lists[0], Geneve: lists[1], GTPU: lists[2], Teredo: lists[3]}
}

// Walkers gives those who read packets again the walker that looks for tunnels where the agent did: a small cache, by the
// ports that an interface tells, and one for interfaces that tell none. Any number of goroutines may use one. A walker that
// was returned stays valid; ask once for an interface of a batch or head, not for every packet.
type Walkers struct {
	silent atomic.Pointer[Walker]

	mu    sync.RWMutex
	known map[string]*Walker // by AppendPorts
}

// NewWalkers returns walkers; interfaces that tell no ports are read with the given options.
func NewWalkers(silent Options) *Walkers {
	w := &Walkers{known: map[string]*Walker{}}
	w.silent.Store(NewWalker(silent))
	return w
}

// SetDefault changes the ports for interfaces that tell none, from the next For on. Unset are the well-known ones, which an
// agent that was told no ports looks on.
func (w *Walkers) SetDefault(ports *flowv1.TunnelPorts) { w.silent.Store(NewWalker(OptionsOf(ports))) }

// For returns the walker for an interface's ports, which may be unset.
func (w *Walkers) For(ports *flowv1.TunnelPorts) *Walker {
	if ports == nil {
		return w.silent.Load()
	}
	var room [maxPortsKey]byte
	key := AppendPorts(room[:0], ports)
	w.mu.RLock()
	known := w.known[string(key)]
	w.mu.RUnlock()
	if known != nil {
		return known
	}
	made := NewWalker(OptionsOf(ports))
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.known) >= maxWalkers { // ever new ports: those still in use come back at once
		clear(w.known)
	}
	w.known[string(key)] = made
	return made
}
