package badge

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is one client with a feature of each kind, and one that was not run.
func sample() results.Published {
	cell := func(feature, technique string, outcome matrix.Outcome) results.Cell {
		return results.Cell{Target: "a@one", Binding: "ffi", Feature: feature, Technique: technique, Outcome: outcome, Passes: 7, Attempts: 20}
	}
	return results.Published{
		Targets: []results.Client{{Target: "a@one", Binding: "ffi"}, {Target: "b@one", Binding: "ffi", NotRun: "no licence"}},
		Features: []results.Feature{
			{Name: "good/one", Group: "good"}, {Name: "good/two", Group: "good"}, {Name: "mixed/pass", Group: "mixed"}, {Name: "mixed/flaky", Group: "mixed"},
			{Name: "bad/crash", Group: "bad"}, {Name: "bad/hang", Group: "bad"}, {Name: "never/one", Group: "never"}, {Name: "error/one", Group: "error"},
		},
		Cells: []results.Cell{
			cell("good/one", "plain", matrix.Pass), cell("good/two", "plain", matrix.Crash), cell("good/two", "unblock-signals", matrix.Pass),
			cell("mixed/pass", "plain", matrix.Pass), cell("mixed/flaky", "plain", matrix.Flaky), cell("bad/crash", "plain", matrix.Crash),
			cell("bad/hang", "plain", matrix.Hang), cell("never/one", "plain", matrix.Unsupported), cell("error/one", "plain", matrix.Error),
		},
	}
}

func TestBadges(t *testing.T) {
	var told []string
	for _, badge := range All(sample()) {
		told = append(told, fmt.Sprintf("%s | %s | %s | %s", badge.Path, badge.Label, badge.Message, badge.Color))
	}
	assert.Equal(t, []string{
		"a@one/ffi/all | a@one/ffi | 3 of 7 pass | " + string(Amber),
		"a@one/ffi/good/all | a@one/ffi good | 2 of 2 pass | " + string(Green),
		"a@one/ffi/mixed/all | a@one/ffi mixed | 1 of 2 pass | " + string(Amber),
		"a@one/ffi/bad/all | a@one/ffi bad | 0 of 2 pass | " + string(Red),
		"a@one/ffi/never/all | a@one/ffi never | 0 of 1 pass | " + string(Slate),
		"a@one/ffi/error/all | a@one/ffi error | not run | " + string(Grey),
		"a@one/ffi/good/one | a@one/ffi good/one | pass | " + string(Green),
		"a@one/ffi/good/two | a@one/ffi good/two | pass, with unblock-signals | " + string(Green),
		"a@one/ffi/mixed/pass | a@one/ffi mixed/pass | pass | " + string(Green),
		"a@one/ffi/mixed/flaky | a@one/ffi mixed/flaky | flaky 7/20 | " + string(Amber),
		"a@one/ffi/bad/crash | a@one/ffi bad/crash | crash | " + string(Red),
		"a@one/ffi/bad/hang | a@one/ffi bad/hang | hang | " + string(Red),
		"a@one/ffi/never/one | a@one/ffi never/one | unsupported | " + string(Slate),
		"a@one/ffi/error/one | a@one/ffi error/one | error | " + string(Grey),
	}, told[:14])
	for _, line := range told[14:] {
		assert.Contains(t, line, "| not run | "+string(Grey))
	}
}

func TestABadgeAsAPicture(t *testing.T) {
	for _, badge := range All(sample()) {
		data, err := badge.SVG()
		require.NoError(t, err)
		requireXML(t, data)
		assert.Contains(t, string(data), `role="img" aria-label="`+badge.Label+": "+badge.Message+`"`)
		assert.Contains(t, string(data), "<title>"+badge.Label+": "+badge.Message+"</title>")
		for _, elsewhere := range []string{"href", "url(http", "@import", "<script", "<image", "<style"} {
			assert.NotContains(t, string(data), elsewhere, "it needs nothing else")
		}
		if badge.Of == "good/two" && badge.Client.Target == "a@one" {
			golden(t, "pass.svg", data)
		}
	}
}

func TestABadgeForShields(t *testing.T) {
	badge := All(sample())[7]
	data, err := badge.Endpoint()
	require.NoError(t, err)
	assert.JSONEq(t, `{"schemaVersion":1,"label":"a@one/ffi good/two","message":"pass, with unblock-signals","color":"#1a7f37","labelColor":"#444c56"}`, string(data))
}

