package inference

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"sonde.example/inference/model"
	"sonde.example/inference/model/onnx"
	"sonde.example/inference/models"
	"sonde.example/internal/service"
)

// libraryVariable names the library for every program that loads it, whatever
// its own flags are called.
const libraryVariable = "SONDE_ONNXRUNTIME"

// openRuntime loads the engine that runs the models; there is one.
func openRuntime(c *Config) (model.Opener, error) {
	library := c.ONNXRuntime
	if library == "" {
		library, _ = service.Environment(libraryVariable)
	}
	return onnx.Open(library)
}

// folders are where models lie; files win over what is built in.
func folders(c *Config) ([]model.Folder, error) {
	var all []model.Folder
	if c.Models != "" {
		path := strings.TrimPrefix(strings.TrimPrefix(c.Models, "file:"), "//")
		if info, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("--models: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("--models: %s is not a folder", path)
		}
		all = append(all, model.Folder{FS: os.DirFS(path), Origin: path})
	}
	if c.BuiltIn != nil {
		all = append(all, model.Folder{FS: c.BuiltIn, Origin: "built in"})
	}
	return all, nil
}

// builtIn is the repository that ships with Sonde.
func builtIn() fs.FS { return models.FS() }
