package rpc

import (
	"context"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"sonde.example/internal/telemetry"
)

// ReasonDraining says that the server is stopping; another one, or this one a little later, can do it.
const ReasonDraining = "DRAINING"

// health tells the daemon's readiness as grpc.health.v1 does. A daemon is ready as a whole, so each of its services has
// its state.
type health struct {
	healthv1.UnimplementedHealthServer
	ready    *telemetry.Ready
	services func() map[string]grpc.ServiceInfo
}

func servingStatus(state telemetry.ReadyState) healthv1.HealthCheckResponse_ServingStatus {
	if state.OK() {
		return healthv1.HealthCheckResponse_SERVING
	}
	return healthv1.HealthCheckResponse_NOT_SERVING
}

func (h *health) knows(service string) bool {
	_, registered := h.services()[service]
	return registered || service == ""
}

// Check answers at once.
func (h *health) Check(_ context.Context, request *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	if !h.knows(request.GetService()) {
		return nil, NotFound("service", request.GetService())
	}
	return &healthv1.HealthCheckResponse{Status: servingStatus(h.ready.State())}, nil
}

// List answers for all services.
func (h *health) List(context.Context, *healthv1.HealthListRequest) (*healthv1.HealthListResponse, error) {
	answer := &healthv1.HealthCheckResponse{Status: servingStatus(h.ready.State())}
	response := &healthv1.HealthListResponse{Statuses: map[string]*healthv1.HealthCheckResponse{"": answer}}
	for service := range h.services() {
		response.Statuses[service] = answer
	}
	return response, nil
}

// Watch sends the state now and whenever it changes. It ends when the server drains, lest it hold up the drain.
func (h *health) Watch(request *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	last := healthv1.HealthCheckResponse_UNKNOWN
	for {
		state := h.ready.State()
		now := servingStatus(state)
		if !h.knows(request.GetService()) {
			now = healthv1.HealthCheckResponse_SERVICE_UNKNOWN
		}
		if now != last {
			if err := stream.Send(&healthv1.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			last = now
		}
		if state.Stopping {
			return Unavailable(0, ReasonDraining, "the server is stopping")
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-Draining(stream.Context()):
			return Unavailable(0, ReasonDraining, "the connection is to end")
		case <-state.Changed:
		}
	}
}
