package serving

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// PropertyReference is the key of a model's metadata under which the distributions lie that it was trained on: JSON,
//
//	{"features": [{"name", "tensor", "index", "edges": [...], "shares": [...]}, ...],
//	 "confidence": {"edges", "shares"}, "energy": {"edges", "shares"}, "classes": [...], "unknown_rate": 0.03}
//
// where bin i holds edges[i-1] <= x < edges[i]. A feature has one more share for the rows in which it is absent (NaN);
// confidence and energy may have one, too.
const PropertyReference = "sonde.refhist"

const (
	// maxFeatures bounds the columns that are watched. Each costs some 4 ns a row.
	maxFeatures = 32
	// maxEdges bounds a distribution's bins, so that one is found in four comparisons.
	maxEdges = 15
	// maxBins are those between and beside the edges, and "absent".
	maxBins = maxEdges + 2
	// shareSlack is by how much shares that were rounded may miss 1.
	shareSlack = 0.01
)

// Distribution is how often numbers fall between edges.
type Distribution struct {
	// Edges ascend; there are at most 15, and none is fine too. They are wider than the numbers that are compared with
	// them, so that two of them never become one.
	Edges []float64 `json:"edges"`
	// Shares of the bins, one more than edges, each within 0 and 1. There may be one further, of what is no number.
	Shares []float64 `json:"shares"`
}

// Absent tells whether the last share is of what is no number.
func (d *Distribution) Absent() bool { return len(d.Shares) == len(d.Edges)+2 }

// Feature is a column of an input and what it looked like in training.
type Feature struct {
	// Name is the column's, for people.
	Name string `json:"name"`
	// Tensor and Index say where it is; Index counts the elements of a row.
	Tensor string `json:"tensor"`
	Index  int    `json:"index"`
	Distribution
}

// Reference is what a classifier was trained on, as far as it can be compared with what it sees in service. It does not
// change.
type Reference struct {
	// Features that matter, at most 32.
	Features []Feature `json:"features"`
	// Confidence is the probability of the answered label, Energy the energy.
	Confidence Distribution `json:"confidence"`
	Energy     Distribution `json:"energy"`
	// Classes is the mix of the answered labels, in the order of the outputs.
	Classes []float64 `json:"classes"`
	// UnknownRate is the share of rows that were called unknown.
	UnknownRate float64 `json:"unknown_rate"`
}

// ReadReference takes the reference out of a classifier's metadata; nil when there is none. The error says what is wrong
// with it: such a model must not be served, for nobody would notice that it is not watched.
func ReadReference(info *Info) (*Reference, error) {
	text, ok := info.Properties[PropertyReference]
	if !ok || !info.Classifier() {
		return nil, nil //nolint:nilnil // there is none, and that is no fault
	}
	r := &Reference{}
	err := json.Unmarshal([]byte(text), r)
	if err == nil {
		err = r.check(info)
	}
	if err != nil {
		return nil, fmt.Errorf("metadata %s: %w", PropertyReference, err)
	}
	return r, nil
}

func (r *Reference) check(info *Info) error {
	if len(r.Features) > maxFeatures {
		return fmt.Errorf("%d features, at most %d", len(r.Features), maxFeatures)
	}
	seen := make(map[string]bool, len(r.Features))
	for i := range r.Features {
		err := r.Features[i].check(info)
		if name := r.Features[i].Name; err == nil && (seen[name] || name == "confidence" || name == "energy" || name == "class") {
			err = errors.New("the name is there twice, or means something else")
		}
		seen[r.Features[i].Name] = true
		if err != nil {
			return fmt.Errorf("features[%d] %q: %w", i, r.Features[i].Name, err)
		}
	}
	if err := r.Confidence.check(); err != nil {
		return fmt.Errorf("confidence: %w", err)
	}
	if err := r.Energy.check(); err != nil {
		return fmt.Errorf("energy: %w", err)
	}
	if len(r.Classes) != len(info.Labels.Labels) {
		return fmt.Errorf("classes has %d shares, there are %d labels", len(r.Classes), len(info.Labels.Labels))
	}
	if err := addUp(r.Classes); err != nil {
		return fmt.Errorf("classes: %w", err)
	}
	if !(r.UnknownRate >= 0 && r.UnknownRate <= 1) {
		return fmt.Errorf("unknown_rate %v is not within 0 and 1", r.UnknownRate)
	}
	return nil
}

func (f *Feature) check(info *Info) error {
	if f.Name == "" {
		return errors.New("name is empty")
	}
	at := info.Input(f.Tensor)
	if at < 0 {
		return fmt.Errorf("there is no input %q", f.Tensor)
	}
	t := &info.Inputs[at]
	if t.Type != FP32 && t.Type != Uint8 {
		return fmt.Errorf("input %q is %s, which is not watched", f.Tensor, t.Type)
	}
	if n := t.RowElements(); f.Index < 0 || f.Index >= n {
		return fmt.Errorf("index %d is not within 0 and %d", f.Index, n-1)
	}
	if err := f.Distribution.check(); err != nil {
		return err
	}
	if !f.Absent() {
		return errors.New("there is no share of the rows in which it is absent")
	}
	return nil
}

func (d *Distribution) check() error {
	if len(d.Edges) > maxEdges {
		return fmt.Errorf("%d edges, at most %d", len(d.Edges), maxEdges)
	}
	for i, e := range d.Edges {
		if math.IsNaN(e) || math.IsInf(e, 0) || i > 0 && e <= d.Edges[i-1] {
			return fmt.Errorf("edges do not ascend at %d", i)
		}
	}
	if least := len(d.Edges) + 1; len(d.Shares) != least && !d.Absent() {
		return fmt.Errorf("%d shares for %d edges, there must be %d, or %d with what is absent", len(d.Shares), len(d.Edges), least, least+1)
	}
	return addUp(d.Shares)
}

func addUp(shares []float64) error {
	sum := 0.0
	for i, s := range shares {
		if !(s >= 0 && s <= 1) {
			return fmt.Errorf("share %d is %v, not within 0 and 1", i, s)
		}
		sum += s
	}
	if math.Abs(sum-1) > shareSlack {
		return fmt.Errorf("the shares add up to %v, not to 1", sum)
	}
	return nil
}
