package serving

// VersionPolicy says which versions of a model are served. The zero value is
// the highest number.
type VersionPolicy struct {
	// Latest serves so many of the highest numbers; 0 means one.
	Latest int
	// All serves every version.
	All bool
	// Specific serves exactly these.
	Specific []int64
	// Keep lets what serves already and is not named go on, until Retain.
	Keep bool
}

// Entry is one version that lies in the repository or is loaded.
type Entry struct {
	Name, Version string
	// State is READY, LOADING or UNAVAILABLE; empty for what nobody asked for yet.
	State State
	// Reason says why it is UNAVAILABLE.
	Reason string
}

// State is what a version is doing, in the words of Triton's repository index.
type State string

// The states.
const (
	Ready       State = "READY"
	Loading     State = "LOADING"
	Unavailable State = "UNAVAILABLE"
)
