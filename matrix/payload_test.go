package matrix

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func rollingSum(messages ...[][]byte) string {
	var rolling Rolling
	for _, frames := range messages {
		rolling.Add(frames...)
	}
	return rolling.Sum()
}

func TestRollingTellsMessagesApart(t *testing.T) {
	a, b, ab := []byte("a"), []byte("b"), []byte("ab")
	assert.Equal(t, "99aa06d3014798d86001c324468d497f", rollingSum(), "XXH3-128 of no octets")
	seen := map[string]string{}
	for what, sent := range map[string][][][]byte{
		"none":                        {},
		"one empty message":           {{nil}},
		"two empty messages":          {{nil}, {nil}},
		"one message of empty frames": {{nil, nil}},
		"one message":                 {{ab}},
		"two messages":                {{a}, {b}},
		"two messages, other order":   {{b}, {a}},
		"two frames":                  {{a, b}},
	} {
		digest := rollingSum(sent...)
		assert.Empty(t, seen[digest], "as %s", what)
		seen[digest] = what
	}
}

func TestRollingTakesItsStreamInAnyPieces(t *testing.T) {
	large := Payload(7, 0, 5000)
	stream := append([]byte("\x80\x00\x00\x00\x00\x00\x00\x02hi\x00\x00\x00\x00\x00\x00\x13\x88"), large...)
	for _, length := range []int{1, 10, 1024, 1088, 1089, len(stream)} {
		var rolling Rolling
		for rest := stream; len(rest) > 0; rest = rest[min(length, len(rest)):] {
			rolling.AddStream(rest[:min(length, len(rest))])
		}
		assert.Equal(t, rollingSum([][]byte{[]byte("hi"), large}), rolling.Sum(), "%d octets each", length)
	}
}
