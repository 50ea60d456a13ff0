package inference

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"sonde.example/inference/model"
	"sonde.example/inference/model/onnx"
	"sonde.example/inference/models"
	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/confstore/etcd"
	"sonde.example/internal/mtls"
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

// parseStore reads the URL of the configuration store.
func parseStore(url string) (endpoints []string, keys config.Keys, err error) {
	endpoints, root, err := etcd.ParseURL(url)
	if err != nil {
		return nil, config.Keys{}, err
	}
	keys, err = config.NewKeys(cmp.Or(root, config.DefaultRoot))
	return endpoints, keys, err
}

// openStore returns the configuration store, nil without one. It connects when it is needed.
func openStore(ctx context.Context, c *Config, certs *mtls.Source, log *slog.Logger) (confstore.Client, config.Keys, error) {
	if c.Store != nil || c.ConfigStore == "" {
		keys, err := config.NewKeys(config.DefaultRoot)
		return c.Store, keys, err
	}
	endpoints, keys, err := parseStore(c.ConfigStore)
	if err != nil {
		return nil, keys, err
	}
	store, err := etcd.Open(ctx, etcd.Options{Endpoints: endpoints, Root: keys.Root(), TLS: certs.ClientConfig(mtls.Peer{}), Log: log})
	if err != nil {
		return nil, keys, err
	}
	return store, keys, nil
}

// builtIn is the repository that ships with Sonde.
func builtIn() fs.FS { return models.FS() }
