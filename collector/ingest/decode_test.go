package ingest

import (
	"hash/crc32"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	ingestv1 "sonde.example/gen/go/sonde/ingest/v1"
)

// sampleBatch has as many packets as asked for, of a size, in sessions of 24.
func sampleBatch(packets, size int) *ingestv1.Batch {
	b := &ingestv1.Batch{
		Sequence: 1, Interfaces: []*flowv1.Interface{{CapturePoint: "file:x", LinkType: 1}}, BaseTimeNs: 1_700_000_000_000_000_000,
		Counters: &ingestv1.Counters{Seen: uint64(packets), Accepted: uint64(packets)}, Data: make([]byte, packets*size),
	}
	for i := range packets {
		if i%24 == 0 {
			b.Sessions = append(b.Sessions, &ingestv1.SessionUpdate{
				Number: uint64(i + 1), Opened: true,
				FiveTuple: &flowv1.FiveTuple{
					ClientAddress: []byte{10, 0, 0, 1}, ClientPort: 1000, ServerAddress: []byte{10, 0, 0, 2}, ServerPort: 80, IpProtocol: 6,
				},
				Counts: &flowv1.Counts{ForwardPackets: 24, ForwardBytes: 24 * 1500, OpenedTimeNs: 1_700_000_000_000_000_000, LastTimeNs: 1_700_000_001_000_000_000},
			})
		}
		b.SessionIndex = append(b.SessionIndex, uint32(len(b.GetSessions())-1))
		b.TimeDeltasNs = append(b.TimeDeltasNs, 12345)
		b.Captured = append(b.Captured, uint32(size))
		b.Missing = append(b.Missing, 1000)
		b.Flags = append(b.Flags, uint32(i%2))
	}
	b.Crc32C = crc32.Checksum(b.GetData(), crc32.MakeTable(crc32.Castagnoli))
	return b
}

func encode(t testing.TB, b *ingestv1.Batch) []byte {
	data, err := proto.Marshal(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Batch{Batch: b}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// FuzzBatch feeds hostile messages. Whatever passes must be what protobuf's own reader makes of it, within all bounds.
func FuzzBatch(f *testing.F) {
	f.Add(encode(f, sampleBatch(50, 100)))
	f.Add(encode(f, &ingestv1.Batch{Sequence: 1, Counters: &ingestv1.Counters{}}))
	hello, err := proto.Marshal(&ingestv1.IngestRequest{Message: &ingestv1.IngestRequest_Hello{Hello: &ingestv1.Hello{Epoch: 1}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(hello)
	var r request
	f.Fuzz(func(t *testing.T, data []byte) {
		if r.read(data) != nil || !r.isBatch || r.fault != nil {
			return
		}
		var want ingestv1.IngestRequest
		if err := proto.Unmarshal(data, &want); err != nil {
			return // ours looks only at what it needs, and at less UTF-8
		}
		got := &r.batch
		if len(got.GetSessionIndex()) > MaxBatchPackets || len(got.GetData()) > MaxBatchBytes || len(got.GetSessions()) > MaxBatchSessions {
			t.Fatal("beyond the bounds")
		}
		for i, session := range got.GetSessionIndex() {
			if int(session) >= len(got.GetSessions()) || len(got.GetCaptured()) <= i {
				t.Fatal("index out of range")
			}
		}
		for _, s := range got.GetSessions() {
			if n := len(s.GetFiveTuple().GetClientAddress()); n != 4 && n != 16 || len(s.GetFiveTuple().GetServerAddress()) != n {
				t.Fatal("address")
			}
		}
		if b := want.GetBatch(); b.GetSequence() == got.GetSequence() && len(b.ProtoReflect().GetUnknown()) == 0 && len(b.GetData()) != len(got.GetData()) {
			t.Fatalf("data of %d bytes, protobuf reads %d", len(got.GetData()), len(b.GetData()))
		}
	})
}

func TestABatchCutAnywhereIsNeverTaken(t *testing.T) {
	var r request
	whole := encode(t, sampleBatch(30, 60))
	for n := range len(whole) {
		if err := r.read(whole[:n]); err == nil && r.isBatch && r.fault == nil {
			t.Fatalf("%d of %d bytes were taken", n, len(whole))
		}
	}
	if err := r.read(whole); err != nil || r.fault != nil {
		t.Fatalf("the whole batch: %v, %v", err, r.fault)
	}
}

func TestDecodingCostsNoAllocationAPacket(t *testing.T) {
	var r request
	data := encode(t, sampleBatch(2400, 100))
	if err := r.read(data); err != nil {
		t.Fatal(err)
	}
	allocations := testing.AllocsPerRun(20, func() {
		if err := r.read(data); err != nil || r.fault != nil {
			t.Fatal(err, r.fault)
		}
	})
	if allocations > 30 { // the counters, the interface, and what surrounds them
		t.Errorf("%v allocations for 2,400 packets in 100 sessions", allocations)
	}
}

func BenchmarkIngest(b *testing.B) {
	data := encode(b, sampleBatch(2048, 128))
	service := New(nil, Options{})
	slice := mem.BufferSlice{mem.SliceBuffer(data)}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		in := inbound{service: service}
		if err := in.UnmarshalBuffers(slice); err != nil || in.fault != nil {
			b.Fatal(err, in.fault)
		}
		in.free()
	}
	b.ReportMetric(float64(b.N)*2048/b.Elapsed().Seconds(), "packets/s")
}
