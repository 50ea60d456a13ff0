package feature

import "fmt"

// Block is a named part of a Row: what is explained together, and switched off together.
type Block struct {
	// Name is for people and for switches; it stays the same as long as its meaning does.
	Name string `json:"name"`
	// Tensor holds the columns.
	Tensor string `json:"tensor"`
	// Columns are places in a row of the tensor, ascending; in series, whose rows are laid one behind the other,
	// SeriesRows of them for each packet.
	Columns []int `json:"columns"`
}

// Blocks of meta.
const (
	BlockTransport = "transport" // the IP protocol
	BlockSizes     = "sizes"     // sizes, directions and numbers of packets
	BlockTimes     = "times"
	BlockPayload   = "payload" // how payload is distributed
	BlockOpening   = "opening" // how the first messages begin
	BlockLengths   = "lengths" // how the first messages' fields relate to their size
	BlockDNS       = "dns"
	BlockTLS       = "tls" // TLS and DTLS, also inside of QUIC
	BlockQUIC      = "quic"
	BlockNames     = "names" // the shape of names, and whether there are any
)

// patches are where the blocks of bytes begin: headers first, then ever wider.
var patches = [...]int{0, 16, 64, 128, 256, clientBytes, clientBytes + 16, clientBytes + 64, clientBytes + 128, ByteColumns} //nolint:gochecknoglobals // a constant table; Go has no constants of this type

// Blocks returns the blocks of all tensors: every column is in exactly one. Meta's are named by the constants, those of
// series go by packet, and those of bytes by place. The caller owns them.
func Blocks() []Block {
	var blocks []Block
	at := map[string]int{}
	for _, name := range []string{
		BlockTransport, BlockSizes, BlockTimes, BlockPayload, BlockOpening, BlockLengths, BlockDNS, BlockTLS, BlockQUIC, BlockNames,
	} {
		at[name] = len(blocks)
		blocks = append(blocks, Block{Name: name, Tensor: TensorMeta})
	}
	for column := range MetaColumns {
		b := &blocks[at[blockOf(column)]]
		b.Columns = append(b.Columns, column)
	}
	for i := range MaxPackets {
		b := Block{Name: fmt.Sprintf("packet %d", i+1), Tensor: TensorSeries}
		for row := range SeriesRows {
			b.Columns = append(b.Columns, row*MaxPackets+i)
		}
		blocks = append(blocks, b)
	}
	for i, from := range patches[:len(patches)-1] {
		side, base := "client", 0
		if from >= clientBytes {
			side, base = "server", clientBytes
		}
		b := Block{Name: fmt.Sprintf("%s bytes %d-%d", side, from-base, patches[i+1]-base-1), Tensor: TensorBytes}
		for column := from; column < patches[i+1]; column++ {
			b.Columns = append(b.Columns, column)
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// blockOf returns the block of a column of meta.
func blockOf(column int) string {
	switch column {
	case columnPackets, columnByteRatio, columnFirstSpeaker, columnTurns:
		return BlockSizes
	case columnDuration, columnAnswerGap, columnGapForward, columnGapReverse:
		return BlockTimes
	case columnQUIC, columnQUICVersion:
		return BlockQUIC
	case columnFamilyForward, columnFamilyReverse:
		return BlockOpening
	case columnTLSName:
		return BlockNames
	}
	switch {
	case column < columnForward:
		return BlockTransport
	case column >= columnTLSVersion:
		return BlockTLS
	}
	switch direction := (column - columnForward) % directionColumns; {
	case direction <= columnSizeRepeats:
		return BlockSizes
	case direction <= columnDistinct:
		return BlockPayload
	case direction == columnToken:
		return BlockOpening
	case direction < columnDNS:
		return BlockLengths
	case direction == columnDNSLabels, direction == columnDNSFirstLabel, direction == columnDNSLocal:
		return BlockNames
	}
	return BlockDNS
}
