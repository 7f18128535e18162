// Package local runs clients on the host: the implementations that are
// installed here, under the same warden as in containers. It is what the
// runner uses where no container engine answers.
//
// A target's variant names a Debian suite, and here the suite is the host's. A
// variant of another suite is not available, but for the target's default one,
// which runs on any host: it is what a person means who names no variant, and
// they get what is installed. Its cells keep the variant's name; what version
// was really measured is what the client's hello line says, which the record
// keeps.
package local

import (
	"io"

	"github.com/zmqmatrix/zmqmatrix/containers/source"
)

// Options of a Runtime.
type Options struct {
	Root     string    // the module's root
	CacheDir string    // built programs and targets, kept between runs, and the run's scratch folder
	RunID    string    // letters, digits, '.', '_' and '-'
	Log      io.Writer // progress and what wardens and the endpoint say, a line each; nil for none
	// Sources are the folders given for bindings, by the bindings' names.
	Sources map[string]*source.Tree
	// Cores lets probes leave core files, for Task.Core.
	Cores bool
}
