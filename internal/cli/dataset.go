package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/internal/feature"
	"sonde.example/internal/packet"
)

// newDataset returns the command that turns labelled captures into what training reads: sessions come from agent/cut and
// rows from internal/feature, as they do when serving.
func newDataset(s streams) *cobra.Command {
	d := dataset{heads: []int{1, 2, 4, 8, 16}}
	c := &cobra.Command{
		Use:     "dataset",
		GroupID: "use",
		Short:   "Extract the rows that a model is trained on from labelled captures",
		Long: `Extract the rows that a model is trained on from labelled captures.

The corpus is a folder with captures/ and labels.csv, whose columns begin with file (below captures/), proto, src_ip,
src_port, dst_ip and dst_port, and among which are label and group. Sessions are cut as an agent cuts them and joined with
their row by file and five-tuple, in either direction; those without a row are left out, and counted.

Written are bytes.npy, series.npy and meta.npy, the tensors that a model is given; rows.csv, of each row where it comes
from and what it is, with all columns of labels.csv; and manifest.json: the feature schema with its hash, the options, and
the SHA-256 of all that was read.

Beside a session's whole head there is a row for each shorter head of --heads, since sessions are classified early, too.
--augment makes further rows of the whole head, as other networks would have shown it; column variant names what happened:
` + variantsHelp() + `
A session that it would leave as it is has no such row. --payload-packets and --names are experiments: no agent cuts like
that, and a model that reads names must not ship. The manifest says so.`,
		Example: `  sonde dataset --corpus data/train --out build/dataset
  sonde dataset --corpus data/train --out build/dataset --augment loss,mtu,oneway --corrections corrections.jsonl`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := setUp(c.Flags(), "dataset", d.validate); err != nil {
				return err
			}
			return d.run(c.Context(), s.out)
		},
	}
	fs := c.Flags()
	fs.StringVar(&d.corpus, "corpus", "", "folder with labels.csv and captures/")
	fs.StringVar(&d.out, "out", "", "folder to write to; is made")
	fs.IntSliceVar(&d.heads, "heads", d.heads, "packets of the shorter heads, each of a row of its own")
	fs.StringSliceVar(&d.augment, "augment", nil, "further rows: "+strings.Join(variantNames(), ", "))
	fs.BoolVar(&d.names, "names", false, "experiment: leave server names in bytes")
	fs.BoolVar(&d.payloadPackets, "payload-packets", false, "experiment: heads of packets with payload only")
	fs.StringVar(&d.corrections, "corrections", "", "file of sonde.query.v1.Correction as JSON, one a line; empty: none")
	return c
}

// sessionsPerLabel bounds how many of our sessions take one row's label: the corpus has one row for all packets of a
// five-tuple, and a device that asks for the time every hour would fill its class alone.
const sessionsPerLabel = 3

// dataset is one run of the command.
type dataset struct {
	corpus, out           string
	corrections           string
	heads                 []int
	augment               []string
	names, payloadPackets bool

	labels  map[labelKey][]string // rows of labels.csv that no session has taken yet
	header  []string
	columns map[string]int // places in header
	walkers *packet.Walkers
	session feature.Session
	row     feature.Row
	to      tables

	sessions int // found in the captures
	joined   int // of these, with a row in labels.csv
	used     int // of these, written; and corrections
	broken   int // captures that are none, or end in the middle
}

func (d *dataset) validate() error {
	var bad []error
	for _, n := range d.heads {
		if n < 1 || n >= feature.MaxPackets {
			bad = append(bad, fmt.Errorf("--heads: %d is not from 1 to %d", n, feature.MaxPackets-1))
		}
	}
	for _, name := range d.augment {
		if !slices.Contains(variantNames(), name) {
			bad = append(bad, fmt.Errorf("--augment: %q is none of %s", name, strings.Join(variantNames(), ", ")))
		}
	}
	for _, flag := range []struct{ name, value string }{{"corpus", d.corpus}, {"out", d.out}} {
		if flag.value == "" {
			bad = append(bad, fmt.Errorf("--%s: needed", flag.name))
		}
	}
	slices.Sort(d.heads)
	d.heads = slices.Compact(d.heads)
	return errors.Join(bad...)
}

