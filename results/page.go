package results

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"show":      func(text any) string { return visible(fmt.Sprint(text)) },
	"showLines": func(text string) string { return strings.TrimRight(visibleLines(text), "\n") },
	"variant":   func(client Client) string { return visible(strings.TrimPrefix(client.Target, client.Implementation)) },
	"onWeb":     func(homepage string) bool { return strings.HasPrefix(homepage, "https://") },
	"mark":      mark,
	"short":     func(feature Feature) string { return visible(strings.TrimPrefix(feature.Name, feature.Group+"/")) },
	"value":     value,
	"inWords":   inWords,
	"stopped":   stopped,
	"date":      func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 MST") },
	"advice":    func(technique string) string { return techniqueAdvice[technique] },
	"facts":     func(dossier *matrix.Dossier) [][2]string { return facts(*dossier) },
	"ended":     Account.ended,
	"saw":       Socket.saw,
}).Parse(pageSource))

// Page renders the results as one HTML page that needs nothing else: no
// request, no script, no font. Every cell has an anchor,
// #TARGET/BINDING/GROUP/FEATURE, and every technique of it
// #TARGET/BINDING/GROUP/FEATURE/TECHNIQUE.
func Page(published Published) ([]byte, error) {
	var buffer bytes.Buffer
	if err := pageTemplate.Execute(&buffer, pageOf(published)); err != nil {
		return nil, fmt.Errorf("rendering the page of run %s: %w", published.Run.ID, err)
	}
	return buffer.Bytes(), nil
}

// page is what the template shows.
type page struct {
	Run      Run
	Summary  string
	Controls string
	Invalid  bool // the controls are misjudged, or the run is unfinished
	Answers  []pageAnswer
	Groups   []pageGroup
	Rows     []pageRow
	Notes    []pageNote
	Details  []pageDetail
	Findings []pageFindings
	Clients  []Client
	Legend   []matrix.Outcome
}

// pageAnswer answers one of the questions of 2010.
type pageAnswer struct {
	Title, Asks string
	Clients     []pageCell
}

type pageGroup struct {
	Name     string
	Features []Feature
}

type pageRow struct {
	Client Client
	Cells  []pageCell
}

// pageCell is a client's verdict on a feature: its best technique.
type pageCell struct {
	Client  Client
	Feature Feature
	Outcome matrix.Outcome
	Word    string // the outcome, short enough for a narrow column
	Label   string
	Note    string // letter of the technique, "" for plain
	Link    template.URL
	First   bool // of its group
}

// pageNote explains a letter.
type pageNote struct{ Letter, Technique string }

// pageDetail is the view of one client and feature.
type pageDetail struct {
	ID         string
	Client     Client
	Feature    Feature
	Outcome    matrix.Outcome
	Label      string
	Techniques []pageTechnique
}

type pageTechnique struct {
	Cell
	ID    string
	Open  bool // the best one
	Layer string
}

type pageFindings struct {
	Client Client
	Said   string // why there is nothing else to say, or what to know of the rest
	List   []pageFinding
}

type pageFinding struct {
	Outcome matrix.Outcome // of the feature: pass if a technique mends it
	Cell    Cell
	Where   string
	Links   []pageLink
	Mended  string
	Tried   []string
}

type pageLink struct {
	Name string
	Link template.URL
}

