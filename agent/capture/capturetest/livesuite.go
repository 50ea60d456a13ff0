package capturetest

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/bpf"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
	"sonde.example/internal/packet/packettest"
)

// patience bounds what the suite waits for; nothing takes so long unless it fails.
const patience = 10 * time.Second

// Host is where a live set under test captures.
type Host struct {
	// Open makes a set. Run closes it.
	Open func(t *testing.T) capture.Live
	// Devices are the names of two Ethernet devices; what passes one does not pass the other.
	Devices [2]string
	// Send lets a frame come in by a device.
	Send func(t *testing.T, device string, frame []byte)
	// Down takes a device down, Up brings it back.
	Down, Up func(t *testing.T, device string)
	// Do runs a subtest where the set can be used; nil means as it is.
	Do func(f func())
}

// RunLive checks the promises of capture.Live. Setup is called once for each of them.
func RunLive(t *testing.T, setup func(t *testing.T) Host) {
	for name, check := range map[string]func(*live){
		"captures nothing before Replace":        (*live).nothingBefore,
		"numbers its points":                     (*live).numbers,
		"replaces all or nothing":                (*live).allOrNothing,
		"yields packets with their point":        (*live).yields,
		"swaps filters at once":                  (*live).swaps,
		"cuts packets at the snap length":        (*live).snaps,
		"loses nothing when the context ends":    (*live).interrupted,
		"leaves flows out":                       (*live).excludes,
		"refuses flows that it cannot leave out": (*live).refusesFlows,
		"waits for a device that is down":        (*live).waits,
		"is closed once":                         (*live).closes,
	} {
		t.Run(name, func(t *testing.T) {
			l := &live{T: t, host: setup(t)}
			do := l.host.Do
			if do == nil {
				do = func(f func()) { f() }
			}
			do(func() {
				l.set = l.host.Open(t)
				defer func() {
					if err := l.set.Close(); err != nil {
						t.Error(err)
					}
				}()
				check(l)
			})
		})
	}
}

// live is one subtest.
type live struct {
	*testing.T
	host Host
	set  capture.Live
	sent uint32
}

// a and b are points on the two devices that take everything.
func (l *live) a() capture.Point { return capture.Point{Name: "afpacket:" + l.host.Devices[0]} }
func (l *live) b() capture.Point { return capture.Point{Name: "afpacket:" + l.host.Devices[1]} }

func (l *live) replace(points ...capture.Point) []int {
	l.Helper()
	for i := range points {
		if points[i].Program == nil {
			points[i].Program = func(packet.LinkType) (filter.Program, error) { return filter.Program{}, nil }
		}
	}
	numbers, err := l.set.Replace(points)
	if err != nil {
		l.Fatal(err)
	}
	return numbers
}

// send lets a packet come in by the device with a number, from 0, that makes it unlike every other.
func (l *live) send(device int) []byte {
	l.Helper()
	payload := binary.BigEndian.AppendUint32(make([]byte, 60), l.sent)
	l.sent++
	frame := packettest.Ethernet(0x800, packettest.IPv4("10.0.0.1", "10.0.0.2", 17, packettest.UDP(1000, 2000, payload)))
	l.host.Send(l.T, l.host.Devices[device], frame)
	return frame
}

func (l *live) expect(frame []byte, number int) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), patience)
	defer cancel()
	data, info, err := l.set.ReadPacket(ctx)
	if err != nil {
		l.Fatalf("%v; waiting %v", err, l.set.Waiting())
	}
	want := capture.Info{Time: info.Time, CaptureLength: len(frame), OriginalLength: len(frame), InterfaceIndex: number,
		LinkType: packet.LinkEthernet, Direction: capture.Inbound}
	if !slices.Equal(data, frame) || info != want {
		l.Fatalf("got %x, %+v, want %x, %+v", data, info, frame, want)
	}
}

func (l *live) stats() capture.Stats {
	l.Helper()
	stats, err := l.set.Stats()
	if err != nil {
		l.Fatal(err)
	}
	return stats
}

func (l *live) nothingBefore() {
	l.send(0)
	number := l.replace(l.a())[0]
	l.expect(l.send(0), number)
}

func (l *live) numbers() {
	first := l.replace(l.a())
	both := l.replace(l.b(), l.a())
	second := l.replace(l.b())
	again := l.replace(l.a(), l.b())
	if both[1] != first[0] || second[0] != both[0] || again[1] != both[0] {
		l.Errorf("a point that stayed got another number: %v, %v, %v, %v", first, both, second, again)
	}
	if both[0] == first[0] || again[0] == first[0] || again[0] == both[0] {
		l.Errorf("a new point got a number given before: %v, %v, %v, %v", first, both, second, again)
	}
	if none := l.replace(); len(none) != 0 {
		l.Errorf("got %v", none)
	}
	last := l.replace(l.a())[0]
	l.expect(l.send(0), last)
}

