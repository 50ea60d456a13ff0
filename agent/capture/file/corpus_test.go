package file_test

import (
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"sonde.example/agent/capture/file"
	"sonde.example/internal/packet"
	"sonde.example/internal/testenv"
)

// TestMadeCorpus reads the files of odd/made, whose sessions are known, when SONDE_TEST_CORPUS names the corpus. The same
// kinds of file are built by the other tests of this package and of internal/packet.
func TestMadeCorpus(t *testing.T) {
	for _, row := range corpus(t, "odd/made.csv") {
		name, inner, broken := row[0], row[2], row[5]
		t.Run(name, func(t *testing.T) {
			source, err := file.Open(t.Context(), filepath.Join(testenv.Corpus(t), "odd", name), file.Options{})
			if broken == "file" {
				if err == nil {
					t.Fatal("a file that is none was opened")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			packets, sessions := read(t, source)
			if row[3] != "" && strconv.Itoa(packets) != row[3] {
				t.Errorf("got %d packets, want %s", packets, row[3])
			}
			if inner != "" && name != "made/vlan-16deep.pcap" && strconv.Itoa(sessions) != inner {
				t.Errorf("got %d sessions, want %s", sessions, inner)
			}
			if warned := source.Warning() != nil; warned != (broken == "tail") {
				t.Errorf("warning is %v", source.Warning())
			}
		})
	}
}

// read counts packets and keys. Later fragments have no key of their own.
func read(t *testing.T, source *file.Source) (packets, sessions int) {
	t.Helper()
	keys := map[packet.Key]bool{}
	walker := packet.NewWalker(packet.DefaultOptions())
	for {
		data, info, err := source.ReadPacket(t.Context())
		if errors.Is(err, io.EOF) {
			return packets, len(keys)
		}
		if err != nil {
			t.Fatal(err)
		}
		packets++
		var found packet.Info
		if walker.Walk(info.LinkType, data, info.OriginalLength, &found) == packet.OK && found.Fragment != packet.LaterFragment {
			keys[found.Key] = true
		}
	}
}

// corpus returns the rows of a table of the corpus, none when it is not there.
func corpus(t *testing.T, table string) [][]string {
	t.Helper()
	root := testenv.Corpus(t)
	if root == "" {
		return nil
	}
	f, err := os.Open(filepath.Join(root, table))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

// TestFoundCorpus reads captures found in other projects' test suites: a file is either read to its end, with as many
// packets as another reader has found, or says where it is broken.
func TestFoundCorpus(t *testing.T) {
	for _, row := range corpus(t, "odd/captures.csv") {
		source, err := file.Open(t.Context(), filepath.Join(testenv.Corpus(t), "odd", "captures", row[0]), file.Options{})
		if err != nil {
			t.Log(err)
			continue
		}
		packets, _ := read(t, source)
		if warning := source.Warning(); warning != nil {
			t.Log(warning)
		} else if strconv.Itoa(packets) != row[6] {
			t.Errorf("%s: got %d packets, want %s", row[0], packets, row[6])
		}
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}
}
