// Package gen_test runs what others may do with the generated clients.
package gen_test

import (
	"bufio"
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/internal/testenv"
)

// tailing answers WatchResults with a gap, a result, and a result that the model does not know, and keeps the call open.
type tailing struct {
	queryv1.UnimplementedQueryServiceServer
}

func (tailing) WatchResults(_ *queryv1.WatchResultsRequest, stream grpc.ServerStreamingServer[queryv1.WatchResultsResponse]) error {
	for _, answer := range []*queryv1.WatchResultsResponse{{Missed: 3}, {Result: &queryv1.Result{
		SessionId:      "01JD4ZQ8J0000000000000000A",
		Server:         &queryv1.Endpoint{Address: "2001:db8::1", Port: 443},
		Classification: &flowv1.Classification{Label: "tls"},
	}}, {Result: &queryv1.Result{
		SessionId:      "01JD4ZQ8J0000000000000000B",
		Server:         &queryv1.Endpoint{Address: "192.0.2.1", Port: 4711},
		Classification: &flowv1.Classification{Label: "ssh", Unknown: true},
	}}} {
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// TestExamplesTailResults runs the example of each language against a server that wants a certificate. `make clients`
// builds them; where SONDE_TEST_CLIENTS does not name their folder they are not there to be run.
func TestExamplesTailResults(t *testing.T) {
	folder := testenv.Service(t, "clients")
	certificates := testenv.Certificates(t)
	address := serve(t, credentials.NewTLS(testenv.Source(t, certificates.Service).ServerConfig()))
	viewer := certificates.Viewer
	want := []string{
		"missed 3",
		"01JD4ZQ8J0000000000000000A tls 2001:db8::1 port 443",
		"01JD4ZQ8J0000000000000000B unknown 192.0.2.1 port 4711",
	}

	java := filepath.Join(folder, "java/target")
	for name, command := range map[string][]string{
		"python":     {"env", "PYTHONPATH=" + folder + "/python", folder + "/../.cache/python/bin/python", folder + "/python/examples/tail.py"},
		"typescript": {"node", folder + "/typescript/dist/examples/tail.js"},
		"java":       {"java", "-cp", java + "/classes:" + java + "/lib/*", folder + "/java/examples/Tail.java"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Generous: a cold Java compiles its example first, on a machine that is busy with other tests.
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			args := append(command, address, viewer.CA, viewer.Certificate, viewer.Key)
			tail := exec.CommandContext(ctx, args[0], args[1:]...)
			var stderr strings.Builder
			tail.Stderr = &stderr
			stdout, err := tail.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := tail.Start(); err != nil {
				t.Fatal(err)
			}
			var got []string
			for lines := bufio.NewScanner(stdout); len(got) < len(want) && lines.Scan(); {
				got = append(got, lines.Text())
			}
			cancel() // it would go on for ever
			if err := tail.Wait(); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q; it ended with %v and says: %s", got, want, err, stderr.String())
			}
		})
	}
}

// serve runs the service until the test and those within it have ended, and returns its address.
func serve(t *testing.T, creds credentials.TransportCredentials) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(creds))
	queryv1.RegisterQueryServiceServer(server, tailing{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}
