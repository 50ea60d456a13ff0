package serving

import (
	"maps"
	"sync"
	"time"
)

// Stats counts what one loaded version has done. Many goroutines may use it; it
// is written once a run, not once a row.
type Stats struct {
	mu sync.Mutex // guards s
	s  Statistics
}

// Statistics is a copy of a version's counters since it was loaded.
type Statistics struct {
	Name, Version string
	// Last is when the last run ended; zero means never.
	Last time.Time
	// Pending requests are in the queue.
	Pending int
	// Rows that were run, in Runs runs.
	Rows, Runs uint64
	// Success and the parts of its time: each request is charged with the whole
	// run that it was part of, as Triton does it.
	Success, Queue, Input, Infer, Output Duration
	// Failed requests by reason.
	Failed map[Failure]Duration
	// Batches are the runs by number of rows.
	Batches map[int]Batch
}

// Batch tells about the runs of one number of rows.
type Batch struct{ Input, Infer, Output Duration }

// Duration counts something and adds up the time it took.
type Duration struct {
	Count uint64
	Time  time.Duration
}

// Add counts n more that took t altogether.
func (d *Duration) Add(n int, t time.Duration) { d.Count += uint64(n); d.Time += t }

// Failure is why a request that found its model failed. The words are those of
// Triton's metric.
type Failure string

// The reasons.
const (
	Rejected Failure = "REJECTED" // no room in the queue, or its time ran out there
	Canceled Failure = "CANCELED" // the caller left, or its deadline passed
	Backend  Failure = "BACKEND"  // the run failed
	Other    Failure = "OTHER"    // the request was not fit to be run
)

// Failures lists the reasons.
func Failures() []Failure { return []Failure{Rejected, Canceled, Backend, Other} }

// Run is what Stats.Ran is told of one run.
type Run struct {
	// Requests and Rows that were run together.
	Requests, Rows int
	// Queue and Total add up, over the requests, the time in the queue and the
	// time from arrival to answer.
	Queue, Total time.Duration
	// Longest is the longest of the times in the queue.
	Longest time.Duration
	// Input, Infer and Output are what this run took.
	Input, Infer, Output time.Duration
	// Ended is when.
	Ended time.Time
}

// Ran takes note of a run that went well.
func (s *Stats) Ran(r Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Last = r.Ended
	s.s.Rows += uint64(r.Rows)
	s.s.Runs++
	n := time.Duration(r.Requests)
	s.s.Success.Add(r.Requests, r.Total)
	s.s.Queue.Add(r.Requests, r.Queue)
	s.s.Input.Add(r.Requests, n*r.Input)
	s.s.Infer.Add(r.Requests, n*r.Infer)
	s.s.Output.Add(r.Requests, n*r.Output)
	if s.s.Batches == nil {
		s.s.Batches = map[int]Batch{}
	}
	b := s.s.Batches[r.Rows]
	b.Input.Add(1, r.Input)
	b.Infer.Add(1, r.Infer)
	b.Output.Add(1, r.Output)
	s.s.Batches[r.Rows] = b
}

// Fail takes note of requests that failed, after the given time altogether.
func (s *Stats) Fail(reason Failure, requests int, total time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.s.Failed == nil {
		s.s.Failed = map[Failure]Duration{}
	}
	d := s.s.Failed[reason]
	d.Add(requests, total)
	s.s.Failed[reason] = d
}

// Wait takes note of requests that enter the queue, or leave it when n is
// negative.
func (s *Stats) Wait(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Pending += n
}

// Snapshot copies the counters.
func (s *Stats) Snapshot() Statistics {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.s
	c.Failed, c.Batches = maps.Clone(c.Failed), maps.Clone(c.Batches)
	return c
}
