package query_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/collector/query"
	"sonde.example/collector/result/sqlite"
	"sonde.example/internal/mtls"
	"sonde.example/internal/packet"
	"sonde.example/internal/record"
	"sonde.example/internal/rpc"
	"sonde.example/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a QueryService over mutual TLS, in memory, with a result store of its own.
type house struct {
	t            *testing.T
	certificates mtls.Development
	listener     *bufconn.Listener
	store        *sqlite.Store
	hub          *query.Hub
	stop         func() // ends the server
}

func open(t *testing.T) *house {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "results.db"))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, certificates: testenv.Certificates(t), listener: bufconn.Listen(1 << 16), store: store, hub: query.NewHub()}
	everyone := []mtls.Role{mtls.RoleService, mtls.RoleOperator, mtls.RoleViewer}
	server := rpc.NewServer(rpc.ServerOptions{
		Certificates: testenv.Source(t, h.certificates.Service), Log: testenv.Log(t), DrainTimeout: 5 * time.Second,
		Table: rpc.Table{
			queryv1.QueryService_ListResults_FullMethodName:       everyone,
			queryv1.QueryService_GetResult_FullMethodName:         everyone,
			queryv1.QueryService_WatchResults_FullMethodName:      everyone,
			queryv1.QueryService_GetSessionPackets_FullMethodName: {mtls.RoleOperator},
			queryv1.QueryService_LabelSession_FullMethodName:      {mtls.RoleOperator},
			queryv1.QueryService_ListCorrections_FullMethodName:   {mtls.RoleOperator},
		},
	})
	queryv1.RegisterQueryServiceServer(server, query.New(query.Options{
		Results: store, Corrections: store, MaxCorrections: maxCorrections, Walkers: packet.NewWalkers(packet.DefaultOptions()), Hub: h.hub,
	}))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx, h.listener) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	t.Cleanup(func() {
		h.stop()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// client is one with the given certificate.
func (h *house) client(files mtls.Files) queryv1.QueryServiceClient {
	h.t.Helper()
	conn, err := rpc.Dial("localhost:7443", rpc.DialOptions{
		Certificates: testenv.Source(h.t, files),
		Dialer:       func(ctx context.Context, _ string) (net.Conn, error) { return h.listener.DialContext(ctx) },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			h.t.Error(err)
		}
	})
	return queryv1.NewQueryServiceClient(conn)
}

func id(n int) string {
	return packet.SessionID(packet.Lane{Agent: "a"}, uint64(n), time.Unix(1_700_000_000+int64(n), 0))
}

func entry(n int, label string) *record.Entry {
	opened := time.Unix(1_700_000_000+int64(n), 0).UnixNano()
	return record.New(&flowv1.Session{
		Id: id(n), Agent: "a", Number: uint64(n), HeadPackets: 1, CommunityId: "1:x",
		FiveTuple: &flowv1.FiveTuple{
			ClientAddress: []byte{10, 0, 0, byte(n)}, ClientPort: 40_000, ServerAddress: []byte{192, 168, 0, 1}, ServerPort: 443, IpProtocol: 6,
		},
		Counts: &flowv1.Counts{ForwardPackets: 3, OpenedTimeNs: opened, LastTimeNs: opened},
		Head: &flowv1.Packets{
			BaseTimeNs: opened, TimeDeltasNs: []int64{0}, Captured: []uint32{3}, Missing: []uint32{0}, Flags: []uint32{0},
			Interfaces: []*flowv1.Interface{{CapturePoint: "file:web.pcap", LinkType: 1}}, Data: []byte("abc"),
		},
	}, &flowv1.Classification{Label: label, Category: "web", Probability: 0.75, Model: "sessions", ModelVersion: "4"}, nil, "")
}

func (h *house) put(entries ...*record.Entry) []*queryv1.Result {
	h.t.Helper()
	if err := h.store.Put(h.t.Context(), entries...); err != nil {
		h.t.Fatal(err)
	}
	results := make([]*queryv1.Result, len(entries))
	for i, e := range entries {
		results[i] = e.Result
	}
	return results
}

func TestListPagesNewestFirst(t *testing.T) {
	h := open(t)
	for n := range 250 {
		h.put(entry(n, []string{"tls", "dns"}[n%2]))
	}
	client := h.client(h.certificates.Viewer)
	for _, c := range []struct {
		filter   string
		pageSize int32
		pages    []int
		first    int
		step     int
	}{
		{``, 0, []int{100, 100, 50}, 249, 1},
		{``, 1000, []int{250}, 249, 1},
		{``, 125, []int{125, 125}, 249, 1},
		{`label = tls`, 60, []int{60, 60, 5}, 248, 2},
		{`label = tls AND start_time < 2023-11-14T22:13:30Z`, 60, []int{5}, 8, 2},
		{`label = nothing`, 60, []int{0}, 0, 0},
	} {
		var pages []int
		var got []string
		request := &queryv1.ListResultsRequest{Filter: c.filter, PageSize: c.pageSize}
		for {
			page, err := client.ListResults(t.Context(), request)
			if err != nil {
				t.Fatalf("ListResults(%v): %v", request, err)
			}
			pages = append(pages, len(page.GetResults()))
			for _, r := range page.GetResults() {
				got = append(got, r.GetSessionId())
			}
			if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
				break
			}
		}
		if diff := cmp.Diff(c.pages, pages); diff != "" {
			t.Errorf("pages of %q by %d (-want +got):\n%s", c.filter, c.pageSize, diff)
		}
		for i, session := range got {
			if want := id(c.first - i*c.step); session != want {
				t.Errorf("result %d of %q is %s, want %s", i, c.filter, session, want)
				break
			}
		}
	}
}

