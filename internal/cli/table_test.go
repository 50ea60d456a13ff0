package cli

import (
	"bytes"
	"strings"
	"testing"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
)

func TestNameColumn(t *testing.T) {
	for want, h := range map[string]*flowv1.Handshake{
		"  a.example": {ServerName: "a.example", DnsName: "b.example"},
		"  b.example": {DnsName: "b.example"},
		"  b?[2Jell":  {DnsName: "b\x1b[2Jell"},
		" ":           nil,
	} {
		var out bytes.Buffer
		w := newWriter(&out, false)
		if err := w.write(&queryv1.Result{SessionId: "01A", Handshake: h}); err != nil {
			t.Fatal(err)
		}
		if err := w.flush(); err != nil {
			t.Fatal(err)
		}
		_, row, _ := strings.Cut(strings.TrimSuffix(out.String(), "\n"), "\n")
		if !strings.HasSuffix(row, want) {
			t.Errorf("the row is %q, want it to end in %q", row, want)
		}
	}
}

func TestJSONHasAllEvidence(t *testing.T) {
	text, err := appendJSON(nil, &queryv1.Result{Handshake: &flowv1.Handshake{DnsName: "b.example", SshClient: "SSH-2.0-a", SshServer: "SSH-2.0-b"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"dns_name":"b.example"`, `"ssh_client":"SSH-2.0-a"`, `"ssh_server":"SSH-2.0-b"`} {
		if !strings.Contains(strings.ReplaceAll(string(text), `": "`, `":"`), want) {
			t.Errorf("%s has no %s", text, want)
		}
	}
}

// The table says how far a label is to be believed.
func TestTheTableMarksLabels(t *testing.T) {
	classified, failed := queryv1.ResultState_RESULT_STATE_CLASSIFIED, queryv1.ResultState_RESULT_STATE_FAILED
	for want, r := range map[string]*queryv1.Result{
		"  dns  ":            {State: classified, Classification: &flowv1.Classification{Label: "dns"}},
		"  dns (weak)  ":     {State: classified, Classification: &flowv1.Classification{Label: "dns", Weak: true}},
		"  unknown (dns?)  ": {State: classified, Classification: &flowv1.Classification{Label: "dns", Weak: true, Unknown: true}},
		"  failed  ":         {State: failed, Failure: "no answer"},
		"  -  ":              {State: queryv1.ResultState_RESULT_STATE_COUNTED},
	} {
		var out bytes.Buffer
		w := newWriter(&out, false)
		if err := w.write(r); err != nil {
			t.Fatal(err)
		}
		if err := w.flush(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
	var out bytes.Buffer
	w := newWriter(&out, true)
	if err := w.write(&queryv1.Result{Classification: &flowv1.Classification{Weak: true}}); err != nil {
		t.Fatal(err)
	}
	if err := w.flush(); err != nil || !strings.Contains(strings.ReplaceAll(out.String(), " ", ""), `"weak":true`) {
		t.Errorf("JSON is %s, %v", out.String(), err)
	}
}
