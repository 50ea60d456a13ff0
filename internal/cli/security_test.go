package cli_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"sonde.example/collector"
	"sonde.example/inference"
	"sonde.example/internal/mtls"
	"sonde.example/internal/rpc"
	"sonde.example/internal/service"
	"sonde.example/internal/telemetry"
	"sonde.example/internal/testenv"
)

// allowed says which roles may call a method, by its full name.
type allowed map[string][]mtls.Role

// tablesOf reads the tables of docs/security.md whose first column is a method, by the heading above them.
func tablesOf(t *testing.T) map[string]allowed {
	t.Helper()
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	columns := []mtls.Role{mtls.RoleAgent, mtls.RoleService, mtls.RoleOperator, mtls.RoleViewer}
	row := regexp.MustCompile("^\\| `([a-zA-Z0-9.]+/[A-Za-z]+)` \\|(.*)\\|$")
	tables, heading := map[string]allowed{}, ""
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "### "); ok {
			heading, tables[text] = text, allowed{}
		}
		match := row.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		cells := strings.Split(match[2], "|")
		if len(cells) != len(columns) {
			t.Fatalf("%q has not one column a role", line)
		}
		roles := []mtls.Role{}
		for i, cell := range cells {
			switch strings.TrimSpace(cell) {
			case "yes":
				roles = append(roles, columns[i])
			case "":
			default:
				t.Fatalf("%q: a cell is yes or empty", line)
			}
		}
		tables[heading]["/"+match[1]] = roles
	}
	return tables
}

// TestSecuritySaysWhoMayCallWhat calls each method of each daemon with each role, and one that is not there.
func TestSecuritySaysWhoMayCallWhat(t *testing.T) {
	certs := testenv.Certificates(t)
	tables := tablesOf(t)
	c := collector.DefaultConfig()
	c.Listen, c.Admin, c.TLS = "127.0.0.1:0", "", certs.Service
	c.Inference, c.Results = "127.0.0.1:1", "sqlite:"+filepath.Join(t.TempDir(), "results.db")
	theCollector, err := collector.Open(t.Context(), c, slog.New(slog.DiscardHandler), telemetry.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	i := inference.DefaultConfig()
	i.Listen, i.Admin, i.TLS, i.Workers = "127.0.0.1:0", "", certs.Service, 1
	theInference, err := inference.Open(t.Context(), i, slog.New(slog.DiscardHandler), telemetry.NewRegistry())
	if err != nil {
		t.Fatal(errors.Join(err, theCollector.Close()))
	}
	for heading, d := range map[string]struct {
		address string
		daemon  interface {
			service.Service
			io.Closer
		}
	}{
		"Collector": {theCollector.Addr().String(), theCollector}, "Inference": {theInference.Addr().String(), theInference},
	} {
		t.Run(heading, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- d.daemon.Run(ctx) }()
			defer func() {
				stop()
				if err := errors.Join(<-ended, d.daemon.Close()); err != nil {
					t.Error(err)
				}
			}()
			want := allowed{"/sonde.query.v1.QueryService/Nothing": nil, "/sonde.nothing.v1.NothingService/Nothing": nil}
			maps.Copy(want, tables["Every daemon that listens"])
			maps.Copy(want, tables[heading])
			compareTable(t, d.address, certs, want)
		})
	}
}

func compareTable(t *testing.T, address string, certs mtls.Development, want allowed) {
	for role, files := range map[mtls.Role]mtls.Files{
		mtls.RoleAgent: certs.Agent, mtls.RoleService: certs.Service, mtls.RoleOperator: certs.Operator, mtls.RoleViewer: certs.Viewer,
	} {
		conn, err := rpc.Dial(address, rpc.DialOptions{Certificates: testenv.Source(t, files)})
		if err != nil {
			t.Fatal(err)
		}
		for method, roles := range want {
			code := call(t, conn, method)
			if got, want := code != codes.PermissionDenied, slices.Contains(roles, role); got != want {
				t.Errorf("%s calls %s: %v; by docs/security.md it may: %v", role, method, code, want)
			}
			if code == codes.Unavailable || code == codes.Unauthenticated {
				t.Errorf("%s calls %s: %v, which is no answer", role, method, code)
			}
		}
		for _, method := range served(t, conn) {
			if _, listed := want[method]; !listed {
				t.Errorf("%s is served and not in docs/security.md", method)
			}
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// call sends an empty request and tells how the first answer ended. As far as the wire is concerned every call is a stream.
func call(t *testing.T, conn *grpc.ClientConn, method string) codes.Code {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return status.Code(err)
	}
	if err := stream.SendMsg(&emptypb.Empty{}); err != nil && !errors.Is(err, io.EOF) { // then the answer says why
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&emptypb.Empty{}); err != nil && !errors.Is(err, io.EOF) {
		return status.Code(err)
	}
	return codes.OK
}

// served lists the methods of a server, by the names of its services, which health tells everybody.
func served(t *testing.T, conn *grpc.ClientConn) []string {
	t.Helper()
	services, err := healthv1.NewHealthClient(conn).List(t.Context(), &healthv1.HealthListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for name := range services.GetStatuses() {
		if name == "" { // the server as a whole
			continue
		}
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			t.Fatal(err)
		}
		described, ok := found.(protoreflect.ServiceDescriptor)
		if !ok {
			t.Fatalf("%s is no service", name)
		}
		for i := range described.Methods().Len() {
			all = append(all, "/"+name+"/"+string(described.Methods().Get(i).Name()))
		}
	}
	if len(all) < 12 {
		t.Fatalf("only %v", all)
	}
	return all
}
