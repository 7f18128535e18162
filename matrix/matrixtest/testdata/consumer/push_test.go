package consumer

import (
	"testing"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/matrixtest"
)

func TestPushArrives(t *testing.T) {
	for _, size := range []int{0, 1, 255, 256, 70_000} {
		lane := matrixtest.Endpoint(t, matrixtest.Sink())
		push, err := DialPush(lane.Address("sink"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			if err := push.Send(matrix.Payload(1, i, size)); err != nil {
				t.Fatal(err)
			}
		}
		if err := push.Close(); err != nil {
			t.Fatal(err)
		}
		saw := lane.Saw("sink")
		if saw.Received != 8 || saw.Error != "" {
			t.Fatalf("of 8 messages of %d bytes the endpoint saw %+v", size, saw)
		}
		for i, digest := range saw.Digests {
			if digest != matrix.MessageDigest(matrix.Payload(1, i, size)) {
				t.Errorf("message %d of %d bytes arrived as another", i, size)
			}
		}
	}
}
