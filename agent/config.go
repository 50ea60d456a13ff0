package agent

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sonde.example/internal/config"
	"sonde.example/internal/mtls"
	"sonde.example/internal/packet"
	"sonde.example/internal/service"
)

// Config is what an operator sets.
type Config struct {
	// Captures are the capture points: "file:PATH", read one after the other, or "afpacket:DEVICE", all side by side. With
	// ConfigStore there may be none.
	Captures []string
	// Filter is pcap-filter(7) text; empty takes everything.
	Filter string
	// Collectors are addresses, host:port.
	Collectors []string
	// ServerName is what a collector's certificate must carry; empty means the host in its address.
	ServerName string
	// HeadPackets and PayloadBytes bound a session's head; HeadPackets 0 sends every packet whole.
	HeadPackets, PayloadBytes uint32
	// Lanes is the number of streams, 1 to 4.
	Lanes int
	// Spool is the spool's URL.
	Spool string
	// State is a folder for what outlives the process; empty keeps nothing.
	State string
	// ConfigStore is the URL of the store that a configuration comes from; empty means that there are only the flags.
	ConfigStore string
	// TableBytes bounds the table of open sessions.
	TableBytes int64
	// DrainTimeout bounds how long the agent goes on sending after it was stopped or its captures have ended.
	DrainTimeout time.Duration
	// WaitDurable makes that end wait until everything is durable, not only received: a collector that keeps sessions in
	// memory may still lose what it has received, and nobody would be left to send it again.
	WaitDurable bool
	// Epoch fixes the epoch, for replays that give the same session ids; 0 takes a random one.
	Epoch uint64
	// Admin is the address of the admin HTTP server; empty means none.
	Admin string
	// Certificates are this side's files.
	Certificates mtls.Files
	// Version is told to the collector; it has no flag.
	Version string
	// PlainNames calls a file's capture point by its path alone, without "file:"; it has no flag.
	PlainNames bool
	// SkipUnreadable leaves out captures that cannot be opened, as long as one is left; Run returns their errors when the
	// others have gone through. It has no flag: a daemon that is told to capture what is not there does not start.
	SkipUnreadable bool
}

const (
	defaultCollector  = "127.0.0.1:7443"
	defaultSpool      = "mem:"
	defaultAdmin      = "127.0.0.1:9467"
	defaultTableBytes = 32 << 20
	maxLanes          = 4

	defaultDrainTimeout = 30 * time.Second
)

// DefaultConfig has every default.
func DefaultConfig() Config {
	head := packet.DefaultHeadLimits()
	return Config{
		Collectors:  []string{defaultCollector},
		HeadPackets: head.Packets, PayloadBytes: head.PayloadBytes,
		Lanes: 1, Spool: defaultSpool, TableBytes: defaultTableBytes,
		DrainTimeout: defaultDrainTimeout, WaitDurable: true, Admin: defaultAdmin,
	}
}

// RegisterFlags adds the agent's flags; the defaults are the values already in c.
func (c *Config) RegisterFlags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&c.Captures, "capture", c.Captures, "capture point: file:PATH, with - for standard input, or afpacket:DEVICE; may be given several times")
	fs.StringVar(&c.Filter, "filter", c.Filter, "capture only what this filter takes, as pcap-filter(7) says; empty: everything")
	fs.StringArrayVar(&c.Collectors, "collector", c.Collectors, "collector's address, host:port; given several times, one is taken at random for each stream")
	fs.StringVar(&c.ServerName, "server-name", c.ServerName, "name that the collector's certificate must carry; empty: the host in its address")
	fs.Uint32Var(&c.HeadPackets, "head-packets", c.HeadPackets, "packets of a session that are sent, the rest is counted; 0: every packet, whole")
	fs.Uint32Var(&c.PayloadBytes, "payload-bytes", c.PayloadBytes, "payload bytes of a session that are sent; 0: headers only")
	fs.IntVar(&c.Lanes, "lanes", c.Lanes, "streams to the collector, 1 to 4")
	fs.StringVar(&c.Spool, "spool", c.Spool, "where batches wait until they are durable: mem:, mem:?bytes=64MiB")
	fs.StringVar(&c.State, "state", c.State, "folder for what outlives the process: what a killed agent lost, the last good configuration; empty: none")
	fs.StringVar(&c.ConfigStore, "config-store", c.ConfigStore, "store of the configuration, etcd://HOST:PORT[,HOST:PORT][?root=/sonde]; what it does not set the flags do; empty: none")
	fs.Int64Var(&c.TableBytes, "table-bytes", c.TableBytes, "memory for open sessions, in bytes")
	fs.DurationVar(&c.DrainTimeout, "drain-timeout", c.DrainTimeout, "how long to go on sending after the end of the capture, or after a signal")
	fs.StringVar(&c.Admin, "admin", c.Admin, "address of the admin HTTP server (/metrics, /healthz, /readyz, /debug/pprof); empty: none")
	fs.BoolVar(&c.WaitDurable, "wait-durable", c.WaitDurable, "end only when everything is stored, as far as the drain time-out allows; false: when a collector has received it")
	fs.Var((*epochFlag)(&c.Epoch), "epoch", "fixed epoch, decimal or 0x..., for replays with the same session ids; 0: random")
	fs.Lookup("epoch").Hidden = true
	c.Certificates.RegisterFlags(fs)
}

