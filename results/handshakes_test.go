package results

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

func TestHandshakesOfASecuredSocketAreTold(t *testing.T) {
	for name, test := range map[string]struct {
		curve matrix.CurveAccount
		want  string
	}{
		"all got in":     {matrix.CurveAccount{Accepted: 2}, "2 CURVE handshakes accepted"},
		"an unknown key": {matrix.CurveAccount{Accepted: 1, Refused: map[matrix.Refusal]int{matrix.RefusedKey: 1}}, "1 CURVE handshake accepted, refused: 1 with an unknown client key"},
		"every reason": {
			matrix.CurveAccount{Refused: map[matrix.Refusal]int{
				matrix.RefusedKey: 1, matrix.RefusedCipher: 2, matrix.RefusedMechanism: 3, matrix.RefusedProtocol: 4, matrix.RefusedUnfinished: 5}},
			"0 CURVE handshakes accepted, refused: 1 with an unknown client key, 2 that the lane's keys can't open, 3 without CURVE, 4 that broke the protocol, 5 unfinished",
		},
		"no reason that there is": {matrix.CurveAccount{Refused: map[matrix.Refusal]int{"<script>": 1}}, "0 CURVE handshakes accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, HandshakesInWords(test.curve))
			socket := Socket{Name: "sink", Role: matrix.RoleSink, Count: 4, Peers: 1, Curve: curveInBrief(&test.curve)}
			assert.Equal(t, "sink (sink): received 0 messages of 4 expected, 0 B, 1 connection, "+test.want, socket.saw())
		})
	}
}
