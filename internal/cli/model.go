package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sonde.example/inference"
	"sonde.example/internal/feature"
	"sonde.example/internal/label"
	"sonde.example/internal/serving"
)

// Metadata of a model that are shown to be there.
const (
	propertyCard      = "sonde.card"
	propertyMetrics   = "sonde.metrics"
	propertyReference = "sonde.refhist"
)

func newModel(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "model",
		GroupID: "use",
		Short:   "Look at models before they serve",
		Example: "  sonde model check models/mine/1/model.onnx",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	library, asJSON := "", false
	check := &cobra.Command{
		Use:   "check FILE|FOLDER",
		Short: "Say what a model is, and whether inference would serve it",
		Long: `Do with a model file, or with each MODEL/VERSION/model.onnx of a folder, what inference does before it lets one serve: read
it, compare it with the features that this program computes, open it in ONNX Runtime and run it. Beyond that, run rows as they come
in service, alone and in a batch, which must not make a difference, and measure how long they take. What would be refused is said
with the reason, and the command ends with 1.`,
		Example: "  sonde model check mine.onnx\n  sonde model check --json /var/lib/sonde/models | jq -r 'select(.refused) | .file'",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := setUp(cmd.Flags(), "inference", func() error { return nil }); err != nil {
				return err
			}
			files, err := inference.CheckModels(cmd.Context(), args[0], library, []int{1, 64, 256})
			if err != nil {
				return err
			}
			return reportModels(s, files, asJSON)
		},
	}
	check.Flags().StringVar(&library, "onnxruntime", "", "path of libonnxruntime.so; empty: SONDE_ONNXRUNTIME, then beside the program, then where the system looks")
	check.Flags().BoolVar(&asJSON, "json", false, "one JSON object a file and line")
	cmd.AddCommand(check)
	return cmd
}

// reportModels shows what is known of each file; that one would be refused is the command's own error.
func reportModels(s streams, files []inference.CheckedFile, asJSON bool) error {
	var refused error
	for i := range files {
		f := &files[i]
		show := showModel
		if asJSON {
			show = showModelJSON
		}
		if err := show(s.out, f); err != nil {
			return err
		}
		if f.Err != nil {
			complain(s.err, f.Path+": "+f.Err.Error())
			refused = errReported
		}
	}
	return refused
}

// showModel is for people. Names come from the file, so whoever made it could have put anything there.
func showModel(out io.Writer, f *inference.CheckedFile) error {
	if _, err := fmt.Fprintln(out, printable(f.Path)); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	var errs []error
	line := func(name, text string) {
		_, err := fmt.Fprintf(w, "  %s\t%s\n", name, printable(text))
		errs = append(errs, err)
	}
	if info := f.Info; info != nil {
		line("sha256", info.SHA256)
		line("inputs", tensorsText(info.Inputs))
		line("outputs", tensorsText(info.Outputs))
		if info.Classifier() {
			describeClassifier(info, line)
		} else {
			line("classifier", "no: it has none of Sonde's metadata, and is served by its tensors only, not for sessions")
		}
	}
	if len(f.Latencies) > 0 {
		line("rows alone", fmt.Sprintf("as in a batch, to within %.1g", f.BatchDifference))
		line("latency", latencyText(f))
	}
	if f.Err == nil {
		line("served", "yes")
	} else {
		line("served", "no")
	}
	return errors.Join(append(errs, w.Flush())...)
}

func describeClassifier(info *serving.Info, line func(name, text string)) {
	set := info.Labels
	whose := "that of this program"
	if want := feature.SchemaSHA256(); set.SchemaSHA256 != want {
		whose = "this program's is " + want
	}
	line("schema", set.SchemaSHA256+", "+whose)
	var strong, weak []string
	for _, l := range set.Labels {
		if l.Weak {
			weak = append(weak, l.Name)
		} else {
			strong = append(strong, l.Name)
		}
	}
	line("labels", strconv.Itoa(len(strong))+": "+strings.Join(strong, " "))
	if len(weak) > 0 {
		line("weak", strconv.Itoa(len(weak))+": "+strings.Join(weak, " "))
	}
	line("unknown", unknownText(set))
	has := func(name, key, without string) {
		if info.Properties[key] == "" {
			line(name, without)
		} else {
			line(name, "yes")
		}
	}
	has("card", propertyCard, "no: GetModel will have none to show")
	has("metrics", propertyMetrics, "no")
	has("drift", propertyReference, "no reference: GetDrift will refuse")
}

