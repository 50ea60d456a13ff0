package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"sonde.example/internal/telemetry"
	"sonde.example/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLoggerWritesWhatTheFlagsSay(t *testing.T) {
	for _, test := range []struct {
		name  string
		args  []string
		begin string
		lines int
	}{
		{"not a terminal", nil, `{"time":`, 3},
		{"text", []string{"--log-format=text"}, "time=", 3},
		{"only errors", []string{"--log-level=error", "--log-format=json"}, `{"time":`, 1},
		{"all", []string{"--log-level=debug"}, `{"time":`, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := telemetry.DefaultLogConfig()
			fs := pflag.NewFlagSet(test.name, pflag.ContinueOnError)
			config.RegisterFlags(fs)
			if err := fs.Parse(test.args); err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			log, err := telemetry.NewLogger(&text, config)
			if err != nil {
				t.Fatal(err)
			}
			for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
				log.Log(t.Context(), level, "said")
			}
			lines := strings.SplitAfter(strings.TrimSpace(text.String()), "\n")
			if len(lines) != test.lines || !strings.HasPrefix(lines[0], test.begin) {
				t.Errorf("got %d lines:\n%s", len(lines), text.String())
			}
		})
	}
}

func TestLogConfigNamesTheFlag(t *testing.T) {
	config := telemetry.LogConfig{Level: "loud", Format: "xml"}
	err := config.Validate()
	for _, want := range []string{"--log-level", "--log-format"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if _, err := telemetry.NewLogger(io.Discard, config); err == nil {
		t.Error("made a logger")
	}
}

func TestLimitedSaysHowManyWereHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		log := telemetry.Limited(slog.New(slog.NewJSONHandler(&text, nil)), time.Minute)
		uplink := log.With("component", "uplink")
		for range 100 { // 100 s: two go through
			log.Warn("link is down")
			uplink.Warn("link is down")
			log.Info("not limited")
			<-time.After(time.Second)
		}
		uplink.Error("another message")

		var held []float64
		infos, errs := 0, 0
		for line := range strings.Lines(text.String()) {
			var entry map[string]any
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatal(err)
			}
			switch entry["msg"] {
			case "link is down":
				count, _ := entry[telemetry.KeyHeldBack].(float64)
				held = append(held, count)
			case "not limited":
				infos++
			case "another message":
				errs++
			}
		}
		if len(held) != 2 || held[0] != 0 || held[1] != 119 { // 2 a second for a minute, but the one that went through
			t.Errorf("held back %v, want 0 and 119", held)
		}
		if infos != 100 || errs != 1 {
			t.Errorf("%d infos and %d errors, want 100 and 1", infos, errs)
		}
	})
}

func TestReadyTellsEachChangeOnce(t *testing.T) {
	ready := telemetry.NewReady("store", "queue")
	changes := 0
	step := func(name string, change func(), wantOK, wantChange bool) {
		t.Helper()
		before := ready.State()
		change()
		select {
		case <-before.Changed:
			changes++
			if !wantChange {
				t.Errorf("%s: told a change", name)
			}
		default:
			if wantChange {
				t.Errorf("%s: told no change", name)
			}
		}
		if got := ready.State().OK(); got != wantOK {
			t.Errorf("%s: ready is %v", name, got)
		}
	}
	step("first part", func() { ready.Set("store") }, false, true)
	step("again", func() { ready.Set("store") }, false, false)
	step("second part", func() { ready.Set("queue") }, true, true)
	step("away", func() { ready.Unset("queue", "connection refused") }, false, true)
	step("still away", func() { ready.Unset("queue", "connection refused") }, false, false)
	step("for another reason", func() { ready.Unset("queue", "time-out") }, false, true)
	step("back", func() { ready.Set("queue") }, true, true)
	step("stop", ready.Stop, false, true)
	step("stop again", ready.Stop, false, false)
	step("part of a stopping daemon", func() { ready.Set("queue") }, false, false)
	if changes != 6 {
		t.Errorf("%d changes", changes)
	}
}

func TestAdminServesUntilItsContextEnds(t *testing.T) {
	ready := telemetry.NewReady("store")
	registry := telemetry.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sonde_test_answer"}, func() float64 { return 42 }))
	ctx, cancel := context.WithCancel(t.Context())
	admin, err := telemetry.OpenAdmin(ctx, "127.0.0.1:0", registry, ready, testenv.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- admin.Run(ctx) }()

	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	get := func(path string, wantCode int, wantText string) {
		t.Helper()
		response, err := (&http.Client{Transport: transport}).Get("http://" + admin.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != wantCode || !strings.Contains(string(text), wantText) {
			t.Errorf("%s: %s: %.200s", path, response.Status, text)
		}
	}
	get("/healthz", http.StatusOK, "ok")
	get("/readyz", http.StatusServiceUnavailable, "store: starting")
	ready.Set("store")
	get("/readyz", http.StatusOK, "ready")
	ready.Unset("store", "connection refused")
	get("/readyz", http.StatusServiceUnavailable, "store: connection refused")
	get("/metrics", http.StatusOK, "sonde_test_answer 42")
	get("/metrics", http.StatusOK, "go_goroutines")
	get("/debug/pprof/goroutine?debug=1", http.StatusOK, "goroutine profile")
	get("/", http.StatusNotFound, "")
	ready.Stop()
	get("/readyz", http.StatusServiceUnavailable, "stopping")

	if _, err := telemetry.OpenAdmin(ctx, admin.Addr().String(), registry, ready, testenv.Log(t)); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a taken port: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAdminThatNeverRunsIsClosed(t *testing.T) {
	admin, err := telemetry.OpenAdmin(t.Context(), "127.0.0.1:0", prometheus.NewRegistry(), telemetry.NewReady(), testenv.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Close(); err != nil {
		t.Error(err)
	}
}