func TestBadRequestsNameTheField(t *testing.T) {
	h := open(t)
	client := h.client(h.certificates.Operator)
	for _, c := range []struct {
		request     *queryv1.ListResultsRequest
		field, want string
	}{
		{&queryv1.ListResultsRequest{Filter: `label = dns OR label = tls`}, "filter", `position 13: expected AND, found "OR"`},
		{&queryv1.ListResultsRequest{Filter: `lable = dns`}, "filter", `position 1: no field "lable"`},
		{&queryv1.ListResultsRequest{Filter: strings.Repeat("x", 5000)}, "filter", "5000 bytes"},
		{&queryv1.ListResultsRequest{PageSize: -1}, "page_size", "-1 is not within 1 and 1000"},
		{&queryv1.ListResultsRequest{PageSize: 1001}, "page_size", "1001"},
		{&queryv1.ListResultsRequest{PageToken: "x"}, "page_token", "not one that"},
		{&queryv1.ListResultsRequest{PageToken: strings.Repeat("!", 26)}, "page_token", "not one that"},
	} {
		_, err := client.ListResults(t.Context(), c.request)
		if status.Code(err) != codes.InvalidArgument || rpc.Field(err) != c.field || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ListResults(%.60v) = %v (field %q), want InvalidArgument, field %s, %q", c.request, err, rpc.Field(err), c.field, c.want)
		}
	}
	stream, err := client.WatchResults(t.Context(), &queryv1.WatchResultsRequest{Filter: "port = http"})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.InvalidArgument || rpc.Field(err) != "filter" || !strings.Contains(err.Error(), "position 8") {
		t.Errorf("WatchResults = %v, want InvalidArgument, field filter, position 8", err)
	}
	for _, session := range []string{"", "x", id(7), strings.Repeat("y", 100_000)} {
		if _, err := client.GetResult(t.Context(), &queryv1.GetResultRequest{SessionId: session}); status.Code(err) != codes.NotFound {
			t.Errorf("GetResult(%.30s) = %v, want NotFound", session, err)
		}
		if _, err := client.GetSessionPackets(t.Context(), &queryv1.GetSessionPacketsRequest{SessionId: session}); status.Code(err) != codes.NotFound {
			t.Errorf("GetSessionPackets(%.30s) = %v, want NotFound", session, err)
		}
	}
}

