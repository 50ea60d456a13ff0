package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
	"sonde.example/internal/testenv"
)

func TestLabelArgs(t *testing.T) {
	const a, b = "01JD2Y8R3MZ3V4J7T2N5C6A9EX", "01JD2Y8R3MZ3V4J7T2N5C6A9EY"
	for _, c := range []struct {
		args     []string
		remove   bool
		sessions []string
		label    string
		wrong    bool
	}{
		{args: []string{a, "dns"}, sessions: []string{a}, label: "dns"},
		{args: []string{a, b, "dns"}, sessions: []string{a, b}, label: "dns"},
		{args: []string{a, b}, remove: true, sessions: []string{a, b}},
		{args: []string{a, b}, wrong: true},
		{args: []string{"dns"}, wrong: true},
		{args: []string{a, ""}, wrong: true},
	} {
		sessions, label, err := labelArgs(c.args, c.remove)
		var usage usageError
		if !slices.Equal(sessions, c.sessions) || label != c.label || (err != nil) != c.wrong || errors.As(err, &usage) != c.wrong {
			t.Errorf("labelArgs(%q, %v) = %q, %q, %v; want %q, %q, wrong: %v", c.args, c.remove, sessions, label, err, c.sessions, c.label, c.wrong)
		}
	}
}

// models answers with one model, as inference does.
type models struct {
	inferencev1.UnimplementedClassifierServiceServer
}

func (models) GetModel(context.Context, *inferencev1.GetModelRequest) (*inferencev1.GetModelResponse, error) {
	return &inferencev1.GetModelResponse{Model: "sonde", Version: "7", Labels: []*inferencev1.ModelLabel{{Name: "dns"}, {Name: "dnscrypt"}, {Name: "tls"}}}, nil
}

// serveModels returns the address of an inference service that knows three labels.
func serveModels(t *testing.T, certs mtls.Development) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	operators := []mtls.Role{mtls.RoleOperator}
	server := rpc.NewServer(rpc.ServerOptions{Certificates: testenv.Source(t, certs.Service), Log: testenv.Log(t), Table: rpc.Table{
		inferencev1.ClassifierService_GetModel_FullMethodName: operators, inferencev1.ClassifierService_Classify_FullMethodName: operators,
		inferencev1.ClassifierService_ClassifyStream_FullMethodName: operators, inferencev1.ClassifierService_Explain_FullMethodName: operators,
		inferencev1.ClassifierService_GetDrift_FullMethodName: operators,
	}})
	inferencev1.RegisterClassifierServiceServer(server, models{})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// The label is stored when the hint is looked for: that nobody answers is no reason to fail.
func TestHintOfALabelThatTheModelLacks(t *testing.T) {
	certs := testenv.Certificates(t)
	address := serveModels(t, certs)
	c := newClient()
	c.files = certs.Operator
	for _, h := range []struct{ address, label, want string }{
		{address, "tls", ""},
		{address, "our-protocol", `model sonde version 7 has no label "our-protocol", which is right for something new; it has dns dnscrypt tls`},
		{"127.0.0.1:1", "our-protocol", ""},
	} {
		var said bytes.Buffer
		c.hintLabel(t.Context(), &said, h.address, h.label)
		if h.want == "" && said.Len() > 0 || !strings.Contains(said.String(), h.want) {
			t.Errorf("hint of %s at %s is %q, want %q", h.label, h.address, said.String(), h.want)
		}
	}
}

func TestLabelsAreCompleted(t *testing.T) {
	certs := testenv.Certificates(t)
	address := serveModels(t, certs)
	for args, want := range map[string]string{
		"01JD2Y8R3MZ3V4J7T2N5C6A9EX dn": "dns\ndnscrypt\n:4\n",
		"01JD2Y8R3MZ3V4J7T2N5C6A9EX x":  ":4\n",
		"01JD":                          ":4\n", // sessions are not
	} {
		var out bytes.Buffer
		root := newRoot(streams{out: &out, err: io.Discard})
		root.SetArgs(slices.Concat([]string{"__complete", "label", "--inference", address, "--tls-ca", certs.Operator.CA,
			"--tls-certificate", certs.Operator.Certificate, "--tls-key", certs.Operator.Key}, strings.Fields(args)))
		if err := root.ExecuteContext(t.Context()); err != nil || out.String() != want {
			t.Errorf("completion of %q: %q, %v; want %q", args, out.String(), err, want)
		}
	}
}

func TestLabelText(t *testing.T) {
	classified := func(c *flowv1.Classification) *queryv1.Result {
		return &queryv1.Result{State: queryv1.ResultState_RESULT_STATE_CLASSIFIED, Classification: c}
	}
	corrected := classified(&flowv1.Classification{Label: "tls", Unknown: true})
	corrected.CorrectedLabel = "doh"
	for want, r := range map[string]*queryv1.Result{
		"-":                        {State: queryv1.ResultState_RESULT_STATE_COUNTED},
		"failed":                   {State: queryv1.ResultState_RESULT_STATE_FAILED},
		"tls":                      classified(&flowv1.Classification{Label: "tls"}),
		"sip (weak)":               classified(&flowv1.Classification{Label: "sip", Weak: true}),
		"unknown (tls?)":           classified(&flowv1.Classification{Label: "tls", Unknown: true}),
		"unknown":                  classified(&flowv1.Classification{Label: "unknown", Unknown: true}),
		"doh (was unknown (tls?))": corrected,
		"doh (was -)":              {State: queryv1.ResultState_RESULT_STATE_COUNTED, CorrectedLabel: "doh"},
	} {
		if got := labelText(r); got != want {
			t.Errorf("labelText is %q, want %q", got, want)
		}
	}
}
