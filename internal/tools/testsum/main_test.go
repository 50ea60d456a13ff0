package main

import (
	"strings"
	"testing"
)

func TestSummariseCountsAndJudges(t *testing.T) {
	const pass = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":0.1}
`
	tests := map[string]struct {
		in   string
		want string // the last line
		ok   bool
		say  string
	}{
		"all pass":   {pass, "1 passed, 0 failed, 0 skipped", true, "ok   p 0.1s"},
		"no test":    {`{"Action":"skip","Package":"p"}`, "0 passed, 0 failed, 0 skipped", false, ""},
		"other text": {"go: downloading x\n" + pass, "1 passed, 0 failed, 0 skipped", true, "go: downloading x"},
		"a failure": {pass + `{"Action":"output","Package":"q","Test":"TestB","Output":"got 1, want 2\n"}
{"Action":"fail","Package":"q","Test":"TestB"}
{"Action":"fail","Package":"q"}`, "1 passed, 1 failed, 0 skipped", false, "got 1, want 2"},
		"a skip": {pass + `{"Action":"output","Package":"q","Test":"TestB","Output":"no redis\n"}
{"Action":"skip","Package":"q","Test":"TestB"}
{"Action":"pass","Package":"q"}`, "1 passed, 0 failed, 1 skipped", false, "no redis"},
		"does not build": {pass + `{"Action":"build-output","ImportPath":"q [q.test]","Output":"q.go:1: syntax error\n"}
{"Action":"build-fail","ImportPath":"q [q.test]"}
{"Action":"fail","Package":"q","FailedBuild":"q [q.test]"}`, "1 passed, 1 failed, 0 skipped", false, "syntax error"},
		"a crash": {pass + `{"Action":"run","Package":"q","Test":"TestB"}
{"Action":"output","Package":"q","Test":"TestB","Output":"panic: out of luck\n"}
{"Action":"fail","Package":"q","Test":"TestB"}
{"Action":"fail","Package":"q"}`, "1 passed, 1 failed, 0 skipped", false, "out of luck"},
	}
	for name, test := range tests {
		var out strings.Builder
		ok := summarise(strings.NewReader(test.in), &out)
		if ok != test.ok || !strings.HasSuffix(out.String(), test.want+"\n") || !strings.Contains(out.String(), test.say) {
			t.Errorf("%s: got %v and %q, want %v, %q, and last %q", name, ok, out.String(), test.ok, test.say, test.want)
		}
	}
}
