package cli

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
	"sonde.example/internal/record"
)

// writer shows results: as a table for people, or one JSON object a line. The table's columns have fixed widths, wide enough
// for IPv4, so that a tail lines up and a listing of millions is never held in memory; a longer value pushes its line.
type writer struct {
	json   bool
	line   []byte // used again for each object
	buffer *bufio.Writer
	titled bool
}

// tableLine is one line of the table.
const tableLine = "%-26s  %-23s  %-6s  %-21s  %-21s  %7v  %6s  %-18s  %4s  %s\n"

func newWriter(out io.Writer, asJSON bool) *writer {
	return &writer{json: asJSON, buffer: bufio.NewWriter(out)}
}

func (w *writer) write(r *queryv1.Result) error {
	if w.json {
		var err error
		if w.line, err = appendJSON(w.line[:0], r); err != nil {
			return err
		}
		w.line = append(w.line, '\n')
		_, err = w.buffer.Write(w.line)
		return err
	}
	if !w.titled {
		w.titled = true
		if _, err := fmt.Fprintf(w.buffer, tableLine, "SESSION", "START", "PROTO", "CLIENT", "SERVER", "PACKETS", "BYTES", "LABEL", "PROB", "NAME"); err != nil {
			return err
		}
	}
	c := r.GetClassification()
	probability := ""
	if c != nil {
		probability = strconv.FormatFloat(float64(c.GetProbability()), 'f', 2, 32)
	}
	_, err := fmt.Fprintf(w.buffer, tableLine,
		r.GetSessionId(), r.GetStartTime().AsTime().Format("2006-01-02 15:04:05.000"), protocolName(r.GetIpProtocol()),
		endpointText(r.GetClient()), endpointText(r.GetServer()),
		record.Packets(r), byteText(r.GetForward().GetBytes()+r.GetReverse().GetBytes()),
		labelText(r), probability, printable(nameText(r)))
	return err
}

func (w *writer) flush() error { return w.buffer.Flush() }

// appendJSON appends protojson's form with proto field names and every field printed.
func appendJSON(to []byte, m proto.Message) ([]byte, error) {
	return protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.MarshalAppend(to, m)
}

// labelText is what a person wants to read: the label, or that there is none and why; and what somebody has corrected it to.
func labelText(r *queryv1.Result) string {
	text := "-"
	switch c := r.GetClassification(); {
	case r.GetState() == queryv1.ResultState_RESULT_STATE_FAILED:
		text = "failed"
	case c != nil:
		text = classText(c)
	}
	if corrected := r.GetCorrectedLabel(); corrected != "" {
		return corrected + " (was " + text + ")"
	}
	return text
}

// unknownLabel is what the class of the background is called: what comes near it is near to no other.
const unknownLabel = "unknown"

// classText is the label, or that the model abstains, and from which.
func classText(c *flowv1.Classification) string {
	switch {
	case c.GetLabel() == unknownLabel:
		return unknownLabel
	case c.GetUnknown():
		return "unknown (" + c.GetLabel() + "?)"
	case c.GetWeak():
		return c.GetLabel() + " (weak)"
	}
	return c.GetLabel()
}

// nameText is whom the client asked for: the server, or with DNS the name.
func nameText(r *queryv1.Result) string {
	if name := r.GetHandshake().GetServerName(); name != "" {
		return name
	}
	return r.GetHandshake().GetDnsName()
}

func endpointText(e *queryv1.Endpoint) string {
	if e.GetPort() == 0 {
		return e.GetAddress()
	}
	return net.JoinHostPort(e.GetAddress(), strconv.Itoa(int(e.GetPort())))
}

// protocolName gives the usual name of a protocol, or its IANA number.
func protocolName(number uint32) string {
	switch number {
	case 1:
		return "icmp"
	case 2:
		return "igmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 47:
		return "gre"
	case 50:
		return "esp"
	case 51:
		return "ah"
	case 58:
		return "icmpv6"
	case 89:
		return "ospf"
	case 132:
		return "sctp"
	}
	return strconv.Itoa(int(number))
}

// byteText shows a number of bytes with three digits at most before its unit.
func byteText(n uint64) string {
	const unit = 1000
	if n < unit {
		return strconv.FormatUint(n, 10)
	}
	value, suffix := float64(n), ""
	for _, suffix = range []string{"k", "M", "G", "T", "P"} {
		if value /= unit; value < unit {
			break
		}
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + suffix
}

// printable keeps what a stranger put on the wire from moving the cursor about.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
