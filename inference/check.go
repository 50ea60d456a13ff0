package inference

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"

	inferencev1 "sonde.example/gen/go/sonde/inference/v1"

	"sonde.example/inference/model"
	"sonde.example/internal/feature"
	"sonde.example/internal/serving"
)

// CheckedFile is what CheckModels has found out about one file.
type CheckedFile struct {
	// Path of the file.
	Path string
	// Checked is what is known of it; never nil.
	*model.Checked
	// Err says why it is not served, or that it could not be read; nil when it is.
	Err error
}

// CheckModels does with the model file at a path, or with each of a folder of a version, of a model or of models, what this daemon does
// before it lets one serve, and measures how long requests of the given sizes take. onnxruntime is as in Config. An error
// says that nothing was checked.
func CheckModels(ctx context.Context, at, onnxruntime string, rows []int) ([]CheckedFile, error) {
	paths, err := modelFiles(at)
	if err != nil {
		return nil, err
	}
	opener, err := openRuntime(&Config{ONNXRuntime: onnxruntime})
	if err != nil {
		return nil, err
	}
	files := make([]CheckedFile, len(paths))
	for i, p := range paths {
		files[i] = CheckedFile{Path: p, Checked: &model.Checked{}}
		files[i].check(ctx, model.CheckOptions{Opener: opener, Contract: contract(), Sample: sample, Rows: rows})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return files, nil
}

func (f *CheckedFile) check(ctx context.Context, o model.CheckOptions) {
	file, err := os.Open(f.Path)
	if err != nil {
		f.Err = err
		return
	}
	f.Checked, f.Err = model.Check(ctx, file, o)
	f.Err = errors.Join(f.Err, file.Close())
}

// modelFiles finds the files that a path means.
func modelFiles(at string) ([]string, error) {
	info, err := os.Stat(at)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{at}, nil
	}
	for _, below := range []string{".", "*", "*/*"} {
		found, err := fs.Glob(os.DirFS(at), path.Join(below, model.FileName))
		if err != nil {
			return nil, err
		}
		for i := range found {
			found[i] = filepath.Join(at, filepath.FromSlash(found[i]))
		}
		if len(found) > 0 {
			return found, nil
		}
	}
	return nil, fmt.Errorf("%s: no %s in it, nor in VERSION or MODEL/VERSION below it", at, model.FileName)
}

// sample makes rows, the same for each call: for a classifier features of sessions, for any other model small numbers.
func sample(info *serving.Info, rows int) *serving.Inputs {
	r := rand.New(rand.NewPCG(1, 2))
	in := &serving.Inputs{Rows: rows, Data: make([][]byte, len(info.Inputs))}
	if info.Classifier() {
		var head feature.Session
		var row feature.Row
		for range rows {
			if err := head.FromNative(sampleSession(r)); err != nil {
				panic("a session of our own contradicts itself: " + err.Error())
			}
			head.Extract(&row)
			at := info.Input(feature.TensorBytes)
			in.Data[at] = append(in.Data[at], row.Bytes[:]...)
			at = info.Input(feature.TensorSeries)
			in.Data[at] = appendFloats(in.Data[at], row.Series[:])
			at = info.Input(feature.TensorMeta)
			in.Data[at] = appendFloats(in.Data[at], row.Meta[:])
		}
		return in
	}
	for i := range info.Inputs {
		in.Data[i] = sampleTensor(r, &info.Inputs[i], rows)
	}
	return in
}

// sampleSession is a session of one of the usual protocols that means nothing, some of it text, some of it random.
func sampleSession(r *rand.Rand) *inferencev1.Session {
	s := &inferencev1.Session{IpProtocol: []uint32{6, 17, 6, 17, 1, 132}[r.IntN(6)]}
	payload := func(size int) []byte {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(r.Uint32())
			if size%2 == 0 {
				data[i] = ' ' + data[i]%('~'-' ')
			}
		}
		return data
	}
	for i := range 1 + r.IntN(feature.MaxPackets) {
		size := r.IntN(1460) * r.IntN(2)
		switch {
		case r.IntN(2) == 0:
			s.SignedSizes = append(s.SignedSizes, int32(size))
			s.ForwardPayload = append(s.ForwardPayload, payload(min(size, feature.MaxStreamBytes/2-len(s.ForwardPayload)))...)
		case size == 0:
			s.SignedSizes, s.ReverseEmpty = append(s.SignedSizes, 0), append(s.ReverseEmpty, uint32(i))
		default:
			s.SignedSizes = append(s.SignedSizes, int32(-size))
			s.ReversePayload = append(s.ReversePayload, payload(min(size, feature.MaxStreamBytes/2-len(s.ReversePayload)))...)
		}
		s.GapsUs = append(s.GapsUs, uint32(math.Exp(r.Float64()*16)))
	}
	return s
}

// sampleTensor is numbers within 0 and 1, which are good for every type and mean nothing.
func sampleTensor(r *rand.Rand, t *serving.Tensor, rows int) []byte {
	n := rows * t.RowElements()
	data := make([]byte, 0, n*t.Type.Size())
	for range n {
		switch t.Type {
		case serving.FP32:
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(r.Float32()))
		case serving.FP64:
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(r.Float64()))
		case serving.FP16, serving.BF16:
			data = binary.LittleEndian.AppendUint16(data, 0x3c00*uint16(r.IntN(2))) // 1 of FP16; 0.0078 of BF16
		case serving.Bytes:
			data = serving.AppendBytes(data, string(rune('0'+r.IntN(2))))
		default:
			data = append(data, byte(r.IntN(2)))
			data = append(data, make([]byte, t.Type.Size()-1)...)
		}
	}
	return data
}

func appendFloats(to []byte, values []float32) []byte {
	for _, v := range values {
		to = binary.LittleEndian.AppendUint32(to, math.Float32bits(v))
	}
	return to
}
