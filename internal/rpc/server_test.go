package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"sonde.example/internal/mtls"
	"sonde.example/internal/retry"
	"sonde.example/internal/rpc"
	"sonde.example/internal/telemetry"
	"sonde.example/internal/testenv"
)

var errSecret = errors.New("dial 10.1.2.3: password hush")

// TestErrorsCrossTheWireAsTheTableSays lets the handler return each kind of error and looks at what the client gets.
func TestErrorsCrossTheWireAsTheTableSays(t *testing.T) {
	notKnown := errors.New("store: not found")
	var returned error
	var log lockedBuffer
	h := open(t, handlers{echo: func(context.Context, *text) (*text, error) { return nil, returned }, talk: repeat}, func(o *rpc.ServerOptions) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		o.MapError = func(err error) error {
			if errors.Is(err, notKnown) {
				return rpc.NotFound("session", "01J")
			}
			return nil
		}
	})
	conn := h.client(h.certificates.Agent, nil)
	const no = -1
	for _, test := range []struct {
		name    string
		err     error
		code    codes.Code
		reason  string
		message string
		field   string
		delay   time.Duration
		final   bool // trying again does not help
	}{
		{"invalid argument", rpc.InvalidArgument("filter.agent", "%d is no name", 7), codes.InvalidArgument, "INVALID_ARGUMENT", "filter.agent: 7 is no name", "filter.agent", no, true},
		{"not found", rpc.NotFound("session", "01J"), codes.NotFound, "NOT_FOUND", `no session "01J"`, "", no, true},
		{"precondition", rpc.FailedPrecondition("SECOND_HELLO", "Hello came twice"), codes.FailedPrecondition, "SECOND_HELLO", "Hello came twice", "", no, true},
		{"permission", rpc.PermissionDenied("PACKETS", "packets are for operators"), codes.PermissionDenied, "PACKETS", "packets are for operators", "", no, true},
		{"exhausted", rpc.Exhausted(250*time.Millisecond, "STORE_FULL", "too much"), codes.ResourceExhausted, "STORE_FULL", "too much", "", 250 * time.Millisecond, false},
		{"unavailable", rpc.Unavailable(2*time.Second, "REDIS_AWAY", "store is away"), codes.Unavailable, "REDIS_AWAY", "store is away", "", 2 * time.Second, false},
		{"unavailable now", rpc.Unavailable(-time.Second, "REDIS_AWAY", "store is away"), codes.Unavailable, "REDIS_AWAY", "store is away", "", 0, false},
		{"wrapped", fmt.Errorf("apply: %w", rpc.NotFound("agent", "a")), codes.NotFound, "NOT_FOUND", `no agent "a"`, "", no, true},
		{"sentinel", fmt.Errorf("get: %w", notKnown), codes.NotFound, "NOT_FOUND", `no session "01J"`, "", no, true},
		{"anything else", fmt.Errorf("apply: %w", errSecret), codes.Internal, "INTERNAL", "internal error", "", no, false},
		{"status of another library", status.Error(codes.Aborted, "try the whole again"), codes.Aborted, "ABORTED", "try the whole again", "", no, false},
		{"wrapped status of another server", fmt.Errorf("classify: %w", status.Error(codes.Unavailable, "10.1.2.3 hush")), codes.Internal, "INTERNAL", "internal error", "", no, false},
		{"exhausted without delay", status.Error(codes.ResourceExhausted, "no"), codes.ResourceExhausted, "RESOURCE_EXHAUSTED", "no", "", no, true},
		{"deadline inside", fmt.Errorf("query: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "DEADLINE_EXCEEDED", "query: context deadline exceeded", "", no, false},
		{"hostile name", rpc.NotFound("session", "\xff\x00"+strings.Repeat("ä", 4000)), codes.NotFound, "NOT_FOUND", "no session", "", no, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			returned = test.err
			_, err := echo(t.Context(), conn, "")
			got := status.Convert(err)
			if got.Code() != test.code || !strings.HasPrefix(got.Message(), test.message) {
				t.Errorf("got %s %q, want %s %q", got.Code(), got.Message(), test.code, test.message)
			}
			wrapped := fmt.Errorf("call: %w", err)
			if reason := rpc.Reason(wrapped); reason != test.reason {
				t.Errorf("reason %q, want %q", reason, test.reason)
			}
			if field := rpc.Field(wrapped); field != test.field {
				t.Errorf("field %q, want %q", field, test.field)
			}
			delay, ok := rpc.RetryDelay(wrapped)
			if ok != (test.delay != no) || ok && delay != test.delay {
				t.Errorf("delay %s, %v", delay, ok)
			}
			marked := rpc.ForRetry(err)
			if got := retry.IsPermanent(marked); got != test.final {
				t.Errorf("permanent is %v", got)
			}
			if asked, ok := retry.Asked(marked); ok != (test.delay != no) || asked != delay {
				t.Errorf("asks for %s, %v", asked, ok)
			}
			if len(got.Message()) > 2048 {
				t.Errorf("message of %d bytes", len(got.Message()))
			}
		})
	}
	if got := strings.Count(log.String(), "has no status"); got != 2 || !strings.Contains(log.String(), errSecret.Error()) {
		t.Errorf("%d errors logged, want 2 with their text:\n%s", got, log.String())
	}
	if rpc.ForRetry(nil) != nil || rpc.Reason(errSecret) != "" || rpc.Field(errSecret) != "" {
		t.Error("an error that is no status has details")
	}
	if _, ok := rpc.RetryDelay(errSecret); ok {
		t.Error("an error that is no status asks for a delay")
	}
}

