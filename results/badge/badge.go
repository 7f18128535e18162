// Package badge renders what a client comes to as badges: SVG, and the JSON
// that shields.io reads of an endpoint.
package badge

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strings"
	"text/template"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
)

// Badge says in two words what a client, or a group or a feature of it, comes
// to. The message says all that the colour does.
type Badge struct {
	// Path is where the badge belongs, without a suffix:
	// "sbcl@bookworm/cffi/zero-copy/callback-free".
	Path    string
	Client  matrix.Client
	Of      string // the group or the feature, "" for the whole client
	Label   string // "sbcl@bookworm/cffi zero-copy"
	Message string // "6 of 6 pass", "crash"
	Color   Color
}

// Color is one that white text has a contrast of at least 4.5 to (WCAG 2.2,
// 1.4.3).
type Color string

// The colors.
const (
	Green  Color = "#1a7f37" // it passes
	Amber  Color = "#8a5a00" // some of it does, or it does sometimes
	Red    Color = "#c9252d" // it does not
	Slate  Color = "#57606a" // it is unsupported: said, and no mistake
	Grey   Color = "#6b7280" // nothing was measured
	labels Color = "#444c56"
)

// The bounds of what a badge shows, in bytes. Its file's name is bounded by what
// file systems take.
const (
	mostLabel   = 100
	mostMessage = 60
	mostName    = 100
)

// All makes the badges of published results: of every client as a whole, then by
// group and by feature.
func All(published results.Published) []Badge {
	var badges []Badge
	for _, summary := range results.Summaries(published) {
		badges = append(badges, Of(summary))
	}
	return badges
}

// Of makes a badge of what a client comes to.
func Of(summary results.Summary) Badge {
	client := summary.Client.Key()
	badge := Badge{Client: client, Of: summary.Of, Path: Path(client, summary.Of), Label: results.Shown(client.String(), mostLabel), Color: colorOf(summary)}
	if summary.Of != "" {
		badge.Label = results.Shown(client.String()+" "+summary.Of, mostLabel)
	}
	isFeature := strings.Contains(summary.Of, "/")
	switch {
	case summary.Outcome == matrix.NotRun:
		badge.Message = "not run"
	case isFeature:
		badge.Message = results.Shown(summary.Text, mostMessage)
	default:
		badge.Message = fmt.Sprintf("%d of %d pass", summary.Passes, summary.Said)
	}
	return badge
}

func colorOf(summary results.Summary) Color {
	switch {
	case summary.Said == 0:
		return Grey
	case summary.Passes == summary.Said:
		return Green
	case summary.Passes > 0 || summary.Outcome == matrix.Flaky:
		return Amber
	case summary.Outcome == matrix.Unsupported:
		return Slate
	}
	return Red
}

// Path is where the badge of a client, or of a group or a feature of it, belongs.
// Whatever the names, it is a relative path of plain letters that stays where it
// is put, and no two have the same.
func Path(client matrix.Client, of string) string {
	parts := []string{FileName(client.Target), FileName(client.Binding)}
	if of == "" {
		return strings.Join(append(parts, "all"), "/")
	}
	group, feature, isFeature := strings.Cut(of, "/")
	parts = append(parts, FileName(group))
	if isFeature {
		return strings.Join(append(parts, FileName(feature)), "/")
	}
	return strings.Join(append(parts, "all"), "/")
}

// FileName writes what a file's name or an address could not take as ~ and two
// digits, and so what would be another name: all, "", ".", "..".
func FileName(name string) string {
	var out strings.Builder
	for i := range len(name) {
		c := name[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("@._+-", c) >= 0
		if !plain || i == 0 && (c == '.' || name == "all") {
			fmt.Fprintf(&out, "~%02x", c)
			continue
		}
		out.WriteByte(c)
	}
	switch text := out.String(); {
	case text == "":
		return "~"
	case len(text) > mostName:
		digest := sha256.Sum256([]byte(name))
		return text[:mostName] + "~~" + hex.EncodeToString(digest[:8])
	default:
		return text
	}
}

// Endpoint is the JSON that shields.io reads (shields.io/badges/endpoint-badge).
func (b Badge) Endpoint() ([]byte, error) {
	data, err := json.Marshal(struct {
		SchemaVersion int    `json:"schemaVersion"`
		Label         string `json:"label"`
		Message       string `json:"message"`
		Color         Color  `json:"color"`
		LabelColor    Color  `json:"labelColor"`
	}{1, b.Label, b.Message, b.Color, labels})
	if err != nil {
		return nil, fmt.Errorf("encoding the badge of %s: %w", b.Path, err)
	}
	return append(data, '\n'), nil
}

// SVG is the badge as a picture that needs nothing else.
func (b Badge) SVG() ([]byte, error) {
	const padding = 6 // pixels on either side of a text
	label, message := width(b.Label), width(b.Message)
	var out bytes.Buffer
	err := svg.Execute(&out, map[string]any{
		"Label": b.Label, "Message": b.Message, "Title": b.Label + ": " + b.Message, "Color": b.Color, "LabelColor": labels, "Font": fonts, "Size": fontSize,
		"Width": label + message + 4*padding, "Left": label + 2*padding, "Corner": label + message + 4*padding - 3,
		"LabelAt": padding, "LabelWidth": label, "MessageAt": label + 3*padding, "MessageWidth": message,
	})
	if err != nil {
		return nil, fmt.Errorf("drawing the badge of %s: %w", b.Path, err)
	}
	return out.Bytes(), nil
}

// fonts are those that the widths are of, or have nearly the same.
const fonts = "Verdana,Geneva,DejaVu Sans,sans-serif"

// svg gives each text the width that its place was made for, so that it fits in
// whatever font there is.
var svg = template.Must(template.New("badge").Funcs(template.FuncMap{"x": escape}).Parse(
	`<svg xmlns="http://www.w3.org/2000/svg" width="{{.Width}}" height="20" viewBox="0 0 {{.Width}} 20" role="img" aria-label="{{x .Title}}">
<title>{{x .Title}}</title>
<rect width="{{.Width}}" height="20" rx="3" fill="{{.LabelColor}}"/>
<path fill="{{.Color}}" d="M{{.Left}} 0H{{.Corner}}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3H{{.Left}}z"/>
<g fill="#fff" font-family="{{.Font}}" font-size="{{.Size}}" aria-hidden="true">
<text x="{{.LabelAt}}" y="14" textLength="{{.LabelWidth}}" lengthAdjust="spacingAndGlyphs">{{x .Label}}</text>
<text x="{{.MessageAt}}" y="14" textLength="{{.MessageWidth}}" lengthAdjust="spacingAndGlyphs">{{x .Message}}</text>
</g>
</svg>
`))

// escape makes text fit for XML, in an element or an attribute; what no XML may
// have becomes U+FFFD.
func escape(text string) (string, error) {
	var out bytes.Buffer
	err := xml.EscapeText(&out, []byte(text))
	return out.String(), err
}
