package cut_test

import (
	"encoding/csv"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sonde.example/agent/capture/file"
	"sonde.example/agent/cut"
	"sonde.example/internal/packet/packettest"
	"sonde.example/internal/testenv"
)

// read cuts a file.
func (r *run) read(path string) {
	source, err := file.Open(r.t.Context(), path, file.Options{})
	if err != nil {
		return // what is no capture the reader's own tests are about
	}
	defer source.Close()
	for {
		data, info, err := source.ReadPacket(r.t.Context())
		if err != nil {
			if !errors.Is(err, io.EOF) {
				r.t.Error(err)
			}
			return
		}
		r.table.Packet(&cut.Packet{Data: data, Time: info.Time, Original: info.OriginalLength, Link: info.LinkType})
		for r.table.Sweep() {
		}
	}
}

// TestTableFindsTheSessionsOfTheCorpus needs the corpus; the rules themselves have tests of their own above.
func TestTableFindsTheSessionsOfTheCorpus(t *testing.T) {
	corpus := testenv.Corpus(t)
	if corpus == "" {
		t.Log("no corpus here; the crafted packets of the other tests have to do")
		return
	}
	table, err := os.Open(filepath.Join(corpus, "odd", "made.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	rows, err := csv.NewReader(table).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		want, err := strconv.Atoi(row[2])
		if err != nil || strings.Contains(row[4], "either answer is good") {
			want = -1
		}
		if row[0] == "made/port-reuse.pcap" { // five-tuples in the table, and two conversations of one
			want = 2
		}
		r := start(t, nil)
		r.read(filepath.Join(corpus, "odd", row[0]))
		r.finish()
		if want >= 0 && len(r.order) != want {
			t.Errorf("%s (%s): %d sessions, want %d\n%s", row[0], row[4], len(r.order), want, r.text())
		}
	}
	odd, err := filepath.Glob(filepath.Join(corpus, "odd", "captures", "*", "*"))
	if err != nil || len(odd) == 0 {
		t.Fatalf("no odd captures: %v", err)
	}
	for _, path := range odd {
		r := start(t, nil)
		r.read(path)
		r.finish()
	}
}

// FuzzTable feeds frames, whole or broken, at any times, and checks the law and what a sink may rely on.
func FuzzTable(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, uint64(1), uint16(3))
	f.Add([]byte{0, 200, 3, 50, 99, 1, 4, 250, 17}, uint64(7), uint16(0))
	f.Fuzz(func(t *testing.T, moves []byte, random uint64, head uint16) {
		r := start(t, func(o *cut.Options) {
			o.Records = cut.NewRecords(0) // the smallest table
			o.Limits.Packets = uint32(head)
		})
		source := rand.New(rand.NewPCG(random, 0))
		at := year
		for _, move := range moves {
			switch move % 8 {
			case 0:
				at += source.Int64N(400e9) - 100e9
			case 1:
				at = source.Int64()
			default:
				at += source.Int64N(2e9)
			}
			port := uint16(move / 8)
			l4 := packettest.TCP(port, 9, uint8(source.Uint32()), source.Uint32N(3), source.Uint32N(3), make([]byte, source.IntN(3)))
			ip := packettest.IPv4("10.0.0.1", "10.0.0.2", 6, l4)
			if source.IntN(2) == 0 {
				ip = packettest.IPv4Fragment("10.0.0.2", "10.0.0.1", 17, uint16(source.IntN(3)), 8*source.IntN(2), true, packettest.UDP(9, port, nil))
			}
			frame := packettest.Ethernet(0x0800, ip)
			r.frame(at, frame[:len(frame)-source.IntN(2)*source.IntN(len(frame))])
		}
		r.finish()
	})
}