func TestMessageBeyondTheLimitIsRefused(t *testing.T) {
	h := open(t, handlers{echo: whoami, talk: repeat}, func(o *rpc.ServerOptions) { o.MaxMessageBytes = 1000 })
	if _, err := echo(t.Context(), h.client(h.certificates.Agent, nil), strings.Repeat("x", 1001)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v", err)
	}
}

// TestDrainEndsPoliteAndStubbornStreams has one stream that listens to Draining and one that does not; Run ends all the
// same, at the time-out, and health and readiness say so from the beginning.
func TestDrainEndsPoliteAndStubbornStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := telemetry.NewReady("store")
		drained := false
		polite := func(stream grpc.ServerStream) error {
			if err := repeatOnce(stream); err != nil {
				return err
			}
			if id, _ := rpc.Caller(stream.Context()); id.ID == "stubborn" {
				return stream.RecvMsg(new(text)) // listens to its client only
			}
			<-rpc.Draining(stream.Context())
			return stream.SendMsg(wrapperspb.String("drain"))
		}
		h := open(t, handlers{echo: whoami, talk: polite}, func(o *rpc.ServerOptions) {
			o.Ready, o.DrainTimeout = ready, 7*time.Second
			o.OnDrain = func() { drained = ready.State().Stopping }
		})
		listens := h.client(h.certificates.Agent, nil)
		health := watchHealth(t, listens)
		health.want(healthv1.HealthCheckResponse_NOT_SERVING)
		ready.Set("store")
		health.want(healthv1.HealthCheckResponse_SERVING)
		ready.Unset("store", "away")
		health.want(healthv1.HealthCheckResponse_NOT_SERVING)
		ready.Set("store")
		health.want(healthv1.HealthCheckResponse_SERVING)

		one := talk(t.Context(), t, listens)
		other := talk(t.Context(), t, h.client(testenv.Agent(t, h.certificates, "stubborn"), nil))
		begun := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := h.stop(); err != nil {
				t.Error(err)
			}
			if took := time.Since(begun); took != 7*time.Second {
				t.Errorf("the drain took %s, want 7s", took)
			}
		})
		health.want(healthv1.HealthCheckResponse_NOT_SERVING)
		if err := health.end(); status.Code(err) != codes.Unavailable || rpc.Reason(err) != rpc.ReasonDraining {
			t.Errorf("health ends with %v", err)
		}
		last := new(text)
		if err := one.RecvMsg(last); err != nil || last.GetValue() != "drain" {
			t.Errorf("the polite stream got %q, %v", last.GetValue(), err)
		}
		if err := one.RecvMsg(last); !errors.Is(err, io.EOF) {
			t.Errorf("the polite stream ended with %v", err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("the polite stream ended after %s", took)
		}
		if err := other.RecvMsg(last); status.Code(err) != codes.Unavailable {
			t.Errorf("the stubborn stream ended with %v", err)
		}
		wg.Wait()
		if !drained {
			t.Error("OnDrain was not called after the server had stopped being ready")
		}
	})
}

