//go:build cgo

package peer

import (
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// tally is the growing account of one socket.
type tally struct {
	account matrix.SocketAccount
	rolling matrix.Rolling
}

// received counts one message.
func (t *tally) received(frames [][]byte) {
	t.account.Received++
	for _, frame := range frames {
		t.account.Bytes += int64(len(frame))
	}
	t.rolling.Add(frames...)
	t.digest(frames)
}

// receivedAll counts the messages of a batch as received would, but not one by
// one: that takes as long as receiving them if they are small.
func (t *tally) receivedAll(in *inbox) {
	messages, bytes := in.totals()
	t.account.Received += messages
	t.account.Bytes += bytes
	for piece := range in.stream() {
		t.rolling.AddStream(piece)
	}
	if len(t.account.Digests) == matrix.MaxDigests {
		return
	}
	for frames := range in.messages() {
		t.digest(frames)
	}
}

func (t *tally) digest(frames [][]byte) {
	if len(t.account.Digests) < matrix.MaxDigests {
		t.account.Digests = append(t.account.Digests, matrix.MessageDigest(frames...))
	}
}

// topic counts a message of a SUB by its first frame. Topics past
// matrix.MaxTopics are not told apart from none.
func (t *tally) topic(frame []byte) {
	if t.account.Topics == nil {
		t.account.Topics = map[string]int64{}
	}
	name := topicName(frame)
	if _, known := t.account.Topics[name]; known || len(t.account.Topics) < matrix.MaxTopics {
		t.account.Topics[name]++
	}
}

// topicName is the topic as it stands, if it can stand in JSON and is no
// longer than a topic should be; otherwise as a Go string literal, cut.
func topicName(frame []byte) string {
	const limit = 64
	for _, r := range string(frame[:min(len(frame), limit)]) {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return strconv.QuoteToASCII(string(frame[:min(len(frame), limit)]))
		}
	}
	if len(frame) > limit {
		return strconv.QuoteToASCII(string(frame[:limit])) + "…"
	}
	return string(frame)
}

func (t *tally) fail(text string) {
	if t.account.Error == "" {
		t.account.Error = text
	}
}

// fault notes what no client can have caused.
func (t *tally) fault(text string) {
	if t.account.Fault == "" {
		t.account.Fault = text
	}
}

func (t *tally) finish() matrix.SocketAccount {
	t.account.Rolling = t.rolling.Sum()
	return t.account
}
