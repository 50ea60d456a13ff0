package label_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"sonde.example/internal/label"
)

func properties(labels, calibration string) map[string]string {
	p := map[string]string{label.PropertySchemaSHA256: "ab", label.PropertyLabels: labels}
	if calibration != "" {
		p[label.PropertyCalibration] = calibration
	}
	return p
}

const threeLabels = `[{"id":0,"name":"dns","category":"name-service"},{"id":1,"name":"tls","category":"web"},{"id":2,"name":"ssh","category":"remote-access","weak":true}]`

func TestReadNamesWhatIsWrong(t *testing.T) {
	for want, p := range map[string]map[string]string{
		"no sonde.schema_sha256":      {},
		"sonde.labels: unexpected":    properties(``, ``),
		"0 labels":                    properties(`[]`, ``),
		`label 1: name "a"`:           properties(`[{"name":"a"},{"name":"a"}]`, ``),
		`label 0: name ""`:            properties(`[{}]`, ``),
		"sonde.calibration: tau":      properties(threeLabels, `{"tau":"x"}`),
		"tau has 2 entries":           properties(threeLabels, `{"tau":[0.1,0.2]}`),
		"tau 2 is not":                properties(threeLabels, `{"tau":2}`),
		"sonde.calibration: invalid":  properties(threeLabels, `x`),
		"sonde.labels: json: cannot ": properties(`{}`, ``),
	} {
		if _, err := label.Read(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Read = %v, want %q", err, want)
		}
	}
}

func TestClassify(t *testing.T) {
	s, err := label.Read(properties(threeLabels, `{"T":1.5,"tau":[0.5,0.9,0.5],"energy":-1}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		probabilities []float32
		energy        float32
		label         string
		unknown       bool
	}{
		"sure":                {[]float32{0.8, 0.1, 0.1}, -5, "dns", false},
		"below its own tau":   {[]float32{0.1, 0.8, 0.1}, -5, "tls", true},
		"too much energy":     {[]float32{0.1, 0.1, 0.8}, 0, "ssh", true},
		"energy is no number": {[]float32{0.1, 0.1, 0.8}, float32(math.NaN()), "ssh", true},
		"tie goes to first":   {[]float32{0.5, 0.5, 0}, -5, "dns", false},
	} {
		got, err := s.Classify(c.probabilities, c.energy, 2)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.GetLabel() != c.label || got.GetUnknown() != c.unknown || len(got.GetTop()) != 2 || got.GetTop()[0].GetName() != c.label ||
			got.GetWeak() != (c.label == "ssh") {
			t.Errorf("%s: got %v", name, got)
		}
	}
	for name, row := range map[string][]float32{
		"not a number": {float32(math.NaN()), 0, 1},
		"negative":     {-0.1, 0.1, 1},
		"too large":    {2, 0, 0},
		"too short":    {1},
	} {
		if _, err := s.Classify(row, 0, 0); !errors.Is(err, label.ErrOutput) {
			t.Errorf("%s: %v, want ErrOutput", name, err)
		}
	}
}
