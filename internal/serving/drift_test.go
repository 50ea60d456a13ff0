package serving_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sonde.example/internal/label"
	"sonde.example/internal/serving"
)

// watched is a model of two inputs and two labels with a reference.
func watched(t testing.TB, reference string) *serving.Info {
	t.Helper()
	info := &serving.Info{
		Inputs: []serving.Tensor{
			{Name: "bytes", Type: serving.Uint8, Dims: []int64{3}}, {Name: "meta", Type: serving.FP32, Dims: []int64{2}},
			{Name: "ids", Type: serving.Int64},
		},
		Outputs: []serving.Tensor{
			{Name: serving.OutputProbs, Type: serving.FP32, Dims: []int64{2}}, {Name: serving.OutputEnergy, Type: serving.FP32},
		},
		Labels:     &label.Set{Labels: []label.Label{{Name: "dns"}, {Name: "tls"}}, UnknownBelow: []float64{0.6}},
		Properties: map[string]string{serving.PropertyReference: reference},
	}
	var err error
	if info.Reference, err = serving.ReadReference(info); err != nil {
		t.Fatal(err)
	}
	return info
}

const goodReference = `{
	"features": [
		{"name": "meta: packets", "tensor": "meta", "index": 1, "edges": [1, 2.5, 10], "shares": [0.25, 0.25, 0.25, 0.25, 0]},
		{"name": "bytes: first", "tensor": "bytes", "index": 0, "edges": [], "shares": [1, 0]}
	],
	"confidence": {"edges": [0.5, 0.9], "shares": [0.1, 0.4, 0.5]}, "energy": {"edges": [-3], "shares": [0.5, 0.5, 0]},
	"classes": [0.75, 0.25], "unknown_rate": 0.03}`

func floats(values ...float32) (data []byte) {
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

func TestDriftCountsWhatComesAndWhatIsAnswered(t *testing.T) {
	begun := time.Unix(100, 0)
	d := serving.NewDrift(watched(t, goodReference), begun)
	if r := d.Report(); r.Rows != 0 || r.Features[0].PSI != 0 || r.UnknownRate != 0 {
		t.Errorf("before anything came: %+v", r)
	}
	nan := float32(math.NaN())
	in := &serving.Inputs{Rows: 4, Data: [][]byte{make([]byte, 12), floats(9, 1, 9, 2.5, 9, nan, 9, 2.4), make([]byte, 32)}}
	d.Count(in, &serving.Outputs{Data: [][]byte{floats(0.95, 0.05, 0.3, 0.7, 0.55, 0.45, 1, 0), floats(-4, -2, -3, -5)}})
	// Answers that nobody has asked for are not there to be counted.
	d.Count(in, &serving.Outputs{Data: [][]byte{nil, floats(-4, -2, -3, -5)}})

	got, half := d.Report(), math.Log(0.5/0.25)
	want := serving.DriftReport{
		Since: begun, Rows: 8, UnknownRate: 0.25,
		Features: []serving.Seen{
			{Reference: []float64{0.25, 0.25, 0.25, 0.25, 0}, Shares: []float64{0, 0.5, 0.25, 0, 0.25}}, {Reference: []float64{1, 0}, Shares: []float64{1, 0}},
		},
		Confidence: serving.Seen{Reference: []float64{0.1, 0.4, 0.5}, Shares: []float64{0, 0.5, 0.5}},
		Energy:     serving.Seen{Reference: []float64{0.5, 0.5, 0}, Shares: []float64{0.5, 0.5, 0}},
		Classes:    serving.Seen{Reference: []float64{0.75, 0.25}, Shares: []float64{0.75, 0.25}},
	}
	const empty = 0.0001
	want.Features[0].PSI = 2*(empty-0.25)*math.Log(empty/0.25) + 0.25*half + (0.25-empty)*math.Log(0.25/empty)
	want.Confidence.PSI = (empty-0.1)*math.Log(empty/0.1) + 0.1*math.Log(0.5/0.4)
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}

	var none *serving.Drift
	none.Count(in, nil)
}

