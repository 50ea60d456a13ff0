package cli

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sonde.example/agent/capture/file"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/feature"
	"sonde.example/internal/packet"
)

// newFeaturesCommand returns the hidden command that turns labelled captures into what training reads: the rows come from
// internal/feature, as they do when serving.
func newFeaturesCommand() *cobra.Command {
	var e extraction
	c := &cobra.Command{
		Use:     "features",
		Short:   "Extract training rows from labelled captures",
		Example: "  sonde features --corpus data/train --out build/features",
		Args:    cobra.NoArgs,
		Hidden:  true,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.run(c.Context(), c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&e.corpus, "corpus", "", "folder with labels.csv and captures/")
	c.Flags().StringVar(&e.out, "out", "", "folder to write to; is made")
	for _, name := range []string{"corpus", "out"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic("features: a flag of its own is missing: " + err.Error())
		}
	}
	return c
}

// truncations are the heads that are extracted of each session beside the whole one: sessions are classified early, too.
var truncations = []int{1, 2, 3, 5, 10} //nolint:gochecknoglobals // a constant table; Go has no constants of this type

// sessionsPerLabel bounds how many of our sessions take one row's label: the corpus has one row for all packets of a
// five-tuple, and a device that asks for the time every hour would fill its class alone.
const sessionsPerLabel = 3

// extraction is one run of the command.
type extraction struct {
	corpus, out string

	labels  map[labelKey][]string // rows of labels.csv that no session has taken yet
	header  []string
	walkers *packet.Walkers // for captures, whose interfaces tell no ports
	walker  *packet.Walker
	session feature.Session
	row     feature.Row
	shards  [3]*shard
	file    *os.File // of rows
	rows    *csv.Writer

	count    int // rows written
	sessions int // found in the captures
	joined   int // of these, with a row in labels.csv
	usable   int // of these, written
	broken   int // captures that are none, or end in the middle
}

// labelKey is what a row of labels.csv is found by.
type labelKey struct {
	file  string
	tuple string
}

func (e *extraction) run(ctx context.Context, stdout io.Writer) (err error) {
	e.walkers = packet.NewWalkers(packet.DefaultOptions())
	e.walker = e.walkers.For(nil)
	if err := e.readLabels(); err != nil {
		return err
	}
	if err := e.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	root := filepath.Join(e.corpus, "captures")
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return e.capture(ctx, path, filepath.ToSlash(name))
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d rows of %d sessions with a label; %d sessions found, %d joined; %d rows of labels.csv without a session; %d captures not read to the end\n",
		e.count, e.usable, e.sessions, e.joined, len(e.labels), e.broken)
	return err
}