// Widths of shields.io's own badges, which are of the same font and size; it
// rounds down to an odd number.
func TestTextsHaveTheWidthThatShieldsGivesThem(t *testing.T) {
	for text, want := range map[string]int{"build": 27, "passing": 41, "license": 37, "MIT": 21, "coverage": 51, "100%": 33} {
		assert.InDelta(t, want, width(text), 2, text)
	}
	assert.Equal(t, 0, width(""))
	assert.Equal(t, 22, width("名前"))
	assert.Equal(t, width("e"), width("e\u0301"), "a mark above takes no width")
	for r := ' '; r <= '~'; r++ {
		assert.Positive(t, width(string(r)), "%q", r)
	}
}

// In each picture the text ends before its place does.
func TestTextsFitTheirPlaces(t *testing.T) {
	for _, badge := range All(sample()) {
		data, err := badge.SVG()
		require.NoError(t, err)
		var picture struct {
			Width int `xml:"width,attr"`
			Place struct {
				Line string `xml:"d,attr"`
			} `xml:"path"` // of the message
			Texts []struct {
				X      int `xml:"x,attr"`
				Length int `xml:"textLength,attr"`
			} `xml:"g>text"`
		}
		require.NoError(t, xml.Unmarshal(data, &picture))
		require.Len(t, picture.Texts, 2)
		var begin int
		_, err = fmt.Sscanf(picture.Place.Line, "M%d 0H", &begin)
		require.NoError(t, err)
		label, message := picture.Texts[0], picture.Texts[1]
		assert.Equal(t, width(badge.Label), label.Length)
		assert.Equal(t, width(badge.Message), message.Length)
		assert.Positive(t, label.X)
		assert.Equal(t, begin, label.X+label.Length+label.X, "as much room behind as before")
		assert.Equal(t, picture.Width, message.X+message.Length+message.X-begin, "as much room behind as before")
	}
}

func TestWhiteTextCanBeReadOnEveryColor(t *testing.T) {
	for _, color := range []Color{Green, Amber, Red, Slate, Grey, labels} {
		assert.GreaterOrEqual(t, 1.05/(luminance(t, color)+0.05), 4.5, color)
	}
}

// luminance is WCAG's relative luminance.
func luminance(t *testing.T, color Color) float64 {
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		value, err := strconv.ParseUint(string(color)[1+2*i:3+2*i], 16, 8)
		require.NoError(t, err)
		share := float64(value) / 255
		if share <= 0.04045 {
			sum += weight * share / 12.92
		} else {
			sum += weight * math.Pow((share+0.055)/1.055, 2.4)
		}
	}
	return sum
}

func TestPathsStayWhereTheyArePut(t *testing.T) {
	names := []string{"", ".", "..", "all", "~61ll", "a", "a b", "a%20b", "a~20b", "../../etc/passwd", `C:\x`, "\x00", "名前", "?a=b#c", strings.Repeat("x", 300), strings.Repeat("x", 301), strings.Repeat("/", 300)}
	seen := map[string]string{}
	for _, target := range names {
		for _, of := range append([]string{"g/f", "g", "all/all"}, names...) {
			path := Path(matrix.Client{Target: target, Binding: "ffi"}, of)
			require.True(t, filepath.IsLocal(path), path)
			require.Regexp(t, `^[a-zA-Z0-9@._+~/-]+$`, path)
			for part := range strings.SplitSeq(path, "/") {
				require.NotEmpty(t, part)
				require.LessOrEqual(t, len(part), 200)
			}
			name := fmt.Sprintf("%q %q", target, of)
			require.Empty(t, seen[path], "%s and %s", seen[path], name)
			seen[path] = name
		}
	}
}

func TestHostileTextStaysTextInABadge(t *testing.T) {
	const hostile = `<script>alert(1)</script>"'&]]>` + "\x1b[2J\x00\u202e\ufffe\xff"
	published := sample()
	published.Targets[0].Target, published.Targets[0].Binding = hostile, hostile
	for i := range published.Cells {
		published.Cells[i].Target, published.Cells[i].Binding, published.Cells[i].Technique = hostile, hostile, hostile
	}
	for _, badge := range All(published) {
		data, err := badge.SVG()
		require.NoError(t, err)
		requireXML(t, data)
		assert.NotContains(t, string(data), "<script")
		for _, r := range string(data) {
			require.True(t, r == '\n' || unicode.IsPrint(r), "%q", r)
		}
		endpoint, err := badge.Endpoint()
		require.NoError(t, err)
		assert.True(t, json.Valid(endpoint))
		assert.LessOrEqual(t, len(badge.Label), 2*mostLabel)
	}
}

func requireXML(t *testing.T, data []byte) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(data))
	for {
		_, err := decoder.Token()
		if err == io.EOF {
			return
		}
		require.NoError(t, err, "%s", data)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the test with -update once")
	assert.Equal(t, string(want), string(got))
}