// epochFlag reads an epoch in decimal or hexadecimal.
type epochFlag uint64

func (e *epochFlag) String() string { return strconv.FormatUint(uint64(*e), 10) }
func (*epochFlag) Type() string     { return "uint" }

func (e *epochFlag) Set(text string) error {
	v, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return fmt.Errorf("%q is not a number of 64 bits", text)
	}
	*e = epochFlag(v)
	return nil
}

// Validate returns everything that is wrong, each named by its flag.
func (c *Config) Validate() error {
	bad := []error{c.Certificates.Validate()}
	wrong := func(flag, format string, args ...any) {
		bad = append(bad, fmt.Errorf("--%s: "+format, append([]any{flag}, args...)...))
	}
	for _, err := range c.checkCaptures() {
		wrong("capture", "%w", err)
	}
	if c.ConfigStore != "" {
		if _, _, err := parseStore(c.ConfigStore); err != nil {
			wrong("config-store", "%w", err)
		} else if !c.live() {
			wrong("config-store", "files are captured as the flags say; a configuration is for capture points on devices")
		}
	}
	if len(c.Collectors) == 0 {
		wrong("collector", "needed: host:port")
	}
	for _, address := range c.Collectors {
		if err := checkAddress(address); err != nil {
			wrong("collector", "%w", err)
		}
	}
	if c.Lanes < 1 || c.Lanes > maxLanes {
		wrong("lanes", "%d is not 1 to %d", c.Lanes, maxLanes)
	}
	if c.TableBytes < config.MinFlowTableBytes {
		wrong("table-bytes", "%d is less than %d", c.TableBytes, config.MinFlowTableBytes)
	}
	if c.DrainTimeout <= 0 {
		wrong("drain-timeout", "%s is not positive", c.DrainTimeout)
	}
	if _, err := parseSpool(c.Spool); err != nil {
		wrong("spool", "%w", err)
	}
	if c.Admin != "" {
		if err := checkAddress(c.Admin); err != nil {
			wrong("admin", "%w", err)
		}
	}
	return errors.Join(bad...)
}

func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > math.MaxUint16 {
		return fmt.Errorf("%q has no port from 0 to 65535", address)
	}
	return nil
}

// Schemes of capture points.
const (
	schemeFile   = "file"
	schemeDevice = "afpacket" // config.SchemeAFPacket, without its colon
)

// live tells whether capture points are on devices. Without any, a configuration will name some.
func (c *Config) live() bool {
	return len(c.Captures) == 0 || strings.HasPrefix(c.Captures[0], schemeDevice+":")
}

// checkCaptures returns what is wrong with the capture points.
func (c *Config) checkCaptures() (bad []error) {
	if len(c.Captures) == 0 && c.ConfigStore == "" {
		bad = append(bad, errors.New("needed: what to capture, for example file:web.pcap or afpacket:eth0; or --config-store, to be told"))
	}
	kinds := map[string]int{}
	for i, text := range c.Captures {
		scheme, rest, ok := strings.Cut(text, ":")
		switch {
		case !ok || scheme != schemeFile && scheme != schemeDevice:
			bad = append(bad, fmt.Errorf("%q is neither file:PATH nor afpacket:DEVICE", text))
			continue
		case rest == "":
			bad = append(bad, fmt.Errorf("%q names nothing", text))
		case scheme == schemeDevice && config.CheckCapturePoint(text) != nil:
			bad = append(bad, config.CheckCapturePoint(text))
		case scheme == schemeDevice && slices.Contains(c.Captures[:i], text):
			bad = append(bad, fmt.Errorf("%q is given twice", text))
		case text == schemeFile+":-":
			kinds["-"]++
		}
		kinds[scheme]++
	}
	if kinds["-"] > 1 {
		bad = append(bad, errors.New("standard input can be read only once"))
	}
	if kinds[schemeFile] > 0 && kinds[schemeDevice] > 0 {
		bad = append(bad, errors.New("files and devices cannot be captured by one agent"))
	}
	return bad
}

// capturePath returns the path of a capture point that is a file.
func capturePath(text string) string { return strings.TrimPrefix(text, schemeFile+":") }

// spoolURL is what a spool's URL says.
type spoolURL struct{ bytes int64 }

func parseSpool(text string) (spoolURL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return spoolURL{}, fmt.Errorf("%q is not a URL", service.Redacted(text))
	}
	if u.Scheme != "mem" || u.Host != "" || u.Path != "" || u.Opaque != "" {
		return spoolURL{}, fmt.Errorf("%q is not mem: or mem:?bytes=64MiB", service.Redacted(text))
	}
	p := service.ParametersOf(u)
	s := spoolURL{bytes: p.Bytes("bytes", 0)}
	if err := p.Err(); err != nil {
		return spoolURL{}, err
	}
	if s.bytes != 0 && s.bytes < config.MinSpoolBytes {
		return spoolURL{}, fmt.Errorf("%d bytes are less than %d", s.bytes, config.MinSpoolBytes)
	}
	return s, nil
}
