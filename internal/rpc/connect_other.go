//go:build !unix

package rpc

import (
	"net/netip"
	"syscall"
)

// takePort leaves the port to the system, which chooses it when it connects.
func takePort(syscall.RawConn, netip.Addr) (uint16, error) { return 0, nil }
