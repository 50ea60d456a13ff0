package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"sonde.example/internal/confstore"
)

// cache keeps the last good value and the one before in two files. A file is one line, "sonde-config-1" and the SHA-256 of
// what follows, and the value. A value of no bytes says that the configuration was deleted.
type cache struct {
	folder, name string
	newest       []byte // what is known to be on disk; nil: nothing
}

const cacheMagic = "sonde-config-1 "

func newCache(folder, name string) *cache { return &cache{folder: folder, name: name} }

func (c *cache) path() string   { return filepath.Join(c.folder, c.name) }
func (c *cache) before() string { return c.path() + ".1" }

// load returns the values on disk that are whole, newest first; none after a deletion. The error tells of files that are
// not.
func (c *cache) load() (values [][]byte, err error) {
	var bad []error
	for _, path := range []string{c.path(), c.before()} {
		value, err := c.read(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			bad = append(bad, err)
		case len(value) == 0:
			return values, errors.Join(bad...)
		default:
			if path == c.path() {
				c.newest = value
			}
			values = append(values, value)
		}
	}
	return values, errors.Join(bad...)
}

func (c *cache) read(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the operator's own folder
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, 2*confstore.MaxValueBytes))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	line, value, _ := bytes.Cut(content, []byte("\n"))
	if !bytes.Equal(line, header(value)) {
		return nil, fmt.Errorf("%s is damaged", path)
	}
	return value, nil
}

func header(value []byte) []byte {
	sum := sha256.Sum256(value)
	return hex.AppendEncode([]byte(cacheMagic), sum[:])
}

// save makes value the newest one, and the newest the one before. Value nil marks the deletion.
func (c *cache) save(value []byte) error {
	if c.newest != nil && bytes.Equal(c.newest, value) {
		return nil
	}
	content := append(append(header(value), '\n'), value...)
	if err := writeFile(c.folder, c.name, content, func() error {
		if _, err := c.read(c.path()); err != nil { // nothing, or nothing to keep
			return nil //nolint:nilerr // it is replaced
		}
		return os.Rename(c.path(), c.before())
	}); err != nil {
		return err
	}
	c.newest = append([]byte{}, value...)
	return nil
}

// writeFile replaces a file by one that is whole and on disk, whenever the machine stops. before is called between writing
// and replacing.
func writeFile(folder, name string, content []byte, before func() error) (err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	path := filepath.Join(folder, name)
	temporary := path + ".tmp"
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the operator's own folder
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil && before != nil {
		err = before()
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	directory, err := os.Open(folder) //nolint:gosec // the operator's own folder
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
