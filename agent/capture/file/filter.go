package file

import (
	"fmt"

	"sonde.example/agent/capture"
	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
)

// matchers applies one filter to interfaces of several link types: a program fits one of them, and for another its text is
// compiled again when the first such packet comes.
type matchers struct {
	program filter.Program
	first   filter.Matcher // for program's own link type
	others  map[packet.LinkType]filter.Matcher
	failed  error // why packets of some link type are all turned down
}

// set takes a new program if it fits, or can be made to fit, the given link type.
func (m *matchers) set(program filter.Program, link packet.LinkType) error {
	fresh := matchers{program: program, first: program.Matcher(), others: map[packet.LinkType]filter.Matcher{}, failed: m.failed}
	if !program.Empty() && link != program.LinkType() {
		if _, err := fresh.compile(link); err != nil {
			return err
		}
	}
	*m = fresh
	return nil
}

func (m *matchers) compile(link packet.LinkType) (filter.Matcher, error) {
	program, err := filter.Compile(m.program.Text(), link)
	if err != nil {
		return filter.Matcher{}, fmt.Errorf("filter compiled for link type %d does not fit packets of link type %d: %w", m.program.LinkType(), link, err)
	}
	m.others[link] = program.Matcher()
	return m.others[link], nil
}

func (m *matchers) match(data []byte, info *capture.Info) bool {
	if m.program.Empty() {
		return true
	}
	if info.LinkType == m.program.LinkType() {
		return m.first.Match(data, info.OriginalLength)
	}
	matcher, known := m.others[info.LinkType]
	if !known {
		var err error
		if matcher, err = m.compile(info.LinkType); err != nil {
			m.failed = err
			matcher = filter.None()
			m.others[info.LinkType] = matcher
		}
	}
	return matcher.Match(data, info.OriginalLength)
}
