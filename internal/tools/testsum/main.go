// Command testsum reads what `go test -json` writes and prints what a person wants to see of it: a line for each
// package, the output of whatever failed, the reason of whatever was skipped, and last the sum. It exits with 1 unless
// at least one test ran, and all that ran passed, and none was skipped: a skipped test guards nothing.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of `go doc test2json`.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

func main() {
	if !summarise(os.Stdin, os.Stdout) {
		os.Exit(1)
	}
}

// summarise tells whether everything was run and passed.
func summarise(in io.Reader, out io.Writer) bool {
	var passed, failed, skipped int
	outputs := map[string]*strings.Builder{} // of each package and test that still runs
	explained := map[string]bool{}           // packages of which a test has failed
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(out, lines.Text()) // go's own words, or make's
			continue
		}
		key := e.Package + e.ImportPath + " " + e.Test
		if outputs[key] == nil {
			outputs[key] = &strings.Builder{}
		}
		switch e.Action {
		case "output":
			outputs[key].WriteString(e.Output)
			continue
		case "build-output":
			fmt.Fprint(out, e.Output)
			continue
		case "pass", "fail", "skip":
		default:
			continue
		}
		output := outputs[key].String()
		delete(outputs, key)
		switch {
		case e.Test != "" && e.Action == "pass":
			passed++
		case e.Test != "" && e.Action == "skip":
			skipped++
			fmt.Fprintf(out, "SKIP %s %s\n%s", e.Package, e.Test, output)
		case e.Test != "":
			failed++
			explained[e.Package] = true
			fmt.Fprintf(out, "FAIL %s %s\n%s", e.Package, e.Test, output)
		case e.Action == "pass":
			fmt.Fprintf(out, "ok   %s %.1fs\n", e.Package, e.Elapsed)
		case e.Action == "fail":
			if !explained[e.Package] { // it failed outside of its tests: build, TestMain, a crash
				failed++
			}
			fmt.Fprintf(out, "FAIL %s %.1fs\n%s", e.Package, e.Elapsed, output)
		}
	}
	if err := lines.Err(); err != nil {
		failed++
		fmt.Fprintln(out, "testsum:", err)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	return passed > 0 && failed == 0 && skipped == 0
}
