package model

import (
	"encoding/json"
	"errors"
	"fmt"

	"slices"
	"strconv"
	"strings"
)

// Info tells what one version of a model is. It is shared and never changed
// after the model was opened.
type Info struct {
	// Name and Version are the folders that the file lies in; Version is at
	// least 1.
	Name    string
	Version int64
	// Origin names the file for people.
	Origin string
	// SHA256 is the file's, hexadecimal.
	SHA256 string
	// Inputs and Outputs are in the order of the file.
	Inputs, Outputs []Tensor
	// MaxRows is the most rows of one run, 1 to MaxRunRows.
	MaxRows int
	// Properties are the file's metadata_props.
	Properties map[string]string
	// SchemaSHA256 is the hash of the feature schema that the model was trained
	// for, hexadecimal; empty for a model that is no classifier of Sonde's.
	SchemaSHA256 string
	// Labels are the classes, in the order of the columns of output probs; none
	// for a model that is no classifier of Sonde's.
	Labels []Label
	// Calibration says when the model does not know.
	Calibration Calibration
}

// Label is one class of a classifier.
type Label struct {
	// Name is what classifications say.
	Name string `json:"name"`
	// Category says what such sessions are for; may be empty.
	Category string `json:"category"`
}

// Calibration says when the model does not know. Zero values never say so.
type Calibration struct {
	// Temperature is what the graph already divided its logits by; only told.
	Temperature float64
	// UnknownBelow is the probability below which the most probable label is not
	// to be believed, 0 to 1: one for all labels, or one for each.
	UnknownBelow []float64
	// UnknownAbove is the energy above which nothing is to be believed; nil when
	// energy does not count.
	UnknownAbove *float64
}

// Keys of the metadata_props that make a file one of Sonde's classifiers.
const (
	PropertySchemaSHA256 = "sonde.schema_sha256" // hash of the feature schema, hexadecimal
	PropertySchema       = "sonde.schema"        // the feature schema itself, JSON
	PropertyLabels       = "sonde.labels"        // JSON list of {"name", "category" or "parent"}, in the order of probs
	PropertyCalibration  = "sonde.calibration"   // JSON {"T", "tau": number or one for each label, "energy": number}
	PropertyMetrics      = "sonde.metrics"       // JSON, what training printed
	PropertyCreated      = "sonde.created"       // RFC 3339
)

// VersionString is the version as the protocol writes it.
func (i *Info) VersionString() string { return strconv.FormatInt(i.Version, 10) }

// Classifier says whether the model keeps the promises of Sonde's classifiers.
func (i *Info) Classifier() bool { return len(i.Labels) > 0 }

// Input returns the position of an input, or -1.
func (i *Info) Input(name string) int { return index(i.Inputs, name) }

// Output returns the position of an output, or -1.
func (i *Info) Output(name string) int { return index(i.Outputs, name) }

func index(tensors []Tensor, name string) int {
	return slices.IndexFunc(tensors, func(t Tensor) bool { return t.Name == name })
}

// Unknown says whether the model abstains from a label that it gave the
// probability p, at the given energy.
func (c *Calibration) Unknown(label int, p, energy float64) bool {
	switch len(c.UnknownBelow) {
	case 0:
	case 1:
		label = 0
		fallthrough
	default:
		if p < c.UnknownBelow[label] {
			return true
		}
	}
	return c.UnknownAbove != nil && energy > *c.UnknownAbove
}

// readProperties fills in what the file says about itself.
func (i *Info) readProperties() error {
	ours := false
	for key := range i.Properties {
		ours = ours || strings.HasPrefix(key, "sonde.")
	}
	if !ours {
		return nil
	}
	i.SchemaSHA256 = i.Properties[PropertySchemaSHA256]
	if i.SchemaSHA256 == "" {
		return errors.New("metadata has no " + PropertySchemaSHA256)
	}
	var err error
	if i.Labels, err = parseLabels(i.Properties[PropertyLabels]); err != nil {
		return fmt.Errorf("metadata %s: %w", PropertyLabels, err)
	}
	if text, ok := i.Properties[PropertyCalibration]; ok {
		if i.Calibration, err = parseCalibration(text, len(i.Labels)); err != nil {
			return fmt.Errorf("metadata %s: %w", PropertyCalibration, err)
		}
	}
	return nil
}

func parseLabels(text string) ([]Label, error) {
	if text == "" {
		return nil, errors.New("missing")
	}
	var list []struct {
		Label
		Parent string `json:"parent"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, err
	}
	labels, seen := make([]Label, len(list)), map[string]bool{}
	for n, l := range list {
		if l.Name == "" || seen[l.Name] {
			return nil, fmt.Errorf("label %d: name %q is empty or twice there", n, l.Name)
		}
		seen[l.Name] = true
		if l.Category == "" {
			l.Category = l.Parent
		}
		labels[n] = l.Label
	}
	if len(labels) == 0 {
		return nil, errors.New("no labels")
	}
	return labels, nil
}

func parseCalibration(text string, labels int) (Calibration, error) {
	var raw struct {
		T      float64         `json:"T"`
		Tau    json.RawMessage `json:"tau"`
		Energy *float64        `json:"energy"`
	}
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return Calibration{}, err
	}
	c := Calibration{Temperature: raw.T, UnknownAbove: raw.Energy}
	if len(raw.Tau) == 0 || string(raw.Tau) == "null" {
		return c, nil
	}
	var one float64
	if json.Unmarshal(raw.Tau, &one) == nil {
		c.UnknownBelow = []float64{one}
	} else if err := json.Unmarshal(raw.Tau, &c.UnknownBelow); err != nil {
		return Calibration{}, fmt.Errorf("tau: %w", err)
	} else if len(c.UnknownBelow) != labels {
		return Calibration{}, fmt.Errorf("tau has %d entries, there are %d labels", len(c.UnknownBelow), labels)
	}
	for _, tau := range c.UnknownBelow {
		if tau < 0 || tau > 1 {
			return Calibration{}, fmt.Errorf("tau %v is not between 0 and 1", tau)
		}
	}
	return c, nil
}