func TestPacketsAreTheOperatorsOnly(t *testing.T) {
	h := open(t)
	want := h.put(entry(1, "tls"))[0]
	for name, c := range map[string]struct {
		files         mtls.Files
		read, packets codes.Code
	}{
		"operator": {h.certificates.Operator, codes.OK, codes.OK},
		"viewer":   {h.certificates.Viewer, codes.OK, codes.PermissionDenied},
		"service":  {h.certificates.Service, codes.OK, codes.PermissionDenied},
		"agent":    {h.certificates.Agent, codes.PermissionDenied, codes.PermissionDenied},
	} {
		client := h.client(c.files)
		got, err := client.GetResult(t.Context(), &queryv1.GetResultRequest{SessionId: id(1)})
		if status.Code(err) != c.read {
			t.Errorf("%s: GetResult = %v, want %v", name, err, c.read)
		}
		if diff := cmp.Diff(want, got.GetResult(), protocmp.Transform()); err == nil && diff != "" {
			t.Errorf("%s: result (-want +got):\n%s", name, diff)
		}
		if _, err := client.GetSessionPackets(t.Context(), &queryv1.GetSessionPacketsRequest{SessionId: id(1)}); status.Code(err) != c.packets {
			t.Errorf("%s: GetSessionPackets = %v, want %v", name, err, c.packets)
		}
	}
}

