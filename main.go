// The command zmqmatrix measures which language implementation, with which
// ZeroMQ binding, can really do what.
package main

import (
	"context"
	"os"

	"github.com/zmqmatrix/zmqmatrix/ci"
)

func main() {
	os.Exit(ci.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
