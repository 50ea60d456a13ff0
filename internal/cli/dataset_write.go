package cli

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"sonde.example/internal/feature"
)

// manifest says what a dataset was made of, so that it can be made again, and a model can say what it was trained on.
type manifest struct {
	Rows         int               `json:"rows"`
	Sessions     int               `json:"sessions"`
	SchemaSHA256 string            `json:"schema_sha256"`
	Schema       json.RawMessage   `json:"schema"`
	Blocks       []feature.Block   `json:"blocks"`
	Options      options           `json:"options"`
	Experiment   bool              `json:"experiment"` // no agent makes such rows: a model of them must not ship
	Program      program           `json:"program"`
	Labels       string            `json:"labels_sha256"`
	Corrections  string            `json:"corrections_sha256,omitempty"`
	Captures     map[string]string `json:"captures_sha256"`
}

type options struct {
	Heads          []int    `json:"heads"`
	Augment        []string `json:"augment"`
	Names          bool     `json:"names"`
	PayloadPackets bool     `json:"payload_packets"`
}

type program struct {
	Version string `json:"version"`
	Go      string `json:"go"`
}

// manifest begins it; the captures and the numbers of rows and sessions are still to come.
func (d *dataset) manifest() (*manifest, error) {
	m := &manifest{
		SchemaSHA256: feature.SchemaSHA256(), Schema: feature.Schema(), Blocks: feature.Blocks(),
		Options:    options{d.heads, append([]string{}, d.augment...), d.names, d.payloadPackets},
		Experiment: d.names || d.payloadPackets,
		Program:    program{Version(), runtime.Version()},
		Captures:   map[string]string{},
	}
	var err error
	if m.Labels, err = fileSHA256(filepath.Join(d.corpus, "labels.csv")); err != nil || d.corrections == "" {
		return m, err
	}
	m.Corrections, err = fileSHA256(d.corrections)
	return m, err
}

func (m *manifest) write(path string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func fileSHA256(path string) (sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// tables are the files that rows are written to.
type tables struct {
	rows   int
	shards []*shard
	file   *os.File // of records
	lines  *csv.Writer
}

// open makes the files.
func (t *tables) open(folder string, header []string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, tensor := range []struct{ name, kind, shape string }{
		{feature.TensorBytes, "|u1", strconv.Itoa(feature.ByteColumns)},
		{feature.TensorSeries, "<f4", fmt.Sprintf("%d, %d", feature.SeriesRows, feature.MaxPackets)},
		{feature.TensorMeta, "<f4", strconv.Itoa(feature.MetaColumns)},
	} {
		s, err := newShard(filepath.Join(folder, tensor.name+".npy"), tensor.kind, tensor.shape)
		if err != nil {
			return errors.Join(err, t.close())
		}
		t.shards = append(t.shards, s)
	}
	var err error
	if t.file, err = os.Create(filepath.Join(folder, "rows.csv")); err != nil {
		return errors.Join(err, t.close())
	}
	t.lines = csv.NewWriter(t.file)
	return t.lines.Write(append([]string{"session", "packets_held", "payloads_held", "whole", "server_port", "variant"}, header...))
}

func (t *tables) write(row *feature.Row, record []string) error {
	t.rows++
	return errors.Join(
		t.shards[0].bytes(row.Bytes[:]), t.shards[1].floats(row.Series[:]), t.shards[2].floats(row.Meta[:]), t.lines.Write(record),
	)
}

// close finishes the files; only now the number of rows is known.
func (t *tables) close() error {
	var errs []error
	for _, s := range t.shards {
		errs = append(errs, s.close(t.rows))
	}
	if t.file != nil {
		t.lines.Flush()
		errs = append(errs, t.lines.Error(), t.file.Close())
	}
	return errors.Join(errs...)
}

// shard is a .npy file (NumPy enhancement proposal 1, format version 1.0) that is written row by row.
type shard struct {
	file        *os.File
	out         *bufio.Writer
	kind, shape string
	scratch     []byte
}

// npyHeader is the length of the file's header; it must be a multiple of 64.
const npyHeader = 128

func newShard(path, kind, shape string) (*shard, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	s := &shard{file: f, out: bufio.NewWriterSize(f, 1<<20), kind: kind, shape: shape}
	_, err = s.out.Write(make([]byte, npyHeader))
	return s, err
}

func (s *shard) bytes(b []byte) error {
	_, err := s.out.Write(b)
	return err
}

func (s *shard) floats(values []float32) error {
	s.scratch = s.scratch[:0]
	for _, v := range values {
		s.scratch = binary.LittleEndian.AppendUint32(s.scratch, math.Float32bits(v))
	}
	return s.bytes(s.scratch)
}

func (s *shard) close(rows int) error {
	header := make([]byte, 0, npyHeader)
	header = append(header, "\x93NUMPY\x01\x00"...)
	header = binary.LittleEndian.AppendUint16(header, npyHeader-10)
	header = fmt.Appendf(header, "{'descr': '%s', 'fortran_order': False, 'shape': (%d, %s), }", s.kind, rows, s.shape)
	for len(header) < npyHeader-1 {
		header = append(header, ' ')
	}
	header = append(header, '\n')
	err := s.out.Flush()
	_, written := s.file.WriteAt(header, 0)
	return errors.Join(err, written, s.file.Close())
}
