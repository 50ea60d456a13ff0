package config

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"

	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "sonde.example/gen/go/sonde/config/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
)

// HashAgent returns the SHA-256 of the canonical form of an agent's configuration, hexadecimal. Two configurations that ask
// for the same have the same hash, in every build: see canonical.
func HashAgent(c *configv1.AgentConfig) string {
	if c == nil {
		c = &configv1.AgentConfig{}
	}
	f := canonical("sonde.config.v1.AgentConfig")
	f.strings("capture_points", sorted(c.GetCapturePoints()))
	f.string("collector", c.GetCollector())
	if c.Enabled != nil {
		f.line("enabled", strconv.FormatBool(c.GetEnabled()))
	}
	f.string("filter", c.GetFilter())
	f.number("flow_table_bytes", c.GetFlowTableBytes())
	f.optional("head_packets", c.HeadPackets)
	f.optional("payload_bytes", c.PayloadBytes)
	f.number("snap_length", uint64(c.GetSnapLength()))
	f.number("spool_bytes", c.GetSpoolBytes())
	f.tunnelPorts(c.GetTunnelPorts())
	return f.hash()
}

// HashService returns the same of a service's configuration.
func HashService(c *configv1.ServiceConfig) string {
	f := canonical("sonde.config.v1.ServiceConfig")
	f.number("canary_percent", uint64(c.GetCanaryPercent()))
	f.string("canary_version", c.GetCanaryVersion())
	if d := c.GetHandOverDeadline(); d.AsDuration() != 0 {
		f.duration("hand_over_deadline", d)
	}
	if d := c.GetKeepPackets(); d != nil {
		f.duration("keep_packets", d)
	}
	if d := c.GetKeepResults(); d.AsDuration() != 0 {
		f.duration("keep_results", d)
	}
	f.string("model", c.GetModel())
	f.string("model_version", c.GetModelVersion())
	f.number("session_bytes", c.GetSessionBytes())
	f.string("shadow_version", c.GetShadowVersion())
	f.tunnelPorts(c.GetTunnelPorts())
	return f.hash()
}

// form is the canonical form while it is built: the message's name on a line of its own, then one line "name=value" for
// each field that is set, sorted by name. Numbers are decimal, spans nanoseconds, text is quoted as Go quotes ASCII
// (\x and \u escapes for the rest), lists are in brackets with commas. A field that is optional stands there when it is set,
// whatever its value; any other when it is not its zero. Capture points and ports are sets: their order changes nothing
// that is captured, hence they are sorted. The order of collectors says which one is tried first, and counts. Fields that
// this version does not know are not part of it.
type form struct{ text []byte }

func canonical(message string) *form { return &form{append([]byte(message), '\n')} }

func (f *form) line(name, value string) {
	f.text = append(append(append(append(f.text, name...), '='), value...), '\n')
}

func (f *form) string(name, value string) {
	if value != "" {
		f.line(name, strconv.QuoteToASCII(value))
	}
}

func (f *form) strings(name string, values []string) {
	if len(values) == 0 {
		return
	}
	list := []byte{'['}
	for i, value := range values {
		if i > 0 {
			list = append(list, ',')
		}
		list = strconv.AppendQuoteToASCII(list, value)
	}
	f.line(name, string(append(list, ']')))
}

func (f *form) number(name string, value uint64) {
	if value != 0 {
		f.line(name, strconv.FormatUint(value, 10))
	}
}

func (f *form) optional(name string, value *uint32) {
	if value != nil {
		f.line(name, strconv.FormatUint(uint64(*value), 10))
	}
}

func (f *form) duration(name string, d *durationpb.Duration) {
	f.line(name, strconv.FormatInt(int64(d.AsDuration()), 10))
}

// tunnelPorts writes all four lists once ports are set at all, for then an empty one switches its kind off.
func (f *form) tunnelPorts(t *flowv1.TunnelPorts) {
	if t == nil {
		return
	}
	for _, kind := range []struct {
		name  string
		ports []uint32
	}{{"geneve", t.GetGeneve()}, {"gtp_u", t.GetGtpU()}, {"teredo", t.GetTeredo()}, {"vxlan", t.GetVxlan()}} {
		list := []byte{'['}
		for i, port := range sorted(kind.ports) {
			if i > 0 {
				list = append(list, ',')
			}
			list = strconv.AppendUint(list, uint64(port), 10)
		}
		f.line("tunnel_ports."+kind.name, string(append(list, ']')))
	}
}

func (f *form) hash() string {
	sum := sha256.Sum256(f.text)
	return hex.EncodeToString(sum[:])
}

func sorted[T string | uint32](values []T) []T { return slices.Sorted(slices.Values(values)) }
