//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

// flaskTarget is the same network in PyTorch behind Flask, over plain HTTP: no TLS, and nobody's identity is looked at.
type flaskTarget struct {
	*process
	client *http.Client
	url    string
	body   func(*batch) []byte
	check  func(*batch, []byte) error
	media  string
}

// startFlask starts Flask's own server with JSON, or gunicorn with binary bodies.
func startFlask(ctx context.Context, python, model string, binary bool) (_ *flaskTarget, err error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if python, err = filepath.Abs(python); err != nil {
		return nil, err
	}
	if model, err = filepath.Abs(model); err != nil {
		return nil, err
	}
	t := &flaskTarget{
		url: "http://" + address, media: "application/json",
		body: func(b *batch) []byte { return b.json }, check: (*batch).checkJSON,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	// One thread a run, as everywhere here: with more, PyTorch's threads wait for each other.
	env, args := []string{"OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "MODEL=" + model}, []string{"server.py", model, port}
	path := "/predict"
	if binary {
		t.media, path = "application/octet-stream", "/predict-binary"
		t.body = func(b *batch) []byte { return b.binary }
		t.check = func(b *batch, body []byte) error { return b.checkRaw(body[:min(4*len(b.probs), len(body))]) }
		args = []string{
			"-m", "gunicorn", "--workers=2", "--worker-class=gthread", "--threads=4", "--keep-alive=60", "--bind=" + address, "--log-level=critical", "server:application()",
		}
	}
	if t.process, err = start(ctx, flaskFolder, env, python, args...); err != nil {
		return nil, err
	}
	err = t.await(ctx, func(ctx context.Context) error {
		_, err := t.ask(ctx, http.MethodGet, t.url+"/ready", nil)
		return err
	})
	t.url += path
	return t, err
}

func (t *flaskTarget) ask(ctx context.Context, method, url string, body []byte) (_ []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", t.media)
	response, err := t.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, last(string(answer)))
	}
	return answer, err
}

func (t *flaskTarget) call(ctx context.Context, b *batch, check bool) error {
	answer, err := t.ask(ctx, http.MethodPost, t.url, t.body(b))
	if err != nil || !check {
		return err
	}
	return t.check(b, answer)
}

func (t *flaskTarget) runs(context.Context) (rows, runs uint64, err error) { return 0, 0, nil }

func (t *flaskTarget) stop() error {
	t.client.CloseIdleConnections()
	return t.process.stop()
}

// installed tells whether there is an interpreter where --python says.
func installed(python string) bool {
	_, err := os.Stat(python)
	return err == nil
}
