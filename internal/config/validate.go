package config

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	configv1 "sonde.example/gen/go/sonde/config/v1"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"

	"sonde.example/internal/packet"
	"sonde.example/internal/packet/filter"
)

// Bounds of what a configuration may ask for. The flags of the daemons keep the same ones.
const (
	MaxCapturePoints    = 64
	MaxCollectors       = 16
	MaxHeadPackets      = 1024
	MaxPayloadBytes     = 65536
	MaxSnapLength       = filter.SnapLength
	MinSpoolBytes       = 8 << 20 // room for a few of the largest batches
	MinFlowTableBytes   = 1 << 16
	MaxBytes            = 1 << 40               // more memory than there is; guards sums against overflow
	MaxTunnelPorts      = packet.MaxTunnelPorts // of each kind
	MinHandOverDeadline = 100 * time.Millisecond
	MaxHandOverDeadline = time.Minute // durable lags by it, and spools must hold that much
	MinSessionBytes     = 16 << 20    // twice a batch of 4 MiB for an agent, at least
	MaxKeep             = 100 * 365 * 24 * time.Hour
	MaxPercent          = 100
	maxModelName        = 128
	maxCollectorText    = 4096
)

// Columns by which FieldErrors name what is wrong, where another package says so.
const (
	FieldDevice           = "device"
	FieldFilter           = "filter"
	FieldCollector        = "collector"
	FieldEnabled          = "enabled"
	FieldHandOverDeadline = "hand_over_deadline_ms"
	FieldSessionBytes     = "session_bytes"
	FieldKeepResults      = "keep_results_seconds"
	FieldKeepPackets      = "keep_packets_seconds"
	FieldModel            = "model"
	FieldModelVersion     = "model_version"
	FieldShadowVersion    = "shadow_version"
	FieldCanaryVersion    = "canary_version"
	FieldCanaryPercent    = "canary_percent"
	FieldVXLANPorts       = "vxlan_ports"
	FieldGenevePorts      = "geneve_ports"
	FieldGTPUPorts        = "gtp_u_ports"
	FieldTeredoPorts      = "teredo_ports"
)

// SchemeAFPacket begins a capture point on a device of Linux.
const SchemeAFPacket = "afpacket:"

// ValidateAgent returns all that is wrong with an agent's configuration, each a FieldError. Whether the filter's text
// compiles is not looked at, and what only the host can know the agent finds out.
func ValidateAgent(c *configv1.AgentConfig) error {
	var bad faults
	bad.add(FieldDevice, checkCapturePoints(c.GetCapturePoints()))
	switch text := c.GetFilter(); {
	case len(text) > filter.MaxText:
		bad.addf(FieldFilter, "%d bytes are more than %d", len(text), filter.MaxText)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		bad.addf(FieldFilter, "%.40q is not text", text)
	}
	if c.GetCollector() != "" {
		_, err := Collectors(c.GetCollector())
		bad.add(FieldCollector, err)
	}
	bad.most("head_packets", uint64(c.GetHeadPackets()), MaxHeadPackets)
	bad.most("payload_bytes", uint64(c.GetPayloadBytes()), MaxPayloadBytes)
	bad.most("snap_length", uint64(c.GetSnapLength()), MaxSnapLength)
	bad.bytes("spool_bytes", c.GetSpoolBytes(), MinSpoolBytes)
	bad.bytes("flow_table_bytes", c.GetFlowTableBytes(), MinFlowTableBytes)
	bad.tunnelPorts(c.GetTunnelPorts())
	return bad.join()
}

// ValidateService returns all that is wrong with a service's configuration, each a FieldError; a setting that the role does
// not have is wrong too.
func ValidateService(role string, c *configv1.ServiceConfig) error {
	var bad faults
	if role != RoleCollector && role != RoleInference {
		bad.addf("role", "%.40q is neither %s nor %s", role, RoleCollector, RoleInference)
		return bad.join()
	}
	bad.duration(FieldHandOverDeadline, c.GetHandOverDeadline(), MinHandOverDeadline, MaxHandOverDeadline)
	bad.bytes(FieldSessionBytes, c.GetSessionBytes(), MinSessionBytes)
	bad.duration(FieldKeepResults, c.GetKeepResults(), time.Second, MaxKeep)
	bad.duration(FieldKeepPackets, c.GetKeepPackets(), time.Second, MaxKeep)
	bad.add(FieldModel, checkModelName(c.GetModel()))
	bad.add(FieldModelVersion, checkVersion(c.GetModelVersion()))
	bad.add(FieldShadowVersion, checkVersion(c.GetShadowVersion()))
	bad.add(FieldCanaryVersion, checkVersion(c.GetCanaryVersion()))
	bad.most(FieldCanaryPercent, uint64(c.GetCanaryPercent()), MaxPercent)
	bad.tunnelPorts(c.GetTunnelPorts())
	bad.foreign(role, c)
	return bad.join()
}

// foreign refuses what is set and the role does not have.
func (f *faults) foreign(role string, c *configv1.ServiceConfig) {
	refuse := func(field string, set bool) {
		if set {
			f.addf(field, "a service of role %s has no such setting", role)
		}
	}
	if role == RoleCollector {
		refuse(FieldShadowVersion, c.GetShadowVersion() != "")
		refuse(FieldCanaryVersion, c.GetCanaryVersion() != "")
		refuse(FieldCanaryPercent, c.GetCanaryPercent() != 0)
		return
	}
	refuse(FieldHandOverDeadline, c.GetHandOverDeadline() != nil)
	refuse(FieldSessionBytes, c.GetSessionBytes() != 0)
	refuse(FieldKeepResults, c.GetKeepResults() != nil)
	refuse(FieldKeepPackets, c.GetKeepPackets() != nil)
	refuse(FieldVXLANPorts, c.GetTunnelPorts() != nil)
}

