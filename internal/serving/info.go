package serving

import (
	"slices"
	"strconv"

	"sonde.example/internal/label"
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
	// Labels is what the file says of its outputs, the hash of the feature schema
	// among it; nil for a model that is no classifier of Sonde's.
	Labels *label.Set
	// Reference is what the file says of the traffic that the model was trained on; nil
	// when it says nothing.
	Reference *Reference
}

// Names of the outputs that every classifier of Sonde's has.
const (
	OutputProbs  = "probs"  // FP32, one column a label: calibrated probabilities
	OutputEnergy = "energy" // FP32, one element: how foreign the row is to the model
	OutputLabel  = "label"  // INT64, one element: position of the most probable label
)

// VersionString is the version as the protocol writes it.
func (i *Info) VersionString() string { return strconv.FormatInt(i.Version, 10) }

// Classifier says whether the model keeps the promises of Sonde's classifiers.
func (i *Info) Classifier() bool { return i.Labels != nil }

// Input returns the position of an input, or -1.
func (i *Info) Input(name string) int { return index(i.Inputs, name) }

// Output returns the position of an output, or -1.
func (i *Info) Output(name string) int { return index(i.Outputs, name) }

func index(tensors []Tensor, name string) int {
	return slices.IndexFunc(tensors, func(t Tensor) bool { return t.Name == name })
}
