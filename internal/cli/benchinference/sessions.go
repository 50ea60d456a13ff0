//go:build linux

package main

import (
	"context"
	"errors"
	"io"

	"sonde.example/agent/capture/file"
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	inferencev1 "sonde.example/gen/go/sonde/inference/v1"
	"sonde.example/internal/feature"
	"sonde.example/internal/packet"
)

// shorter are the heads that are made of each session beside the whole one: sessions are classified early, too, and a
// model should not meet the same few rows over and over.
var shorter = []int{1, 2, 3, 4, 6, 8, 12, 16, 20} //nolint:gochecknoglobals // a constant table

// conversation is a session while its capture is read.
type conversation struct {
	client   packet.Endpoint
	protocol uint8
	last     int64
	rule     packet.Head
	head     flowv1.Packets
}

// readSessions returns the heads of a capture's sessions, whole and shorter, as the classifier service takes them.
func readSessions(ctx context.Context, path string) (_ []*inferencev1.Session, err error) {
	source, err := file.Open(ctx, path, file.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	walkers := packet.NewWalkers(packet.DefaultOptions())
	walker := walkers.For(nil)
	open := map[packet.Key]*conversation{}
	var order []*conversation
	for {
		frame, at, err := source.ReadPacket(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		var info packet.Info
		if walker.Walk(at.LinkType, frame, at.OriginalLength, &info) != packet.OK || info.Fragment == packet.LaterFragment {
			continue
		}
		c := open[info.Key]
		if c == nil {
			c = &conversation{client: info.Source(), protocol: info.Key.Protocol, last: at.Time, rule: packet.Head{Limits: packet.DefaultHeadLimits()}}
			c.head.Interfaces = []*flowv1.Interface{{LinkType: uint32(at.LinkType)}}
			open[info.Key] = c
			order = append(order, c)
		}
		c.take(&info, frame, at.Time, at.OriginalLength)
	}
	var (
		sessions []*inferencev1.Session
		work     feature.Session
	)
	for _, c := range order {
		for _, packets := range append(shorter, len(c.head.GetCaptured())) {
			if packets > len(c.head.GetCaptured()) {
				continue
			}
			if err := work.FromHead(walkers, uint32(c.protocol), c.first(packets)); err != nil {
				return nil, err
			}
			sessions = append(sessions, work.Native())
		}
	}
	return sessions, nil
}

func (c *conversation) take(info *packet.Info, frame []byte, now int64, original int) {
	delta := now - c.last
	c.last = now
	keep, length := c.rule.Take(info, len(frame))
	if !keep {
		return
	}
	flags := flowv1.PacketFlag_PACKET_FLAG_UNSPECIFIED
	if info.Source() != c.client {
		flags |= flowv1.PacketFlag_PACKET_FLAG_REVERSE
	}
	h := &c.head
	h.TimeDeltasNs = append(h.TimeDeltasNs, delta)
	h.Captured = append(h.Captured, uint32(length))
	h.Missing = append(h.Missing, uint32(original-length))
	h.Flags = append(h.Flags, uint32(flags))
	h.Ordinals = append(h.Ordinals, uint32(len(h.Ordinals)))
	h.Data = append(h.Data, frame[:length]...)
}

// first returns the head's first n packets. It shares memory with the head.
func (c *conversation) first(n int) *flowv1.Packets {
	h, size := &c.head, 0
	for _, captured := range h.GetCaptured()[:n] {
		size += int(captured)
	}
	return &flowv1.Packets{
		TimeDeltasNs: h.GetTimeDeltasNs()[:n], Captured: h.GetCaptured()[:n], Missing: h.GetMissing()[:n], Flags: h.GetFlags()[:n],
		Ordinals: h.GetOrdinals()[:n], Interfaces: h.GetInterfaces(), Data: h.GetData()[:size],
	}
}