func repeatOnce(stream grpc.ServerStream) error {
	in := new(text)
	if err := stream.RecvMsg(in); err != nil {
		return err
	}
	return stream.SendMsg(in)
}

func TestDrainWithoutStreamsTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, handlers{echo: whoami, talk: repeat}, nil)
		if _, err := echo(t.Context(), h.client(h.certificates.Agent, nil), ""); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if err := h.stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("took %s", took)
		}
	})
}

func TestHealthKnowsTheServices(t *testing.T) {
	h := open(t, handlers{echo: whoami, talk: repeat}, nil)
	client := healthv1.NewHealthClient(h.client(h.certificates.Viewer, nil))
	for service, want := range map[string]codes.Code{"": codes.OK, serviceName: codes.OK, "sonde.other.v1.OtherService": codes.NotFound} {
		answer, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if status.Code(err) != want || err == nil && answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", service, answer, err)
		}
	}
	list, err := client.List(t.Context(), &healthv1.HealthListRequest{})
	if err != nil || list.GetStatuses()[serviceName].GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", list, err)
	}
}

type healthWatch struct {
	t      *testing.T
	stream grpc.ServerStreamingClient[healthv1.HealthCheckResponse]
}

func watchHealth(t *testing.T, conn *grpc.ClientConn) healthWatch {
	t.Helper()
	stream, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{Service: serviceName})
	if err != nil {
		t.Fatal(err)
	}
	return healthWatch{t, stream}
}

func (w healthWatch) want(want healthv1.HealthCheckResponse_ServingStatus) {
	w.t.Helper()
	got, err := w.stream.Recv()
	if err != nil || got.GetStatus() != want {
		w.t.Fatalf("health is %s, %v; want %s", got.GetStatus(), err, want)
	}
}

func (w healthWatch) end() error {
	_, err := w.stream.Recv()
	return err
}

// TestRenewedCertificateServesTheNextHandshake renews the server's while a stream goes on, and replaces the authority as well:
// first both are trusted, as in a real change of authorities.
func TestRenewedCertificateServesTheNextHandshake(t *testing.T) {
	h := open(t, handlers{echo: whoami, talk: repeat}, nil)
	stream := talk(t.Context(), t, h.client(h.certificates.Agent, nil))
	before := h.source.Identity().Serial
	if got := serverSerial(t, h, h.certificates.Agent); got != before {
		t.Fatalf("serial %s, want %s", got, before)
	}

	next := testenv.Certificates(t) // of another authority
	both := read(t, h.certificates.Service.CA) + read(t, next.Service.CA)
	replace(t, h.certificates.Service.CA, both)
	replace(t, h.certificates.Service.Certificate, read(t, next.Service.Certificate))
	replace(t, h.certificates.Service.Key, read(t, next.Service.Key))
	if err := h.source.Reload(); err != nil {
		t.Fatal(err)
	}
	say(t, stream, "still here")
	after := h.source.Identity().Serial
	if after == before {
		t.Fatal("nothing was renewed")
	}
	for name, files := range map[string]mtls.Files{"trusts both": h.certificates.Agent, "of the new authority": next.Agent} {
		if got := serverSerial(t, h, files); got != after {
			t.Errorf("%s: serial %s, want %s", name, got, after)
		}
	}
	say(t, stream, "and still here")
}