// faults collects FieldErrors.
type faults []error

func (f *faults) add(field string, err error) {
	if err != nil {
		*f = append(*f, &FieldError{Field: field, Err: err})
	}
}

func (f *faults) addf(field, format string, args ...any) { f.add(field, fmt.Errorf(format, args...)) }

func (f *faults) most(field string, value, limit uint64) {
	if value > limit {
		f.addf(field, "%d is more than %d", value, limit)
	}
}

// bytes checks a budget, of which zero means the flag's.
func (f *faults) bytes(field string, value, least uint64) {
	if value != 0 && (value < least || value > MaxBytes) {
		f.addf(field, "%d is not within %d and %d", value, least, uint64(MaxBytes))
	}
}

// duration checks a span, of which zero is allowed besides.
func (f *faults) duration(field string, d *durationpb.Duration, least, most time.Duration) {
	if d == nil {
		return
	}
	if err := d.CheckValid(); err != nil {
		f.addf(field, "%v", err)
		return
	}
	if got := d.AsDuration(); got != 0 && (got < least || got > most) {
		f.addf(field, "%v is not within %v and %v", got, least, most)
	}
}

func (f *faults) tunnelPorts(t *flowv1.TunnelPorts) {
	seen := map[uint32]string{}
	for field, ports := range portLists(t) {
		if len(ports) > MaxTunnelPorts {
			f.addf(field, "%d ports are more than %d", len(ports), MaxTunnelPorts)
			continue
		}
		for _, port := range ports {
			if port < 1 || port > 65535 {
				f.addf(field, "%d is not a port, 1 to 65535", port)
			} else if other := seen[port]; other != "" {
				f.addf(field, "port %d is in %s already", port, other)
			}
			seen[port] = field
		}
	}
}

// portLists yields the lists of t under the names of their columns, in a fixed order.
func portLists(t *flowv1.TunnelPorts) func(yield func(string, []uint32) bool) {
	return func(yield func(string, []uint32) bool) {
		_ = yield(FieldVXLANPorts, t.GetVxlan()) && yield(FieldGenevePorts, t.GetGeneve()) &&
			yield(FieldGTPUPorts, t.GetGtpU()) && yield(FieldTeredoPorts, t.GetTeredo())
	}
}

func (f *faults) join() error { return errors.Join(*f...) }

func checkCapturePoints(points []string) error {
	if len(points) > MaxCapturePoints {
		return fmt.Errorf("%d capture points are more than %d", len(points), MaxCapturePoints)
	}
	seen := map[string]bool{}
	for _, point := range points {
		if err := CheckCapturePoint(point); err != nil {
			return err
		}
		if seen[point] {
			return fmt.Errorf("%s is there twice", point)
		}
		seen[point] = true
	}
	return nil
}

// maxDeviceName is IFNAMSIZ of linux/if.h without the NUL.
const maxDeviceName = 15

// CheckCapturePoint tells what is wrong with a live capture point: it is afpacket: and the name of a device, for which the
// kernel's rules hold (dev_valid_name in net/core/dev.c): 1 to 15 bytes, no slash, colon or white space, not "." or "..".
func CheckCapturePoint(point string) error {
	device, ok := strings.CutPrefix(point, SchemeAFPacket)
	if !ok {
		return fmt.Errorf("capture point %.40q does not begin with %s", point, SchemeAFPacket)
	}
	bad := strings.ContainsFunc(device, func(r rune) bool {
		return r == '/' || r == ':' || r == ',' || r == utf8.RuneError || unicode.IsSpace(r) || unicode.IsControl(r)
	})
	if device == "" || len(device) > maxDeviceName || bad || device == "." || device == ".." {
		return fmt.Errorf("%.40q is not the name of a device, 1 to %d bytes without slash, colon, comma and white space", device, maxDeviceName)
	}
	return nil
}

// Collectors takes a comma-separated list of host:port apart: at least one, at most 16.
func Collectors(text string) ([]string, error) {
	if len(text) > maxCollectorText {
		return nil, fmt.Errorf("%d bytes are more than %d", len(text), maxCollectorText)
	}
	var all []string
	for part := range strings.SplitSeq(text, ",") {
		address := strings.TrimSpace(part)
		if err := checkAddress(address); err != nil {
			return nil, err
		}
		all = append(all, address)
	}
	if len(all) > MaxCollectors {
		return nil, fmt.Errorf("%d addresses are more than %d", len(all), MaxCollectors)
	}
	return all, nil
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || strings.ContainsFunc(host, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return fmt.Errorf("%.80q is not host:port", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%.80q has no port within 1 and 65535", address)
	}
	return nil
}

// checkModelName keeps a name of a model from being anything but a folder's name.
func checkModelName(name string) error {
	if name == "" {
		return nil
	}
	bad := strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r == '\\' || unicode.IsSpace(r) || unicode.IsControl(r) })
	if len(name) > maxModelName || bad || name == "." || name == ".." || !utf8.ValidString(name) {
		return fmt.Errorf("%.40q is not the name of a model, a folder of at most %d bytes", name, maxModelName)
	}
	return nil
}

// checkVersion takes what a model repository names its folders of versions by: a number from 1 on.
func checkVersion(version string) error {
	if version == "" {
		return nil
	}
	if n, err := strconv.ParseInt(version, 10, 64); err != nil || n < 1 || strconv.FormatInt(n, 10) != version {
		return fmt.Errorf("%.40q is not the number of a version, such as 2", version)
	}
	return nil
}
