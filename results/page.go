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

var (
	//go:embed page.html
	pageSource string
	//go:embed blocks.html
	pageBlocks string
	// Style is the style of every page of the results.
	//
	//go:embed page.css
	Style string
)

var pageTemplate = templateOf("page", pageSource)

// templateOf parses a page of the results' one style.
func templateOf(name, source string) *template.Template {
	page := Blocks(name)
	template.Must(page.New("style").Parse(Style))
	return template.Must(page.Parse(source))
}

// Blocks is a template of that name, still empty, with the parts that every page
// of the results shows alike, and the functions that text of clients goes
// through.
func Blocks(name string) *template.Template {
	return template.Must(template.New(name).Funcs(pageFunctions).Parse(pageBlocks))
}

var pageFunctions = template.FuncMap{
	"show":             func(text any) string { return visible(fmt.Sprint(text)) },
	"showLines":        func(text string) string { return strings.TrimRight(visibleLines(text), "\n") },
	"onWeb":            func(homepage string) bool { return strings.HasPrefix(homepage, "https://") },
	"mark":             mark,
	"short":            func(feature Feature) string { return visible(strings.TrimPrefix(feature.Name, feature.Group+"/")) },
	"value":            value,
	"inWords":          inWords,
	"stopped":          stopped,
	"date":             func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 MST") },
	"advice":           func(technique string) string { return techniqueAdvice[technique] },
	"facts":            func(dossier *matrix.Dossier) [][2]string { return DossierFacts(*dossier) },
	"sentence":         sentence,
	"ended":            Account.ended,
	"saw":              Socket.saw,
	"credit":           func(by *Contributor) string { return by.credit() },
	"bindingAndSource": Client.bindingAndSource,
	"number":           func(index int) int { return index + 1 },
}

// Page renders the results as one HTML page that needs nothing else: no
// request, no script, no font. It links to SeedsPage, seeds.html beside it.
// Every cell has an anchor,
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
	Several  bool // a row has several variants
	Ranges   []pageRange
	Details  []CellDetail
	Findings []RowFindings
	Clients  []Client
	Legend   []matrix.Outcome
}

// pageAnswer answers one of the questions of 2010.
type pageAnswer struct {
	Title, Asks string
	Clients     []RowVerdict
}

type pageGroup struct {
	Name     string
	Features []Feature
}

type pageRow struct {
	Name     string // the implementation, or the target of a single variant
	Variant  string // of a single one, "@…"
	Versions string
	Client   Client // of the newest version
	Cells    []RowVerdict
}

// RowVerdict is a row's verdict on a feature: the best technique of its newest
// version.
type RowVerdict struct {
	Name    string
	Client  Client
	Feature Feature
	Outcome matrix.Outcome
	Word    string // the outcome, short enough for a narrow column
	When    string // the versions with this outcome, if not all have it
	Label   string // the verdicts of all versions
	Spans   []VerdictSpan
	// Technique is what a pass or flaky needs, "" for plain, and Note its letter.
	Technique, Note string
	Link            template.URL
	First           bool // of its group
}

// VerdictSpan is a verdict and the versions that have it.
type VerdictSpan struct {
	Outcome matrix.Outcome
	Text    string
}

// pageNote explains a letter.
type pageNote struct{ Letter, Technique string }

// pageRange is a feature's verdicts in the versions of a row.
type pageRange struct {
	ID       string
	Name     string
	Binding  string
	Feature  Feature
	Label    string
	Variants []pageVariant
}

type pageVariant struct {
	Client  Client
	Outcome matrix.Outcome
	Label   string
	Link    template.URL
}

// CellDetail is the view of one client and feature.
type CellDetail struct {
	ID         string
	Client     Client
	Feature    Feature
	Outcome    matrix.Outcome
	Label      string
	Techniques []CellTechnique
}

// CellTechnique is one technique of it.
type CellTechnique struct {
	Cell
	ID    string
	Open  bool // the best one
	Layer string
}

// RowFindings are what a reader should know of a row beyond its verdicts.
type RowFindings struct {
	Name, Binding string
	Said          []string // why there is nothing else to say, or what to know of the rest
	List          []RowFinding
}

// RowFinding is features of a row that have the same to say.
type RowFinding struct {
	Happened string         // by its dossier, or ""
	Outcome  matrix.Outcome // of the feature: pass if a technique mends it
	Cell     Cell
	Where    string
	In       string // " in 2.1.1", if it is not of all versions
	Links    []FeatureLink
	Mended   string
	Tried    []string
}

// FeatureLink leads to what is known of a feature.
type FeatureLink struct {
	Name string
	Link template.URL
}