// Every number falls into the bin that a plain count of edges gives.
func TestDriftFindsTheBin(t *testing.T) {
	for n := range 16 {
		var edges, shares []string
		for i := range n {
			edges = append(edges, fmt.Sprint(2*i))
		}
		for range n + 2 {
			shares = append(shares, fmt.Sprint(1/float64(n+2)))
		}
		reference := strings.Replace(goodReference, `"edges": [1, 2.5, 10], "shares": [0.25, 0.25, 0.25, 0.25, 0]`,
			`"edges": [`+strings.Join(edges, ",")+`], "shares": [`+strings.Join(shares, ",")+`]`, 1)
		info := watched(t, reference)
		for _, x := range []float32{float32(math.Inf(-1)), -1, 0, 1, 2, 3, 13.5, 14, 15, 20, 26, 28, 29, float32(math.Inf(1)), float32(math.NaN())} {
			d := serving.NewDrift(info, time.Time{})
			d.Count(&serving.Inputs{Rows: 1, Data: [][]byte{make([]byte, 3), floats(0, x), nil}}, &serving.Outputs{Data: make([][]byte, 2)})
			want := 0
			for i := range n {
				if x >= float32(2*i) {
					want++
				}
			}
			if math.IsNaN(float64(x)) {
				want = n + 1
			}
			if got := d.Report().Features[0].Shares; got[want] != 1 {
				t.Errorf("%d edges: %v lies in %v, want bin %d", n, x, got, want)
			}
		}
	}
}

func TestReadReferenceNamesWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"no JSON":          {`{`, `[`, "sonde.refhist: invalid character"},
		"number for text":  {`"meta: packets"`, `7`, "cannot unmarshal number"},
		"no name":          {`"meta: packets"`, `""`, `features[0] "": name is empty`},
		"twice":            {`"bytes: first"`, `"meta: packets"`, `features[1] "meta: packets": the name is there twice`},
		"taken name":       {`"bytes: first"`, `"class"`, "means something else"},
		"no such tensor":   {`"meta"`, `"nothing"`, "there is no input"},
		"other type":       {`"meta", "index": 1`, `"ids", "index": 0`, "is INT64"},
		"outside":          {`"index": 1`, `"index": 2`, `"meta: packets": index 2 is not within 0 and 1`},
		"negative":         {`"index": 1`, `"index": -1`, "index -1"},
		"descending":       {`[1, 2.5, 10]`, `[1, 1, 10]`, "edges do not ascend at 1"},
		"too large":        {`[1, 2.5, 10]`, `[1, 2.5, 1e390]`, "cannot unmarshal number 1e390"},
		"too many edges":   {`[1, 2.5, 10]`, `[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]`, "16 edges, at most 15"},
		"no absent":        {`[0.25, 0.25, 0.25, 0.25, 0]`, `[0.25, 0.25, 0.25, 0.25]`, "there is no share of the rows in which it is absent"},
		"negative share":   {`[0.25, 0.25, 0.25, 0.25, 0]`, `[0.25, 0.25, 0.25, 0.5, -0.25]`, "share 4 is -0.25"},
		"not all":          {`[0.25, 0.25, 0.25, 0.25, 0]`, `[0.25, 0.25, 0.25, 0.1, 0]`, "add up to 0.85"},
		"confidence":       {`[0.1, 0.4, 0.5]`, `[0.1, 0.9]`, "confidence: 2 shares for 2 edges, there must be 3, or 4"},
		"energy":           {`[0.5, 0.5, 0]`, `[0.5, 0.6, 0]`, "energy: the shares add up to 1.1"},
		"a class too few":  {`[0.75, 0.25]`, `[1]`, "classes has 1 shares, there are 2 labels"},
		"classes":          {`[0.75, 0.25]`, `[0.75, 0.75]`, "classes: the shares"},
		"unknown rate":     {`0.03`, `3`, "unknown_rate 3"},
		"too many columns": {`"features": [`, `"features": [` + strings.Repeat(`{"name": "x", "tensor": "meta", "index": 0, "shares": [1, 0]},`, 31), "33 features, at most 32"},
	} {
		info := watched(t, goodReference)
		info.Properties[serving.PropertyReference] = strings.Replace(goodReference, c.from, c.to, 1)
		if _, err := serving.ReadReference(info); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if r, err := serving.ReadReference(&serving.Info{}); r != nil || err != nil || serving.NewDrift(&serving.Info{}, time.Time{}) != nil {
		t.Errorf("no reference: %v, %v", r, err)
	}
}

