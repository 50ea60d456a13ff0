package query

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
)

// pcapng writes a session's head as a pcapng file: one interface block for each interface that packets came through,
// nanosecond times, the lengths that were on the wire, and, as the section's comment, what the session was classified as.
// Columns that contradict each other are an error: the store is broken.
func pcapng(r *queryv1.Result, p *flowv1.Packets) ([]byte, error) {
	n := len(p.GetCaptured())
	if len(p.GetTimeDeltasNs()) != n || len(p.GetMissing()) != n || len(p.GetFlags()) != n || len(p.GetInterfaces()) == 0 ||
		(len(p.GetInterfaceIndexes()) != 0 && len(p.GetInterfaceIndexes()) != n) {
		return nil, fmt.Errorf("head of %s: columns of unequal length", r.GetSessionId())
	}
	var file bytes.Buffer
	options := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "sonde", Comment: comment(r)}}
	w, err := pcapgo.NewNgWriterInterface(&file, ngInterface(p.GetInterfaces()[0]), options)
	if err != nil {
		return nil, err
	}
	for _, i := range p.GetInterfaces()[1:] {
		if _, err := w.AddInterface(ngInterface(i)); err != nil {
			return nil, err
		}
	}
	at, data := p.GetBaseTimeNs(), p.GetData()
	for i, captured := range p.GetCaptured() {
		at += p.GetTimeDeltasNs()[i]
		var from uint32
		if len(p.GetInterfaceIndexes()) > 0 {
			from = p.GetInterfaceIndexes()[i]
		}
		if uint64(captured) > uint64(len(data)) || uint64(from) >= uint64(len(p.GetInterfaces())) ||
			uint64(captured)+uint64(p.GetMissing()[i]) > math.MaxInt32 {
			return nil, fmt.Errorf("head of %s: packet %d is out of range", r.GetSessionId(), i)
		}
		info := gopacket.CaptureInfo{
			Timestamp:      time.Unix(0, at),
			CaptureLength:  int(captured),
			Length:         int(captured) + int(p.GetMissing()[i]),
			InterfaceIndex: int(from),
		}
		if err := w.WritePacket(info, data[:captured]); err != nil {
			return nil, err
		}
		data = data[captured:]
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	return file.Bytes(), nil
}

func ngInterface(i *flowv1.Interface) pcapgo.NgInterface {
	name := i.GetName()
	if name == "" {
		name = i.GetCapturePoint()
	}
	return pcapgo.NgInterface{
		Name:                bounded(name),
		Description:         bounded(i.GetCapturePoint()),
		LinkType:            layers.LinkType(i.GetLinkType()),
		TimestampResolution: 9,
	}
}

// bounded keeps an option within its 16-bit length, and within UTF-8 as the format asks.
func bounded(s string) string { return strings.ToValidUTF8(s[:min(len(s), 1024)], "") }

func comment(r *queryv1.Result) string {
	c := r.GetClassification()
	label := c.GetLabel()
	if c.GetUnknown() {
		label = "unknown (nearest: " + label + ")"
	}
	if label == "" {
		label = "not classified"
	}
	return bounded(fmt.Sprintf("session %s, agent %s, %s, probability %.3f, model %s/%s, community id %s",
		r.GetSessionId(), r.GetAgent(), label, c.GetProbability(), c.GetModel(), c.GetModelVersion(), r.GetCommunityId()))
}
