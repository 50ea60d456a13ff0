package record

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	queryv1 "sonde.example/gen/go/sonde/query/v1"
)

// MaxFilterLength bounds a filter's text in bytes.
const MaxFilterLength = 4096

// maxTerms bounds the terms of a filter, so that no filter makes a query that a database refuses.
const maxTerms = 64

// Filter is a parsed filter: all its terms must hold. The zero Filter takes everything. It may be used at the same time.
type Filter struct {
	Terms []Term
}

// Term is one condition.
type Term struct {
	Field Field
	Op    Op
	Not   bool // the term's opposite must hold
	// One of these is set, after Field's kind.
	Text   string
	Number float64
	Bool   bool
	Prefix netip.Prefix // addresses: a single one has all its bits; IPv4 is kept as IPv4
	Time   time.Time
}

// Field is a column that can be filtered.
type Field string

// Kind is what values a field has.
type Kind int

// Kinds.
const (
	Text Kind = iota
	Number
	Bool
	Address
	Time
)

// Op is a comparison.
type Op string

// FieldKind tells a field's kind; false for a name that is no field.
func FieldKind(f Field) (Kind, bool) {
	switch f {
	case "label", "category", "agent", "capture_point", "community_id", "server_name", "state", "corrected_label":
		return Text, true
	case "probability", "client.port", "server.port", "port", "ip_protocol":
		return Number, true
	case "unknown", "ended":
		return Bool, true
	case "client.address", "server.address", "address":
		return Address, true
	case "start_time":
		return Time, true
	}
	return 0, false
}

// ParseFilter reads a filter's text: terms FIELD OP VALUE joined by AND, NOT before a term, after AIP-160. The error names
// the position, in bytes from 1, and what was expected there.
func ParseFilter(text string) (Filter, error) {
	if len(text) > MaxFilterLength {
		return Filter{}, fmt.Errorf("%d bytes long, at most %d are taken", len(text), MaxFilterLength)
	}
	p := parser{text: text}
	var f Filter
	for p.skip(); !p.end(); p.skip() {
		if len(f.Terms) > 0 {
			at := p.at
			if word := p.word(); word != "AND" {
				return Filter{}, p.errorf(at, "expected AND, found %q", word)
			}
			p.skip()
		}
		if len(f.Terms) == maxTerms {
			return Filter{}, p.errorf(p.at, "more than %d terms", maxTerms)
		}
		t, err := p.term()
		if err != nil {
			return Filter{}, err
		}
		f.Terms = append(f.Terms, t)
	}
	return f, nil
}

type parser struct {
	text string
	at   int
}

func (p *parser) errorf(at int, format string, args ...any) error {
	return fmt.Errorf("position %d: %s", at+1, fmt.Sprintf(format, args...))
}

func (p *parser) end() bool { return p.at >= len(p.text) }

func (p *parser) skip() {
	for !p.end() && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// word takes what stands up to the next space, operator or quote.
func (p *parser) word() string {
	start := p.at
	for !p.end() && strings.IndexByte(" \t\r\n=!<>\"", p.text[p.at]) < 0 {
		p.at++
	}
	return p.text[start:p.at]
}

func (p *parser) term() (Term, error) {
	var t Term
	at := p.at
	name := p.word()
	if name == "NOT" {
		t.Not = true
		p.skip()
		at = p.at
		name = p.word()
	}
	kind, ok := FieldKind(Field(name))
	if !ok {
		return t, p.errorf(at, "no field %q", name)
	}
	t.Field = Field(name)
	p.skip()
	at = p.at
	for _, op := range []string{"!=", "<=", ">=", "=", "<", ">"} {
		if strings.HasPrefix(p.text[p.at:], op) {
			t.Op = Op(op)
			p.at += len(op)
			break
		}
	}
	switch {
	case t.Op == "":
		return t, p.errorf(at, "expected one of = != < <= > >= after %s", name)
	case (kind == Text || kind == Bool || kind == Address) && t.Op != "=" && t.Op != "!=":
		return t, p.errorf(at, "%s takes = or != only", name)
	}
	p.skip()
	at = p.at
	value, err := p.value()
	if err != nil {
		return t, err
	}
	if err := t.set(kind, value); err != nil {
		return t, p.errorf(at, "%s: %v", name, err)
	}
	return t, nil
}

func (p *parser) value() (string, error) {
	at := p.at
	if p.end() {
		return "", p.errorf(at, "expected a value")
	}
	if p.text[p.at] != '"' {
		word := p.word()
		if word == "" {
			return "", p.errorf(at, "expected a value")
		}
		return word, nil
	}
	var b strings.Builder
	for p.at++; !p.end(); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return b.String(), nil
		case c == '\\' && p.at+1 < len(p.text):
			p.at++
			b.WriteByte(p.text[p.at])
		default:
			b.WriteByte(c)
		}
	}
	return "", p.errorf(at, "the quote is not closed")
}

