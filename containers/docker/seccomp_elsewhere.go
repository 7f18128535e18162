//go:build !linux

package docker

import (
	"fmt"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// grant can't give anything: the library that holds the default profile has it
// on Linux only.
func grant(needs *matrix.Needs) ([]string, error) {
	if needs == nil {
		return nil, nil
	}
	return nil, fmt.Errorf("%w: it needs personality %#x (%s), and only a command that runs on Linux has the seccomp profile to add it to", matrix.ErrUnavailable, needs.Personality, needs.Reason)
}
