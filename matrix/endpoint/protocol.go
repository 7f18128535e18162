// Package endpoint is the control protocol of the common ZeroMQ endpoint: its
// messages, the client the harness drives it with, and the serving side that
// package peer puts sockets behind. It needs no cgo, so that the harness
// builds without libzmq.
//
// The protocol is JSON lines. The endpoint greets; then requests are answered
// in any order, each reply with its request's id:
//
//	← {"endpoint":1,"libzmq":"4.3.4","pid":7}
//	→ {"id":1,"op":"open","sockets":[{"name":"sink","role":"sink","seed":0,"count":8,"sizes":[64],"parts":1}]}
//	← {"id":1,"lane":{"id":"1","endpoints":{"sink":"tcp://127.0.0.1:40001"}}}
//	→ {"id":2,"op":"close","lane":"1"}
//	← {"id":2,"account":{"sockets":{"sink":{"received":8,…}}}}
//	← {"id":3,"error":"what is wrong with request 3"}
//
// A socket with "curve":true is a CURVE server (RFC 26). The lane then has
// "curve", fresh keys of the server and of the one client that it lets in, and
// the socket's account "curve", how many handshakes were accepted, and refused
// for which reason.
//
// A line that is no request is answered with an error too, with id 0 where
// none could be read; the stream goes on.
package endpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Version is the version of the control protocol.
const Version = 1

// Bounds of what a request may ask for. They keep a mistaken plan from
// bringing the endpoint down with all the lanes of other attempts.
const (
	MaxRequestLine = 1 << 20  // bytes of a request line, its newline not counted
	MaxReplyLine   = 4 << 20  // 16 accounts of matrix.MaxDigests digests and matrix.MaxTopics topics are about 0.8 MiB
	MaxFrameSize   = 64 << 20 // bytes of one frame, asked for or received
	MaxCount       = 1_000_000
	MaxSockets     = 8   // sockets of one lane; a pubsub counts once
	MaxLanes       = 256 // lanes open at once on one control stream

	// MaxParts follows from payload index i*16+j: more frames would repeat the
	// payloads of the next message.
	MaxParts = 16
	// MaxPublished is how many bytes a pubsub may publish in all. A PUB drops
	// what its queue can't hold, so the queue is made to hold everything.
	MaxPublished = 256 << 20
)

// The operations.
const (
	OpOpen  = "open"
	OpClose = "close"
)

// Greeting is the endpoint's first line.
type Greeting struct {
	Endpoint int    `json:"endpoint"` // Version
	Libzmq   string `json:"libzmq"`   // version of the library, "4.3.4"
	PID      int    `json:"pid"`
}

// Request is one request line.
type Request struct {
	ID      int64               `json:"id"`
	Op      string              `json:"op"`
	Sockets []matrix.SocketSpec `json:"sockets,omitempty"` // OpOpen
	Lane    string              `json:"lane,omitempty"`    // OpClose
}

// Reply is one reply line. Exactly one of Lane, Account and Error is set.
type Reply struct {
	ID      int64               `json:"id"`
	Lane    *matrix.Lane        `json:"lane,omitempty"`
	Account *matrix.LaneAccount `json:"account,omitempty"`
	Error   string              `json:"error,omitempty"`
}

// ParseRequest reads one request line and checks all that can be checked
// without the lanes. With an error the request still has the id, if one could
// be read.
func ParseRequest(line []byte) (Request, error) {
	var request Request
	if err := decodeStrictly(line, &request); err != nil {
		return Request{ID: readID(line)}, fmt.Errorf("read request: %w", err)
	}
	if err := request.check(); err != nil {
		return Request{ID: max(request.ID, 0)}, err
	}
	return request, nil
}

