package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
	"sonde.example/internal/telemetry"
)

// stateFile is <state>/agent-ledger. It says what each epoch's lanes had counted, those of this process and those of
// processes before it that died without a drain, until a collector was told of them. It is written before each batch goes
// into the spool, without syncing: it is to survive the process, not the machine.
//
//	magic (8) | length (4) | CRC-32C (4) | a sonde.ingest.v1.Hello, of which only lost is used
//
// A write that was cut short leaves a bad checksum, and with it the epochs unknown: the collector closes what it knows.
type stateFile struct {
	file  *os.File
	epoch uint64
	log   *slog.Logger

	mu     sync.Mutex // guards what follows
	lost   []*ingestv1.LostLane
	own    []*ingestv1.LostLane // this process's
	buffer []byte
	failed bool
}

const (
	stateName    = "agent-ledger"
	stateMagic   = "sondelg1"
	stateHeader  = 16
	maxStateSize = 64 << 10
	maxLostLanes = 64 // older ones are forgotten; that many crashes without a collector in between are another problem
)

// openState opens or makes the file, and takes over what it says of epochs that were not drained.
func openState(dir string, epoch uint64, lanes int, log *slog.Logger) (*stateFile, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("--state: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, stateName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--state: %w", err)
	}
	s := &stateFile{file: file, epoch: epoch, log: log}
	if err := lock(file); err != nil {
		return nil, errors.Join(fmt.Errorf("--state: %s is used by another agent: %w", file.Name(), err), file.Close())
	}
	text, err := io.ReadAll(io.LimitReader(file, maxStateSize))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--state: %w", err), file.Close())
	}
	if s.lost, err = parseState(text); err != nil {
		log.Warn("state file is broken, what it knew of earlier runs is lost", telemetry.KeyFile, file.Name(), telemetry.KeyError, err)
	}
	s.lost = slices.DeleteFunc(s.lost, func(l *ingestv1.LostLane) bool { return l.GetEpoch() == epoch })
	s.lost = s.lost[max(0, len(s.lost)-maxLostLanes):]
	for lane := range lanes {
		s.own = append(s.own, &ingestv1.LostLane{Epoch: epoch, Lane: uint32(lane), Counters: new(ingestv1.Counters)})
	}
	return s, nil
}

func parseState(text []byte) ([]*ingestv1.LostLane, error) {
	if len(text) == 0 {
		return nil, nil
	}
	if len(text) < stateHeader || string(text[:8]) != stateMagic {
		return nil, errors.New("no ledger of an agent")
	}
	length := binary.LittleEndian.Uint32(text[8:])
	body := text[stateHeader:]
	if uint64(length) > uint64(len(body)) {
		return nil, io.ErrUnexpectedEOF
	}
	body = body[:length]
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(text[12:]) {
		return nil, errors.New("checksum does not agree")
	}
	var hello ingestv1.Hello
	if err := proto.Unmarshal(body, &hello); err != nil {
		return nil, err
	}
	return hello.GetLost(), nil
}

// write keeps the counters of this process. A failing disk is logged once; the agent goes on.
func (s *stateFile) write(counters []*ingestv1.Counters) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range counters {
		proto.Reset(s.own[i].Counters)
		proto.Merge(s.own[i].Counters, c)
	}
	s.save()
}

// lanes returns the lanes to be reported as lost.
func (s *stateFile) lanes() []*ingestv1.LostLane {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lost)
}

// told forgets lanes that a collector knows of.
func (s *stateFile) told(lanes []*ingestv1.LostLane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = slices.DeleteFunc(s.lost, func(l *ingestv1.LostLane) bool { return slices.Contains(lanes, l) })
	s.save()
}

// close ends the use of the file. A clean end leaves nothing to report of this process.
func (s *stateFile) close(clean bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	if clean {
		s.own = nil
		s.save()
	}
	err := s.file.Close()
	s.file = nil
	return err
}

func (s *stateFile) save() {
	if s.file == nil {
		return
	}
	text := append(s.buffer[:0], make([]byte, stateHeader)...)
	text, err := proto.MarshalOptions{}.MarshalAppend(text, &ingestv1.Hello{Lost: slices.Concat(s.lost, s.own)})
	if err == nil {
		s.buffer = text
		body := text[stateHeader:]
		copy(text, stateMagic)
		binary.LittleEndian.PutUint32(text[8:], uint32(len(body)))
		binary.LittleEndian.PutUint32(text[12:], crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
		_, err = s.file.WriteAt(text, 0)
	}
	if err != nil && !s.failed && !errors.Is(err, fs.ErrClosed) {
		s.failed = true
		s.log.Error("state file cannot be written, a crash will not be reported", telemetry.KeyFile, s.file.Name(), telemetry.KeyError, err)
	}
}
