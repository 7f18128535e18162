//go:build !linux

package local

import (
	"context"
	"fmt"
	"runtime"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Runtime exists on Linux only: the warden is made of what Linux alone has.
type Runtime struct{ matrix.Runtime }

// New says that there is none here.
func New(context.Context, Options) (*Runtime, error) {
	return nil, fmt.Errorf("the local runtime needs Linux, and this is %s: use the docker runtime: %w", runtime.GOOS, matrix.ErrUnavailable)
}
