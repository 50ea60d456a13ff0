package serving

import "encoding/binary"

// lengthBytes is how many bytes an element of BYTES has before it that tell its length, little-endian.
const lengthBytes = 4

// AppendBytes writes an element of BYTES.
func AppendBytes(to []byte, element string) []byte {
	return append(binary.LittleEndian.AppendUint32(to, uint32(len(element))), element...)
}

// CutBytes takes the first element off BYTES; false if it is not all there.
func CutBytes(data []byte) (element, rest []byte, ok bool) {
	if len(data) < lengthBytes {
		return nil, data, false
	}
	n := binary.LittleEndian.Uint32(data)
	if data = data[lengthBytes:]; uint64(n) > uint64(len(data)) {
		return nil, data, false
	}
	return data[:n], data[n:], true
}

// Cut divides contents that fit after the given rows.
func (t *Tensor) Cut(data []byte, rows int) (first, rest []byte) {
	n := rows * t.RowBytes()
	if t.Type == Bytes {
		left := data
		for range rows * t.RowElements() {
			_, left, _ = CutBytes(left)
		}
		n = len(data) - len(left)
	}
	return data[:n], data[n:]
}

// Fits says whether contents are so many rows, no more and no less.
func (t *Tensor) Fits(data []byte, rows int) bool {
	if t.Type != Bytes {
		return len(data) == rows*t.RowBytes()
	}
	for range rows * t.RowElements() {
		var ok bool
		if _, data, ok = CutBytes(data); !ok {
			return false
		}
	}
	return len(data) == 0
}

// Zero makes so many rows of zeros, or of empty strings.
func (t *Tensor) Zero(rows int) []byte {
	if t.Type == Bytes {
		return make([]byte, rows*t.RowElements()*lengthBytes)
	}
	return make([]byte, rows*t.RowBytes())
}
