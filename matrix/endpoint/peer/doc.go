// Package peer is the endpoint's ZeroMQ side: it opens lanes, plays the roles
// of their sockets and accounts for what it saw.
//
// Each lane has one goroutine, which alone touches the lane's sockets. It
// waits for them, for their monitors and for an eventfd that says that the lane
// is to be closed. Nothing in it blocks otherwise: libzmq's I/O
// thread writes monitor events with a blocking send, so a lane that did not
// read them could stop every other lane.
//
// # Roles
//
// Frame j of message i has Sizes[(i*Parts+j) % len(Sizes)] bytes of
// matrix.FillPayload, with index i if Parts is 1 (or 0, which means 1), else
// i*16+j.
//
//   - sink, a PULL: receives. Every message counts in Received, all its frames
//     in Bytes.
//   - source, a PUSH: sends Count messages as soon as a peer is there; with
//     several peers libzmq deals them out in turn.
//   - replier, a REP: digests request i and answers with message i. It answers
//     every request, also those past Count: the account's Received shows them.
//   - requester, a REQ: sends Count requests, one at a time, and digests the
//     replies.
//   - pubsub: "<name>-in" is a SUB, subscribed to "sync", "match" and "end".
//     Received, Bytes (topic frames too), Digests and Rolling are of messages
//     of several frames only; the digest of a two-frame message is
//     matrix.MessageDigest(topic, body), whatever its topic. Messages of one
//     frame are counted in Topics alone, by that frame. A subscription is a
//     prefix, so "synced" arrives too: it is counted, and means nothing.
//     "<name>" is a PUB. It answers each one-frame "sync" with "synced", and
//     the first one-frame "end" with 2 × Count two-frame messages (topic
//     "other" for even i, "match" for odd, body message i) and "match.end".
//     Sent counts the two-frame messages; a PUB can't know who got them.
//
// Rolling is matrix.Rolling of all those messages in order of arrival; that of
// no octets, if there were none.
//
// # Secured sockets
//
// Any role can be had behind CURVE. A lane's secured sockets share a key pair
// made for it, and let one client key in, made for it too; the peer's own
// authenticator (guarded) refuses all others. What became of each connection is
// in the socket's Curve account, and is no Error: that a stranger was refused is
// what such a socket is for. ZMTP 1.0 and 2.0, which know no CURVE, don't get in.
//
// # What the account can't say
//
// libzmq reports a failed handshake but not why an established connection was
// dropped: after a frame past endpoint.MaxFrameSize or a broken one, the
// account has what came before, and no error. Bytes that are no ZMTP at all
// can pass for ZMTP 1.0, whose frames need no handshake, and are then counted
// as the messages they happen to spell.
//
// A message arrives whole, so libzmq keeps the frames of one that never ends,
// and no option bounds their number. Nothing short of a memory limit on the
// endpoint's process stops a client that does this.
package peer
