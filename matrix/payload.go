package matrix

import (
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/zeebo/xxh3"
)

// tileLength is prime, so that a shift by any power of two, the granularity at
// which buffers go wrong, changes the bytes.
const tileLength = 4093

// Payload makes the bytes of message index of a stream: every client, the
// endpoint and the judge make the same. A 32-bit linear congruential generator
//
//	x(0)   = (seed + index × 40503) mod 2³²
//	x(k+1) = (x(k) × 69069 + 12345) mod 2³²
//
// gives tile byte k as x(k+1) >> 24, and the 4093 tile bytes repeat to fill
// size. The multiplier is small so that Lisps without 64-bit fixnums are quick
// at it.
func Payload(seed uint64, index, size int) []byte {
	body := make([]byte, size)
	FillPayload(body, seed, index)
	return body
}

// FillPayload fills body as Payload does.
func FillPayload(body []byte, seed uint64, index int) {
	x := uint32(seed) + uint32(index)*40503
	tile := body[:min(len(body), tileLength)]
	for k := range tile {
		x = x*69069 + 12345
		tile[k] = byte(x >> 24)
	}
	for filled := len(tile); filled < len(body); filled *= 2 {
		copy(body[filled:], body[:filled])
	}
}

// framesPerMessage is the distance between the payload indices of two messages of
// several frames.
const framesPerMessage = 16

// AppendFrame appends to buffer what the endpoint sends on such a socket as a
// frame of a message, both counted from 0; the topic of a pubsub comes before it.
func (s SocketSpec) AppendFrame(buffer []byte, message, part int) []byte {
	parts := max(s.Parts, 1)
	index := message
	if parts > 1 {
		index = message*framesPerMessage + part
	}
	start, size := len(buffer), s.Sizes[(message*parts+part)%len(s.Sizes)]
	buffer = slices.Grow(buffer, size)[:start+size]
	FillPayload(buffer[start:], s.Seed, index)
	return buffer
}

// MessageDigest is the digest of one message in hex: XXH3-128, over the bytes
// and with the length as seed for a message of one frame, over each frame's
// length (8 octets, big-endian) and bytes for several. A digest that a
// stranger could forge does no harm here: whoever can compute it could have
// sent the right bytes.
func MessageDigest(frames ...[]byte) string {
	if len(frames) == 1 {
		return inHex(xxh3.Hash128Seed(frames[0], uint64(len(frames[0]))))
	}
	hasher := xxh3.New()
	var length [8]byte
	for _, frame := range frames {
		binary.BigEndian.PutUint64(length[:], uint64(len(frame)))
		hasher.Write(length[:])
		hasher.Write(frame)
	}
	return inHex(hasher.Sum128())
}

// Rolling is the digest over all messages of a socket: XXH3-128 over a stream
// that has, for every message in order of arrival, each frame's header and
// bytes. The header is the frame's length, 8 octets, big-endian, with the top
// bit set on the first frame of a message: no two sequences of messages give
// the same stream. The zero value has seen none.
type Rolling struct{ hasher xxh3.Hasher }

const firstOfMessage = 1 << 63

// Add takes in one message.
func (r *Rolling) Add(frames ...[]byte) {
	var header [8]byte
	first := uint64(firstOfMessage)
	for _, frame := range frames {
		binary.BigEndian.PutUint64(header[:], first|uint64(len(frame)))
		r.hasher.Write(header[:])
		r.hasher.Write(frame)
		first = 0
	}
}

// AddStream takes in a piece of the stream as it stands, headers included:
// for small messages a call of the hasher for each frame costs as much as
// receiving it.
func (r *Rolling) AddStream(piece []byte) { r.hasher.Write(piece) }

// Sum is the digest in hex.
func (r *Rolling) Sum() string { return inHex(r.hasher.Sum128()) }

func inHex(sum xxh3.Uint128) string {
	octets := sum.Bytes()
	return hex.EncodeToString(octets[:])
}