func TestDriftIsCountedByManyWithoutMemory(t *testing.T) {
	d := serving.NewDrift(watched(t, goodReference), time.Now())
	in := &serving.Inputs{Rows: 1, Data: [][]byte{make([]byte, 3), floats(0, 1), nil}}
	out := &serving.Outputs{Data: [][]byte{floats(0.2, 0.8), floats(-1)}}
	if n := testing.AllocsPerRun(100, func() { d.Count(in, out) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	// Of a large request one row of four is looked at, and all are counted.
	large := &serving.Inputs{Rows: 40, Data: [][]byte{make([]byte, 120), make([]byte, 320), nil}}
	large.Data[1] = large.Data[1][:0]
	for i := range 40 {
		large.Data[1] = append(large.Data[1], floats(0, float32(i%8))...)
	}
	l := serving.NewDrift(watched(t, goodReference), time.Now())
	l.Count(large, &serving.Outputs{Data: make([][]byte, 2)})
	if r := l.Report(); r.Rows != 40 || r.Features[0].Shares[0] != 0.5 || r.Features[0].Shares[2] != 0.5 {
		t.Errorf("counted %+v", r)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				d.Count(in, out)
			}
		})
	}
	wg.Wait()
	if r := d.Report(); r.Rows != 4101 || r.Features[0].Shares[1] != 1 || r.Classes.Shares[1] != 1 || r.Confidence.Shares[1] != 1 {
		t.Errorf("counted %+v", r)
	}
}

// BenchmarkDrift counts rows of the size of Sonde's, 20 features and 60 labels, as requests of 128.
func BenchmarkDrift(b *testing.B) {
	const rows, labels, features = 128, 60, 20
	var classes, watched []string
	info := &serving.Info{
		Inputs: []serving.Tensor{{Name: "meta", Type: serving.FP32, Dims: []int64{96}}},
		Outputs: []serving.Tensor{
			{Name: serving.OutputProbs, Type: serving.FP32, Dims: []int64{labels}}, {Name: serving.OutputEnergy, Type: serving.FP32},
		},
		Labels: &label.Set{Labels: make([]label.Label, labels), UnknownBelow: make([]float64, labels)},
	}
	for range labels {
		classes = append(classes, fmt.Sprint(1.0/labels))
	}
	nine, ten := `"edges": [-8,-4,-2,-1,0,1,2,4,8]`, strings.Repeat("0.1,", 9)+"0.1"
	for i := range features {
		watched = append(watched, fmt.Sprintf(`{"name": "%d", "tensor": "meta", "index": %d, %s, "shares": [%s, 0]}`, i, 4*i, nine, ten))
	}
	info.Properties = map[string]string{serving.PropertyReference: fmt.Sprintf(
		`{"features": [%s], "confidence": {%s, "shares": [%s]}, "energy": {%s, "shares": [%s]}, "classes": [%s]}`,
		strings.Join(watched, ","), nine, ten, nine, ten, strings.Join(classes, ","))}
	var err error
	if info.Reference, err = serving.ReadReference(info); err != nil {
		b.Fatal(err)
	}
	in, out := &serving.Inputs{Rows: rows, Data: make([][]byte, 1)}, &serving.Outputs{Data: make([][]byte, 2)}
	for i := range rows * 96 {
		in.Data[0] = append(in.Data[0], floats(float32(10*math.Sin(float64(i))))...)
	}
	for i := range rows * labels {
		out.Data[0] = append(out.Data[0], floats(float32(math.Abs(math.Sin(float64(i)))))...)
	}
	out.Data[1] = in.Data[0][:4*rows]
	d := serving.NewDrift(info, time.Now())
	b.ReportAllocs()
	for b.Loop() {
		d.Count(in, out)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
}