// serverSerial makes a new connection and returns the serial of the server's certificate.
func serverSerial(t *testing.T, h *house, files mtls.Files) string {
	t.Helper()
	var p peer.Peer
	conn := h.client(files, nil)
	if err := conn.Invoke(t.Context(), echoMethod, &text{}, new(text), grpc.Peer(&p)); err != nil {
		t.Fatal(err)
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		t.Fatalf("peer is %T", p.AuthInfo)
	}
	return info.State.PeerCertificates[0].SerialNumber.Text(16)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Error(err)
	}
}

// TestStreamsEndWithTheirCertificate revokes an agent, and lets another's certificate expire: each is told by Draining,
// and cut 5 s later though its handler does not care; other connections go on, and the agent does not come in again.
func TestStreamsEndWithTheirCertificate(t *testing.T) {
	const life = 10 * time.Minute // less than the age at which a server lets any connection go
	for _, name := range []string{"revoked", "expired"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := make(chan time.Time, 1)
				h := open(t, handlers{echo: whoami, talk: func(stream grpc.ServerStream) error {
					if id, _ := rpc.Caller(stream.Context()); id.ID != "local" {
						return repeat(stream)
					}
					if err := repeatOnce(stream); err != nil {
						return err
					}
					<-rpc.Draining(stream.Context())
					told <- time.Now()
					return stream.RecvMsg(new(text)) // waits for the client, which does not end it
				}}, nil)
				begun := time.Now()
				if name == "expired" {
					shorten(t, h.certificates, life)
					begun = begun.Add(life)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := h.source.Run(ctx); err != nil {
						t.Error(err)
					}
				})
				other := talk(t.Context(), t, h.client(testenv.Agent(t, h.certificates, "other"), nil))
				conn := h.client(h.certificates.Agent, nil)
				stream := talk(t.Context(), t, conn)
				if name == "revoked" {
					replace(t, h.certificates.Service.Revoked, testenv.Source(t, h.certificates.Agent).Identity().Serial+"\n")
				}
				err := stream.RecvMsg(new(text))
				if status.Code(err) != codes.Unavailable {
					t.Errorf("the stream ended with %v", err)
				}
				cut := time.Now()
				if wait := cut.Sub(<-told); wait < 4*time.Second || wait > 8*time.Second {
					t.Errorf("cut %s after it was told", wait)
				}
				if wait := cut.Sub(begun); wait < 0 || wait > 10*time.Second {
					t.Errorf("out after %s, want 10s at most", wait)
				}
				if _, err := echo(t.Context(), conn, ""); err == nil {
					t.Error("came in again")
				}
				say(t, other, "still here")
				cancel()
				wg.Wait()
			})
		})
	}
}

// shorten gives the agent a certificate with a short life.
func shorten(t *testing.T, certificates mtls.Development, life time.Duration) {
	t.Helper()
	for _, path := range []string{certificates.Agent.Certificate, certificates.Agent.Key} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	authority, err := mtls.OpenAuthority(strings.TrimSuffix(certificates.Agent.CA, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.Issue(mtls.RoleAgent, "local", nil, life); err != nil {
		t.Fatal(err)
	}
}

// TestNewCallsOnAnOldConnectionNeedAValidCertificate does not run the source, so that only the look at each call is left.
func TestNewCallsOnAnOldConnectionNeedAValidCertificate(t *testing.T) {
	h := open(t, handlers{echo: whoami, talk: repeat}, nil)
	conn := h.client(h.certificates.Agent, nil)
	if _, err := echo(t.Context(), conn, ""); err != nil {
		t.Fatal(err)
	}
	replace(t, h.certificates.Service.Revoked, testenv.Source(t, h.certificates.Agent).Identity().Serial)
	if err := h.source.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := echo(t.Context(), conn, ""); status.Code(err) != codes.Unauthenticated || rpc.Reason(err) != rpc.ReasonCertificateEnded {
		t.Errorf("got %v", err)
	}
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
