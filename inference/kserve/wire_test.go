package kserve_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	kservev2 "sonde.example/gen/go/inference"
	"sonde.example/inference/kserve"
)

// readsAsProtobufDoes compares what the service reads with what protobuf reads.
func readsAsProtobufDoes(t *testing.T, data []byte) {
	t.Helper()
	want := &kservev2.ModelInferRequest{}
	wrong := proto.Unmarshal(data, want)
	half := len(data) / 2
	err := kserve.ReadRequest([][]byte{data[:half:half], data[half:]}, func(got *kservev2.ModelInferRequest) {
		if wrong == nil && !proto.Equal(got, want) {
			t.Errorf("got %v, protobuf reads %v", got, want)
		}
	})
	if (err == nil) != (wrong == nil) {
		t.Errorf("got error %v, protobuf says %v", err, wrong)
	}
}

func TestRequestsAreReadAsProtobufReadsThem(t *testing.T) {
	raw := func(content string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, 7, protowire.BytesType), content)
	}
	name := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "sonde")
	version := protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), "2")
	join := func(parts ...[]byte) (all []byte) {
		for _, part := range parts {
			all = append(all, part...)
		}
		return all
	}
	for what, data := range map[string][]byte{
		"nothing":             nil,
		"no raw contents":     join(name, version),
		"raw contents last":   join(name, version, raw("one"), raw("two")),
		"raw contents first":  join(raw("one"), name, version),
		"raw contents spread": join(raw("one"), name, raw(""), version, raw("three"), name),
		"another wire type":   join(name, protowire.AppendVarint(protowire.AppendTag(nil, 7, protowire.VarintType), 5), raw("one")),
		"unknown fields":      join(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 5), raw("one"), version),
		"cut in raw contents": join(name, raw("one"))[:9],
		"no UTF-8":            join(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "\xff"), raw("one")),
		"no tag":              {0x80},
	} {
		t.Run(what, func(t *testing.T) { readsAsProtobufDoes(t, data) })
	}
}

func FuzzRequest(f *testing.F) {
	for _, name := range []string{"triton-plain", "triton-classes", "kserve-raw", "kserve-typed"} {
		data, err := proto.Marshal(golden(f, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(readsAsProtobufDoes)
}

func BenchmarkReadRequest(b *testing.B) {
	data, err := proto.Marshal(&kservev2.ModelInferRequest{
		ModelName: "sonde", RawInputContents: [][]byte{make([]byte, 64*784), make([]byte, 64*4*96), make([]byte, 64*4*96)},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("service", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if err := kserve.ReadRequest([][]byte{data}, func(*kservev2.ModelInferRequest) {}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("protobuf", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if err := proto.Unmarshal(data, &kservev2.ModelInferRequest{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