func unknownText(set *label.Set) string {
	var parts []string
	if set.Temperature != 0 {
		parts = append(parts, fmt.Sprintf("temperature %.3g", set.Temperature))
	}
	switch below := set.UnknownBelow; {
	case len(below) == 1:
		parts = append(parts, fmt.Sprintf("below a probability of %.3g", below[0]))
	case len(below) > 1:
		parts = append(parts, fmt.Sprintf("below a probability of %.3g to %.3g, by label", slices.Min(below), slices.Max(below)))
	}
	if set.UnknownAbove != nil {
		parts = append(parts, fmt.Sprintf("above an energy of %.3g", *set.UnknownAbove))
	}
	if len(parts) == 0 {
		return "never: it has no sonde.calibration"
	}
	return strings.Join(parts, ", ")
}

func tensorsText(tensors []serving.Tensor) string {
	texts := make([]string, len(tensors))
	for i := range tensors {
		texts[i] = fmt.Sprintf("%s %s %v", tensors[i].Name, tensors[i].Type, tensors[i].Shape())
	}
	return strings.Join(texts, ", ")
}

func latencyText(f *inference.CheckedFile) string {
	texts := make([]string, len(f.Latencies))
	for i, l := range f.Latencies {
		texts[i] = fmt.Sprintf("%s us a row at %d", microseconds(l.PerRow), l.Rows)
	}
	return strings.Join(texts, ", ")
}

func microseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Nanoseconds())/1000, 'f', 1, 64)
}

// modelJSON is one file for programs.
type modelJSON struct {
	File            string          `json:"file"`
	Served          bool            `json:"served"`
	Refused         string          `json:"refused,omitempty"` // why it is not served
	SHA256          string          `json:"sha256,omitempty"`
	Inputs          []tensorJSON    `json:"inputs,omitempty"`
	Outputs         []tensorJSON    `json:"outputs,omitempty"`
	Classifier      bool            `json:"classifier"`
	SchemaSHA256    string          `json:"schema_sha256,omitempty"`
	Labels          []label.Label   `json:"labels,omitempty"`
	Temperature     float64         `json:"temperature,omitempty"`
	UnknownBelow    []float64       `json:"unknown_below,omitempty"`
	UnknownAbove    *float64        `json:"unknown_above,omitempty"`
	Has             map[string]bool `json:"has,omitempty"` // card, metrics, drift
	BatchDifference *float64        `json:"batch_difference,omitempty"`
	Latencies       []latencyJSON   `json:"latencies,omitempty"`
}

type tensorJSON struct {
	Name  string  `json:"name"`
	Type  string  `json:"datatype"`
	Shape []int64 `json:"shape"`
}

type latencyJSON struct {
	Rows           int     `json:"rows"`
	MicrosecondRow float64 `json:"us_per_row"`
}

func showModelJSON(out io.Writer, f *inference.CheckedFile) error {
	m := modelJSON{File: f.Path, Served: f.Err == nil}
	if f.Err != nil {
		m.Refused = f.Err.Error()
	}
	if info := f.Info; info != nil {
		m.SHA256, m.Classifier = info.SHA256, info.Classifier()
		m.Inputs, m.Outputs = tensorsJSON(info.Inputs), tensorsJSON(info.Outputs)
		if set := info.Labels; set != nil {
			m.SchemaSHA256, m.Labels, m.Temperature = set.SchemaSHA256, set.Labels, set.Temperature
			m.UnknownBelow, m.UnknownAbove = set.UnknownBelow, set.UnknownAbove
			m.Has = map[string]bool{}
			for name, key := range map[string]string{"card": propertyCard, "metrics": propertyMetrics, "drift": propertyReference} {
				m.Has[name] = info.Properties[key] != ""
			}
		}
	}
	for _, l := range f.Latencies {
		m.BatchDifference = &f.BatchDifference
		m.Latencies = append(m.Latencies, latencyJSON{Rows: l.Rows, MicrosecondRow: float64(l.PerRow.Nanoseconds()) / 1000})
	}
	return json.NewEncoder(out).Encode(m)
}

func tensorsJSON(tensors []serving.Tensor) []tensorJSON {
	all := make([]tensorJSON, len(tensors))
	for i := range tensors {
		all[i] = tensorJSON{Name: tensors[i].Name, Type: tensors[i].Type.String(), Shape: tensors[i].Shape()}
	}
	return all
}