// labelKey is what a row of labels.csv is found by.
type labelKey struct {
	file  string
	tuple string
}

func (d *dataset) run(ctx context.Context, stdout io.Writer) (err error) {
	d.walkers = packet.NewWalkers(packet.DefaultOptions())
	if err := d.readLabels(); err != nil {
		return err
	}
	if err := d.to.open(d.out, d.header); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.to.close()) }()
	m, err := d.manifest()
	if err != nil {
		return err
	}
	root, err := filepath.EvalSymlinks(filepath.Join(d.corpus, "captures")) // a link is not walked into
	if err != nil {
		return err
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if m.Captures[name], err = fileSHA256(path); err != nil {
			return err
		}
		return d.capture(ctx, path, name)
	})
	if err != nil {
		return err
	}
	if err := d.readCorrections(); err != nil {
		return err
	}
	m.Rows, m.Sessions = d.to.rows, d.used
	if err := m.write(filepath.Join(d.out, "manifest.json")); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d rows of %d sessions with a label; %d sessions found, %d joined; %d rows of labels.csv without a session; %d captures not read to the end\n",
		d.to.rows, d.used, d.sessions, d.joined, len(d.labels), d.broken)
	return err
}

// readLabels keeps labels.csv in memory, by file and five-tuple.
func (d *dataset) readLabels() (err error) {
	f, err := os.Open(filepath.Join(d.corpus, "labels.csv"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := csv.NewReader(bufio.NewReader(f))
	if d.header, err = r.Read(); err != nil {
		return fmt.Errorf("labels.csv: %w", err)
	}
	if len(d.header) < 6 || strings.Join(d.header[:6], ",") != "file,proto,src_ip,src_port,dst_ip,dst_port" {
		return errors.New("labels.csv: the first columns must be file, proto, src_ip, src_port, dst_ip, dst_port")
	}
	d.columns = map[string]int{}
	for i, name := range d.header {
		d.columns[name] = i
	}
	for _, name := range []string{"label", "group"} {
		if _, ok := d.columns[name]; !ok {
			return fmt.Errorf("labels.csv: there is no column %s", name)
		}
	}
	d.labels = map[labelKey][]string{}
	for {
		record, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("labels.csv: %w", err)
		}
		key := labelKey{record[0], tuple(record[1], record[2], record[3], record[4], record[5])}
		if _, ok := d.labels[key]; !ok {
			d.labels[key] = record
		}
	}
}

// tuple writes a five-tuple without direction, its addresses in one form.
func tuple(protocol, source, sourcePort, destination, destinationPort string) string {
	a, b := canonical(source)+" "+sourcePort, canonical(destination)+" "+destinationPort
	if b < a {
		a, b = b, a
	}
	return protocol + " " + a + " " + b
}

// canonical writes an address as we do (RFC 5952); what is none stays, and finds no session.
func canonical(address string) string {
	if a, err := netip.ParseAddr(address); err == nil {
		return a.Unmap().String()
	}
	return address
}

// capture writes the sessions of one file that have a label.
func (d *dataset) capture(ctx context.Context, path, name string) error {
	cutter := newCutter(d.walkers.For(nil), d.payloadPackets, len(d.augment) > 0)
	whole, err := cutter.read(ctx, path)
	if err != nil {
		return err
	}
	if !whole {
		d.broken++ // a corpus of test captures has files that are none
	}
	uses := map[labelKey]int{}
	for i, c := range cutter.conversations {
		d.sessions++
		low, high := c.endpoints()
		protocol := protocolName(uint32(c.key.Protocol))
		key := labelKey{name, tuple(protocol, low.Address.String(), strconv.Itoa(int(low.Port)), high.Address.String(), strconv.Itoa(int(high.Port)))}
		label, ok := d.labels[key]
		if !ok {
			continue
		}
		d.joined++
		if uses[key]++; uses[key] > sessionsPerLabel {
			continue
		}
		if err := d.write(c, fmt.Sprintf("%s %d", name, i), label); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for key := range uses {
		delete(d.labels, key)
	}
	return nil
}

// write extracts a session's heads: shorter ones, the whole one, and what other networks would have made of that.
func (d *dataset) write(c *conversation, seed string, label []string) error {
	d.used++
	n := len(c.head.GetCaptured())
	for _, packets := range d.heads {
		if packets < n {
			if err := d.writeHead(c, first(&c.head, packets), false, "", label); err != nil {
				return err
			}
		}
	}
	if err := d.writeHead(c, &c.head, true, "", label); err != nil {
		return err
	}
	for _, name := range d.augment {
		if other := augmented(d.walkers.For(nil), c, name, seed, d.payloadPackets); other != nil {
			if err := d.writeHead(other, &other.head, true, name, label); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dataset) writeHead(c *conversation, head *flowv1.Packets, whole bool, variant string, label []string) error {
	if err := d.session.FromHead(d.walkers, uint32(c.key.Protocol), head); err != nil {
		return err
	}
	return d.writeRow(whole, variant, int(c.server().Port), label)
}

// writeRow writes the row of d.session.
func (d *dataset) writeRow(whole bool, variant string, port int, label []string) error {
	if d.names {
		d.session.ExtractWithNames(&d.row)
	} else {
		d.session.Extract(&d.row)
	}
	payloads := 0
	for _, p := range d.session.Packets() {
		if p.Size > 0 {
			payloads++
		}
	}
	return d.to.write(&d.row, append([]string{
		strconv.Itoa(d.used), strconv.Itoa(len(d.session.Packets())), strconv.Itoa(payloads), strconv.FormatBool(whole), strconv.Itoa(port), variant,
	}, label...))
}

// maxCorrection bounds a line: a head has at most 4 KiB of payload, and JSON makes it a third longer.
const maxCorrection = 1 << 16

// readCorrections writes the sessions that people have labelled.
func (d *dataset) readCorrections() (err error) {
	if d.corrections == "" {
		return nil
	}
	f, err := os.Open(d.corrections)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxCorrection)
	number := 0
	for lines.Scan() {
		number++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var c queryv1.Correction
		err := protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(lines.Bytes(), &c)
		if err == nil {
			err = d.writeCorrection(&c)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", d.corrections, number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", d.corrections, number+1, err)
	}
	return nil
}

// writeCorrection writes a correction as the session of a group of its own.
func (d *dataset) writeCorrection(c *queryv1.Correction) error {
	if c.GetSessionId() == "" || c.GetLabel() == "" || c.GetSession() == nil {
		return errors.New("session_id, label and session are needed")
	}
	label := make([]string, len(d.header))
	for name, value := range map[string]string{
		"proto": protocolName(c.GetSession().GetIpProtocol()), "label": c.GetLabel(), "target": c.GetLabel(),
		"group": "correction:" + c.GetSessionId(), "confidence": "correction", "usable": "1", "dup": "0",
	} {
		if at, ok := d.columns[name]; ok {
			label[at] = value
		}
	}
	d.used++
	const variant = "correction"
	for _, packets := range d.heads {
		if packets < len(c.GetSession().GetSignedSizes()) {
			if err := d.session.FromNative(firstOf(c.GetSession(), packets)); err != nil {
				return err
			}
			if err := d.writeRow(false, variant, 0, label); err != nil {
				return err
			}
		}
	}
	if err := d.session.FromNative(c.GetSession()); err != nil {
		return err
	}
	return d.writeRow(true, variant, 0, label)
}

// firstOf returns the first n packets of a native session and what they can have carried. It shares memory with it.
func firstOf(s *inferencev1.Session, n int) *inferencev1.Session {
	out := &inferencev1.Session{
		Id: s.GetId(), IpProtocol: s.GetIpProtocol(), SignedSizes: s.GetSignedSizes()[:n], GapsUs: s.GetGapsUs()[:min(n, len(s.GetGapsUs()))],
	}
	var forward, reverse int
	for _, size := range out.GetSignedSizes() {
		forward += int(max(size, 0))
		reverse += int(max(-size, 0))
	}
	out.ForwardPayload = s.GetForwardPayload()[:min(forward, len(s.GetForwardPayload()))]
	out.ReversePayload = s.GetReversePayload()[:min(reverse, len(s.GetReversePayload()))]
	for _, at := range s.GetReverseEmpty() {
		if int64(at) < int64(n) {
			out.ReverseEmpty = append(out.ReverseEmpty, at)
		}
	}
	return out
}
