package query_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/collector/query"
	"sonde.example/internal/mtls"
	"sonde.example/internal/packet/packettest"
	"sonde.example/internal/record"
	"sonde.example/internal/rpc"
)

// maxCorrections is how many the service of these tests stores.
const maxCorrections = 3

// asked is a session of two datagrams.
func asked(n int) *record.Entry {
	up := packettest.Ethernet(0x0800, packettest.IPv4("10.7.7.7", "192.168.9.9", 17, packettest.UDP(4242, 53, []byte("what?"))))
	down := packettest.Ethernet(0x0800, packettest.IPv4("192.168.9.9", "10.7.7.7", 17, packettest.UDP(53, 4242, []byte("that"))))
	e := entry(n, "dns")
	e.Result.IpProtocol = 17
	e.Head = &flowv1.Packets{
		BaseTimeNs: 1_700_000_000_000_000_000, TimeDeltasNs: []int64{0, 5_000}, Flags: []uint32{0, 1}, Missing: []uint32{0, 0},
		Captured: []uint32{uint32(len(up)), uint32(len(down))}, Data: append(up, down...),
		Interfaces: []*flowv1.Interface{{CapturePoint: "file:web.pcap", LinkType: 1}},
	}
	return e
}

func label(t *testing.T, c queryv1.QueryServiceClient, n int, label string) *queryv1.Correction {
	t.Helper()
	response, err := c.LabelSession(t.Context(), &queryv1.LabelSessionRequest{SessionId: id(n), Label: label})
	if err != nil {
		t.Fatalf("LabelSession(%d, %q): %v", n, label, err)
	}
	return response.GetCorrection()
}

