//go:build unix

package rpc

import (
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// takePort binds a socket that has not been connected to a free port, and returns it.
func takePort(raw syscall.RawConn, remote netip.Addr) (port uint16, err error) {
	var any unix.Sockaddr = &unix.SockaddrInet6{}
	if remote.Is4() {
		any = &unix.SockaddrInet4{}
	}
	bad := raw.Control(func(fd uintptr) {
		if err = unix.Bind(int(fd), any); err != nil {
			return
		}
		var bound unix.Sockaddr
		bound, err = unix.Getsockname(int(fd))
		switch a := bound.(type) {
		case *unix.SockaddrInet4:
			port = uint16(a.Port)
		case *unix.SockaddrInet6:
			port = uint16(a.Port)
		}
	})
	if bad != nil {
		return 0, bad
	}
	return port, err
}
