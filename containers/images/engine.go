// Package images is how images come to be: the base of a Debian suite, the
// programs that link libzmq built in the suite they run in, and a target's
// image, found again by its content. It knows no engine: what it needs of one
// is the interface Engine, which package docker implements.
package images

import (
	"context"
	"errors"
	"io"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// ErrNoImage is what Engine.Image answers for a tag that the engine has not.
var ErrNoImage = errors.New("no such image")

// Engine is what making images needs of a container engine.
type Engine interface {
	// Image is the image with this tag, or ErrNoImage.
	Image(ctx context.Context, tag string) (Image, error)
	// Pull fetches tag from its registry. It reports quickly when no registry
	// can be reached.
	Pull(ctx context.Context, tag string) error
	// Import makes an image of a root file system's tar.
	Import(ctx context.Context, tag string, rootfs io.Reader, labels map[string]string) error
	// Build builds a Dockerfile; its output goes to output.
	Build(ctx context.Context, build Build, output io.Writer) error
	// RunJob runs a command in a container to its end and removes the
	// container. A command that fails is an error with its output's end.
	RunJob(ctx context.Context, job Job) error
	// Architecture is Go's name of the engine's processor: "amd64".
	Architecture(ctx context.Context) (string, error)
}

// Build is one image to be built.
type Build struct {
	Tag        string
	Context    []byte // tar
	Dockerfile string // path in the context
	Args       map[string]string
	Labels     map[string]string
}

// Job is a command that needs some of the host's folders.
type Job struct {
	Image   string
	Command []string
	Env     map[string]string
	Dir     string
	Trees   []Tree
	// Needs are granted to the command beyond the hardening.
	Needs *matrix.Needs
	// Network lets the command reach what the engine's machine reaches; without
	// it there is none.
	Network bool
}

// Tree is a folder of the host that a job sees at Inside. An engine on this
// machine mounts it; to a remote one it is copied.
type Tree struct {
	Host   string
	Inside string
	Use    Use
	// Files are the paths below Host that the job needs, files or folders, for
	// an engine to which they must be copied; nil for all of it.
	Files []string
}

// Use is what a job does with a tree.
type Use int

// The uses.
const (
	Input  Use = iota // only read
	Output            // written, and wanted afterwards
	Cache             // written, and worth keeping where that costs nothing: not brought back from a remote engine
)

// Image is one image on the engine.
type Image struct {
	Tag string
	ID  string // "sha256:…"
	// Size is in bytes, with all its layers, of which images share some.
	Size int64
	// Labels are the image's own and those of what it was built on.
	Labels map[string]string
	// Source is of a binding that comes from elsewhere and is in the image.
	Source *matrix.Source
}
