package inference_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/grpc/status"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/inference"
)

// resident is what the process holds in memory, in bytes, C's included (proc(5), statm: the second number, in pages). What
// Go has free is given back first.
func resident(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(string(bytes.Fields(text)[1]))
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// residentWithin looks until what is held is within the limit, for as long as a request may hold what has left.
func residentWithin(t *testing.T, limit int) int {
	t.Helper()
	look, patience := time.NewTicker(200*time.Millisecond), time.After(10*time.Second)
	defer look.Stop()
	for {
		now := resident(t)
		if now <= limit {
			return now
		}
		select {
		case <-look.C:
		case <-patience:
			return now
		}
	}
}

// TestAHundredReloadsUnderTraffic changes the version that serves a hundred times while requests come. None fails, the
// memory levels off, and no goroutine stays behind.
//
// Each reload opens the model that ships anew, and frees the one before. In the first rounds the allocator and the engine
// grow to what two versions beside each other need under traffic; after that readings differ by some 15 MB for ever, for
// free memory lies in pieces between others, and by more while a request still holds the version before. What stays above
// the bound is a leak: a thirtieth of what a loaded version holds (some 20 times its file), kept at each reload, would pass it.
func TestAHundredReloadsUnderTraffic(t *testing.T) {
	const reloads, settled = 100, 40
	file := &fstest.MapFile{Data: readFile(t, shippedFile(t))}
	bound := 20<<20 + 12*len(file.Data)
	idle := resident(t)
	d := start(t, func(c *inference.Config) {
		c.BuiltIn = fstest.MapFS{"sonde/1/model.onnx": file, "sonde/2/model.onnx": file}
		c.Workers = 2
	})
	service, operator := kservev2.NewGRPCInferenceServiceClient(d.dial(d.certs.Service)), kservev2.NewGRPCInferenceServiceClient(d.dial(d.certs.Operator))
	load := func(version int) {
		t.Helper()
		policy := fmt.Sprintf(`{"version_policy":{"specific":{"versions":[%d]}}}`, version)
		_, err := operator.RepositoryModelLoad(t.Context(), &kservev2.RepositoryModelLoadRequest{
			ModelName: "sonde", Parameters: map[string]*kservev2.ModelRepositoryParameter{
				"config": {ParameterChoice: &kservev2.ModelRepositoryParameter_StringParam{StringParam: policy}},
			},
		})
		if err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
	}
	loaded := resident(t)

	stop := make(chan struct{})
	var traffic sync.WaitGroup
	var mu sync.Mutex // guards answered
	answered := map[string]int{}
	for _, rows := range []int{1, 7, 200} { // alone, together with others, and in two runs
		traffic.Go(func() {
			r := request(t, rows, uint64(rows))
			for {
				select {
				case <-stop:
					return
				default:
				}
				response, err := service.ModelInfer(t.Context(), r)
				if err != nil || len(response.GetOutputs()) != 3 {
					t.Errorf("a request of %d rows gets %v, %v", rows, response, status.Convert(err))
					return
				}
				mu.Lock()
				answered[response.GetModelVersion()]++
				mu.Unlock()
			}
		})
	}
	var then, goroutines int
	for n := range reloads {
		load(1 + n%2)
		if n == settled {
			then, goroutines = resident(t), runtime.NumGoroutine()
		}
	}
	now, left := residentWithin(t, then+bound), runtime.NumGoroutine()
	close(stop)
	traffic.Wait()
	t.Logf("resident before the model %d MB, with it %d, after %d reloads %d, after %d %d; answered %v; %d goroutines, then %d",
		idle>>20, loaded>>20, settled, then>>20, reloads, now>>20, answered, goroutines, left)
	if now > then+bound {
		t.Errorf("memory grows: %d bytes after %d reloads, %d after %d; at most %d more are right", then, settled, now, reloads, bound)
	}
	if left > goroutines+20 { // calls under way have some
		t.Errorf("there were %d goroutines, and are %d", goroutines, left)
	}
	if answered["1"] == 0 || answered["2"] == 0 || len(answered) != 2 {
		t.Errorf("answered %v", answered)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
