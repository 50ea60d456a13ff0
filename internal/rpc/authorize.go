package rpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	"sonde.example/internal/mtls"
)

// Table says who may call what: full method names, "/sonde.query.v1.QueryService/ListResults", and the roles that may
// call them. What is not in it nobody may call.
type Table map[string][]mtls.Role

// builtIn is the part of the table that is the same for every server. Channelz is served where a daemon registers it.
func builtIn() Table {
	operator := []mtls.Role{mtls.RoleOperator}
	table := Table{
		healthv1.Health_Check_FullMethodName:                                   mtls.Roles(),
		healthv1.Health_List_FullMethodName:                                    mtls.Roles(),
		healthv1.Health_Watch_FullMethodName:                                   mtls.Roles(),
		reflectionv1.ServerReflection_ServerReflectionInfo_FullMethodName:      operator,
		reflectionv1alpha.ServerReflection_ServerReflectionInfo_FullMethodName: operator,
	}
	for _, method := range []string{
		"GetTopChannels", "GetServers", "GetServer", "GetServerSockets", "GetChannel", "GetSubchannel", "GetSocket",
	} {
		table["/grpc.channelz.v1.Channelz/"+method] = operator
	}
	return table
}

// with returns both tables in one; what the daemon says about a method of the built-in part counts.
func (t Table) with(other Table) Table {
	both := maps.Clone(t)
	maps.Copy(both, other)
	return both
}

// CheckTable compares a table with what is registered: each method registered must be in the table, with roles that
// exist, and each method in the table of a service that is registered must be one of its methods. Health, reflection and
// channelz need no entry. Run does it first.
func CheckTable(server reflection.ServiceInfoProvider, table Table) error {
	table = builtIn().with(table)
	var bad []error
	registered := map[string]bool{}
	services := server.GetServiceInfo()
	for service, info := range services {
		for _, method := range info.Methods {
			full := "/" + service + "/" + method.Name
			registered[full] = true
			if len(table[full]) == 0 {
				bad = append(bad, fmt.Errorf("method %s is registered, but no role may call it", full))
			}
		}
	}
	for full, roles := range table {
		service, _, _ := strings.Cut(strings.TrimPrefix(full, "/"), "/")
		if _, known := services[service]; known && !registered[full] {
			bad = append(bad, fmt.Errorf("method %s is in the table, but its service has no such method", full))
		}
		for _, role := range roles {
			if !slices.Contains(mtls.Roles(), role) {
				bad = append(bad, fmt.Errorf("method %s: %q is not a role", full, role))
			}
		}
	}
	slices.SortFunc(bad, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(bad...)
}

// admit lets a caller in, and puts it into the context, or says why not.
func (s *Server) admit(ctx context.Context, method string) (context.Context, error) {
	p, _ := peer.FromContext(ctx)
	if p == nil {
		return nil, newStatus(codes.Unauthenticated, ReasonNoIdentity, "no verified certificate")
	}
	info, ok := p.AuthInfo.(mtls.AuthInfo)
	if !ok {
		return nil, newStatus(codes.Unauthenticated, ReasonNoIdentity, "no verified certificate")
	}
	if err := s.certificates.Valid(info.Identity); err != nil {
		return nil, newStatus(codes.Unauthenticated, ReasonCertificateEnded, err.Error())
	}
	if !slices.Contains(s.table[method], info.Identity.Role) {
		return nil, newStatus(codes.PermissionDenied, ReasonRole,
			fmt.Sprintf("role %s may not call %s", info.Identity.Role, bounded(method)))
	}
	return WithCaller(ctx, info.Identity, info.Draining()), nil
}

func (s *Server) authorizeUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := s.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handler(ctx, request)
}

func (s *Server) authorizeStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := s.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handler(server, &callerStream{ServerStream: stream, ctx: ctx})
}

// callerStream is a stream whose context carries the caller.
type callerStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // the stream is the call
}

func (s *callerStream) Context() context.Context { return s.ctx }
