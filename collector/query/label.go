package query

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/internal/feature"
	"sonde.example/internal/record"
	"sonde.example/internal/rpc"
)

const (
	// DefaultMaxCorrections is how many corrections are stored unless something else is said: more than people type, and at
	// most 5 KiB each, some 250 MB.
	DefaultMaxCorrections = 50_000
	// maxLabelLength is a label's in bytes.
	maxLabelLength = 64
)

// Reasons of FAILED_PRECONDITION by LabelSession.
const (
	ReasonHeadGone        = "HEAD_GONE"        // the packets are not kept any more
	ReasonCorrectionsFull = "CORRECTIONS_FULL" // remove some, or train with them and remove those
)

// Corrections is the part of the result store that labels go to; result.Corrections fits it.
type Corrections interface {
	Correct(ctx context.Context, c *queryv1.Correction, most int) (*queryv1.Result, error)
	Uncorrect(ctx context.Context, sessionID string) (*queryv1.Result, error)
	Correction(ctx context.Context, sessionID string) (*queryv1.Correction, error)
	Corrections(ctx context.Context, pageSize int, pageToken string) ([]*queryv1.Correction, string, error)
}

// LabelSession stores what a session really was. A session that has a label already may get another one when its packets,
// or even its result, are gone: the head that was stored with the first label stays.
func (s *Service) LabelSession(ctx context.Context, r *queryv1.LabelSessionRequest) (*queryv1.LabelSessionResponse, error) {
	if r.GetLabel() == "" {
		return &queryv1.LabelSessionResponse{}, s.unlabel(ctx, r.GetSessionId())
	}
	if err := checkLabel(r.GetLabel()); err != nil {
		return nil, err
	}
	c, err := s.correction(ctx, r.GetSessionId())
	if err != nil {
		return nil, err
	}
	author, _ := rpc.Caller(ctx)
	c.Label, c.Author, c.CreateTime = r.GetLabel(), author.ID, timestamppb.Now()
	stored, err := s.corrections.Correct(ctx, c, s.maxCorrections)
	if errors.Is(err, record.ErrFull) {
		return nil, rpc.FailedPrecondition(ReasonCorrectionsFull,
			"%d corrections are stored, and no more can be: remove those that a model has learnt", s.maxCorrections)
	}
	if err != nil {
		return nil, err
	}
	s.publish(stored)
	return &queryv1.LabelSessionResponse{Correction: c}, nil
}

// unlabel removes a label. A session that has none is left as it is, but there must be one.
func (s *Service) unlabel(ctx context.Context, sessionID string) error {
	stored, err := s.corrections.Uncorrect(ctx, sessionID)
	if errors.Is(err, record.ErrNotFound) {
		_, err = s.results.Get(ctx, sessionID)
		return notFound(err, sessionID)
	}
	if err != nil {
		return err
	}
	s.publish(stored)
	return nil
}

// publish tells the watches of a result whose label has changed; nil when the result itself is gone.
func (s *Service) publish(r *queryv1.Result) {
	if r != nil {
		s.hub.Publish(r)
	}
}

// correction is what is known of a session: all but the label, its author and the time.
func (s *Service) correction(ctx context.Context, sessionID string) (*queryv1.Correction, error) {
	before, err := s.corrections.Correction(ctx, sessionID)
	if errors.Is(err, record.ErrNotFound) {
		before, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	found, err := s.results.Get(ctx, sessionID)
	if errors.Is(err, record.ErrNotFound) && before != nil {
		return before, nil
	}
	if err != nil {
		return nil, notFound(err, sessionID)
	}
	c := &queryv1.Correction{SessionId: sessionID, Classification: found.GetClassification(), Session: before.GetSession()}
	switch head, err := s.anonymous(ctx, found); {
	case err == nil:
		c.Session = head
	case errors.Is(err, record.ErrNotFound) && before != nil:
	case errors.Is(err, record.ErrNotFound):
		return nil, rpc.FailedPrecondition(ReasonHeadGone, "the packets of session %q are not kept any more", sessionID)
	default:
		return nil, err
	}
	return c, nil
}

// anonymous is the head of a session as a model learns from it: no addresses, no ports, no headers.
func (s *Service) anonymous(ctx context.Context, r *queryv1.Result) (*inferencev1.Session, error) {
	packets, err := s.results.Packets(ctx, r.GetSessionId())
	if err != nil {
		return nil, err
	}
	var session feature.Session
	if err := session.FromHead(s.walkers, r.GetIpProtocol(), packets); err != nil {
		return nil, fmt.Errorf("head of %s: %w", r.GetSessionId(), err)
	}
	return session.Native(), nil
}

// ListCorrections pages through labels that were stored.
func (s *Service) ListCorrections(ctx context.Context, r *queryv1.ListCorrectionsRequest) (*queryv1.ListCorrectionsResponse, error) {
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	corrections, next, err := s.corrections.Corrections(ctx, size, r.GetPageToken())
	if err != nil {
		return nil, pageError(err, "ListCorrections")
	}
	return &queryv1.ListCorrectionsResponse{Corrections: corrections, NextPageToken: next}, nil
}

// checkLabel takes the form that labels of models have, and that goes into files and command lines as it is.
func checkLabel(label string) error {
	if len(label) > maxLabelLength {
		return rpc.InvalidArgument("label", "%d bytes long, at most %d are taken", len(label), maxLabelLength)
	}
	for _, c := range []byte(label) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if digit := '0' <= c && c <= '9'; !letter && !digit && c != '-' {
			return rpc.InvalidArgument("label", "%q is not of letters, digits and hyphens", label)
		}
	}
	return nil
}
