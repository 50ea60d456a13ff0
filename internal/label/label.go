// Package label reads what a model says of its own outputs, in the metadata that travels with it, and turns a row of
// probabilities into a classification: which label, which category, or unknown. The inference service and the collector,
// which may speak to another server of the same protocol, decide with this same code.
package label

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
)

// Keys of a model's metadata.
const (
	PropertySchemaSHA256 = "sonde.schema_sha256" // hash of the feature schema that it was trained on
	PropertyLabels       = "sonde.labels"        // JSON list of {id, name, category, weak}
	PropertyCalibration  = "sonde.calibration"   // JSON {T, tau, energy}
)

// MaxLabels bounds the classes of a model.
const MaxLabels = 4096

// defaultTop is how many labels a classification lists.
const defaultTop = 5

// Label is one class.
type Label struct {
	Name     string `json:"name"`
	Category string `json:"category"`
	// Weak labels were learnt from too few sessions or networks to say how often they are right. They are answered all the
	// same, and marked.
	Weak bool `json:"weak"`
}

// Set is what a model says of its outputs. It does not change and may be used at the same time.
type Set struct {
	// Labels in the order of the outputs.
	Labels []Label
	// SchemaSHA256 is the hash of the feature schema that the model was trained on, hexadecimal.
	SchemaSHA256 string
	// Temperature is the calibration's, already part of the graph; 0 when the metadata tell none.
	Temperature float64
	// UnknownBelow is the probability under which a label is not believed: one for all labels, one for each, or none.
	UnknownBelow []float64
	// UnknownAbove is the energy over which nothing is believed; nil when energy does not count.
	UnknownAbove *float64
}

// Read takes a model's metadata. The error names the key.
func Read(properties map[string]string) (*Set, error) {
	s := &Set{SchemaSHA256: properties[PropertySchemaSHA256]}
	if s.SchemaSHA256 == "" {
		return nil, errors.New("metadata has no " + PropertySchemaSHA256)
	}
	if err := json.Unmarshal([]byte(properties[PropertyLabels]), &s.Labels); err != nil {
		return nil, fmt.Errorf("metadata %s: %w", PropertyLabels, err)
	}
	if len(s.Labels) == 0 || len(s.Labels) > MaxLabels {
		return nil, fmt.Errorf("metadata %s: %d labels, not within 1 and %d", PropertyLabels, len(s.Labels), MaxLabels)
	}
	seen := make(map[string]bool, len(s.Labels))
	for i, l := range s.Labels {
		if l.Name == "" || seen[l.Name] {
			return nil, fmt.Errorf("metadata %s: label %d: name %q is empty or twice there", PropertyLabels, i, l.Name)
		}
		seen[l.Name] = true
	}
	if text, ok := properties[PropertyCalibration]; ok {
		if err := s.readCalibration(text); err != nil {
			return nil, fmt.Errorf("metadata %s: %w", PropertyCalibration, err)
		}
	}
	return s, nil
}

func (s *Set) readCalibration(text string) error {
	var raw struct {
		T      float64         `json:"T"`
		Tau    json.RawMessage `json:"tau"`
		Energy *float64        `json:"energy"`
	}
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return err
	}
	s.Temperature, s.UnknownAbove = raw.T, raw.Energy
	if len(raw.Tau) == 0 || string(raw.Tau) == "null" {
		return nil
	}
	var one float64
	if json.Unmarshal(raw.Tau, &one) == nil {
		s.UnknownBelow = []float64{one}
	} else if err := json.Unmarshal(raw.Tau, &s.UnknownBelow); err != nil {
		return fmt.Errorf("tau: %w", err)
	} else if len(s.UnknownBelow) != len(s.Labels) {
		return fmt.Errorf("tau has %d entries, there are %d labels", len(s.UnknownBelow), len(s.Labels))
	}
	for _, tau := range s.UnknownBelow {
		if !(tau >= 0 && tau <= 1) {
			return fmt.Errorf("tau %v is not within 0 and 1", tau)
		}
	}
	return nil
}

// ErrOutput says that a model's output is no probability distribution.
var ErrOutput = errors.New("model output is not within 0 and 1")

// Classify turns one row of outputs, as long as Labels, into a classification that lists up to top labels (0 means 5).
// Model, version and packets are left to the caller. A value that is no probability is ErrOutput.
func (s *Set) Classify(probabilities []float32, energy float32, top int) (*flowv1.Classification, error) {
	if len(probabilities) != len(s.Labels) {
		return nil, fmt.Errorf("%w: %d values for %d labels", ErrOutput, len(probabilities), len(s.Labels))
	}
	for i, p := range probabilities {
		if !(p >= 0 && p <= 1.0001) { // a sum of rounded numbers may pass 1 by a little
			return nil, fmt.Errorf("%w: %s is %v", ErrOutput, s.Labels[i].Name, p)
		}
	}
	if top <= 0 {
		top = defaultTop
	}
	var room [defaultTop]int
	best := mostProbable(probabilities, top, room[:0])
	first := best[0]
	c := &flowv1.Classification{
		Label: s.Labels[first].Name, Category: s.Labels[first].Category, Weak: s.Labels[first].Weak,
		Probability: min(probabilities[first], 1),
		Unknown:     s.Unknown(first, probabilities[first], energy),
		Top:         make([]*flowv1.Label, len(best)),
	}
	labels := make([]flowv1.Label, len(best)) // one piece of memory for all
	for i, at := range best {
		c.Top[i] = &labels[i]
		c.Top[i].Name, c.Top[i].Probability = s.Labels[at].Name, min(probabilities[at], 1)
	}
	return c, nil
}

// mostProbable appends to best, which is empty, the positions of the greatest probabilities, greatest first; of equal
// ones the first.
func mostProbable(probabilities []float32, top int, best []int) []int {
	for i, p := range probabilities {
		if len(best) == top && p <= probabilities[best[top-1]] {
			continue
		}
		at := len(best)
		for at > 0 && probabilities[best[at-1]] < p {
			at--
		}
		if len(best) == top {
			best = best[:top-1]
		}
		best = slices.Insert(best, at, i)
	}
	return best
}

// Unknown tells whether the label at a position is not believed at this probability and energy.
func (s *Set) Unknown(label int, probability, energy float32) bool {
	if float64(probability) < s.Below(label) {
		return true
	}
	return s.UnknownAbove != nil && !(float64(energy) <= *s.UnknownAbove) // also when it is no number
}

// Position is where a label stands in the outputs, or -1.
func (s *Set) Position(name string) int {
	return slices.IndexFunc(s.Labels, func(l Label) bool { return l.Name == name })
}

// Below is the probability under which the label at a position is not believed, 0 to 1.
func (s *Set) Below(label int) float64 {
	switch len(s.UnknownBelow) {
	case 0:
		return 0
	case 1:
		return s.UnknownBelow[0]
	}
	return s.UnknownBelow[label]
}
