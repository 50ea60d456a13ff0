package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"sonde.example/internal/retry"
)

// Domain is the domain of every ErrorInfo; reasons are unique in it.
const Domain = "sonde"

// Reasons that this package gives. Others are documented in the proto that they belong to.
const (
	ReasonInvalidArgument  = "INVALID_ARGUMENT"  // BadRequest names the field
	ReasonNotFound         = "NOT_FOUND"         // ResourceInfo names the resource
	ReasonNoIdentity       = "NO_IDENTITY"       // the connection has no verified certificate
	ReasonCertificateEnded = "CERTIFICATE_ENDED" // expired or revoked since the handshake
	ReasonRole             = "ROLE"              // this role may not call this method
	ReasonInternal         = "INTERNAL"          // a bug; the server's log says more
)

// statusError is an error that knows its status. Only these, made by the functions below, cross the wire as they are.
type statusError struct {
	status *status.Status
}

func (e *statusError) Error() string {
	return e.status.Message()
}

// GRPCStatus is how gRPC finds the status.
func (e *statusError) GRPCStatus() *status.Status { return e.status }

// newStatus makes an error with an ErrorInfo first and further details after it.
func newStatus(code codes.Code, reason, message string, details ...protoadapt.MessageV1) error {
	details = append([]protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason, Domain: Domain}}, details...)
	s, err := status.New(code, bounded(message)).WithDetails(details...)
	if err != nil {
		panic(fmt.Sprintf("details of strings that are valid UTF-8 can be encoded: %v", err))
	}
	return &statusError{s}
}

// maxTextBytes bounds what comes from a peer and goes back to it in an error.
const maxTextBytes = 512

// bounded makes a text fit for a status: valid UTF-8, and not long.
func bounded(text string) string {
	if len(text) > maxTextBytes {
		text = text[:maxTextBytes] + "..."
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// InvalidArgument says that a request is malformed, and in which field (a path such as "filter.agent").
func InvalidArgument(field, format string, args ...any) error {
	description := bounded(fmt.Sprintf(format, args...))
	field = bounded(field)
	return newStatus(codes.InvalidArgument, ReasonInvalidArgument, field+": "+description, &errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: description}},
	})
}

// NotFound says that there is no resource of a kind ("session", "agent") with a name.
func NotFound(kind, name string) error {
	kind, name = bounded(kind), bounded(name)
	return newStatus(codes.NotFound, ReasonNotFound, fmt.Sprintf("no %s %q", kind, name),
		&errdetails.ResourceInfo{ResourceType: kind, ResourceName: name})
}

// FailedPrecondition says that the request is well formed, but not now: another schema, a second Hello.
func FailedPrecondition(reason, format string, args ...any) error {
	description := bounded(fmt.Sprintf(format, args...))
	return newStatus(codes.FailedPrecondition, reason, description, &errdetails.PreconditionFailure{
		Violations: []*errdetails.PreconditionFailure_Violation{{Type: reason, Description: description}},
	})
}

// PermissionDenied says that the caller's role suffices for the method but not for what it asks of it.
func PermissionDenied(reason, format string, args ...any) error {
	return newStatus(codes.PermissionDenied, reason, fmt.Sprintf(format, args...))
}

// Exhausted says that it was too much at once, and how long to wait before trying again.
func Exhausted(wait time.Duration, reason, format string, args ...any) error {
	return newStatus(codes.ResourceExhausted, reason, fmt.Sprintf(format, args...), retryInfo(wait))
}

// Unavailable says that a backend is out of reach, or that this server drains, and how long to wait before trying again.
func Unavailable(wait time.Duration, reason, format string, args ...any) error {
	return newStatus(codes.Unavailable, reason, fmt.Sprintf(format, args...), retryInfo(wait))
}

func retryInfo(wait time.Duration) *errdetails.RetryInfo {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(max(wait, 0))}
}

// outgoing turns what a handler returned into what goes over the wire; known is false when that tells nothing of it, for
// it is a bug then, which the caller logs. A status made by the functions above passes, wrapped or not; one from
// elsewhere (gRPC's own, or one that a handler passes on) only when it is not wrapped, and gets an ErrorInfo if it has
// none.
func outgoing(ctx context.Context, err error) (known bool, out error) {
	if ours, ok := errors.AsType[*statusError](err); ok {
		return true, ours
	}
	if carrier, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return true, withInfo(carrier.GRPCStatus())
	}
	for _, cause := range []error{ctx.Err(), err} {
		if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
			return true, withInfo(status.FromContextError(cause))
		}
	}
	return false, newStatus(codes.Internal, ReasonInternal, "internal error")
}

// InBand turns the error of a request that came on a stream into what a call would have ended with, for protocols that put
// it into the answer. known is false when that tells nothing of it, for it is a bug then: log it.
func InBand(ctx context.Context, err error) (s *status.Status, known bool) {
	known, out := outgoing(ctx, err)
	return status.Convert(out), known
}

// withInfo adds an ErrorInfo, whose reason is the code's name, to a status that has none.
func withInfo(s *status.Status) error {
	if s.Code() == codes.OK || infoOf(s) != nil {
		return s.Err()
	}
	if named, err := s.WithDetails(&errdetails.ErrorInfo{Reason: codeName(s.Code()), Domain: Domain}); err == nil {
		return named.Err()
	}
	return s.Err()
}

// codeName spells a code as the specification does: RESOURCE_EXHAUSTED.
func codeName(code codes.Code) string {
	var name strings.Builder
	for i, r := range code.String() {
		if i > 0 && 'A' <= r && r <= 'Z' {
			name.WriteByte('_')
		}
		name.WriteRune(r)
	}
	return strings.ToUpper(name.String())
}

func infoOf(s *status.Status) *errdetails.ErrorInfo {
	return detail[*errdetails.ErrorInfo](s)
}

// detail returns the first detail of a kind, or nil.
func detail[T any](s *status.Status) (found T) {
	for _, d := range s.Details() {
		if d, ok := d.(T); ok {
			return d
		}
	}
	return found
}

// Reason returns the reason in an error that a call returned, wrapped or not; empty when it has none.
func Reason(err error) string {
	s, ok := status.FromError(err)
	if !ok {
		return ""
	}
	return infoOf(s).GetReason()
}

// Field returns the first field that an InvalidArgument complains about; empty when it names none.
func Field(err error) string {
	s, ok := status.FromError(err)
	if !ok {
		return ""
	}
	if violations := detail[*errdetails.BadRequest](s).GetFieldViolations(); len(violations) > 0 {
		return violations[0].GetField()
	}
	return ""
}

// RetryDelay returns how long the server asked to wait before trying again; false when it did not ask.
func RetryDelay(err error) (wait time.Duration, ok bool) {
	s, isStatus := status.FromError(err)
	if !isStatus {
		return 0, false
	}
	info := detail[*errdetails.RetryInfo](s)
	if info == nil {
		return 0, false
	}
	return max(info.GetRetryDelay().AsDuration(), 0), true
}

// ForRetry marks an error that a call returned for package retry: permanent when trying again does not help, with the
// server's delay when it gave one, otherwise as it is. ResourceExhausted without a delay is permanent.
func ForRetry(err error) error {
	if err == nil {
		return nil
	}
	if wait, ok := RetryDelay(err); ok {
		return retry.After(err, wait)
	}
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.FailedPrecondition, codes.ResourceExhausted, codes.OutOfRange, codes.Unimplemented, codes.DataLoss:
		return retry.Permanent(err)
	default:
		return err
	}
}
