package agent_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"sonde.example/agent"
	"sonde.example/agent/uplink/uplinktest"
	configv1 "sonde.example/gen/go/sonde/config/v1"
	"sonde.example/internal/testenv"
)

func TestAgentIsReadyOnceEachStreamIsOpen(t *testing.T) {
	certificates := testenv.Certificates(t)
	collector := uplinktest.New()
	dial, _ := collector.Serve(t, testenv.Source(t, certificates.Service))
	dials, connect := make(chan struct{}, 16), make(chan struct{})
	c := configOf(t, certificates, pcapFile(t, sessions(3, 40)...))
	c.Admin, c.Lanes = "127.0.0.1:0", 2
	a, err := agent.Open(t.Context(), c, testenv.Log(t), prometheus.NewPedanticRegistry(), agent.Options{
		Dialer: func(ctx context.Context, address string) (net.Conn, error) {
			dials <- struct{}{}
			<-connect
			return dial(ctx, address)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(t.Context()) }()
	<-dials // neither has failed yet, and neither is there
	response, err := http.Get("http://" + a.Addr().String() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "uplink 0") || !strings.Contains(string(text), "uplink 1") {
		t.Errorf("%d %s", response.StatusCode, text)
	}
	close(connect)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAHelloTellsWhatIsInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		collector := uplinktest.New()
		w.serve(map[string]*uplinktest.Collector{"collector.test:7443": collector})
		f := w.start(w.store, "eth0")
		collector.Lane(t, 7, 0, func(l uplinktest.Lane) bool { return len(l.Hellos) == 1 })
		for _, enabled := range []bool{true, false} {
			want := []string{"afpacket:eth0"}
			revision := w.publish(&configv1.AgentConfig{CapturePoints: want, Enabled: &enabled})
			if !enabled {
				want = nil
			}
			collector.Lane(t, 7, 0, func(l uplinktest.Lane) bool {
				hello := l.Hellos[len(l.Hellos)-1]
				var points []string
				for _, p := range hello.GetCapturePoints() {
					points = append(points, p.GetName())
				}
				return hello.GetConfigRevision() == revision && slices.Equal(points, want)
			})
		}
		f.stop()
	})
}
