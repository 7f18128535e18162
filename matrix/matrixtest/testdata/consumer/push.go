// Package consumer is a ZeroMQ client that somebody writes in Go: so far it can
// push, over ZMTP 3.0 (RFC 23).
package consumer

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
)

// Push is a PUSH socket with one connection.
type Push struct{ connection net.Conn }

// DialPush connects to "tcp://host:port".
func DialPush(address string) (*Push, error) {
	connection, err := net.Dial("tcp", strings.TrimPrefix(address, "tcp://"))
	if err != nil {
		return nil, err
	}
	greeting := make([]byte, 64)
	copy(greeting, "\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7f\x03\x00NULL")
	const property = "\x0bSocket-Type\x00\x00\x00\x04PUSH"
	ready := "\x05READY" + property
	if _, err := fmt.Fprintf(connection, "%s\x04%c%s", greeting, len(ready), ready); err != nil {
		return nil, err
	}
	// The peer's greeting, and its READY.
	if _, err := io.ReadFull(connection, greeting); err != nil {
		return nil, err
	}
	head := make([]byte, 2)
	if _, err := io.ReadFull(connection, head); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(connection, make([]byte, head[1])); err != nil {
		return nil, err
	}
	return &Push{connection}, nil
}

// Send sends a message of one frame.
func (p *Push) Send(body []byte) error {
	frame := []byte{0x00, byte(len(body))}
	if len(body) > 255 {
		frame = binary.BigEndian.AppendUint64([]byte{0x02}, uint64(len(body)))
	}
	_, err := p.connection.Write(append(frame, body...))
	return err
}

// Close closes the connection when all is sent.
func (p *Push) Close() error { return p.connection.Close() }