func (l *live) allOrNothing() {
	number := l.replace(l.a())[0]
	refused := errors.New("refused")
	bad := l.b()
	bad.Program = func(packet.LinkType) (filter.Program, error) { return filter.Program{}, refused }
	silent := l.a()
	silent.Program = takeNothing
	if _, err := l.set.Replace([]capture.Point{silent, bad}); !errors.Is(err, refused) {
		l.Errorf("got error %v", err)
	}
	other := l.b()
	other.Program = func(packet.LinkType) (filter.Program, error) { return takeNothing(packet.LinkPPP) }
	for name, points := range map[string][]capture.Point{
		"other link type": {silent, other},
		"unknown device":  {silent, {Name: "afpacket:missing0"}},
		"device twice":    {silent, l.b(), l.b()},
	} {
		if numbers, err := l.set.Replace(points); err == nil {
			l.Errorf("%s: got %v", name, numbers)
		}
	}
	l.send(1)
	l.expect(l.send(0), number)
	if next := l.replace(l.a(), l.b()); next[0] != number || next[1] == number {
		l.Errorf("got %v", next)
	}
}

func takeNothing(link packet.LinkType) (filter.Program, error) {
	return filter.Parse("nothing", link, []bpf.RawInstruction{{Op: 6}})
}

func (l *live) yields() {
	numbers := l.replace(l.a(), l.b())
	for i := range 6 {
		l.expect(l.send(i%2), numbers[i%2])
	}
	if got := l.stats(); got != (capture.Stats{Packets: 6}) {
		l.Errorf("got %+v", got)
	}
}

func (l *live) swaps() {
	number := l.replace(l.a())[0]
	silent := l.a()
	silent.Program = takeNothing
	l.expect(l.send(0), number)
	l.replace(silent)
	l.send(0)
	l.replace(l.a())
	l.expect(l.send(0), number)
}

func (l *live) snaps() {
	point := l.a()
	point.SnapLength = 50
	l.replace(point)
	frame := l.send(0)
	ctx, cancel := context.WithTimeout(l.Context(), patience)
	defer cancel()
	data, info, err := l.set.ReadPacket(ctx)
	if err != nil {
		l.Fatal(err)
	}
	if !slices.Equal(data, frame[:50]) || info.CaptureLength != 50 || info.OriginalLength != len(frame) {
		l.Errorf("got %d bytes, %+v", len(data), info)
	}
}

