package model

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
)

// FileName is the file in a version's folder.
const FileName = "model.onnx"

// maxFileBytes bounds a model file; ONNX itself ends at 2 GiB.
const maxFileBytes = 1 << 30

// Folder is a place where models lie as <model>/<version>/model.onnx, which is
// how Triton wants them too.
type Folder struct {
	// FS is the folder: os.DirFS of a path, or files embedded in the binary.
	FS fs.FS
	// Origin names it in messages: the path, or "built in".
	Origin string
}

// versions lists the versions of a model, ascending; none if it is not there.
// Names that are no positive numbers are passed over.
func (f Folder) versions(name string) ([]int64, error) {
	if !validName(name) {
		return nil, nil
	}
	entries, err := fs.ReadDir(f.FS, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path.Join(f.Origin, name), err)
	}
	var all []int64
	for _, e := range entries {
		if n, err := parseVersion(e.Name()); err == nil {
			if _, err := fs.Stat(f.FS, path.Join(name, e.Name(), FileName)); err == nil {
				all = append(all, n)
			}
		}
	}
	slices.Sort(all)
	return all, nil
}

// names lists the models that have at least one version.
func (f Folder) names() ([]string, error) {
	entries, err := fs.ReadDir(f.FS, ".")
	if err != nil {
		return nil, fmt.Errorf("read model folder %s: %w", f.Origin, err)
	}
	var all []string
	for _, e := range entries {
		versions, err := f.versions(e.Name())
		if err != nil || len(versions) == 0 {
			continue // a file, or a folder of something else
		}
		all = append(all, e.Name())
	}
	return all, nil
}

func (f Folder) file(name string, version int64) string {
	return path.Join(name, strconv.FormatInt(version, 10), FileName)
}

// read returns the bytes of a version's file.
func (f Folder) read(name string, version int64) (_ []byte, err error) {
	file, err := f.FS.Open(f.file(name, version))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a file") // a pipe would be waited for
	}
	if info.Size() > maxFileBytes { // before there is memory taken for it
		return nil, tooLarge(info.Size())
	}
	return readAll(file)
}

// readAll reads a model file that is not too large.
func readAll(file io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err == nil && len(data) > maxFileBytes {
		err = tooLarge(int64(len(data)))
	}
	return data, err
}

func tooLarge(bytes int64) error {
	return fmt.Errorf("%d bytes are too large, the most are %d", bytes, maxFileBytes)
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// validName says whether a model's name is one folder's name, so that nothing
// outside of the repository can be named.
func validName(name string) bool {
	return name != "." && fs.ValidPath(name) && path.Base(name) == name
}

// parseVersion reads a version as folders and requests write it: a positive
// number without leading zeros.
func parseVersion(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != text {
		return 0, fmt.Errorf("version %q is not a positive number", text)
	}
	return n, nil
}
