//go:build cgo

package matrixtest_test

import (
	"fmt"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/matrixtest"
)

// All of the matrix's test file; with -run a part of it:
//
//	go test -run 'TestMatrix/tiny.*/zero-copy' ./...
func ExampleRun() {
	TestMatrix := func(t *testing.T) {
		matrixtest.Run(t, matrixtest.Options{Targets: []string{"tiny"}, Out: t.TempDir()})
	}
	try("TestMatrix", TestMatrix)
	// Output: TestMatrix passes
}

// A binding's maintainer measures the working copy that the test stands in, on
// every version of one implementation.
func ExampleRun_binding() {
	TestMatrix := func(t *testing.T) {
		matrixtest.Run(t, matrixtest.Options{
			Targets: []string{"tiny"}, AllVariants: true,
			Bindings: []string{"pzmq"}, // BindingSources: map[string]string{"pzmq": "."}
			Out:      t.TempDir(),
		})
	}
	try("TestMatrix", TestMatrix)
	// Output: TestMatrix passes
}

func ExampleName() {
	cell, err := matrix.ParseCell("sbcl@bookworm/cffi/zero-copy/callback-free/plain")
	if err != nil {
		panic(err)
	}
	fmt.Println("TestMatrix/" + matrixtest.Name(cell))
	// Output: TestMatrix/sbcl@bookworm,cffi/zero-copy/callback-free/plain
}

// What a PUSH sent is what the endpoint received, byte for byte and in order.
func ExampleEndpoint() {
	TestPush := func(t *testing.T) {
		lane := matrixtest.Endpoint(t, matrixtest.Sink())

		client, err := zmq4.NewContext()
		if err != nil {
			t.Fatal(err)
		}
		socket, err := client.NewSocket(zmq4.PUSH)
		if err != nil {
			t.Fatal(err)
		}
		if err := socket.Connect(lane.Address("sink")); err != nil {
			t.Fatal(err)
		}
		var sent matrix.Rolling
		for i := range 100 {
			body := matrix.Payload(7, i, 1000)
			sent.Add(body)
			if _, err := socket.SendBytes(body, 0); err != nil {
				t.Fatal(err)
			}
		}
		socket.Close()
		// It ends when the last message is out; what is not even connected by then
		// the endpoint can't wait for.
		if err := client.Term(); err != nil {
			t.Fatal(err)
		}

		saw := lane.Saw("sink")
		fmt.Println(saw.Received, "messages,", saw.Bytes, "bytes, the same:", saw.Rolling == sent.Sum())
	}
	try("TestPush", TestPush)
	// Output:
	// 100 messages, 100000 bytes, the same: true
	// TestPush passes
}

// What the endpoint sends is made from a seed, so that a test knows it.
func ExampleLane_Frame() {
	TestPull := func(t *testing.T) {
		lane := matrixtest.Endpoint(t, matrixtest.Source(3, 10, 100_000))

		socket, err := zmq4.NewSocket(zmq4.PULL)
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		if err := socket.Connect(lane.Address("source")); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			body, err := socket.RecvBytes(0)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Println(len(body), string(body) == string(lane.Frame("source", i, 0)))
		}
	}
	try("TestPull", TestPull)
	// Output:
	// 10 true
	// 100000 true
	// 10 true
	// TestPull passes
}
