package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"sonde.example/internal/rpc"
	"sonde.example/internal/testenv"
)

// blob is on the wire a google.protobuf.BytesValue, and does what an ingest batch does: the head is written and read by
// hand, the bytes are never copied.
type blob struct {
	data mem.BufferSlice
}

var errBlob = errors.New("not a blob")

func (b *blob) MarshalBuffers(mem.BufferPool) (mem.BufferSlice, error) {
	head := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.BytesType), uint64(b.data.Len()))
	b.data.Ref() // for gRPC, which frees what it is given
	return append(mem.BufferSlice{mem.SliceBuffer(head)}, b.data...), nil
}

func (b *blob) UnmarshalBuffers(data mem.BufferSlice) error {
	if len(data) == 0 {
		return nil
	}
	first := data[0].ReadOnlyData()
	_, kind, n := protowire.ConsumeTag(first)
	if n < 0 || kind != protowire.BytesType {
		return errBlob
	}
	length, m := protowire.ConsumeVarint(first[n:])
	if m < 0 || length != uint64(data.Len()-n-m) {
		return errBlob
	}
	b.data = append(mem.BufferSlice{data[0].Slice(n+m, data[0].Len())}, data[1:]...)
	data[1:].Ref()
	return nil
}

func TestCodecRefersToLargeBytesInPlace(t *testing.T) {
	pool := &countingPool{BufferPool: rpc.NewBufferPool()}
	codec := rpc.Codec(pool)
	payload := bytes.Repeat([]byte("sonde"), 1000)
	sent := &blob{data: mem.BufferSlice{mem.SliceBuffer(payload)}}
	wire, err := codec.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	if last := wire[len(wire)-1].ReadOnlyData(); &last[0] != &payload[0] {
		t.Error("the blob was copied on its way out")
	}
	stock := new(wrapperspb.BytesValue) // it is valid protobuf
	if err := codec.Unmarshal(wire, stock); err != nil || !bytes.Equal(stock.GetValue(), payload) {
		t.Errorf("the stock codec reads %d bytes, %v", len(stock.GetValue()), err)
	}
	wire.Free()

	whole, err := proto.Marshal(stock)
	if err != nil {
		t.Fatal(err)
	}
	buffer := mem.Copy(whole, pool)
	arrived := mem.BufferSlice{buffer}
	received := new(blob)
	if err := codec.Unmarshal(arrived, received); err != nil {
		t.Fatal(err)
	}
	if got := received.data[0].ReadOnlyData(); &got[0] != &buffer.ReadOnlyData()[len(whole)-len(payload)] {
		t.Error("the blob was copied on its way in")
	}
	arrived.Free() // as gRPC does
	if !bytes.Equal(received.data.Materialize(), payload) {
		t.Error("the blob is gone with gRPC's reference")
	}
	received.data.Free()
	if out := pool.out.Load(); out != 0 {
		t.Errorf("%d buffers were not given back", out)
	}
}

// countingPool counts buffers that are out.
type countingPool struct {
	mem.BufferPool
	out atomic.Int64
}

func (p *countingPool) Get(length int) *[]byte {
	p.out.Add(1)
	return p.BufferPool.Get(length)
}

func (p *countingPool) Put(buffer *[]byte) {
	p.out.Add(-1)
	p.BufferPool.Put(buffer)
}

func TestCodecRoundTripsStockMessages(t *testing.T) {
	pool := &countingPool{BufferPool: rpc.NewBufferPool()}
	codec := rpc.Codec(pool)
	for _, size := range []int{0, 1, 100, 5000, 1 << 20, 5 << 20} {
		want := wrapperspb.Bytes(bytes.Repeat([]byte{7}, size))
		wire, err := codec.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got := new(wrapperspb.BytesValue)
		if err := codec.Unmarshal(wire, got); err != nil || !proto.Equal(got, want) {
			t.Errorf("%d bytes: %v", size, err)
		}
		wire.Free()
	}
	if out := pool.out.Load(); out != 0 {
		t.Errorf("%d buffers were not given back", out)
	}
	if _, err := codec.Marshal("text"); err == nil {
		t.Error("wrote a string")
	}
	if err := codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer("\xff")}, new(wrapperspb.BytesValue)); err == nil {
		t.Error("read rubbish")
	}
	if err := codec.Unmarshal(nil, new(string)); err == nil {
		t.Error("read into a string")
	}
}

