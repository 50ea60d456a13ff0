package afpacket

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sonde.example/internal/packet"
)

func TestLinkTypeIsKnownOrRefused(t *testing.T) {
	for hardware, want := range map[uint16]packet.LinkType{
		unix.ARPHRD_ETHER: packet.LinkEthernet, unix.ARPHRD_LOOPBACK: packet.LinkEthernet,
		unix.ARPHRD_NONE: packet.LinkRaw, unix.ARPHRD_RAWIP: packet.LinkRaw, unix.ARPHRD_PPP: packet.LinkRaw,
		unix.ARPHRD_TUNNEL: packet.LinkRaw, unix.ARPHRD_TUNNEL6: packet.LinkRaw, unix.ARPHRD_SIT: packet.LinkRaw,
	} {
		if got, err := linkType(hardware); err != nil || got != want {
			t.Errorf("hardware type %d: got %d, %v, want %d", hardware, got, err, want)
		}
	}
	// GRE may have its own header before the packet, and radio devices have radiotap.
	for _, hardware := range []uint16{unix.ARPHRD_IPGRE, unix.ARPHRD_IP6GRE, unix.ARPHRD_IEEE80211_RADIOTAP, unix.ARPHRD_CAN, unix.ARPHRD_INFINIBAND} {
		if got, err := linkType(hardware); err == nil || !strings.Contains(err.Error(), "cannot be captured") {
			t.Errorf("hardware type %d: got %d, %v", hardware, got, err)
		}
	}
}