func pageOf(published Published) page {
	v := viewOf(published)
	p := page{
		Run: published.Run, Summary: published.Run.summary(), Controls: published.controlsHeld(),
		Clients: published.Targets, Legend: matrix.Outcomes,
	}
	p.Invalid = published.Unfit() != nil
	for _, group := range v.groups {
		p.Groups = append(p.Groups, pageGroup{group, v.inGroup[group]})
	}
	rows := v.rows()
	p.Several = severalVariants(rows)
	letters := map[string]string{}
	for _, row := range rows {
		client := row.newest()
		shown := pageRow{Name: row.name(), Versions: row.versions(), Client: client}
		if row.single() {
			shown.Name, shown.Variant = client.Implementation, strings.TrimPrefix(client.Target, client.Implementation)
		}
		for _, group := range p.Groups {
			for i, feature := range group.Features {
				cell := v.rowVerdict(row, feature)
				cell.First = i == 0
				if name := cell.Technique; name != "" {
					if letters[name] == "" {
						letters[name] = noteLetter(len(p.Notes))
						p.Notes = append(p.Notes, pageNote{letters[name], name})
					}
					cell.Note = letters[name]
				}
				shown.Cells = append(shown.Cells, cell)
				if shownRange, ok := v.pageRange(row, feature, cell); ok {
					p.Ranges = append(p.Ranges, shownRange)
				}
			}
		}
		p.Rows = append(p.Rows, shown)
		if found := v.pageFindings(row); len(found.Said)+len(found.List) > 0 {
			p.Findings = append(p.Findings, found)
		}
	}
	for _, q := range v.questions() {
		answer := pageAnswer{Title: q.Title, Asks: q.Asks}
		for _, row := range rows {
			if row.absent() {
				continue // the matrix has it
			}
			answer.Clients = append(answer.Clients, v.rowVerdict(row, v.features[q.Feature]))
		}
		p.Answers = append(p.Answers, answer)
	}
	for _, client := range published.Targets {
		for _, feature := range published.Features {
			if detail, ok := v.pageDetail(client, feature); ok {
				p.Details = append(p.Details, detail)
			}
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

func (v view) rowVerdict(r row, feature Feature) RowVerdict {
	spans := v.spans(r, feature.Name)
	best, text := v.verdictOf(spans[0], feature.Name, func(name string) string { return name })
	cell := RowVerdict{
		Name: r.name(), Client: spans[0].newest(), Feature: feature, Outcome: best.Outcome,
		Word: shortWord(best.Outcome), When: visible(spans[0].when), Label: visible(mark(best.Outcome) + " " + text),
	}
	if !r.single() {
		cell.Label = v.verdicts(r, feature.Name, visible, visible)
	}
	for _, span := range spans {
		best, text := v.verdictOf(span, feature.Name, func(name string) string { return name })
		cell.Spans = append(cell.Spans, VerdictSpan{best.Outcome, visible(mark(best.Outcome) + " " + inVersions(text, span.when))})
	}
	if best.Technique != plainTechnique && (best.Outcome == matrix.Pass || best.Outcome == matrix.Flaky) {
		cell.Technique = best.Technique
	}
	switch {
	case best.Outcome == "":
		cell.Outcome = matrix.NotRun
	case r.single():
		cell.Link = v.link(cell.Client, feature.Name, false)
	default:
		cell.Link = v.link(cell.Client, feature.Name, true)
	}
	return cell
}

// Linker is the address of what is known of a client's feature; with several, of
// its verdicts in every version that was measured.
type Linker func(client Client, feature string, several bool) template.URL

// inPage is where Page shows it.
func inPage(client Client, feature string, several bool) template.URL {
	if several {
		return linkTo(rangeAnchor(client, feature))
	}
	return linkTo(anchor(client.Target, client.Binding, feature))
}

// rangeAnchor is where the versions of a row stand beside each other. A target
// has a variant in its name, an implementation has not, so that it differs from
// every cell's.
func rangeAnchor(client Client, feature string) string {
	names := []string{client.Implementation, client.Binding, feature}
	if by := client.measuredBy(); by != "" {
		names = append(names, by)
	}
	return anchor(names...)
}

func (v view) pageRange(r row, feature Feature, cell RowVerdict) (pageRange, bool) {
	if r.single() || cell.Link == "" {
		return pageRange{}, false
	}
	shown := pageRange{
		ID: rangeAnchor(r.newest(), feature.Name), Name: r.name(), Binding: r.newest().Binding, Feature: feature, Label: cell.Label,
	}
	for _, client := range r.all() {
		single := v.rowVerdict(row{clients: []Client{client}}, feature)
		shown.Variants = append(shown.Variants, pageVariant{client, single.Outcome, single.Label, single.Link})
	}
	return shown, true
}

func (v view) pageDetail(client Client, feature Feature) (CellDetail, bool) {
	techniques := v.cells[client.Key()][feature.Name]
	if len(techniques) == 0 {
		return CellDetail{}, false
	}
	best := bestOf(techniques)
	detail := CellDetail{
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
		detail.Techniques = append(detail.Techniques, CellTechnique{
			Cell: cell, ID: anchor(cell.Target, cell.Binding, cell.Feature, cell.Technique),
			Open: cell.Technique == best.Technique, Layer: layer,
		})
	}
	return detail, true
}

func (v view) pageFindings(r row) RowFindings {
	findings := RowFindings{Name: r.name(), Binding: r.newest().Binding, Said: sayings(r)}
	red, mended := v.findings(r)
	for _, found := range append(red, mended...) {
		shown := RowFinding{Happened: found.happened, Outcome: found.cell.Outcome, Cell: found.cell, Where: where(found.cell), In: found.in(visible), Mended: found.mended}
		if found.mended != "" {
			shown.Outcome = matrix.Pass
		}
		if len(found.tried) > 1 {
			shown.Tried = found.tried
		}
		for _, feature := range found.features {
			shown.Links = append(shown.Links, FeatureLink{feature, v.link(v.clients[found.cell.Key().Client()], feature, false)})
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
