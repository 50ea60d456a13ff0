package netns

import (
	"encoding/binary"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sender puts whole frames on a device.
type Sender struct {
	t      testing.TB
	socket int
	to     unix.SockaddrLinklayer
}

// Sender opens a socket that sends on a device of the namespace. It is closed when the test ends.
func (n *Namespace) Sender(device string) *Sender {
	n.t.Helper()
	s := &Sender{t: n.t}
	n.Do(func() {
		socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			n.t.Fatal(err)
		}
		s.socket = socket
		n.t.Cleanup(func() {
			if err := unix.Close(socket); err != nil {
				n.t.Error(err)
			}
		})
		request, err := unix.NewIfreq(device)
		if err != nil {
			n.t.Fatal(err)
		}
		if err := unix.IoctlIfreq(socket, unix.SIOCGIFINDEX, request); err != nil {
			n.t.Fatalf("device %s: %v", device, err)
		}
		s.to = unix.SockaddrLinklayer{Ifindex: int(request.Uint32()), Halen: 6}
	})
	return s
}

// Send sends one frame. It does not end the test, so that any goroutine may call it.
func (s *Sender) Send(frame []byte) error { return unix.Sendto(s.socket, frame, 0, &s.to) }

// SendMany sends frames with few system calls; it returns how many went out.
func (s *Sender) SendMany(frames [][]byte) (int, error) {
	type message struct {
		header unix.Msghdr
		length uint32
	}
	address := unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Ifindex: int32(s.to.Ifindex), Halen: 6}
	messages, vectors := make([]message, len(frames)), make([]unix.Iovec, len(frames))
	for i, frame := range frames {
		vectors[i].Base = &frame[0]
		vectors[i].SetLen(len(frame))
		messages[i].header = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&address)), Namelen: unix.SizeofSockaddrLinklayer, Iov: &vectors[i]}
		messages[i].header.SetIovlen(1)
	}
	sent := 0
	for sent < len(frames) {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.socket), uintptr(unsafe.Pointer(&messages[sent])),
			uintptr(len(frames)-sent), 0, 0, 0)
		if errno != 0 {
			return sent, errno
		}
		sent += int(n)
	}
	return sent, nil
}

// SendPaced calls make for each packet from 0 on, and sends what it returns, about rate of them a second, until enough
// tells so or count are out (0: no bound). It returns how many went out. It is for a goroutine of its own.
func (s *Sender) SendPaced(rate, count int, enough <-chan struct{}, make func(number int) []byte) (int, error) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	begin := time.Now()
	for sent := 0; ; {
		select {
		case <-enough:
			return sent, nil
		case <-ticker.C:
		}
		due := int(time.Since(begin).Seconds() * float64(rate))
		if count > 0 {
			due = min(due, count)
		}
		for ; sent < due; sent++ {
			if err := s.Send(make(sent)); err != nil {
				return sent, err
			}
		}
		if count > 0 && sent == count {
			return sent, nil
		}
	}
}

// Number puts a number into the last 8 bytes of a frame, and NumberOf reads it.
func Number(frame []byte, number uint64) []byte {
	binary.BigEndian.PutUint64(frame[len(frame)-8:], number)
	return frame
}

// NumberOf returns what Number has put in.
func NumberOf(frame []byte) uint64 { return binary.BigEndian.Uint64(frame[len(frame)-8:]) }