func pageOf(published Published) page {
	v := viewOf(published)
	p := page{
		Run: published.Run, Summary: published.Run.summary(), Controls: published.controlsHeld(),
		Clients: published.Targets, Legend: matrix.Outcomes,
	}
	p.Invalid = published.Run.Finished.IsZero() || len(published.Controls) == 0
	for _, control := range published.Controls {
		p.Invalid = p.Invalid || control.Outcome != control.Expected
	}
	for _, group := range v.groups {
		grouped := pageGroup{Name: group}
		for _, feature := range published.Features {
			if feature.Group == group {
				grouped.Features = append(grouped.Features, feature)
			}
		}
		p.Groups = append(p.Groups, grouped)
	}
	letters := map[string]string{}
	for _, client := range published.Targets {
		row := pageRow{Client: client}
		for _, group := range p.Groups {
			for i, feature := range group.Features {
				cell := v.pageCell(client, feature)
				cell.First = i == 0
				if best, ok := v.best(client, feature.Name); ok && best.Technique != plainTechnique && (best.Outcome == matrix.Pass || best.Outcome == matrix.Flaky) {
					if letters[best.Technique] == "" {
						letters[best.Technique] = noteLetter(len(p.Notes))
						p.Notes = append(p.Notes, pageNote{letters[best.Technique], best.Technique})
					}
					cell.Note = letters[best.Technique]
				}
				row.Cells = append(row.Cells, cell)
			}
		}
		p.Rows = append(p.Rows, row)
	}
	for _, q := range v.questions() {
		answer := pageAnswer{Title: q.title, Asks: q.asks}
		for _, client := range published.Targets {
			answer.Clients = append(answer.Clients, v.pageCell(client, v.features[q.feature]))
		}
		p.Answers = append(p.Answers, answer)
	}
	for _, client := range published.Targets {
		for _, feature := range published.Features {
			if detail, ok := v.pageDetail(client, feature); ok {
				p.Details = append(p.Details, detail)
			}
		}
		if found := v.pageFindings(client); found.Said != "" || len(found.List) > 0 {
			p.Findings = append(p.Findings, found)
		}
	}
	return p
}

// noteLetter is a, b, …, z, a1, b1, …
func noteLetter(index int) string {
	letter := string(rune('a' + index%26))
	if index >= 26 {
		letter += fmt.Sprint(index / 26)
	}
	return letter
}

func (v view) pageCell(client Client, feature Feature) pageCell {
	best, _ := v.best(client, feature.Name)
	cell := pageCell{Client: client, Feature: feature, Outcome: best.Outcome, Word: shortWord(best.Outcome), Label: visible(outcomeText(best))}
	if best.Outcome == "" {
		cell.Outcome = matrix.NotRun
		return cell
	}
	cell.Link = linkTo(anchor(best.Target, best.Binding, best.Feature))
	return cell
}

func (v view) pageDetail(client Client, feature Feature) (pageDetail, bool) {
	techniques := v.cells[client.Key()][feature.Name]
	if len(techniques) == 0 {
		return pageDetail{}, false
	}
	best := bestOf(techniques)
	detail := pageDetail{
		ID: anchor(client.Target, client.Binding, feature.Name), Client: client, Feature: feature,
		Outcome: best.Outcome, Label: visible(outcomeText(best)),
	}
	for _, cell := range techniques {
		layer := ""
		if how := v.layerFound(cell); how != "" {
			layer = "not known: " + how
			if cell.Layer != "" {
				layer = visible(string(cell.Layer)) + ": " + how
			}
		}
		detail.Techniques = append(detail.Techniques, pageTechnique{
			Cell: cell, ID: anchor(cell.Target, cell.Binding, cell.Feature, cell.Technique),
			Open: cell.Technique == best.Technique, Layer: layer,
		})
	}
	return detail, true
}

func (v view) pageFindings(client Client) pageFindings {
	findings := pageFindings{Client: client}
	switch {
	case client.NotRun != "":
		findings.Said = "Not run: " + stopped(client.NotRun)
		return findings
	case client.Error != "":
		findings.Said = "Could not be prepared, by no fault of the client: " + stopped(client.Error)
		return findings
	case !client.Trusted:
		findings.Said = "Its word “unsupported” is not believed: " + stopped(client.Distrust)
	}
	red, mended := v.findings(client)
	for _, found := range append(red, mended...) {
		shown := pageFinding{Outcome: found.cell.Outcome, Cell: found.cell, Where: where(found.cell), Mended: found.mended}
		if found.mended != "" {
			shown.Outcome = matrix.Pass
		}
		if len(found.tried) > 1 {
			shown.Tried = found.tried
		}
		for _, feature := range found.features {
			shown.Links = append(shown.Links, pageLink{feature, linkTo(anchor(client.Target, client.Binding, feature))})
		}
		findings.List = append(findings.List, shown)
	}
	return findings
}

// anchor joins names to an identifier that needs no escape, in an attribute or
// in an address: any other octet stands as ~ and two hex digits.
func anchor(names ...string) string {
	var b strings.Builder
	for _, c := range []byte(strings.Join(names, "/")) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("@._/-", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "~%02x", c)
		}
	}
	return b.String()
}

// linkTo is the address of an anchor, which holds nothing to be escaped.
func linkTo(anchor string) template.URL { return template.URL("#" + anchor) }
