package packet_test

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"testing"

	"sonde.example/internal/packet"
)

func key4(source, destination string, low, high uint16) packet.Key {
	return packet.Key{
		Low: netip.MustParseAddr(source).As16(), High: netip.MustParseAddr(destination).As16(),
		LowPort: low, HighPort: high, Version: 4, Protocol: 6,
	}
}

// TestKeyHashIsSipHash compares with values of an independent SipHash-1-3, itself checked against CPython's. A lane belongs
// to an epoch, which outlives a process: these values may never change.
func TestKeyHashIsSipHash(t *testing.T) {
	far := packet.Key{
		Scope: packet.Scope{VLANs: [2]uint16{100, 200}, Tunnel: packet.VXLAN, TunnelID: 77},
		Low:   netip.MustParseAddr("2001:db8::1").As16(), High: netip.MustParseAddr("2001:db8::2").As16(),
		LowPort: 5353, HighPort: 53, Version: 6, Protocol: 17,
	}
	tests := []struct {
		name string
		key  packet.Key
		seed uint64
		want uint64
	}{
		{"zero", packet.Key{}, 0, 7462925852956471633},
		{"IPv4", key4("10.0.0.1", "10.0.0.2", 1025, 80), 42, 3675524612495788582},
		{"IPv6 in a tunnel", far, 1<<64 - 1, 6600538190336418196},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.key.Hash(test.seed); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

// TestKeyHashTakesEveryField changes each field, found by reflection so that a new one is not forgotten.
func TestKeyHashTakesEveryField(t *testing.T) {
	var zero packet.Key
	seen := map[uint64]string{zero.Hash(1): "nothing", zero.Hash(2): "the seed"}
	var change func(path string, value reflect.Value, key *packet.Key)
	change = func(path string, value reflect.Value, key *packet.Key) {
		switch value.Kind() {
		case reflect.Struct:
			for i := range value.NumField() {
				change(path+"."+value.Type().Field(i).Name, value.Field(i), key)
			}
		case reflect.Array:
			for i := range value.Len() {
				change(path+"[]", value.Index(i), key)
			}
		default:
			value.SetUint(1)
			hash := key.Hash(1)
			if other, ok := seen[hash]; ok {
				t.Errorf("changing %s gives the hash of changing %s", path, other)
			}
			seen[hash] = path
			value.SetUint(0)
		}
	}
	var key packet.Key
	change("Key", reflect.ValueOf(&key).Elem(), &key)
}

// TestKeyHashSpreadsLanes gives 65,536 neighbouring keys to 4 lanes: each must get its share within 9 sigma.
func TestKeyHashSpreadsLanes(t *testing.T) {
	var lanes [4]int
	key := key4("10.0.0.1", "10.0.0.2", 0, 443)
	for port := range 1 << 16 {
		key.LowPort = uint16(port)
		binary.BigEndian.PutUint16(key.Low[14:], uint16(port/256))
		lanes[key.Hash(7)%4]++
	}
	for i, n := range lanes {
		if n < 1<<14-1<<10 || n > 1<<14+1<<10 {
			t.Errorf("lane %d has %d of 65536 keys", i, n)
		}
	}
}
