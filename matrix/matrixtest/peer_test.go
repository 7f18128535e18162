//go:build cgo

package matrixtest

import (
	"context"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint/peer"
)

// In these tests the endpoint is a part of the process, so that nothing need be
// built for the examples. TestConsumer has the real one.
func init() {
	common.start = func(context.Context) (matrix.Endpoint, func(context.Context) error, error) {
		endpoint, err := peer.New(peer.Options{Bind: "127.0.0.1"})
		if err != nil {
			return nil, nil, err
		}
		return endpoint, endpoint.Close, nil
	}
}
