package server

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/internal/feature"
	"sonde.example/internal/rpc"
)

// patchBytes is how much payload is taken away at once: small enough to point at
// something, large enough that a session has at most 65 patches.
const patchBytes = 64

// Explain says which parts of the head the classification rests on.
func (s *Service) Explain(ctx context.Context, r *inferencev1.ExplainRequest) (*inferencev1.ExplainResponse, error) {
	if r.GetSession() == nil {
		return nil, rpc.InvalidArgument("session", "is missing")
	}
	lease, err := s.acquire(r.GetModel(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	field := func(int) string { return "session" }
	// The session itself first, so that what contradicts itself is not taken apart.
	whole, err := s.classify(ctx, lease, []*inferencev1.Session{r.GetSession()}, defaultTop, field)
	if err != nil {
		return nil, err
	}
	sessions, parts := without(r.GetSession())
	// All labels: the one in question may have become the last.
	answers, err := s.classify(ctx, lease, sessions, len(lease.Info().Labels.Labels), field)
	if err != nil {
		return nil, err
	}
	response := &inferencev1.ExplainResponse{Classification: whole[0]}
	for i, answer := range answers {
		drop := whole[0].GetProbability()
		for _, l := range answer.GetTop() {
			if l.GetName() == whole[0].GetLabel() {
				drop -= l.GetProbability()
			}
		}
		response.Contributions = append(response.Contributions, &inferencev1.Contribution{Part: parts[i], ProbabilityDrop: drop})
	}
	slices.SortStableFunc(response.Contributions, func(a, b *inferencev1.Contribution) int {
		return cmp.Compare(math.Abs(float64(b.GetProbabilityDrop())), math.Abs(float64(a.GetProbabilityDrop())))
	})
	return response, nil
}

// without returns the session once for each of its parts, without that part, and
// the parts' names. A packet is left out with its size and its place, and its time
// goes to the next one; payload is overwritten by zeros, for without its bytes what
// follows would move.
func without(session *inferencev1.Session) (sessions []*inferencev1.Session, parts []string) {
	add := func(part string, change func(*inferencev1.Session)) {
		copied := proto.CloneOf(session)
		change(copied)
		sessions, parts = append(sessions, copied), append(parts, part)
	}
	for i := range min(len(session.GetSignedSizes()), feature.MaxPackets) {
		add(fmt.Sprintf("packet %d", i+1), func(s *inferencev1.Session) { removePacket(s, i) })
	}
	for from := 0; from < len(session.GetForwardPayload()); from += patchBytes {
		to := min(from+patchBytes, len(session.GetForwardPayload()))
		add(fmt.Sprintf("client payload %d-%d", from, to-1), func(s *inferencev1.Session) { clear(s.ForwardPayload[from:to]) })
	}
	for from := 0; from < len(session.GetReversePayload()); from += patchBytes {
		to := min(from+patchBytes, len(session.GetReversePayload()))
		add(fmt.Sprintf("server payload %d-%d", from, to-1), func(s *inferencev1.Session) { clear(s.ReversePayload[from:to]) })
	}
	return sessions, parts
}

func removePacket(s *inferencev1.Session, i int) {
	if i+1 < len(s.GapsUs) && i > 0 {
		s.GapsUs[i+1] = uint32(min(uint64(s.GapsUs[i+1])+uint64(s.GapsUs[i]), math.MaxUint32))
	}
	s.SignedSizes, s.GapsUs = slices.Delete(s.SignedSizes, i, i+1), slices.Delete(s.GapsUs, i, i+1)
	if i == 0 && len(s.GapsUs) > 0 {
		s.GapsUs[0] = 0
	}
	var empty []uint32
	for _, p := range s.GetReverseEmpty() {
		switch {
		case p < uint32(i):
			empty = append(empty, p)
		case p > uint32(i):
			empty = append(empty, p-1)
		}
	}
	s.ReverseEmpty = empty
}