// watch begins a tail and waits until it is in place.
func (h *house) watch(filter string) grpc.ServerStreamingClient[queryv1.WatchResultsResponse] {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	h.t.Cleanup(cancel)
	stream, err := h.client(h.certificates.Viewer).WatchResults(ctx, &queryv1.WatchResultsRequest{Filter: filter})
	if err != nil {
		h.t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil {
		h.t.Fatal(err)
	}
	if !proto.Equal(first, &queryv1.WatchResultsResponse{}) {
		h.t.Errorf("first message is %v, want an empty one", first)
	}
	return stream
}

func TestWatchSendsWhatIsStoredFromNowOn(t *testing.T) {
	h := open(t)
	h.hub.Publish(h.put(entry(0, "tls"))...) // before anybody watches
	all, dns := h.watch(""), h.watch("label = dns")
	results := h.put(entry(1, "tls"), entry(2, "dns"), entry(3, "dns"))
	h.hub.Publish(results...)
	h.hub.Publish(results[1]) // changed once more
	for name, c := range map[string]struct {
		stream grpc.ServerStreamingClient[queryv1.WatchResultsResponse]
		want   []*queryv1.Result
	}{
		"all": {all, []*queryv1.Result{results[0], results[1], results[2], results[1]}},
		"dns": {dns, []*queryv1.Result{results[1], results[2], results[1]}},
	} {
		for i, want := range c.want {
			got, err := c.stream.Recv()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(&queryv1.WatchResultsResponse{Result: want}, got, protocmp.Transform()); diff != "" {
				t.Errorf("%s: message %d (-want +got):\n%s", name, i, diff)
			}
		}
	}
}

// A reader that is too slow gets what there was room for, in order, and is told how many it missed where they are missing.
func TestWatchTellsSlowReadersWhatTheyMissed(t *testing.T) {
	h := open(t)
	stream := h.watch("")
	const count = 20_000
	large := entry(1, "tls").Result
	large.CommunityId = strings.Repeat("x", 1000) // so that the connection cannot hide many
	for n := range uint64(count) {
		r := proto.CloneOf(large)
		r.Number = n
		h.hub.Publish(r)
	}
	var next, received, missed uint64
	for next < count {
		response, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if response.GetResult() == nil {
			if response.GetMissed() == 0 {
				t.Fatal("a message in the middle says nothing")
			}
			missed += response.GetMissed()
			next += response.GetMissed()
			continue
		}
		if got := response.GetResult().GetNumber(); got != next {
			t.Fatalf("result %d came where %d was due", got, next)
		}
		received++
		next++
	}
	if received+missed != count || missed == 0 || received < 4096 {
		t.Errorf("%d received, %d missed of %d; want some missed and at least a backlog received", received, missed, count)
	}
	h.hub.Publish(large) // and it goes on
	if response, err := stream.Recv(); err != nil || response.GetResult() == nil || response.GetMissed() != 0 {
		t.Errorf("Recv = %v, %v; want a result", response, err)
	}
}

func TestWatchEndsWhenTheServerDrains(t *testing.T) {
	h := open(t)
	stream := h.watch("")
	go h.stop()
	_, err := stream.Recv()
	if status.Code(err) != codes.Unavailable || rpc.Reason(err) != rpc.ReasonDraining {
		t.Errorf("Recv = %v, want Unavailable because of the drain", err)
	}
	if _, ok := rpc.RetryDelay(err); !ok {
		t.Error("the error does not say that a client may try again")
	}
	h.stop()
}

func TestWatchEndsWithItsCaller(t *testing.T) {
	h := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := h.client(h.certificates.Viewer).WatchResults(ctx, &queryv1.WatchResultsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("Recv = %v, want Canceled", err)
	}
	h.stop() // returns once the handler has left
	h.hub.Publish(entry(1, "tls").Result)
}

// head is what a session store hands over: two interfaces of different links, packets cut short, a clock that ran back.
func head() *flowv1.Packets {
	return &flowv1.Packets{
		BaseTimeNs: 1_700_000_000_123_456_789, TimeDeltasNs: []int64{1, 1_000_000_000, -5},
		Captured: []uint32{5, 0, 3}, Missing: []uint32{0, 1500, 97}, Flags: []uint32{0, 1, 4}, InterfaceIndexes: []uint32{0, 1, 1},
		Interfaces: []*flowv1.Interface{
			{CapturePoint: "afpacket:eth0", Name: "eth0", LinkType: uint32(layers.LinkTypeEthernet)},
			{CapturePoint: "file:web.pcapng", LinkType: 276}, // LINUX_SLL2, which does not fit a byte
		},
		Data: []byte("fiveXYZ!"),
	}
}

func TestPacketsComeAsACaptureFile(t *testing.T) {
	h := open(t)
	e := entry(1, "tls")
	e.Head = head()
	h.put(e)
	response, err := h.client(h.certificates.Operator).GetSessionPackets(t.Context(), &queryv1.GetSessionPacketsRequest{SessionId: id(1)})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := pcapgo.NewNgReader(bytes.NewReader(response.GetPcapng()), pcapgo.NgReaderOptions{WantMixedLinkType: true, ErrorOnMismatchingLinkType: false})
	if err != nil {
		t.Fatal(err)
	}
	type read struct {
		Data      string
		Time      int64
		Length    int
		Link      layers.LinkType
		Interface string
	}
	var got []read
	for {
		data, info, err := reader.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		from, err := reader.Interface(info.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, read{string(data), info.Timestamp.UnixNano(), info.Length, from.LinkType, from.Name + " of " + from.Description})
	}
	want := []read{
		{"fiveX", 1_700_000_000_123_456_790, 5, layers.LinkTypeEthernet, "eth0 of afpacket:eth0"},
		{"", 1_700_000_001_123_456_790, 1500, 276, "file:web.pcapng of file:web.pcapng"},
		{"YZ!", 1_700_000_001_123_456_785, 100, 276, "file:web.pcapng of file:web.pcapng"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
	section := reader.SectionInfo()
	for _, part := range []string{id(1), "tls", "0.750", "sessions/4", "1:x"} {
		if !strings.Contains(section.Comment, part) {
			t.Errorf("comment %q lacks %q", section.Comment, part)
		}
	}
}

// A store whose columns contradict each other is broken: an error that tells nothing of the inside, and no panic.
func TestBrokenHeadsAreErrors(t *testing.T) {
	h := open(t)
	client := h.client(h.certificates.Operator)
	for n, change := range []func(*flowv1.Packets){
		func(p *flowv1.Packets) { p.TimeDeltasNs = p.GetTimeDeltasNs()[:2] },
		func(p *flowv1.Packets) { p.Missing = nil },
		func(p *flowv1.Packets) { p.Flags = append(p.GetFlags(), 0) },
		func(p *flowv1.Packets) { p.InterfaceIndexes = p.GetInterfaceIndexes()[:1] },
		func(p *flowv1.Packets) { p.InterfaceIndexes[2] = 2 },
		func(p *flowv1.Packets) { p.InterfaceIndexes[2] = 1<<32 - 1 },
		func(p *flowv1.Packets) { p.Interfaces = nil },
		func(p *flowv1.Packets) { p.Captured[2] = 4 },
		func(p *flowv1.Packets) { p.Captured[0] = 1<<32 - 1 },
		func(p *flowv1.Packets) { p.Missing[0] = 1<<32 - 1 },
		func(p *flowv1.Packets) { p.Data = nil },
	} {
		e := entry(n, "tls")
		e.Head = head()
		change(e.Head)
		h.put(e)
		_, err := client.GetSessionPackets(t.Context(), &queryv1.GetSessionPacketsRequest{SessionId: id(n)})
		if status.Code(err) != codes.Internal || strings.Contains(err.Error(), id(n)) {
			t.Errorf("head %d: GetSessionPackets = %v, want Internal that tells nothing", n, err)
		}
	}
}
