package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// adminHeaderTimeout turns out whoever connects and says nothing.
	adminHeaderTimeout = 5 * time.Second
	// adminStopTimeout is what a scrape under way gets to finish in.
	adminStopTimeout = 2 * time.Second
	// adminMaxHeaderBytes is far more than a scraper sends.
	adminMaxHeaderBytes = 16 << 10
)

// Admin serves a daemon's /metrics, /healthz, /readyz and /debug/pprof over HTTP. It knows no users: it belongs on a
// loopback address, or behind something that does.
type Admin struct {
	listener net.Listener
	server   *http.Server
	log      *slog.Logger
}

// OpenAdmin binds the address. Serving begins with Run; who does not come to Run calls Close.
func OpenAdmin(ctx context.Context, address string, metrics prometheus.Gatherer, ready *Ready, log *slog.Logger) (*Admin, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("admin HTTP: %w", err)
	}
	log = log.With(KeyComponent, "admin")
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answerReady(w, ready.State()) })
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: adminHeaderTimeout,
		MaxHeaderBytes:    adminMaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // clients that went away
	}
	return &Admin{listener: listener, server: server, log: log}, nil
}

// Addr returns the address that is bound, which tells the port of :0.
func (a *Admin) Addr() net.Addr { return a.listener.Addr() }

// Close unbinds the address.
func (a *Admin) Close() error { return errors.Join(a.server.Close(), ignoreClosed(a.listener.Close())) }

// Run serves until ctx ends.
func (a *Admin) Run(ctx context.Context) error {
	a.log.Info("admin HTTP listens", KeyAddress, a.Addr().String())
	served := make(chan error, 1)
	go func() { served <- a.server.Serve(a.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("admin HTTP: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminStopTimeout)
	defer cancel()
	err := a.server.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) { // a long profile; its reader loses it
		err = a.server.Close()
	}
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text)) // a client that went away needs no answer
}

// answerReady says ready, or a line for each part that is not.
func answerReady(w http.ResponseWriter, state ReadyState) {
	if state.OK() {
		answer(w, http.StatusOK, "ready\n")
		return
	}
	text := ""
	if state.Stopping {
		text = "stopping\n"
	}
	for _, part := range slices.Sorted(maps.Keys(state.Waiting)) {
		text += part + ": " + state.Waiting[part] + "\n"
	}
	answer(w, http.StatusServiceUnavailable, text)
}
