package serving

import (
	"math"
	"sync/atomic"
	"time"
)

// Drift counts what a loaded version sees and answers, to be compared with its Reference. Rows are counted on the
// goroutine of their caller, many at once, without memory of their own and in less than a fiftieth of the time that it
// takes to run them.
type Drift struct {
	info      *Info
	reference *Reference
	since     time.Time
	probs     int // position of the outputs
	energy    int

	columns    []column
	confidence bins
	energies   bins

	rows    atomic.Uint64   // that came
	unknown atomic.Uint64   // of those whose answers were counted
	classes []atomic.Uint64 // of these, by label
}

// column is where a feature lies, and what was counted of it.
type column struct {
	input, offset, stride int // bytes
	small                 bool
	bins                  bins
}

// bins are the counts of one distribution. The last one is for what is no number.
type bins struct {
	edges  [maxEdges + 1]float64 // those that there are, then NaN, which nothing reaches
	counts [maxBins]atomic.Uint64
}

// NewDrift starts to count for a version; nil when the model has no reference.
func NewDrift(info *Info, now time.Time) *Drift {
	r := info.Reference
	if r == nil {
		return nil
	}
	d := &Drift{
		info: info, reference: r, since: now, probs: info.Output(OutputProbs), energy: info.Output(OutputEnergy),
		columns: make([]column, len(r.Features)), classes: make([]atomic.Uint64, len(r.Classes)),
	}
	for i := range r.Features {
		f, c := &r.Features[i], &d.columns[i]
		c.input = info.Input(f.Tensor)
		t := &info.Inputs[c.input]
		c.offset, c.stride, c.small = f.Index*t.Type.Size(), t.RowBytes(), t.Type == Uint8
		c.bins.set(f.Edges)
	}
	d.confidence.set(r.Confidence.Edges)
	d.energies.set(r.Energy.Edges)
	return d
}

func (b *bins) set(edges []float64) {
	for i := copy(b.edges[:], edges); i < len(b.edges); i++ {
		b.edges[i] = math.NaN()
	}
}

// bin finds a number's place.
func (b *bins) bin(number float32) int {
	const mask = maxEdges // spares the checks of the index
	x := float64(number)
	if math.IsNaN(x) {
		return maxBins - 1
	}
	at := 0
	if x >= b.edges[7] {
		at = 8
	}
	if x >= b.edges[(at+3)&mask] {
		at += 4
	}
	if x >= b.edges[(at+1)&mask] {
		at += 2
	}
	if x >= b.edges[at&mask] {
		at++
	}
	return at
}

// add adds what was counted apart, each for so many rows.
func (b *bins) add(counts *[maxBins]uint32, step int) {
	for i, n := range counts {
		if n > 0 {
			b.counts[i].Add(uint64(n) * uint64(step))
		}
	}
}

// sampleRows is from how many rows on a request is sampled: one row of sampleStep is counted, and stands for all of them.
// To look at every row of large requests would take 4 % of what running them does; shares lose nothing by it.
const (
	sampleRows = 32
	sampleStep = 4
)

// Count takes note of rows that were run. Answers are counted when both probabilities and energy were asked for. It keeps
// neither. A nil Drift counts nothing.
func (d *Drift) Count(in *Inputs, out *Outputs) {
	if d == nil {
		return
	}
	step := 1
	if in.Rows >= sampleRows {
		step = sampleStep
	}
	for i := range d.columns {
		c := &d.columns[i]
		data := in.Data[c.input]
		var counts [maxBins]uint32
		for at := c.offset; at < len(data); at += step * c.stride {
			if c.small {
				counts[c.bins.bin(float32(data[at]))]++
			} else {
				counts[c.bins.bin(Float32(data[at:], 0))]++
			}
		}
		c.bins.add(&counts, step)
	}
	d.rows.Add(uint64(in.Rows))
	if probs, energy := out.Data[d.probs], out.Data[d.energy]; probs != nil && energy != nil {
		d.answers(in.Rows, step, probs, energy)
	}
}

func (d *Drift) answers(rows, step int, probs, energies []byte) {
	var confidence, energy [maxBins]uint32
	unknown, labels := uint64(0), len(d.classes)
	for row := 0; row < rows; row += step {
		best, most := 0, float32(-1)
		for c := range labels {
			if p := Float32(probs[4*(row*labels+c):], 0); p > most {
				best, most = c, p
			}
		}
		e := Float32(energies, row)
		confidence[d.confidence.bin(most)]++
		energy[d.energies.bin(e)]++
		if d.info.Labels.Unknown(best, most, e) {
			unknown++
		}
		d.classes[best].Add(uint64(step))
	}
	d.confidence.add(&confidence, step)
	d.energies.add(&energy, step)
	d.unknown.Add(unknown * uint64(step))
}

// Seen is one quantity as it was in training and as it is in service.
type Seen struct {
	// PSI is the population stability index; 0 while nothing was seen.
	PSI float64
	// Reference and Shares have the shares of the bins, each adding up to 1; Shares are all 0 while nothing was seen.
	Reference, Shares []float64
}

// DriftReport is a copy of what a Drift has counted.
type DriftReport struct {
	// Since is when counting began: when the version was loaded.
	Since time.Time
	// Rows were seen.
	Rows uint64
	// UnknownRate is the share of the answers that were unknown.
	UnknownRate float64
	// Features are in the order of the reference.
	Features []Seen
	// Confidence, Energy and Classes are of the answers.
	Confidence, Energy, Classes Seen
}

// Report compares what was counted so far. Rows that are being counted meanwhile may be in one part of it and not yet in
// another.
func (d *Drift) Report() DriftReport {
	r := DriftReport{Since: d.since, Rows: d.rows.Load(), Features: make([]Seen, len(d.columns))}
	for i := range d.columns {
		r.Features[i] = d.columns[i].bins.seen(&d.reference.Features[i].Distribution)
	}
	r.Confidence = d.confidence.seen(&d.reference.Confidence)
	r.Energy = d.energies.seen(&d.reference.Energy)
	counts, unknown, answered := make([]uint64, len(d.classes)), d.unknown.Load(), uint64(0)
	for i := range d.classes {
		counts[i] = d.classes[i].Load()
		answered += counts[i]
	}
	r.Classes = compare(d.reference.Classes, counts)
	if answered > 0 {
		r.UnknownRate = min(float64(unknown)/float64(answered), 1)
	}
	return r
}

func (b *bins) seen(reference *Distribution) Seen {
	counts := make([]uint64, len(reference.Edges)+1, maxBins)
	for i := range counts {
		counts[i] = b.counts[i].Load()
	}
	if reference.Absent() {
		counts = append(counts, b.counts[maxBins-1].Load())
	}
	return compare(reference.Shares, counts)
}

// leastShare stands for a bin in which nothing fell: the logarithm of nothing would outweigh everything.
const leastShare = 0.0001

// compare works out the population stability index: the sum over bins of (seen - reference) * ln(seen / reference).
func compare(reference []float64, counts []uint64) Seen {
	s := Seen{Reference: reference, Shares: make([]float64, len(counts))}
	total := uint64(0)
	for _, n := range counts {
		total += n
	}
	if total == 0 {
		return s
	}
	for i, n := range counts {
		s.Shares[i] = float64(n) / float64(total)
		was, is := max(reference[i], leastShare), max(s.Shares[i], leastShare)
		s.PSI += (is - was) * math.Log(is/was)
	}
	return s
}