func (r Request) check() error {
	if r.ID < 1 {
		return fmt.Errorf("id %d: a request needs an id of at least 1", r.ID)
	}
	switch r.Op {
	case OpOpen:
		if r.Lane != "" {
			return errors.New(`open: "lane" is for close`)
		}
		return CheckLane(matrix.LaneRequest{Sockets: r.Sockets})
	case OpClose:
		if r.Sockets != nil {
			return errors.New(`close: "sockets" is for open`)
		}
		if r.Lane == "" {
			return errors.New(`close: "lane" is missing`)
		}
		return nil
	default:
		return fmt.Errorf("unknown op %q", r.Op)
	}
}

// socketName is what makes a valid environment variable after ZM_ENDPOINT_.
var socketName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

// CheckLane says whether a lane could be opened as requested.
func CheckLane(request matrix.LaneRequest) error {
	if len(request.Sockets) == 0 {
		return errors.New("open: no sockets")
	}
	if len(request.Sockets) > MaxSockets {
		return fmt.Errorf("open: %d sockets, at most %d", len(request.Sockets), MaxSockets)
	}
	names := map[string]bool{}
	for _, spec := range request.Sockets {
		if err := checkSocket(spec); err != nil {
			return fmt.Errorf("open: socket %q: %w", spec.Name, err)
		}
		for _, name := range SocketNames(spec) {
			if names[name] {
				return fmt.Errorf("open: socket %q: the name is taken", name)
			}
			names[name] = true
		}
	}
	return nil
}

// SocketNames are the names under which a spec's sockets are found in the lane
// and its account.
func SocketNames(spec matrix.SocketSpec) []string {
	if spec.Role == matrix.RolePubSub {
		return []string{spec.Name, spec.Name + "-in"}
	}
	return []string{spec.Name}
}

func checkSocket(spec matrix.SocketSpec) error {
	if !socketName.MatchString(spec.Name) {
		return fmt.Errorf("the name must match %s", socketName)
	}
	sends := true
	switch spec.Role {
	case matrix.RoleSink:
		sends = false
	case matrix.RoleSource, matrix.RoleReplier, matrix.RoleRequester, matrix.RolePubSub:
	default:
		return fmt.Errorf("unknown role %q", spec.Role)
	}
	if spec.Count < 0 || spec.Count > MaxCount {
		return fmt.Errorf("count %d is not within 0 and %d", spec.Count, MaxCount)
	}
	if spec.Parts < 0 || spec.Parts > MaxParts {
		return fmt.Errorf("parts %d is not within 0 and %d", spec.Parts, MaxParts)
	}
	if sends && len(spec.Sizes) == 0 {
		return fmt.Errorf("role %s sends, so it needs sizes", spec.Role)
	}
	for _, size := range spec.Sizes {
		if size < 0 || size > MaxFrameSize {
			return fmt.Errorf("size %d is not within 0 and %d", size, MaxFrameSize)
		}
	}
	if spec.Role == matrix.RolePubSub {
		if spec.Parts > 1 {
			return errors.New("pubsub has no parts: its messages are topic and body")
		}
		published := int64(0)
		for _, size := range spec.Sizes {
			published = max(published, 2*int64(spec.Count)*int64(size))
		}
		if published > MaxPublished {
			return fmt.Errorf("it would publish up to %d bytes, at most %d", published, MaxPublished)
		}
	}
	return nil
}

// decodeStrictly refuses unknown keys and anything after the value.
func decodeStrictly(line []byte, into *Request) error {
	if !bytes.HasPrefix(bytes.TrimSpace(line), []byte("{")) {
		return errors.New("not a JSON object")
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return shorten(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value on the line")
	}
	return nil
}

// shorten keeps a stranger's megabyte-long key out of the error reply.
func shorten(err error) error {
	const limit = 300
	text := strings.ToValidUTF8(strings.TrimPrefix(err.Error(), "json: "), "�")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return errors.New(text)
}

// readID finds the id in a line that is otherwise no request, so that the
// asker learns which of its requests was wrong.
func readID(line []byte) int64 {
	var loose struct {
		ID json.RawMessage `json:"id"`
	}
	var id int64
	if json.Unmarshal(line, &loose) != nil || json.Unmarshal(loose.ID, &id) != nil || id < 0 {
		return 0
	}
	return id
}
