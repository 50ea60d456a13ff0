package telemetry

import (
	"maps"
	"sync"
)

// Ready is the one truth about whether a daemon can do its work. The daemon's parts set it as they come and go; /readyz and
// the gRPC health service both tell what it says. All methods may be called by many goroutines.
type Ready struct {
	mu       sync.Mutex        // guards what follows
	waiting  map[string]string // reason, by part that cannot work
	stopping bool
	changed  chan struct{} // closed and replaced at each change
}

// ReadyState is a Ready at one moment.
type ReadyState struct {
	// Waiting holds, for each part that cannot work, the reason.
	Waiting map[string]string
	// Stopping is set once the daemon drains; it will not be ready again.
	Stopping bool
	// Changed is closed when the state is not this one any more.
	Changed <-chan struct{}
}

// OK tells whether the daemon can do its work.
func (s ReadyState) OK() bool { return len(s.Waiting) == 0 && !s.Stopping }

// NewReady returns a state in which the named parts are starting. Without parts it is ready.
func NewReady(parts ...string) *Ready {
	r := &Ready{waiting: map[string]string{}, changed: make(chan struct{})}
	for _, part := range parts {
		r.waiting[part] = "starting"
	}
	return r
}

// Set says that a part can work.
func (r *Ready) Set(part string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, waiting := r.waiting[part]; waiting {
		delete(r.waiting, part)
		r.tell()
	}
}

// Unset says that a part cannot work, and why, in a few words without secrets.
func (r *Ready) Unset(part, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[part] != reason {
		r.waiting[part] = reason
		r.tell()
	}
}

// Stop says that the daemon drains, for good.
func (r *Ready) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stopping {
		r.stopping = true
		r.tell()
	}
}

// State returns what is so now.
func (r *Ready) State() ReadyState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return ReadyState{Waiting: maps.Clone(r.waiting), Stopping: r.stopping, Changed: r.changed}
}

func (r *Ready) tell() {
	close(r.changed)
	r.changed = make(chan struct{})
}