func (t *Term) set(kind Kind, value string) (err error) {
	switch kind {
	case Text:
		t.Text = value
		if t.Field == "state" {
			if _, ok := StateNumber(value); !ok {
				return fmt.Errorf("%q is none of classified, counted, failed", value)
			}
		}
	case Number:
		if t.Number, err = strconv.ParseFloat(value, 64); err != nil {
			return fmt.Errorf("%q is no number", value)
		}
	case Bool:
		if value != "true" && value != "false" {
			return fmt.Errorf("%q is neither true nor false", value)
		}
		t.Bool = value == "true"
	case Address:
		if a, err := netip.ParseAddr(value); err == nil && a.Zone() == "" {
			t.Prefix = netip.PrefixFrom(a, a.BitLen())
		} else if t.Prefix, err = netip.ParsePrefix(value); err != nil {
			return fmt.Errorf("%q is neither an address nor a prefix such as 10.0.0.0/8", value)
		}
		t.Prefix = t.Prefix.Masked()
	case Time:
		if t.Time, err = time.Parse(time.RFC3339Nano, value); err != nil {
			return fmt.Errorf("%q is no time such as 2026-01-02T15:04:05Z", value)
		}
	}
	return nil
}

// StateNumber turns a state's short name (classified, counted, failed) into its number.
func StateNumber(name string) (queryv1.ResultState, bool) {
	n, ok := queryv1.ResultState_value["RESULT_STATE_"+strings.ToUpper(name)]
	return queryv1.ResultState(n), ok && n != 0
}

// Match tells whether the result passes.
func (f Filter) Match(r *queryv1.Result) bool {
	for i := range f.Terms {
		if f.Terms[i].match(r) == f.Terms[i].Not {
			return false
		}
	}
	return true
}

func (t *Term) match(r *queryv1.Result) bool {
	c := r.GetClassification()
	switch t.Field {
	case "label":
		return t.text(c.GetLabel())
	case "category":
		return t.text(c.GetCategory())
	case "agent":
		return t.text(r.GetAgent())
	case "capture_point":
		return t.text(r.GetCapturePoint())
	case "community_id":
		return t.text(r.GetCommunityId())
	case "server_name":
		return t.text(r.GetHandshake().GetServerName())
	case "corrected_label":
		return t.text(r.GetCorrectedLabel())
	case "state":
		n, _ := StateNumber(t.Text)
		return (r.GetState() == n) == (t.Op == "=")
	case "probability":
		return t.number(float64(c.GetProbability()))
	case "client.port":
		return t.number(float64(r.GetClient().GetPort()))
	case "server.port":
		return t.number(float64(r.GetServer().GetPort()))
	case "port":
		return t.either(t.number(float64(r.GetClient().GetPort())), t.number(float64(r.GetServer().GetPort())))
	case "ip_protocol":
		return t.number(float64(r.GetIpProtocol()))
	case "unknown":
		return (c.GetUnknown() == t.Bool) == (t.Op == "=")
	case "ended":
		return (r.GetEnded() == t.Bool) == (t.Op == "=")
	case "client.address":
		return t.address(r.GetClient())
	case "server.address":
		return t.address(r.GetServer())
	case "address":
		return t.either(t.address(r.GetClient()), t.address(r.GetServer()))
	case "start_time":
		return compare(t.Op, r.GetStartTime().AsTime().Compare(t.Time))
	}
	return false
}

// either joins the two sides of a session: one side is enough, but for != both must differ.
func (t *Term) either(client, server bool) bool {
	if t.Op == "!=" {
		return client && server
	}
	return client || server
}

func (t *Term) text(s string) bool { return (s == t.Text) == (t.Op == "=") }

func (t *Term) number(n float64) bool {
	switch {
	case n < t.Number:
		return compare(t.Op, -1)
	case n > t.Number:
		return compare(t.Op, 1)
	}
	return compare(t.Op, 0)
}

func (t *Term) address(e *queryv1.Endpoint) bool {
	a, err := netip.ParseAddr(e.GetAddress())
	return (err == nil && t.Prefix.Contains(a)) == (t.Op == "=")
}

func compare(op Op, order int) bool {
	switch op {
	case "=":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	}
	return false
}
