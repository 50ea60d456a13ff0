package afpacket

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sonde.example/internal/packet"
)

// device is what the kernel says of one.
type device struct {
	name     string
	index    int
	up       bool
	link     packet.LinkType
	loopback bool
}

// errUnknownDevice is why a point waits whose device is not there.
var errUnknownDevice = errors.New("no such device")

// lookUp asks for a device by name, through a socket, whose network namespace counts.
func lookUp(socket int, name string) (device, error) {
	d := device{name: name}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return d, fmt.Errorf("device name %q: longer than %d bytes", name, unix.IFNAMSIZ-1)
	}
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFINDEX, request); err != nil {
		if errors.Is(err, unix.ENODEV) {
			return d, errUnknownDevice
		}
		return d, fmt.Errorf("index of device %s: %w", name, err)
	}
	d.index = int(request.Uint32())
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, request); err != nil {
		return d, fmt.Errorf("flags of device %s: %w", name, err)
	}
	d.up = request.Uint16()&unix.IFF_UP != 0
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFHWADDR, request); err != nil {
		return d, fmt.Errorf("type of device %s: %w", name, err)
	}
	d.loopback = request.Uint16() == unix.ARPHRD_LOOPBACK
	d.link, err = linkType(request.Uint16())
	if err != nil {
		return d, fmt.Errorf("device %s: %w", name, err)
	}
	return d, nil
}

// linkType tells how frames of a hardware type begin when they come through a raw packet socket.
func linkType(hardware uint16) (packet.LinkType, error) {
	switch hardware {
	case unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK:
		return packet.LinkEthernet, nil
	case unix.ARPHRD_NONE, unix.ARPHRD_RAWIP, unix.ARPHRD_PPP, unix.ARPHRD_TUNNEL, unix.ARPHRD_TUNNEL6, unix.ARPHRD_SIT:
		return packet.LinkRaw, nil // tun, WireGuard, ppp, ipip, sit: the kernel shows nothing before the IP header
	}
	return 0, fmt.Errorf("hardware type %d (linux/if_arp.h) cannot be captured; Ethernet, loopback, and devices of bare IP can", hardware)
}

// nameOf returns a device's present name by its index.
func nameOf(socket, index int) (string, error) {
	request, err := unix.NewIfreq("")
	if err != nil {
		return "", err
	}
	request.SetUint32(uint32(index))
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFNAME, request); err != nil {
		return "", err
	}
	return request.Name(), nil
}

// unknownDevice says which devices there are.
func unknownDevice(name string) error {
	there := "none can be listed"
	if interfaces, err := net.Interfaces(); err == nil {
		var names []string
		for _, i := range interfaces {
			names = append(names, i.Name)
		}
		slices.Sort(names)
		there = "there are " + strings.Join(names, ", ")
	}
	return fmt.Errorf("%w %q; %s", errUnknownDevice, name, there)
}

// deviceName takes the device from a point's name.
func deviceName(point string) (string, error) {
	name := strings.TrimPrefix(point, Scheme)
	if name == "" || strings.ContainsAny(name, ":/ \x00") {
		return "", fmt.Errorf("capture point %q: want %sDEVICE", point, Scheme)
	}
	return name, nil
}
