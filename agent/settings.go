package agent

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"sonde.example/agent/capture"
	configv1 "sonde.example/gen/go/sonde/config/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/config"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
)

// settings are how an agent behaves while it runs: what its flags say, and over them what a published configuration says.
// They do not change once they are made, but for programs, which the goroutine that captures adds to.
type settings struct {
	revision   uint64   // 0: by flags
	points     []string // capture points; none when the agent is not to capture
	filter     string
	programs   map[packet.LinkType]filter.Program // compiled already
	published  []*configv1.Program                // those that came with the filter
	collectors []string
	limits     packet.HeadLimits
	snapLength int // 0: whole packets
	spoolBytes int64
	tableBytes int64
	ports      *flowv1.TunnelPorts // nil: the well-known ones
}

// settingsOfFlags returns what the flags alone say. The configuration is valid.
func settingsOfFlags(c *Config) (*settings, error) {
	u, err := parseSpool(c.Spool)
	if err != nil {
		return nil, err
	}
	s := &settings{
		filter: c.Filter, programs: map[packet.LinkType]filter.Program{}, collectors: c.Collectors, spoolBytes: u.bytes,
		limits:     packet.HeadLimits{Packets: c.HeadPackets, PayloadBytes: c.PayloadBytes},
		tableBytes: c.TableBytes,
	}
	if c.live() {
		s.points = c.Captures
	}
	return s, nil
}

// settingsOf returns what a published configuration says, and where it says nothing, the flags.
func settingsOf(c *Config, published *configv1.PublishedAgentConfig) (*settings, error) {
	s, err := settingsOfFlags(c)
	if err != nil {
		return nil, err
	}
	from := published.GetConfig()
	if from == nil {
		from = new(configv1.AgentConfig)
	}
	if err := config.ValidateAgent(from); err != nil {
		return nil, err
	}
	s.revision = published.GetRevision()
	if points := from.GetCapturePoints(); len(points) > 0 {
		s.points = points
	}
	if from.Enabled != nil && !from.GetEnabled() {
		s.points = nil
	}
	if text := from.GetFilter(); text != "" {
		s.filter = text
		if err := s.takePrograms(published.GetPrograms()); err != nil {
			return nil, err
		}
	}
	if addresses := from.GetCollector(); addresses != "" {
		if s.collectors, err = config.Collectors(addresses); err != nil {
			return nil, config.Wrong(config.FieldCollector, "%w", err)
		}
	}
	if from.HeadPackets != nil {
		s.limits.Packets = from.GetHeadPackets()
	}
	if from.PayloadBytes != nil {
		s.limits.PayloadBytes = from.GetPayloadBytes()
	}
	if bytes := from.GetSpoolBytes(); bytes > 0 {
		s.spoolBytes = int64(bytes) //nolint:gosec // validated
	}
	if bytes := from.GetFlowTableBytes(); bytes > 0 {
		s.tableBytes = int64(bytes) //nolint:gosec // validated
	}
	s.snapLength = int(from.GetSnapLength())
	s.ports = from.GetTunnelPorts()
	return s, nil
}

// takePrograms checks the programs that came with the filter's text.
func (s *settings) takePrograms(programs []*configv1.Program) error {
	for _, p := range programs {
		program, err := config.DecodeProgram(s.filter, p)
		if err != nil {
			return config.Wrong(config.FieldFilter, "program for link type %d: %w", p.GetLinkType(), err)
		}
		s.programs[program.LinkType()] = program
	}
	s.published = programs
	return nil
}

// program returns the filter for a link type. One that did not come compiled is compiled here, if this binary can.
func (s *settings) program(link packet.LinkType) (filter.Program, error) {
	if program, known := s.programs[link]; known {
		return program, nil
	}
	program, err := filter.Compile(s.filter, link)
	if err != nil {
		if errors.Is(err, filter.ErrNoCompiler) {
			err = fmt.Errorf("no program for link type %d came with it, and %w", link, err)
		}
		return filter.Program{}, config.Wrong(config.FieldFilter, "%w", err)
	}
	s.programs[link] = program
	return program, nil
}

// capturePoints returns what to ask of a set of capture points.
func (s *settings) capturePoints() []capture.Point {
	points := make([]capture.Point, 0, len(s.points))
	for _, name := range s.points {
		points = append(points, capture.Point{Name: name, SnapLength: s.snapLength, Program: s.program})
	}
	return points
}

// sameCapture tells whether both capture the same, so that the set of capture points need not be touched. A filter's text may
// be compiled to another program than before, for names in it are looked up then.
func (s *settings) sameCapture(other *settings) bool {
	same := func(a, b *configv1.Program) bool { return proto.Equal(a, b) }
	return slices.EqualFunc(s.published, other.published, same) && slices.Equal(s.points, other.points) && s.filter == other.filter && s.snapLength == other.snapLength
}

// walker returns the walker for the tunnel ports.
func (s *settings) walker() *packet.Walker { return packet.NewWalker(packet.OptionsOf(s.ports)) }

// encodedPorts returns the tunnel ports as a batch's interfaces carry them: always, for where they are not told the
// collector's own configuration says, which may be another.
func (s *settings) encodedPorts() (string, error) {
	told := s.ports
	if told == nil {
		known := packet.DefaultOptions()
		told = &flowv1.TunnelPorts{Vxlan: wide(known.VXLAN), Geneve: wide(known.Geneve), GtpU: wide(known.GTPU), Teredo: wide(known.Teredo)}
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(told)
	if err != nil {
		return "", config.Wrong(config.FieldVXLANPorts, "encode tunnel ports: %w", err)
	}
	return string(text), nil
}

func wide(ports []uint16) (all []uint32) {
	for _, p := range ports {
		all = append(all, uint32(p))
	}
	return all
}
