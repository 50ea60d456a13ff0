package capturetest_test

import (
	"errors"
	"testing"

	"sonde.example/agent/capture"
	"sonde.example/agent/capture/capturetest"
	"sonde.example/internal/packet"
)

func TestLiveKeepsThePromisesOfALiveSet(t *testing.T) {
	capturetest.RunLive(t, func(*testing.T) capturetest.Host {
		set := capturetest.NewLive(map[string]packet.LinkType{"eth0": packet.LinkEthernet, "eth1": packet.LinkEthernet})
		return capturetest.Host{
			Open:    func(*testing.T) capture.Live { return set },
			Devices: [2]string{"eth0", "eth1"},
			Send:    func(_ *testing.T, device string, frame []byte) { set.Send(device, frame) },
			Down:    func(_ *testing.T, device string) { set.SetDown(device, errors.New("device is down")) },
			Up:      func(_ *testing.T, device string) { set.SetDown(device, nil) },
		}
	})
}

func TestLiveCountsWhatNobodyReads(t *testing.T) {
	set := capturetest.NewLive(map[string]packet.LinkType{"eth0": packet.LinkEthernet})
	if _, err := set.Replace([]capture.Point{{Name: "eth0"}}); err != nil {
		t.Fatal(err)
	}
	for range capturetest.LiveQueue + 5 {
		set.Send("eth0", make([]byte, 60))
	}
	for range capturetest.LiveQueue {
		if _, _, err := set.ReadPacket(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := set.Stats(); err != nil || got != (capture.Stats{Packets: capturetest.LiveQueue, Drops: 5}) {
		t.Errorf("got %+v, %v", got, err)
	}
}