func (l *live) interrupted() {
	number := l.replace(l.a())[0]
	for range 3 {
		ctx, cancel := context.WithCancel(l.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			cancel()
		}()
		if _, _, err := l.set.ReadPacket(ctx); !errors.Is(err, context.Canceled) {
			l.Fatalf("got error %v", err)
		}
		<-ended
		frame := l.send(0)
		if _, _, err := l.set.ReadPacket(ctx); !errors.Is(err, context.Canceled) {
			l.Fatalf("got error %v", err)
		}
		l.expect(frame, number)
	}
	ctx, cancel := context.WithTimeout(l.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := l.set.ReadPacket(ctx); !errors.Is(err, context.DeadlineExceeded) {
		l.Fatalf("got error %v", err)
	}
}

// excludes sends each flow's two directions in each wrapping, and then a packet that must be the next one seen.
func (l *live) excludes() {
	number := l.replace(l.a())[0]
	flows := []capture.Flow{
		{Local: netip.MustParseAddrPort("10.0.0.1:40000"), Remote: netip.MustParseAddrPort("10.0.0.2:7000")},
		{Local: netip.MustParseAddrPort("[::]:40001"), Remote: netip.MustParseAddrPort("[2001:db8::2]:7001")},
		{Local: netip.MustParseAddrPort("0.0.0.0:40002"), Remote: netip.MustParseAddrPort("[::ffff:10.0.0.2]:7002")},
	}
	if err := l.set.Exclude(flows); err != nil {
		l.Fatal(err)
	}
	four := func(from, to string, source, destination uint16) (uint16, []byte) {
		return 0x800, packettest.IPv4(from, to, 6, packettest.TCP(source, destination, packet.SYN, 1, 0, nil))
	}
	six := func(from, to string, source, destination uint16) (uint16, []byte) {
		return 0x86dd, packettest.IPv6(from, to, 6, packettest.TCP(source, destination, packet.SYN, 1, 0, nil))
	}
	wraps := map[string]func(uint16, []byte) []byte{
		"untagged": packettest.Ethernet,
		"tagged":   func(kind uint16, b []byte) []byte { return packettest.Ethernet(0x8100, packettest.Tag(5, kind, b)) },
		"QinQ": func(kind uint16, b []byte) []byte {
			return packettest.Ethernet(0x88a8, packettest.Tag(5, 0x8100, packettest.Tag(6, kind, b)))
		},
		"three tags": func(kind uint16, b []byte) []byte {
			return packettest.Ethernet(0x88a8, packettest.Tag(5, 0x8100, packettest.Tag(6, 0x8100, packettest.Tag(7, kind, b))))
		},
	}
	for name, wrap := range wraps {
		for _, frame := range [][]byte{
			wrap(four("10.0.0.1", "10.0.0.2", 40000, 7000)), wrap(four("10.0.0.2", "10.0.0.1", 7000, 40000)),
			wrap(six("2001:db8::1", "2001:db8::2", 40001, 7001)), wrap(six("2001:db8::2", "2001:db8::9", 7001, 40001)),
			wrap(four("10.0.0.7", "10.0.0.2", 40002, 7002)), wrap(four("10.0.0.2", "10.0.0.8", 7002, 40002)),
		} {
			l.host.Send(l.T, l.host.Devices[0], frame)
		}
		l.Logf("%s: flows sent", name)
		for _, frame := range [][]byte{
			wrap(four("10.0.0.3", "10.0.0.2", 40000, 7000)), wrap(four("10.0.0.1", "10.0.0.2", 40000, 7001)),
			wrap(four("10.0.0.1", "10.0.0.2", 7000, 40000)), wrap(four("10.0.0.1", "10.0.0.3", 40000, 7000)),
			wrap(six("2001:db8::1", "2001:db8::3", 40001, 7001)), wrap(six("2001:db8::2", "2001:db8::1", 40001, 7001)),
			wrap(four("10.0.0.2", "10.0.0.7", 40002, 7002)), wrap(four("10.0.0.7", "10.0.1.2", 40002, 7002)),
		} {
			l.host.Send(l.T, l.host.Devices[0], frame)
			l.expect(frame, number)
		}
	}
	l.replace(l.a(), l.b())
	kind, syn := four("10.0.0.1", "10.0.0.2", 40000, 7000)
	for device := range 2 {
		l.host.Send(l.T, l.host.Devices[device], packettest.Ethernet(kind, syn))
	}
	l.expect(l.send(0), number)
	if err := l.set.Exclude(nil); err != nil {
		l.Fatal(err)
	}
	l.host.Send(l.T, l.host.Devices[0], packettest.Ethernet(kind, syn))
	l.expect(packettest.Ethernet(kind, syn), number)
}

func (l *live) refusesFlows() {
	number := l.replace(l.a())[0]
	good := capture.Flow{Local: netip.MustParseAddrPort("10.0.0.1:40000"), Remote: netip.MustParseAddrPort("10.0.0.2:7000")}
	if err := l.set.Exclude([]capture.Flow{good}); err != nil {
		l.Fatal(err)
	}
	noRemote, noPort, many := good, good, slices.Repeat([]capture.Flow{good}, capture.MaxFlows+1)
	noRemote.Remote = netip.MustParseAddrPort("0.0.0.0:7000")
	noPort.Local = netip.MustParseAddrPort("10.0.0.1:0")
	for _, flows := range [][]capture.Flow{{noRemote}, {noPort}, many} {
		if err := l.set.Exclude(flows); err == nil {
			l.Errorf("%d flows, %v, were taken", len(flows), flows[0])
		}
	}
	syn := packettest.TCP(40000, 7000, packet.SYN, 1, 0, nil)
	l.host.Send(l.T, l.host.Devices[0], packettest.Ethernet(0x800, packettest.IPv4("10.0.0.1", "10.0.0.2", 6, syn)))
	l.expect(l.send(0), number)
	if err := l.set.Exclude(many[:capture.MaxFlows]); err != nil {
		l.Error(err)
	}
}

func (l *live) waits() {
	number := l.replace(l.a())[0]
	if waiting := l.set.Waiting(); waiting != nil {
		l.Errorf("waiting %v", waiting)
	}
	l.expect(l.send(0), number)
	l.host.Down(l.T, l.host.Devices[0])
	l.until(func() bool { return l.set.Waiting()[l.a().Name] != nil })
	l.host.Up(l.T, l.host.Devices[0])
	l.expect(l.send(0), number)
	l.until(func() bool { return l.set.Waiting() == nil })
}

// until reads nothing, again and again, until a condition holds.
func (l *live) until(condition func() bool) {
	l.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		if time.Now().After(deadline) {
			l.Fatalf("waiting %v", l.set.Waiting())
		}
		ctx, cancel := context.WithTimeout(l.Context(), time.Millisecond)
		_, _, err := l.set.ReadPacket(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			l.Fatalf("got error %v", err)
		}
	}
}

func (l *live) closes() {
	l.replace(l.a())
	for range 2 {
		if err := l.set.Close(); err != nil {
			l.Fatal(err)
		}
	}
	_, _, readErr := l.set.ReadPacket(l.Context())
	_, replaceErr := l.set.Replace(nil)
	_, statsErr := l.set.Stats()
	for _, err := range []error{readErr, replaceErr, statsErr, l.set.Exclude(nil)} {
		if !errors.Is(err, capture.ErrClosed) {
			l.Errorf("got error %v", err)
		}
	}
	if waiting := l.set.Waiting(); waiting != nil {
		l.Errorf("waiting %v", waiting)
	}
}
