package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func pointer(s string) *string { return &s }

func TestParseAssignments(t *testing.T) {
	got, err := parseAssignments([]string{"filter=tcp port 443 and host = x", "device-", "vxlan_ports="})
	want := map[string]*string{"filter": pointer("tcp port 443 and host = x"), "device": nil, "vxlan_ports": pointer("")}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, bad := range []string{"filter", ""} {
		if _, err := parseAssignments([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := parseAssignments([]string{"device=eth0", "device-"}); err == nil {
		t.Error("a column is taken twice")
	}
}

func TestAnswerShowsWhereAFilterIsWrong(t *testing.T) {
	latency := int64(38)
	failed := &outcome{
		State: stateFailed, Wanted: 3, Running: 3,
		Field: "filter", Error: "syntax error at character 5 (\"prot\")",
	}
	for name, test := range map[string]struct {
		status  *outcome
		columns map[string]*string
		want    string
	}{
		"caret": {failed, map[string]*string{"filter": pointer("tcp prot 443")},
			"agent a: FAILED, revision 3 goes on\n  filter: syntax error at character 5 (\"prot\")\n  tcp prot 443\n      ^\n"},
		"text is not ours": {failed, map[string]*string{"filter": pointer("x")},
			"agent a: FAILED, revision 3 goes on\n  filter: syntax error at character 5 (\"prot\")\n"},
		"another column": {failed, map[string]*string{"device": pointer("eth0")},
			"agent a: FAILED, revision 3 goes on\n  filter: syntax error at character 5 (\"prot\")\n"},
		"applied": {&outcome{State: stateApplied, Running: 4, LatencyMS: &latency, Warning: "eth1: is down"}, nil, "agent a: APPLIED revision 4 after 38 ms; eth1: is down\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := writeAnswer(&out, "agent a", test.status, test.columns); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnsweredWaitsForTheChange(t *testing.T) {
	const wanted = "new"
	old := &outcome{State: stateApplied, Wanted: 3, Time: "1", Hash: "old"}
	refused := &outcome{State: stateFailed, Wanted: 3, Error: "no", Time: "1", Hash: "old"}
	for name, test := range map[string]struct {
		before, now *outcome
		want        bool
	}{
		"nobody yet":               {nil, nil, false},
		"first answer":             {nil, &outcome{State: stateApplied, Wanted: 3, Hash: wanted}, true},
		"answer to another change": {nil, old, false},
		"heard again":              {old, &outcome{State: stateApplied, Wanted: 3, Time: "61", Hash: "old"}, false},
		"at work":                  {old, &outcome{State: stateApplying, Wanted: 4, Time: "2", Hash: "old"}, false},
		"the one before":           {old, &outcome{State: stateApplied, Wanted: 4, Time: "2", Hash: "between"}, false},
		"applied":                  {old, &outcome{State: stateApplied, Wanted: 5, Time: "2", Hash: wanted}, true},
		"refused by confsync":      {old, &outcome{State: stateFailed, Wanted: 3, Error: "no", Time: "2"}, true},
		"refused again":            {refused, &outcome{State: stateFailed, Wanted: 3, Error: "no", Time: "2"}, true},
		"the old refusal":          {refused, refused, false},
		"back to what it was":      {refused, &outcome{State: stateApplied, Wanted: 3, Time: "2", Hash: wanted}, true},
		"refused for another one":  {refused, &outcome{State: stateFailed, Wanted: 3, Error: "never", Time: "1"}, true},
	} {
		if got := answered(test.before, test.now, wanted); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestAssignmentsAreWhatSetTakes(t *testing.T) {
	r := row{Settings: map[string]*string{"filter": pointer("tcp and not host 'x'"), "device": pointer("eth0,afpacket:eth1"), "collector": nil, "vxlan_ports": pointer("")}}
	want := []string{"device=eth0,afpacket:eth1", `filter='tcp and not host '\''x'\'''`, "vxlan_ports="}
	if diff := cmp.Diff(want, r.assignments()); diff != "" {
		t.Error(diff)
	}
}

func TestErrorsNameTheFlagsOfAll(t *testing.T) {
	err := inFlagsOf("collector", errNamed("--listen: listen tcp 127.0.0.1:7443: bind: address already in use\nTLS (--tls-ca): no"))
	want := "--collector-listen: listen tcp 127.0.0.1:7443: bind: address already in use\nTLS (--collector-tls-ca): no"
	if err.Error() != want {
		t.Errorf("got %q", err)
	}
	if inFlagsOf("agent", nil) != nil {
		t.Error("no error becomes one")
	}
}

type errNamed string

func (e errNamed) Error() string { return string(e) }
