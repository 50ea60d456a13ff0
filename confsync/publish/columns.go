package publish

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"sonde.example/confsync/change"
	configv1 "sonde.example/gen/go/sonde/config/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	"sonde.example/internal/config"
	"sonde.example/internal/packet"
)

// columns reads a row's columns as the settings they are, and gathers what is wrong with each. NULL is a setting that is
// not made, and so is the empty string, but for ports, where it means none.
type columns struct {
	values map[string]*string
	bad    []error
}

// text returns a column's text, "" when it is NULL.
func (c *columns) text(name string) string {
	if v := c.values[name]; v != nil {
		return strings.TrimSpace(*v)
	}
	return ""
}

func (c *columns) wrong(name, format string, args ...any) {
	c.bad = append(c.bad, config.Wrong(name, format, args...))
}

// number returns a column's number, and whether it is set.
func (c *columns) number(name string, most uint64) (value uint64, set bool) {
	text := c.text(name)
	if text == "" {
		return 0, false
	}
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil || value > most {
		c.wrong(name, "%.40q is not a number from 0 to %d", text, most)
		return 0, false
	}
	return value, true
}

func (c *columns) optional32(name string) *uint32 {
	value, set := c.number(name, math.MaxUint32)
	if !set {
		return nil
	}
	small := uint32(value)
	return &small
}

// span returns a column that counts in a unit as a duration, nil when it is not set.
func (c *columns) span(name string, unit time.Duration) *durationpb.Duration {
	value, set := c.number(name, uint64(math.MaxInt64/unit))
	if !set {
		return nil
	}
	return durationpb.New(time.Duration(value) * unit)
}

// boolean returns a column that is true or false, nil when it is not set.
func (c *columns) boolean(name string) *bool {
	var value bool
	switch text := strings.ToLower(c.text(name)); text {
	case "":
		return nil
	case "1", "true", "yes", "on":
		value = true
	case "0", "false", "no", "off":
	default:
		c.wrong(name, "%.40q is neither 1 nor 0", text)
		return nil
	}
	return &value
}

// ports returns the four lists of tunnel ports, nil when none is set. A list that is not set has the well-known ones.
func (c *columns) ports() *flowv1.TunnelPorts {
	known := packet.DefaultOptions()
	any := false
	list := func(name string, fallback []uint16) (ports []uint32) {
		value := c.values[name]
		if value == nil {
			for _, p := range fallback {
				ports = append(ports, uint32(p))
			}
			return ports
		}
		any = true
		for part := range strings.SplitSeq(*value, ",") {
			part = strings.TrimSpace(part)
			if part == "" {
				continue
			}
			port, err := strconv.ParseUint(part, 10, 16)
			if err != nil || port == 0 {
				c.wrong(name, "%.40q is not a port from 1 to 65535", part)
				continue
			}
			ports = append(ports, uint32(port))
		}
		return ports
	}
	all := &flowv1.TunnelPorts{
		Vxlan: list(config.FieldVXLANPorts, known.VXLAN), Geneve: list(config.FieldGenevePorts, known.Geneve),
		GtpU: list(config.FieldGTPUPorts, known.GTPU), Teredo: list(config.FieldTeredoPorts, known.Teredo),
	}
	if !any {
		return nil
	}
	return all
}

// merge lays a row over its group's: what the row does not set, the group does.
func merge(group, row map[string]*string) map[string]*string {
	merged := make(map[string]*string, len(row))
	for name, value := range group {
		merged[name] = value
	}
	for name, value := range row {
		if value != nil || merged[name] == nil {
			merged[name] = value
		}
	}
	return merged
}

// agentConfig reads merged columns of agent_config.
func agentConfig(values map[string]*string) (*configv1.AgentConfig, error) {
	c := &columns{values: values}
	var devices []string
	for part := range strings.SplitSeq(c.text(config.FieldDevice), ",") {
		switch part = strings.TrimSpace(part); {
		case part == "":
		case strings.Contains(part, ":"):
			devices = append(devices, part)
		default:
			devices = append(devices, config.SchemeAFPacket+part)
		}
	}
	a := &configv1.AgentConfig{
		CapturePoints: devices, Filter: c.text(config.FieldFilter), Collector: c.text(config.FieldCollector),
		HeadPackets: c.optional32("head_packets"), PayloadBytes: c.optional32("payload_bytes"),
		Enabled: c.boolean(config.FieldEnabled), TunnelPorts: c.ports(),
	}
	snap, _ := c.number("snap_length", math.MaxUint32)
	a.SnapLength = uint32(snap)
	a.SpoolBytes, _ = c.number("spool_bytes", math.MaxInt64)
	a.FlowTableBytes, _ = c.number("flow_table_bytes", math.MaxInt64)
	return a, errors.Join(append(c.bad, config.ValidateAgent(a))...)
}

// serviceConfig reads the columns of service_config.
func serviceConfig(role string, values map[string]*string) (*configv1.ServiceConfig, error) {
	c := &columns{values: values}
	s := &configv1.ServiceConfig{
		HandOverDeadline: c.span(config.FieldHandOverDeadline, time.Millisecond),
		KeepResults:      c.span(config.FieldKeepResults, time.Second), KeepPackets: c.span(config.FieldKeepPackets, time.Second),
		Model: c.text(config.FieldModel), ModelVersion: c.text(config.FieldModelVersion),
		ShadowVersion: c.text(config.FieldShadowVersion), CanaryVersion: c.text(config.FieldCanaryVersion),
		TunnelPorts: c.ports(),
	}
	s.SessionBytes, _ = c.number(config.FieldSessionBytes, math.MaxInt64)
	percent, _ := c.number(config.FieldCanaryPercent, math.MaxUint32)
	s.CanaryPercent = uint32(percent)
	return s, errors.Join(append(c.bad, config.ValidateService(role, s))...)
}

// nameColumns say by which columns a table names a daemon.
func nameOf(row *change.Row) target {
	text := func(column string) string {
		if v := row.Columns[column]; v != nil {
			return *v
		}
		return ""
	}
	switch row.Table {
	case change.AgentConfig:
		return target{config.RoleAgent, text("name")}
	case change.ServiceConfig:
		return target{text("role"), text("name")}
	}
	return target{"", text("name")}
}

// Hash returns the hash of what a row asks of a daemon, its group's columns laid under it; nil when it has no group. An error
// says what is wrong with it. Whether the filter compiles is not looked at.
func Hash(role string, group, row map[string]*string) (string, error) {
	if role == config.RoleAgent {
		c, err := agentConfig(merge(group, row))
		if err != nil {
			return "", err
		}
		return config.HashAgent(c), nil
	}
	c, err := serviceConfig(role, row)
	if err != nil {
		return "", err
	}
	return config.HashService(c), nil
}