func corrections(t *testing.T, c queryv1.QueryServiceClient) []*queryv1.Correction {
	t.Helper()
	response, err := c.ListCorrections(t.Context(), &queryv1.ListCorrectionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return response.GetCorrections()
}

func TestALabelIsStoredWithTheAnonymousHead(t *testing.T) {
	h := open(t)
	client := h.client(h.certificates.Operator)
	h.put(asked(1))
	all, doh := h.watch(""), h.watch("corrected_label = doh")
	began := time.Now()
	got := label(t, client, 1, "mdns")
	want := &queryv1.Correction{
		SessionId: id(1), Label: "mdns", Author: "admin", CreateTime: got.GetCreateTime(),
		Classification: &flowv1.Classification{Label: "dns", Category: "web", Probability: 0.75, Model: "sessions", ModelVersion: "4"},
		Session: &inferencev1.Session{
			IpProtocol: 17, SignedSizes: []int32{5, -4}, GapsUs: []uint32{0, 5}, ForwardPayload: []byte("what?"), ReversePayload: []byte("that"),
		},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("correction (-want +got):\n%s", diff)
	}
	if at := got.GetCreateTime().AsTime(); at.Before(began) || at.After(time.Now()) {
		t.Errorf("create_time is %v", at)
	}
	label(t, client, 1, "doh")
	want.Label = "doh"
	if diff := cmp.Diff([]*queryv1.Correction{want}, corrections(t, client), protocmp.Transform(),
		protocmp.IgnoreFields(&queryv1.Correction{}, "create_time")); diff != "" {
		t.Errorf("corrections (-want +got):\n%s", diff)
	}
	result, err := client.GetResult(t.Context(), &queryv1.GetResultRequest{SessionId: id(1)})
	if err != nil || result.GetResult().GetCorrectedLabel() != "doh" || result.GetResult().GetClassification().GetLabel() != "dns" {
		t.Errorf("GetResult = %v, %v; want dns, corrected to doh", result, err)
	}
	if c := label(t, client, 1, ""); c != nil {
		t.Errorf("removing answers with %v", c)
	}
	label(t, client, 1, "") // once more
	for _, want := range []string{"mdns", "doh", ""} {
		if r, err := all.Recv(); err != nil || r.GetResult().GetCorrectedLabel() != want {
			t.Errorf("a watch gets %v, %v; want the label %q", r, err, want)
		}
	}
	if r, err := doh.Recv(); err != nil || r.GetResult().GetCorrectedLabel() != "doh" {
		t.Errorf("a watch of doh gets %v, %v", r, err)
	}
}

func TestALabelOutlivesItsSession(t *testing.T) {
	h := open(t)
	client := h.client(h.certificates.Operator)
	h.put(asked(1), asked(2))
	first := label(t, client, 1, "mdns")
	purge := func(results, heads time.Time) {
		t.Helper()
		if _, err := h.store.Purge(t.Context(), results, heads, 100); err != nil {
			t.Fatal(err)
		}
	}
	never, always := time.Unix(0, 0), time.Unix(1<<40, 0)
	for name, times := range map[string][2]time.Time{"head": {never, always}, "result": {always, always}} {
		purge(times[0], times[1])
		got := label(t, client, 1, "doh")
		if diff := cmp.Diff(first, got, protocmp.Transform(), protocmp.IgnoreFields(&queryv1.Correction{}, "label", "create_time")); diff != "" {
			t.Errorf("once the %s is gone: correction (-want +got):\n%s", name, diff)
		}
	}
	label(t, client, 1, "")
	if got := corrections(t, client); len(got) != 0 {
		t.Errorf("corrections are %v", got)
	}
	if _, err := client.LabelSession(t.Context(), &queryv1.LabelSessionRequest{SessionId: id(1)}); status.Code(err) != codes.NotFound {
		t.Errorf("removing a label of nothing = %v, want NotFound", err)
	}
}

func TestLabelsThatAreRefused(t *testing.T) {
	h := open(t)
	client := h.client(h.certificates.Operator)
	gone := asked(2)
	gone.Head = nil
	h.put(asked(1), gone)
	broken := asked(3)
	broken.Head.Captured[0]++
	h.put(broken)
	for name, c := range map[string]struct {
		session, label string
		code           codes.Code
		reason, field  string
	}{
		"no such session": {id(9), "dns", codes.NotFound, rpc.ReasonNotFound, ""},
		"no session":      {"", "dns", codes.NotFound, rpc.ReasonNotFound, ""},
		"remove there":    {id(9), "", codes.NotFound, rpc.ReasonNotFound, ""},
		"head gone":       {id(2), "dns", codes.FailedPrecondition, query.ReasonHeadGone, ""},
		"head broken":     {id(3), "dns", codes.Internal, rpc.ReasonInternal, ""},
		"space":           {id(1), "my label", codes.InvalidArgument, rpc.ReasonInvalidArgument, "label"},
		"underscore":      {id(1), "my_label", codes.InvalidArgument, rpc.ReasonInvalidArgument, "label"},
		"umlaut":          {id(1), "m\u00e4rz", codes.InvalidArgument, rpc.ReasonInvalidArgument, "label"},
		"too long":        {id(1), strings.Repeat("x", 65), codes.InvalidArgument, rpc.ReasonInvalidArgument, "label"},
	} {
		_, err := client.LabelSession(t.Context(), &queryv1.LabelSessionRequest{SessionId: c.session, Label: c.label})
		if status.Code(err) != c.code || rpc.Reason(err) != c.reason || rpc.Field(err) != c.field {
			t.Errorf("%s: LabelSession = %v (%s, field %q), want %v, %s, field %q", name, err, rpc.Reason(err), rpc.Field(err), c.code, c.reason, c.field)
		}
	}
	label(t, client, 1, strings.Repeat("Xy-9", 16))
	for _, c := range []struct {
		request *queryv1.ListCorrectionsRequest
		field   string
	}{
		{&queryv1.ListCorrectionsRequest{PageSize: -1}, "page_size"},
		{&queryv1.ListCorrectionsRequest{PageSize: 1001}, "page_size"},
		{&queryv1.ListCorrectionsRequest{PageToken: "x"}, "page_token"},
	} {
		if _, err := client.ListCorrections(t.Context(), c.request); status.Code(err) != codes.InvalidArgument || rpc.Field(err) != c.field {
			t.Errorf("ListCorrections(%v) = %v, want InvalidArgument, field %s", c.request, err, c.field)
		}
	}
}

func TestNoMoreLabelsThanThereIsRoomFor(t *testing.T) {
	h := open(t)
	client := h.client(h.certificates.Operator)
	for n := range maxCorrections + 1 {
		h.put(asked(n))
		if n < maxCorrections {
			label(t, client, n, "doh")
		}
	}
	request := &queryv1.LabelSessionRequest{SessionId: id(maxCorrections), Label: "doh"}
	_, err := client.LabelSession(t.Context(), request)
	if status.Code(err) != codes.FailedPrecondition || rpc.Reason(err) != query.ReasonCorrectionsFull || !strings.Contains(err.Error(), "3 corrections") {
		t.Errorf("LabelSession = %v (%s), want FailedPrecondition because of the room", err, rpc.Reason(err))
	}
	label(t, client, 0, "dot") // another one for one that is there
	label(t, client, 0, "")
	if _, err := client.LabelSession(t.Context(), request); err != nil {
		t.Errorf("LabelSession once there is room = %v", err)
	}
	page, err := client.ListCorrections(t.Context(), &queryv1.ListCorrectionsRequest{PageSize: 2})
	if err != nil || len(page.GetCorrections()) != 2 || page.GetCorrections()[0].GetSessionId() != id(1) || page.GetNextPageToken() == "" {
		t.Fatalf("first page = %v, %v; want two, the oldest first", page, err)
	}
	page, err = client.ListCorrections(t.Context(), &queryv1.ListCorrectionsRequest{PageSize: 2, PageToken: page.GetNextPageToken()})
	if err != nil || len(page.GetCorrections()) != 1 || page.GetCorrections()[0].GetSessionId() != id(maxCorrections) || page.GetNextPageToken() != "" {
		t.Errorf("second page = %v, %v; want the last", page, err)
	}
}

func TestLabelsAreTheOperatorsOnly(t *testing.T) {
	h := open(t)
	h.put(asked(1))
	for name, files := range map[string]mtls.Files{"viewer": h.certificates.Viewer, "service": h.certificates.Service, "agent": h.certificates.Agent} {
		client := h.client(files)
		if _, err := client.LabelSession(t.Context(), &queryv1.LabelSessionRequest{SessionId: id(1), Label: "dns"}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: LabelSession = %v, want PermissionDenied", name, err)
		}
		if _, err := client.ListCorrections(t.Context(), &queryv1.ListCorrectionsRequest{}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: ListCorrections = %v, want PermissionDenied", name, err)
		}
	}
}
