package server

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/internal/feature"
	"sonde.example/internal/rpc"
	"sonde.example/internal/serving"
)

// Keys of a model's metadata that only people read.
const (
	propertyMetrics = "sonde.metrics" // JSON, what training printed
	propertyCreated = "sonde.created" // RFC 3339
	propertyCard    = "sonde.card"    // Markdown
)

// ReasonNoReference says that the model does not tell what it was trained on.
const ReasonNoReference = "NO_REFERENCE"

// GetModel tells what is loaded.
func (s *Service) GetModel(_ context.Context, r *inferencev1.GetModelRequest) (*inferencev1.GetModelResponse, error) {
	lease, err := s.acquire(r.GetModel(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	info := lease.Info()
	response := &inferencev1.GetModelResponse{
		Model: info.Name, Version: info.VersionString(), Sha256: info.SHA256,
		// The repository has compared the hash with the model's.
		SchemaSha256: info.Labels.SchemaSHA256, SchemaJson: string(feature.Schema()),
		MetricsJson: info.Properties[propertyMetrics], Card: info.Properties[propertyCard],
	}
	for i, l := range info.Labels.Labels {
		response.Labels = append(response.Labels, &inferencev1.ModelLabel{
			Name: l.Name, Category: l.Category, Weak: l.Weak, UnknownBelow: float32(info.Labels.Below(i)),
		})
	}
	if below := info.Labels.UnknownBelow; len(below) > 0 { // under the least of them it abstains whatever the label
		response.UnknownBelow = float32(slices.Min(below))
	}
	if created, err := time.Parse(time.RFC3339, info.Properties[propertyCreated]); err == nil { // else it is left out
		response.CreateTime = timestamppb.New(created)
	}
	return response, nil
}

// GetDrift compares what came since the version was loaded with what it was trained on.
func (s *Service) GetDrift(_ context.Context, r *inferencev1.GetDriftRequest) (*inferencev1.GetDriftResponse, error) {
	lease, err := s.acquire(r.GetModel(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	info := lease.Info()
	if lease.Drift() == nil {
		return nil, rpc.FailedPrecondition(ReasonNoReference, "model %s version %s does not tell what it was trained on: its metadata have no %s",
			info.Name, info.VersionString(), serving.PropertyReference)
	}
	report, reference := lease.Drift().Report(), info.Reference
	response := &inferencev1.GetDriftResponse{
		Model: info.Name, Version: info.VersionString(), Sessions: report.Rows, StartTime: timestamppb.New(report.Since),
		UnknownRate: report.UnknownRate, ReferenceUnknownRate: reference.UnknownRate,
		Confidence: drift("confidence", intervals(&reference.Confidence), report.Confidence),
		Energy:     drift("energy", intervals(&reference.Energy), report.Energy),
	}
	for i := range reference.Features {
		f := &reference.Features[i]
		response.Features = append(response.Features, drift(f.Name, intervals(&f.Distribution), report.Features[i]))
	}
	slices.SortStableFunc(response.GetFeatures(), func(a, b *inferencev1.Drift) int { return cmp.Compare(b.GetPsi(), a.GetPsi()) })
	var labels []string
	for _, l := range info.Labels.Labels {
		labels = append(labels, l.Name)
	}
	response.Classes = drift("class", labels, report.Classes)
	return response, nil
}

func drift(name string, bins []string, seen serving.Seen) *inferencev1.Drift {
	return &inferencev1.Drift{Name: name, Psi: seen.PSI, Bins: bins, Reference: seen.Reference, Seen: seen.Shares}
}

// intervals names the bins between and beside edges; the lower one belongs to the bin.
func intervals(d *serving.Distribution) []string {
	number := func(e float64) string { return strconv.FormatFloat(e, 'g', 6, 64) }
	last := len(d.Edges) - 1
	names := []string{"all"}
	if last >= 0 {
		names = []string{"below " + number(d.Edges[0])}
		for i := range last {
			names = append(names, number(d.Edges[i])+" to "+number(d.Edges[i+1]))
		}
		names = append(names, "from "+number(d.Edges[last]))
	}
	if d.Absent() {
		names = append(names, "absent")
	}
	return names
}
