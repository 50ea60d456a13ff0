package netns_test

import (
	"bytes"
	"net"
	"os"
	"testing"

	"sonde.example/internal/testenv/netns"
)

func TestNamespaceHoldsItsDevicesAndIsGoneAfterwards(t *testing.T) {
	var path string
	t.Run("inside", func(t *testing.T) {
		a, b := netns.New(t), netns.New(t)
		path = "/run/netns/" + a.Name
		netns.Veth(a, "v0", b, "v1")
		a.Bridge("br0", "v0")
		for _, want := range []struct {
			in   *netns.Namespace
			name string
			not  string
		}{{a, "v0", "v1"}, {a, "br0", "v1"}, {b, "v1", "v0"}} {
			want.in.Do(func() {
				if _, err := net.InterfaceByName(want.name); err != nil {
					t.Errorf("%s: %v", want.name, err)
				}
				if _, err := net.InterfaceByName(want.not); err == nil {
					t.Errorf("%s is there, too", want.not)
				}
			})
		}
		out, err := b.Command(t.Context(), "ip", "link").Output()
		if err != nil || !bytes.Contains(out, []byte("v1")) {
			t.Errorf("got %q, %v", out, err)
		}
	})
	if path == "" {
		return // skipped
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", path, err)
	}
}
