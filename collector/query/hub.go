package query

import (
	"sync"

	queryv1 "sonde.example/gen/go/sonde/query/v1"

	"sonde.example/internal/record"
)

// backlog is how many results a watch holds for its reader: about a second of a busy collector, some 2 MB.
const backlog = 4096

// Hub hands stored results to whoever watches. It never waits: a watch whose backlog is full misses results and counts
// them. Its methods may be called at the same time.
type Hub struct {
	mu      sync.Mutex
	watches map[*watch]struct{}
}

// NewHub returns a hub that nobody watches.
func NewHub() *Hub { return &Hub{watches: map[*watch]struct{}{}} }

// watch is one reader.
type watch struct {
	filter record.Filter
	ready  chan struct{} // holds one token when there is something to take

	mu      sync.Mutex // guards what follows
	results []*queryv1.Result
	missed  uint64
}

// Publish tells every watch of results that were stored. The results must not change afterwards.
func (h *Hub) Publish(results ...*queryv1.Result) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watches {
		w.add(results)
	}
}

func (h *Hub) watch(filter record.Filter) *watch {
	w := &watch{filter: filter, ready: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watches[w] = struct{}{}
	return w
}

func (h *Hub) leave(w *watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watches, w)
}

func (w *watch) add(results []*queryv1.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range results {
		switch {
		case !w.filter.Match(r):
		case len(w.results) == backlog:
			w.missed++
		default:
			w.results = append(w.results, r)
		}
	}
	if len(w.results) > 0 {
		select {
		case w.ready <- struct{}{}:
		default:
		}
	}
}

// take returns what has come since the last take, and how many more came after these that there was no room for.
func (w *watch) take() (results []*queryv1.Result, missed uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	results, missed = w.results, w.missed
	w.results, w.missed = nil, 0
	return results, missed
}
