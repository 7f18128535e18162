package results

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

func TestTheClaimsFitTheirSchemaAndTheirWords(t *testing.T) {
	claims, err := claimsOf2010()
	require.NoError(t, err)
	assert.Equal(t, "2010-06-18", claims.Source.Date)
	seen := map[string]bool{}
	for _, claim := range claims.Claims {
		name := claim.Implementation + " " + claim.Question
		assert.False(t, seen[name], "%s is claimed twice", name)
		seen[name] = true
		// A sentence is only a claim about an implementation that it names.
		word, _, _ := strings.Cut(strings.TrimPrefix(claim.Title, "GNU "), " ")
		named := map[string]string{"Steel": "SBCL", "Allegro": "AllegroCL", "Common": "GCL"}[word]
		if named == "" {
			named = word
		}
		assert.Contains(t, claim.Quote, named, name)
	}
	var questionNames []string
	for _, q := range questions {
		questionNames = append(questionNames, q.Claim)
	}
	for _, claim := range claims.Claims {
		assert.Contains(t, questionNames, claim.Question)
	}
}

// seedsPublished are the variants' results under the names of real
// implementations, of which something was claimed; their verdicts are invented.
func seedsPublished(t *testing.T) Published {
	published := variantsPublished(t)
	rename := strings.NewReplacer("quick", "sbcl", "vendor", "lispworks", "slow", "ecl")
	for i := range published.Targets {
		client := &published.Targets[i]
		client.Target, client.Implementation = rename.Replace(client.Target), rename.Replace(client.Implementation)
		client.Title = "Made-up " + client.Implementation
		if client.Control {
			client.Family = "c"
		}
	}
	for i := range published.Cells {
		published.Cells[i].Target, published.Cells[i].Implementation = rename.Replace(published.Cells[i].Target), rename.Replace(published.Cells[i].Implementation)
	}
	published.fillBest()
	return published
}

func TestSeedsInEveryForm(t *testing.T) {
	published := seedsPublished(t)
	markdown, err := SeedsMarkdown(published)
	require.NoError(t, err)
	page, err := SeedsPage(published, "latest.html")
	require.NoError(t, err)
	terminal, err := SeedsTerminal(published, TerminalOptions{Width: 80})
	require.NoError(t, err)
	for name, got := range map[string][]byte{"seeds.md": []byte(markdown), "seeds.html": page, "seeds-terminal-80.txt": []byte(terminal)} {
		t.Run(name, func(t *testing.T) { golden(t, name, got) })
	}
	for i, line := range strings.Split(terminal, "\n") {
		assert.LessOrEqual(t, len([]rune(line)), 80, fmt.Sprintf("line %d: %s", i+1, line))
	}
	results, err := Page(published)
	require.NoError(t, err)
	for _, link := range regexp.MustCompile(`href="latest\.html#([^"]*)"`).FindAllSubmatch(page, -1) {
		assert.Contains(t, string(results), `id="`+string(link[1])+`"`)
	}
	for _, link := range regexp.MustCompile(`href="#([^"]*)"`).FindAllSubmatch(page, -1) {
		assert.Contains(t, string(page), `id="`+string(link[1])+`"`)
	}
}

func TestSeedsSetClaimsBesideMeasurements(t *testing.T) {
	published := seedsPublished(t)
	seeds, err := SeedsOf(published)
	require.NoError(t, err)
	of := func(implementation, question string) Answer {
		place := slices.IndexFunc(seeds.Seeds, func(seed Seed) bool { return seed.Implementation == implementation })
		require.GreaterOrEqual(t, place, 0, implementation)
		for _, answer := range seeds.Seeds[place].Answers {
			if answer.Question == question {
				return answer
			}
		}
		t.Fatalf("%s has no answer to %s", implementation, question)
		return Answer{}
	}
	callback := of("sbcl", "callback")
	assert.Equal(t, "crashes", callback.Claimed)
	assert.Equal(t, matrix.Pass, callback.Outcome)
	assert.Equal(t, "✓ pass since 2.6.4; ✓ pass, with unblock-signals, 2.2.9–2.5.2; ✗ crash until 2.1.1", callback.Measured)
	assert.Equal(t, "2.2.9", callback.Since, "by whatever technique")
	assert.Equal(t, "unblock-signals 2.2.9–2.5.2", callback.Technique)
	assert.Equal(t, "2.2.9–2.5.2: Its signals are blocked on libzmq's threads.", callback.Cause)
	assert.Equal(t, "2.1.1, the oldest measured", of("sbcl", "static-area").Since)
	assert.Empty(t, of("sbcl", "static-area").Claimed, "nothing was said of it")
	assert.Equal(t, "1.0, the only version measured", of("ecl", "static-area").Since)
	assert.Equal(t, matrix.Unsupported, of("ecl", "static-area").Outcome)

	assert.Equal(t, "hangs", of("lispworks", "callback").Claimed)
	assert.Equal(t, matrix.NotRun, of("lispworks", "callback").Outcome)
	assert.Equal(t, "not available here: its image must be supplied.", of("lispworks", "callback").Cause)
	assert.Equal(t, "works", of("ccl", "callback").Claimed)
	assert.Equal(t, matrix.NotRun, of("ccl", "callback").Outcome, "a claim is no measurement")
	assert.Equal(t, "Run 20260102T030405Z-made had no client of it.", of("ccl", "callback").Cause)

	// Without any claim the measurements are the same.
	assert.Equal(t, matrix.Pass, of("c", "callback").Outcome)
	assert.Empty(t, of("c", "callback").Claimed)
	assert.Equal(t, "c", seeds.Seeds[len(seeds.Seeds)-1].Implementation, "what is no Lisp comes last")
}

func TestFirstSentence(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"no stop":                         "no stop.",
		"One. Two.":                       "One.",
		"It has e.g. 4.3.4. and_more. x":  "It has e.g. 4.3.4. and_more.",
		"It kills. attach_os_thread too.": "It kills.",
	} {
		assert.Equal(t, want, firstSentence(text), "%q", text)
	}
}

// TestThePublishedPagesShowThePublishedResults holds the renderings in the
// repository to its results and to the templates.
func TestThePublishedPagesShowThePublishedResults(t *testing.T) {
	published, err := ReadPublished(filepath.Join("published", "latest.json"))
	require.NoError(t, err)
	page, err := Page(published)
	require.NoError(t, err)
	seedsPage, err := SeedsPage(published, "latest.html")
	require.NoError(t, err)
	seeds, err := SeedsMarkdown(published)
	require.NoError(t, err)
	for name, want := range map[string]string{
		"latest.md": Markdown(published), "latest.html": string(page), "seeds.md": seeds, "seeds.html": string(seedsPage),
	} {
		got, err := os.ReadFile(filepath.Join("published", name))
		require.NoError(t, err)
		assert.True(t, want == string(got), "results/published/%s is not up to date; `go run . merge --publish results/published/latest.json` renews it", name)
	}
}