// readLabels keeps labels.csv in memory, by file and five-tuple.
func (e *extraction) readLabels() (err error) {
	f, err := os.Open(filepath.Join(e.corpus, "labels.csv"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := csv.NewReader(bufio.NewReader(f))
	if e.header, err = r.Read(); err != nil {
		return fmt.Errorf("labels.csv: %w", err)
	}
	if len(e.header) < 6 || strings.Join(e.header[:6], ",") != "file,proto,src_ip,src_port,dst_ip,dst_port" {
		return errors.New("labels.csv: the first columns must be file, proto, src_ip, src_port, dst_ip, dst_port")
	}
	e.labels = map[labelKey][]string{}
	for {
		record, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("labels.csv: %w", err)
		}
		key := labelKey{record[0], tuple(record[1], record[2], record[3], record[4], record[5])}
		if _, ok := e.labels[key]; !ok {
			e.labels[key] = record
		}
	}
}

// tuple writes a five-tuple without direction.
func tuple(protocol, source, sourcePort, destination, destinationPort string) string {
	a, b := source+" "+sourcePort, destination+" "+destinationPort
	if b < a {
		a, b = b, a
	}
	return protocol + " " + a + " " + b
}

// draft is a session while its capture is read.
type draft struct {
	key    packet.Key
	client packet.Endpoint
	server packet.Endpoint
	isn    uint32
	syn    bool
	last   int64
	rule   packet.Head
	head   flowv1.Packets
}

// capture reads one file into sessions and writes those that have a label.
func (e *extraction) capture(ctx context.Context, path, name string) (err error) {
	source, err := file.Open(ctx, path, file.Options{})
	if err != nil {
		e.broken++
		return nil //nolint:nilerr // a corpus of test captures has files that are none; they are counted
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	open := map[packet.Key]*draft{}
	var order []*draft
	for {
		frame, at, err := source.ReadPacket(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		var info packet.Info
		if e.walker.Walk(at.LinkType, frame, at.OriginalLength, &info) != packet.OK || info.Fragment == packet.LaterFragment {
			continue
		}
		d := open[info.Key]
		if d == nil || d.ends(&info, at.Time) {
			d = newDraft(&info)
			open[info.Key] = d
			order = append(order, d)
		}
		d.take(&info, frame, at.Time, at.OriginalLength, at.LinkType)
	}
	if source.Warning() != nil {
		e.broken++
	}
	uses := map[labelKey]int{}
	for _, d := range order {
		e.sessions++
		key := labelKey{name, tuple(protocolName(uint32(d.key.Protocol)), d.client.Address.String(), strconv.Itoa(int(d.client.Port)),
			d.server.Address.String(), strconv.Itoa(int(d.server.Port)))}
		label, ok := e.labels[key]
		if !ok {
			continue
		}
		e.joined++
		if uses[key]++; uses[key] <= sessionsPerLabel {
			if err := e.write(d, label); err != nil {
				return err
			}
		}
	}
	for key := range uses {
		delete(e.labels, key)
	}
	return nil
}

func newDraft(info *packet.Info) *draft {
	d := &draft{key: info.Key, client: info.Source(), server: info.Destination()}
	if info.TCPFlags&(packet.SYN|packet.ACK) == packet.SYN|packet.ACK {
		d.client, d.server = d.server, d.client
	}
	d.rule.Limits = packet.DefaultHeadLimits()
	return d
}

// ends tells whether a packet belongs to the next session of the same five-tuple: as the agent's cut decides it, but that
// two sides which open at once make two sessions.
func (d *draft) ends(info *packet.Info, now int64) bool {
	idle := int64(30e9)
	switch d.key.Protocol {
	case 6:
		idle = 120e9
	case 17:
		idle = 60e9
	}
	return now-d.last > idle || opens(info) && (!d.syn || info.Seq != d.isn)
}

// opens tells whether a packet is the first of a TCP connection.
func opens(info *packet.Info) bool {
	return info.TCPFlags&(packet.SYN|packet.ACK|packet.RST) == packet.SYN
}

func (d *draft) take(info *packet.Info, frame []byte, now int64, original int, link packet.LinkType) {
	switch {
	case opens(info):
		d.isn, d.syn = info.Seq, true
	case info.TCPFlags&(packet.SYN|packet.ACK) == packet.SYN|packet.ACK && !d.syn:
		d.isn, d.syn = info.Ack-1, true
	}
	h := &d.head
	delta := int64(0)
	if len(h.Captured) > 0 {
		delta = now - d.last
	}
	d.last = now
	keep, length := d.rule.Take(info, len(frame))
	if !keep {
		return
	}
	index := len(h.Interfaces)
	for i, known := range h.Interfaces {
		if known.LinkType == uint32(link) {
			index = i
		}
	}
	if index == len(h.Interfaces) {
		h.Interfaces = append(h.Interfaces, &flowv1.Interface{LinkType: uint32(link)})
	}
	flags := flowv1.PacketFlag_PACKET_FLAG_UNSPECIFIED
	if info.Source() != d.client {
		flags |= flowv1.PacketFlag_PACKET_FLAG_REVERSE
	}
	if len(frame) < original {
		flags |= flowv1.PacketFlag_PACKET_FLAG_SNAPPED
	}
	h.InterfaceIndexes = append(h.InterfaceIndexes, uint32(index))
	h.TimeDeltasNs = append(h.TimeDeltasNs, delta)
	h.Captured = append(h.Captured, uint32(length))
	h.Missing = append(h.Missing, uint32(original-length))
	h.Flags = append(h.Flags, uint32(flags))
	h.Ordinals = append(h.Ordinals, uint32(len(h.Ordinals)))
	h.Data = append(h.Data, frame[:length]...)
}

// first returns the head's first n packets. It shares memory with the head.
func first(h *flowv1.Packets, n int) *flowv1.Packets {
	size := 0
	for _, captured := range h.GetCaptured()[:n] {
		size += int(captured)
	}
	return &flowv1.Packets{
		InterfaceIndexes: h.GetInterfaceIndexes()[:n], TimeDeltasNs: h.GetTimeDeltasNs()[:n], Captured: h.GetCaptured()[:n],
		Missing: h.GetMissing()[:n], Flags: h.GetFlags()[:n], Ordinals: h.GetOrdinals()[:n], Interfaces: h.GetInterfaces(),
		Data: h.GetData()[:size],
	}
}

// write extracts a session's whole head and its shorter ones.
func (e *extraction) write(d *draft, label []string) error {
	e.usable++
	n := len(d.head.GetCaptured())
	for _, packets := range truncations {
		if packets < n {
			if err := e.writeRow(d, first(&d.head, packets), packets, false, label); err != nil {
				return err
			}
		}
	}
	return e.writeRow(d, &d.head, n, true, label)
}

func (e *extraction) writeRow(d *draft, head *flowv1.Packets, packets int, whole bool, label []string) error {
	if err := e.session.FromHead(e.walkers, uint32(d.key.Protocol), head); err != nil {
		return err
	}
	e.session.Extract(&e.row)
	e.count++
	payloads := 0
	for _, p := range e.session.Packets() {
		if p.Size > 0 {
			payloads++
		}
	}
	record := []string{strconv.Itoa(e.usable), strconv.Itoa(packets), strconv.Itoa(payloads), strconv.FormatBool(whole), strconv.Itoa(int(d.server.Port))}
	return errors.Join(
		e.shards[0].bytes(e.row.Bytes[:]),
		e.shards[1].floats(e.row.Series[:]),
		e.shards[2].floats(e.row.Meta[:]),
		e.rows.Write(append(record, label...)),
	)
}

// open makes the output files.
func (e *extraction) open() error {
	if err := os.MkdirAll(e.out, 0o755); err != nil {
		return err
	}
	for i, t := range []struct{ name, kind, shape string }{
		{feature.TensorBytes, "|u1", strconv.Itoa(feature.ByteColumns)},
		{feature.TensorSeries, "<f4", fmt.Sprintf("%d, %d", feature.SeriesRows, feature.MaxPackets)},
		{feature.TensorMeta, "<f4", strconv.Itoa(feature.MetaColumns)},
	} {
		var err error
		if e.shards[i], err = newShard(filepath.Join(e.out, t.name+".npy"), t.kind, t.shape); err != nil {
			return err
		}
	}
	var err error
	if e.file, err = os.Create(filepath.Join(e.out, "rows.csv")); err != nil {
		return err
	}
	e.rows = csv.NewWriter(e.file)
	return e.rows.Write(append([]string{"session", "packets_held", "payloads_held", "whole", "server_port"}, e.header...))
}

// close finishes the files; only now the number of rows is known.
func (e *extraction) close() error {
	var errs []error
	for _, s := range e.shards {
		if s != nil {
			errs = append(errs, s.close(e.count))
		}
	}
	e.rows.Flush()
	errs = append(errs, e.rows.Error(), e.file.Close())
	build := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		build = info.GoVersion
	}
	manifest, err := json.MarshalIndent(map[string]any{
		"rows": e.count, "schema_sha256": feature.SchemaSHA256(), "schema": json.RawMessage(feature.Schema()), "go": build,
	}, "", "  ")
	errs = append(errs, err, os.WriteFile(filepath.Join(e.out, "manifest.json"), append(manifest, '\n'), 0o644))
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
