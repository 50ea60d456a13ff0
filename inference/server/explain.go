package server

import (
	"cmp"
	"context"
	"math"
	"slices"

	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/internal/feature"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
)

// Explain says which parts of the head the classification rests on: the session's row once as it is and once without each
// block of the feature schema that it has anything in, all in one run. What is taken away becomes what an absent value is:
// NaN in meta, zero elsewhere. Blocks that say the same twice hide behind each other, so small effects of all of them do
// not mean that none matters.
func (s *Service) Explain(ctx context.Context, r *inferencev1.ExplainRequest) (*inferencev1.ExplainResponse, error) {
	if r.GetSession() == nil {
		return nil, rpc.InvalidArgument("session", "is missing")
	}
	lease, err := s.acquire(r.GetModel(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	info := lease.Info()
	in, packets, err := s.features(info, []*inferencev1.Session{r.GetSession()}, func(int) string { return "session" })
	if err != nil {
		return nil, err
	}
	parts := without(info, in)
	options := serving.CallOptions{Priority: serving.PriorityInteractive, MadeUp: true}
	out, err := s.predict(ctx, lease, in, options)
	if err != nil {
		return nil, err
	}
	labels := len(info.Labels.Labels)
	whole, err := read(info, out, 0, defaultTop, make([]float32, labels))
	if err != nil {
		return nil, err
	}
	whole.Packets = packets[0]
	probs := out.Data[info.Output(serving.OutputProbs)]
	label := info.Labels.Position(whole.GetLabel())
	response := &inferencev1.ExplainResponse{Classification: whole}
	for i, part := range parts {
		drop := serving.Float32(probs, label) - serving.Float32(probs, (i+1)*labels+label)
		response.Contributions = append(response.Contributions, &inferencev1.Contribution{Part: part, ProbabilityDrop: drop})
	}
	slices.SortStableFunc(response.GetContributions(), func(a, b *inferencev1.Contribution) int {
		return cmp.Compare(math.Abs(float64(b.GetProbabilityDrop())), math.Abs(float64(a.GetProbabilityDrop())))
	})
	return response, nil
}

// words names the blocks of meta for people; the other blocks' names are in words already. A block of meta takes along the
// row of series that says the same packet by packet, if there is one.
func words(block string) (name string, row int) {
	switch block {
	case feature.BlockTransport:
		return "IP protocol", -1
	case feature.BlockSizes:
		return "packet sizes and directions", 0
	case feature.BlockTimes:
		return "packet times", 2
	case feature.BlockPayload:
		return "payload statistics", -1
	case feature.BlockOpening:
		return "opening words", -1
	case feature.BlockLengths:
		return "length fields", -1
	case feature.BlockDNS:
		return "DNS message", -1
	case feature.BlockTLS:
		return "TLS handshake", -1
	case feature.BlockQUIC:
		return "QUIC handshake", -1
	case feature.BlockNames:
		return "server and DNS names", -1
	}
	return block, -1
}

// without adds to the one row of in a copy for each block that is not empty, without that block, and names them.
func without(info *serving.Info, in *serving.Inputs) (parts []string) {
	original := make([][]byte, len(in.Data))
	for i := range in.Data {
		original[i] = slices.Clone(in.Data[i])
	}
	series := info.Input(feature.TensorSeries)
	for _, block := range feature.Blocks() {
		tensor := info.Input(block.Tensor)
		size, absent := info.Inputs[tensor].Type.Size(), []byte{0, 0, 0, 0}
		if block.Tensor == feature.TensorMeta {
			absent = appendFloats(nil, []float32{float32(math.NaN())})
		}
		changed := slices.Clone(original[tensor])
		for _, column := range block.Columns {
			copy(changed[column*size:(column+1)*size], absent)
		}
		if slices.Equal(changed, original[tensor]) {
			continue // it has nothing there
		}
		name, row := words(block.Name)
		for i := range in.Data {
			from := len(in.Data[i])
			if in.Data[i] = append(in.Data[i], original[i]...); i == tensor {
				copy(in.Data[i][from:], changed)
			}
			if i == series && row >= 0 {
				clear(in.Data[i][from+4*row*feature.MaxPackets : from+4*(row+1)*feature.MaxPackets])
			}
		}
		in.Rows++
		parts = append(parts, name)
	}
	return parts
}
