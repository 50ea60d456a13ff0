package afpacket

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// buildBlock lays packets out as the kernel does.
func buildBlock(packets ...[]byte) []byte {
	memory := make([]byte, 4096)
	binary.NativeEndian.PutUint32(memory[blockPackets:], uint32(len(packets)))
	binary.NativeEndian.PutUint32(memory[blockFirst:], blockHeader)
	at := blockHeader
	for i, data := range packets {
		const mac = packetHeader + 18
		header := memory[at:]
		step := (mac + len(data) + 15) / 16 * 16
		if i < len(packets)-1 {
			binary.NativeEndian.PutUint32(header[packetNext:], uint32(step))
		}
		binary.NativeEndian.PutUint32(header[packetSeconds:], 4_000_000_000)
		binary.NativeEndian.PutUint32(header[packetNanosecond:], uint32(i))
		binary.NativeEndian.PutUint32(header[packetCaptured:], uint32(len(data)))
		binary.NativeEndian.PutUint32(header[packetOriginal:], uint32(len(data)+i))
		binary.NativeEndian.PutUint16(header[packetMAC:], mac)
		header[packetType] = byte(i)
		copy(header[mac:], data)
		at += step
	}
	return memory
}

func TestBlockYieldsItsPackets(t *testing.T) {
	want := [][]byte{[]byte("the first packet"), []byte("2"), {}, bytes.Repeat([]byte("4"), 100)}
	b, broken := openBlock(buildBlock(want...))
	if broken != 0 || b.left != len(want) {
		t.Fatalf("got %d packets, %d broken", b.left, broken)
	}
	for i, data := range want {
		f, ok := b.next()
		if !ok || !bytes.Equal(f.data, data) || f.original != len(data)+i || f.time != 4_000_000_000_000_000_000+int64(i) || f.kind != uint8(i) || f.tagged {
			t.Errorf("packet %d: got %+v, %t", i, f, ok)
		}
	}
	if b.left != 0 {
		t.Errorf("%d left", b.left)
	}
}

func TestBlockPutsTagsBack(t *testing.T) {
	for name, test := range map[string]struct {
		status uint32
		tpid   uint16
		want   string
	}{
		"802.1Q":     {statusTagged | statusTPIDValid, 0x8100, "destinsource\x81\x00\x20\x05rest"},
		"802.1ad":    {statusTagged | statusTPIDValid, 0x88a8, "destinsource\x88\xa8\x20\x05rest"},
		"no TPID":    {statusTagged, 0x1111, "destinsource\x81\x00\x20\x05rest"},
		"not tagged": {statusTPIDValid, 0x8100, "destinsourcerest"},
	} {
		t.Run(name, func(t *testing.T) {
			memory := buildBlock([]byte("destinsourcerest"))
			binary.NativeEndian.PutUint32(memory[blockHeader+packetStatus:], test.status)
			binary.NativeEndian.PutUint32(memory[blockHeader+packetTCI:], 0x2005)
			binary.NativeEndian.PutUint16(memory[blockHeader+packetTPID:], test.tpid)
			b, _ := openBlock(memory)
			f, ok := b.next()
			if !ok || string(f.data) != test.want || f.original != len(test.want) || f.tagged != (len(test.want) == 20) {
				t.Errorf("got %q, %+v, %t", f.data, f, ok)
			}
		})
	}
}

// FuzzBlock reads blocks with anything in their headers: no packet lies outside of its block, and the end comes.
func FuzzBlock(f *testing.F) {
	f.Add(buildBlock([]byte("the first packet"), []byte("the second"), nil))
	tagged := buildBlock([]byte("destinsourcerest"))
	binary.NativeEndian.PutUint32(tagged[blockHeader+packetStatus:], statusTagged)
	f.Add(tagged[:200])
	f.Fuzz(func(t *testing.T, memory []byte) {
		memory = bytes.Clone(memory)[:len(memory):len(memory)]
		b, broken := openBlock(memory)
		if broken > 0 && b.left > 0 {
			t.Fatalf("%d packets of a broken block", b.left)
		}
		for read := 0; b.left > 0; read++ {
			if read > len(memory) {
				t.Fatal("no end")
			}
			before := b.left
			packet, ok := b.next()
			if !ok {
				return
			}
			if b.left != before-1 || packet.original < len(packet.data) || len(packet.data) > len(memory) || cap(packet.data) != len(packet.data) {
				t.Fatalf("got %d bytes of %d, %d left after %d", len(packet.data), packet.original, b.left, before)
			}
		}
	})
}
