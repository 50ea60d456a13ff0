package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	blockTimeout = 10 * time.Millisecond // the age at which a block that is not full is handed over
	frameBytes   = 2048                  // only has to divide a block: TPACKET_V3 packs frames of any length
	tagBytes     = 4                     // kept free before each frame, so that its tag can be put back
)

// ring is one socket bound to one device, with its memory.
type ring struct {
	socket  int
	memory  []byte
	blocks  int // and the bytes of each
	size    int
	device  device
	program []bpf.RawInstruction // in force

	point *point // whose packets these are, even after the set has given the point up
	next  int    // the block to be handed over next
	block block  // being read; it is next's
	held  bool   // whether next is ours, and not given back yet

	// A packet counts if from <= its time < until, in nanoseconds since 1970. Others another ring supplies.
	from, until int64
	ending      ending
}

// openRing makes a ring that captures from now on, with a filter in force from the first packet.
func openRing(d device, bytes int, program []bpf.RawInstruction) (*ring, error) {
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, socketError(err)
	}
	r := &ring{socket: socket, device: d, until: math.MaxInt64}
	r.blocks, r.size = blocksOf(bytes)
	if err := r.open(program); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func socketError(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("open packet socket: %w; it needs the capability CAP_NET_RAW", err)
	}
	return fmt.Errorf("open packet socket: %w", err)
}

func (r *ring) open(program []bpf.RawInstruction) error {
	if err := r.attach(program); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(r.socket, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fmt.Errorf("choose TPACKET_V3: %w", err)
	}
	if err := unix.SetsockoptInt(r.socket, unix.SOL_PACKET, unix.PACKET_RESERVE, tagBytes); err != nil {
		return fmt.Errorf("reserve room for tags: %w", err)
	}
	request := unix.TpacketReq3{
		Block_size: uint32(r.size), Block_nr: uint32(r.blocks), Frame_size: frameBytes, Frame_nr: uint32(r.blocks * (r.size / frameBytes)),
		Retire_blk_tov: uint32(blockTimeout.Milliseconds()),
	}
	if err := unix.SetsockoptTpacketReq3(r.socket, unix.SOL_PACKET, unix.PACKET_RX_RING, &request); err != nil {
		return fmt.Errorf("make a ring of %d bytes: %w", r.blocks*r.size, err)
	}
	memory, err := unix.Mmap(r.socket, 0, r.blocks*r.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map a ring of %d bytes: %w", r.blocks*r.size, err)
	}
	r.memory = memory
	address := unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: r.device.index}
	if err := unix.Bind(r.socket, &address); err != nil {
		return fmt.Errorf("bind to device %s: %w", r.device.name, err)
	}
	return nil
}

// bigEndian returns a number whose bytes in memory are in network order.
func bigEndian(n uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], n)
	return binary.NativeEndian.Uint16(b[:])
}

// attach puts a program in force, at once for the next packet; after an error the old one is.
func (r *ring) attach(program []bpf.RawInstruction) error {
	filters := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filters[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	err := unix.SetsockoptSockFprog(r.socket, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filters)), Filter: &filters[0]})
	switch {
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("attach filter of %d instructions: %w; see net.core.optmem_max", len(program), err)
	case err != nil:
		return fmt.Errorf("attach filter of %d instructions: %w", len(program), err)
	}
	r.program = program
	return nil
}

// status is the word by which a block is handed over and given back.
func (r *ring) status() *uint32 {
	return (*uint32)(unsafe.Pointer(&r.memory[r.next*r.size+blockStatus]))
}

// ready tells whether the next block is ours.
func (r *ring) ready() bool { return atomic.LoadUint32(r.status())&unix.TP_STATUS_USER != 0 }

// take takes the next block, if the kernel has handed it over, and tells how many packets were lost because it makes no sense.
func (r *ring) take() (ok bool, broken int) {
	if !r.ready() {
		return false, 0
	}
	at := r.next * r.size
	r.block, broken = openBlock(r.memory[at : at+r.size : at+r.size])
	r.held = true
	return true, broken
}

// release gives the block back, if one is held; its bytes are the kernel's from here on.
func (r *ring) release() {
	if !r.held {
		return
	}
	atomic.StoreUint32(r.status(), statusKernel)
	r.held, r.block = false, block{}
	r.next = (r.next + 1) % r.blocks
}

// drops returns the packets lost since the last call; the kernel counts from 0 again.
func (r *ring) drops() (uint64, error) {
	stats, err := unix.GetsockoptTpacketStatsV3(r.socket, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("statistics of device %s: %w", r.device.name, err)
	}
	return uint64(stats.Drops), nil
}

// bound tells whether the socket still belongs to a device; one that was deleted leaves it alone for good.
func (r *ring) bound() (bool, error) {
	address, err := unix.Getsockname(r.socket)
	if err != nil {
		return false, fmt.Errorf("device of the socket: %w", err)
	}
	link, ok := address.(*unix.SockaddrLinklayer)
	return ok && link.Ifindex == r.device.index, nil
}

// fault takes the socket's pending error, which ends poll's telling of it.
func (r *ring) fault() error {
	number, err := unix.GetsockoptInt(r.socket, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if number != 0 {
		return unix.Errno(number)
	}
	return nil
}

func (r *ring) close() error {
	var err error
	if r.memory != nil {
		err = unix.Munmap(r.memory)
		r.memory = nil
	}
	return errors.Join(err, unix.Close(r.socket))
}