func TestBufferPoolHasATierAtEachPowerOfTwo(t *testing.T) {
	pool := rpc.NewBufferPool()
	for exponent := 8; exponent <= 22; exponent++ {
		for _, size := range []int{1<<exponent - 1, 1 << exponent} {
			if got := cap(*pool.Get(size)); got != 1<<exponent {
				t.Errorf("%d bytes take a buffer of %d", size, got)
			}
		}
	}
}

// TestBlobsGoBothWaysOverTheWire repeats blobs: what the handler received it sends on without looking.
func TestBlobsGoBothWaysOverTheWire(t *testing.T) {
	h := open(t, handlers{echo: whoami, talk: repeatBlobs}, nil)
	stream, err := h.client(h.certificates.Agent, nil).NewStream(t.Context(), bothWays(), talkMethod)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 1000, 20_000, 256 << 10, 4 << 20} {
		payload := make([]byte, size)
		for i := range payload {
			payload[i] = byte(i * 7)
		}
		if err := stream.SendMsg(&blob{data: mem.BufferSlice{mem.SliceBuffer(payload)}}); err != nil {
			t.Fatal(err)
		}
		answer := new(blob)
		if err := stream.RecvMsg(answer); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(answer.data.Materialize(), payload) {
			t.Errorf("%d bytes came back changed", size)
		}
		answer.data.Free()
	}
}

func TestBlobThatIsNoneEndsTheCall(t *testing.T) {
	h := open(t, handlers{echo: whoami, talk: repeatBlobs}, nil)
	stream, err := h.client(h.certificates.Agent, nil).NewStream(t.Context(), bothWays(), talkMethod)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(wrapperspb.UInt64(1)); err != nil { // a varint where the bytes should be
		t.Fatal(err)
	}
	if err := stream.RecvMsg(new(blob)); status.Code(err) != codes.Internal {
		t.Errorf("got %v", err)
	}
}

func repeatBlobs(stream grpc.ServerStream) error {
	for {
		in := new(blob)
		if err := stream.RecvMsg(in); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		err := stream.SendMsg(in)
		in.data.Free()
		if err != nil {
			return err
		}
	}
}

// BenchmarkStream sends messages of 256 KiB over one stream, mutual TLS on loopback, both ends in this process: "blob"
// refers to the bytes in place, "bytes" is the yardstick, the same on the wire through the stock codec.
func BenchmarkStream(b *testing.B) {
	const size = 256 << 10
	payload := make([]byte, size)
	for name, message := range map[string]any{
		"blob":  &blob{data: mem.BufferSlice{mem.SliceBuffer(payload)}},
		"bytes": wrapperspb.Bytes(payload),
	} {
		b.Run(name, func(b *testing.B) {
			certificates := testenv.Certificates(b)
			swallow := func(stream grpc.ServerStream) error {
				for {
					var err error
					if name == "blob" {
						in := new(blob)
						err = stream.RecvMsg(in)
						in.data.Free()
					} else {
						err = stream.RecvMsg(new(wrapperspb.BytesValue))
					}
					if errors.Is(err, io.EOF) {
						return stream.SendMsg(&text{})
					}
					if err != nil {
						return err
					}
				}
			}
			server := rpc.NewServer(rpc.ServerOptions{Certificates: testenv.Source(b, certificates.Service), Table: table(), Log: testenv.Log(b)})
			handlers{echo: whoami, talk: swallow}.register(server)
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- server.Run(ctx, listener) }()
			conn, err := rpc.Dial(listener.Addr().String(), rpc.DialOptions{Certificates: testenv.Source(b, certificates.Agent)})
			if err != nil {
				b.Fatal(err)
			}
			stream, err := conn.NewStream(b.Context(), bothWays(), talkMethod)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if err := stream.SendMsg(message); err != nil {
					b.Fatal(err)
				}
			}
			if err := errors.Join(stream.CloseSend(), stream.RecvMsg(&text{}), conn.Close()); err != nil {
				b.Fatal(err)
			}
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
