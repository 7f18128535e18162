package results

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

// Claims are what was said of implementations in 2010, with where it stands.
type Claims struct {
	Schema string      `json:"schema"`
	Source ClaimSource `json:"source"`
	Claims []Claim     `json:"claims"`
}

// ClaimSource is where the claims stand.
type ClaimSource struct {
	Author      string `json:"author"`
	Title       string `json:"title"`
	Date        string `json:"date"` // "2010-06-18"
	URL         string `json:"url"`
	PointedToBy string `json:"pointed-to-by,omitempty"`
}

// Claim is one sentence of the source, as it answers one question about one
// implementation.
type Claim struct {
	Implementation string `json:"implementation"` // a target's name
	Title          string `json:"title"`
	Question       string `json:"question"` // "callback", "static-area", "zero-copy"
	Claim          string `json:"claim"`    // in a word or two
	Quote          string `json:"quote"`
}

//go:embed claims.yaml
var claimsSource []byte

// claimsOf2010 reads results/claims.yaml, which a test holds to its schema.
var claimsOf2010 = sync.OnceValues(func() (Claims, error) {
	const file = "results/claims.yaml"
	asJSON, err := schema.CheckYAML(schema.Claims, file, claimsSource)
	if err != nil {
		return Claims{}, err
	}
	var claims Claims
	if err := json.Unmarshal(asJSON, &claims); err != nil {
		return Claims{}, fmt.Errorf("reading %s: %w", file, err)
	}
	return claims, nil
})

// about returns what was claimed of an implementation on a question.
func (c Claims) about(implementation, question string) (Claim, bool) {
	for _, claim := range c.Claims {
		if claim.Implementation == implementation && claim.Question == question {
			return claim, true
		}
	}
	return Claim{}, false
}
