package warden

import (
	"context"
	"fmt"

	"github.com/zmqmatrix/zmqmatrix/containers/warden/gobuild"
)

// Package is the path of the warden's program in the module.
const Package = "./containers/warden/zmqmatrix-warden"

// Build builds the warden with the host's go, below cacheDir. It is static, so
// that it runs in every image, and the same sources make the same bytes, so that
// images that contain it keep their digest.
func Build(ctx context.Context, moduleRoot, cacheDir string) (gobuild.Program, error) {
	program, err := gobuild.Build(ctx, gobuild.Options{Root: moduleRoot, CacheDir: cacheDir, Package: Package})
	if err != nil {
		return gobuild.Program{}, fmt.Errorf("build the warden: %w", err)
	}
	return program, nil
}
