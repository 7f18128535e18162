package site

import (
	"cmp"
	"embed"
	"html/template"
	"slices"
	"strings"
	"sync"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/history"
)

//go:embed templates/*.html
var templateFiles embed.FS

// templates are parsed when a site is first written: every start of the command
// would wait for it.
var templates = sync.OnceValue(func() map[string]*template.Template {
	all := map[string]*template.Template{}
	for _, name := range []string{"home", "search", "list", "rows", "feature", "cell", "changes", "seeds", "programs"} {
		page := results.Blocks(name).Funcs(template.FuncMap{
			"short": shortName, "path": func(page string) string { return page + ".html" },
			"featurePage": featurePage, "implementationPage": implementationPage, "bindingPage": bindingPage,
		})
		all[name] = template.Must(page.ParseFS(templateFiles, "templates/frame.html", "templates/parts.html", "templates/"+name+".html"))
	}
	return all
})

// shortName is a feature's name within its group.
func shortName(feature results.Feature) string {
	return results.Shown(strings.TrimPrefix(feature.Name, feature.Group+"/"), mostWord)
}

// Bounds of what a line shows, in bytes; its page has the rest.
const (
	mostWord     = 200
	mostSentence = 400
)

// homeShown answers the questions first.
type homeShown struct {
	frame
	Answers  []answerShown
	Glance   glance
	Table    tallies
	Latest   []entryShown
	Legend   []matrix.Outcome
	Measured int // clients
	Features int
	Day      string
}

// answerShown is who can do what a question asks for.
type answerShown struct {
	Title, Asks, Feature string
	ID                   string
	Groups               []answerGroup
	// Bindings are what libraries above the thinnest layer offer.
	Bindings []bindingGroup
}

// answerGroup is those that gave the same answer.
type answerGroup struct {
	Heading string
	Outcome matrix.Outcome
	Clients []answerClient
}

type answerClient struct {
	Title, Versions, Technique, When, Cause string
	Verdict                                 string // where not all versions agree, or it is red
	Outcome                                 matrix.Outcome
	Link                                    template.URL
	Control                                 bool
}

type bindingGroup struct {
	Outcome matrix.Outcome
	Names   []string
}

// answers are for those who read for ten seconds: the strictest feature of each
// kind, what everybody wants to know first, by the implementations' thinnest
// layer.
func (b *builder) answers() []answerShown {
	var answers []answerShown
	questions := slices.Clone(b.view.Questions())
	slices.Reverse(questions) // zero-copy first: it needs the two others
	for _, q := range questions {
		answer := answerShown{Title: q.Title, Asks: q.Asks, Feature: q.Feature, ID: "answer-" + q.Claim}
		yes := answerGroup{Heading: "Yes", Outcome: matrix.Pass}
		with := answerGroup{Heading: "Yes, with a technique", Outcome: matrix.Pass}
		no := answerGroup{Heading: "No", Outcome: matrix.Fail}
		unknown := answerGroup{Heading: "Not measured", Outcome: matrix.NotRun}
		var bindings []bindingGroup
		for _, row := range b.view.Rows() {
			best, ok := b.view.Best(row.Newest, q.Feature)
			if !row.Newest.Raw {
				if ok && !row.Absent {
					at := slices.IndexFunc(bindings, func(group bindingGroup) bool { return group.Outcome == best.Outcome })
					if at < 0 {
						bindings = append(bindings, bindingGroup{Outcome: best.Outcome})
						at = len(bindings) - 1
					}
					if !slices.Contains(bindings[at].Names, row.Newest.Binding) {
						bindings[at].Names = append(bindings[at].Names, row.Newest.Binding)
					}
				}
				continue
			}
			verdict := b.view.Verdict(row, b.features[q.Feature])
			shown := answerClient{Title: row.Newest.Title, Versions: row.Versions, Outcome: verdict.Outcome, Link: verdict.Link, Control: row.Newest.Control}
			if len(verdict.Spans) > 1 || best.Outcome.Red() {
				shown.Verdict = verdict.Label
			}
			switch {
			case !ok || best.Outcome == matrix.NotRun || best.Outcome == matrix.Error:
				unknown.Clients = append(unknown.Clients, shown)
			case best.Outcome != matrix.Pass:
				shown.Cause = results.Shown(b.view.Cause(best), mostSentence)
				no.Clients = append(no.Clients, shown)
			case verdict.Technique != "":
				shown.Technique = verdict.Technique
				with.Clients = append(with.Clients, shown)
			default:
				yes.Clients = append(yes.Clients, shown)
			}
		}
		for _, group := range []answerGroup{yes, with, no, unknown} {
			if len(group.Clients) > 0 {
				answer.Groups = append(answer.Groups, group)
			}
		}
		slices.SortStableFunc(bindings, func(a, b bindingGroup) int { return cmp.Compare(a.Outcome.Rank(), b.Outcome.Rank()) })
		answer.Bindings = bindings
		answers = append(answers, answer)
	}
	return answers
}

// mostAnswers bounds how many clients a card names; the feature's page has all.
const mostAnswers = 40

func (b *builder) homePage() error {
	shown := homeShown{
		frame: b.frame("index", "home", ""), Answers: b.answers(), Glance: b.glance(), Legend: matrix.Outcomes,
		Features: len(b.Published.Features), Day: b.Published.Run.Started.UTC().Format("2006-01-02"),
	}
	for i := range shown.Answers {
		for j := range shown.Answers[i].Groups {
			group := &shown.Answers[i].Groups[j]
			if len(group.Clients) > mostAnswers {
				group.Clients = group.Clients[:mostAnswers]
			}
		}
	}
	for _, client := range b.Published.Targets {
		if client.NotRun == "" && client.Error == "" {
			shown.Measured++
		}
	}
	shown.Table = b.tallies(b.rows[:min(len(b.rows), mostGlance)], "")
	shown.Table.Left = max(0, len(b.rows)-mostGlance)
	shown.Latest = b.latest(1, 8)
	return b.putPage(home, templates()["home"], shown)
}

// tallies is the table of clients and groups.
type tallies struct {
	Caption   string
	Root      string
	Questions []results.Question
	Groups    []string
	Several   bool
	Foreign   bool
	Lines     []tallyLine
	Left      int // lines that are not shown
}

type tallyLine struct {
	Name, Versions, Libzmq, Binding string
	Implementation, BindingPage     string
	MeasuredBy                      string
	Answers                         []results.RowVerdict
	Tallies                         []tallyShown
}

type tallyShown struct {
	Text   string
	Passes int
	Whole  bool // everything that was measured passes
}

func (b *builder) tallies(rows []results.Row, root string) tallies {
	view := b.view.Linked(linkFrom(root))
	table := tallies{Root: root, Questions: view.Questions(), Groups: view.Groups()}
	for _, row := range rows {
		table.Several = table.Several || row.Several
		line := tallyLine{
			Name: row.Name, Versions: row.Versions, Libzmq: row.Libzmq, Binding: row.Newest.Binding,
			Implementation: implementationPage(row.Newest.Implementation), BindingPage: bindingPage(row.Newest.Binding),
		}
		if by := row.Newest.MeasuredBy; by != nil {
			line.MeasuredBy, table.Foreign = by.Name, true
		}
		for _, q := range table.Questions {
			line.Answers = append(line.Answers, view.Verdict(row, b.features[q.Feature]))
		}
		for _, group := range table.Groups {
			text, passes, measured := view.Tally(row, group)
			shown := tallyShown{text, passes, measured > 0 && passes == measured}
			line.Tallies = append(line.Tallies, shown)
		}
		table.Lines = append(table.Lines, line)
	}
	return table
}

// listShown is the page of all implementations, bindings or features.
type listShown struct {
	frame
	Intro    string
	Table    *tallies
	Lists    []listGroup
	Parts    []string
	Part     int
	NotRun   []string
	Features bool
}

type listGroup struct {
	Name  string
	Items []listItem
}

type listItem struct {
	Name, Title, Note, Page string
	Passing, Measured       int
}

// listPages write the three lists.
func (b *builder) listPages() error {
	measured, absent := b.rowsOf(func(results.Row) bool { return true })
	var notRun []string
	for _, row := range absent {
		notRun = append(notRun, row.Name+" "+row.Newest.Binding)
	}
	byName := slices.Clone(measured)
	slices.SortStableFunc(byName, func(a, b results.Row) int {
		return cmp.Compare(a.Newest.Binding, b.Newest.Binding)
	})
	for _, list := range []struct {
		name, section, title, intro string
		rows                        []results.Row
	}{
		{"implementations", "implementations", "Implementations", "Each language implementation with each of its bindings, in every version that was measured. A fraction counts the features of a group that pass by their best technique.", measured},
		{"bindings", "bindings", "Bindings", "The same by binding. The thinnest layer of a language, such as cffi, shows what the implementation can do; a library above it can only offer less.", byName},
	} {
		items := b.implementationItems()
		if list.name == "bindings" {
			items = b.bindingItems()
		}
		err := b.putParts(list.name, len(list.rows), 200, templates()["list"], func(from, to int, p parts) any {
			table := b.tallies(list.rows[from:to], "")
			table.Caption = list.title + " and what passes"
			shown := listShown{frame: b.frame(list.name, list.section, list.title), Intro: list.intro, Table: &table, Parts: p.Links(), Part: p.Number}
			if p.Number == 1 {
				shown.NotRun = notRun[:min(len(notRun), 200)]
				shown.Lists = []listGroup{{Items: items[:min(len(items), 300)]}}
			}
			return shown
		})
		if err != nil {
			return err
		}
	}
	return b.putParts("features", len(b.Published.Features), 300, templates()["list"], func(from, to int, p parts) any {
		shown := listShown{frame: b.frame("features", "features", "Features"), Intro: "What is asked of every client. Each feature has one requirement, a source for it, and a judge that looks at evidence alone.", Parts: p.Links(), Part: p.Number, Features: true}
		for _, feature := range b.Published.Features[from:to] {
			if len(shown.Lists) == 0 || shown.Lists[len(shown.Lists)-1].Name != feature.Group {
				shown.Lists = append(shown.Lists, listGroup{Name: feature.Group})
			}
			group := &shown.Lists[len(shown.Lists)-1]
			item := listItem{Name: shortName(feature), Title: results.Shown(feature.Requirement, mostSentence), Page: featurePage(feature.Name)}
			for _, row := range b.rows {
				best, ok := b.view.Best(row.Newest, feature.Name)
				if !ok || !(best.Outcome == matrix.Pass || best.Outcome.Red()) {
					continue
				}
				item.Measured++
				if best.Outcome == matrix.Pass {
					item.Passing++
				}
			}
			group.Items = append(group.Items, item)
		}
		return shown
	})
}

func (b *builder) implementationItems() []listItem {
	var items []listItem
	for _, name := range b.implementations() {
		for _, client := range b.Published.Targets {
			if client.Implementation == name {
				items = append(items, listItem{Name: name, Title: client.Title, Page: implementationPage(name)})
				break
			}
		}
	}
	return items
}

func (b *builder) bindingItems() []listItem {
	var items []listItem
	for _, name := range b.bindings() {
		items = append(items, listItem{Name: name, Page: bindingPage(name)})
	}
	return items
}

// rowsShown is the page of an implementation or a binding: its support table,
// why what is red is red, and what changed.
type rowsShown struct {
	frame
	Kind     string // "implementation" or "binding"
	Name     string
	Homepage string
	Lead     string
	Columns  []column
	Groups   []supportGroup
	Table    *tallies // in place of the support table where it would be too wide
	Findings []findingsShown
	Left     int // clients whose findings are not shown
	Clients  []results.Client
	Changes  []changeShown
	Parts    []string
	Part     int
	JSON     []jsonLink
	Badges   []*badgeShown
}

type column struct{ Name, Note, Page string }

type supportGroup struct {
	Name  string
	Lines []supportLine
}

type supportLine struct {
	Feature  results.Feature
	Page     string
	Verdicts []results.RowVerdict
}

type findingsShown struct {
	Name, Binding string
	Of            results.RowFindings
}

type jsonLink struct{ Name, Path string }

// mostColumns is how many a support table has and still fits a page and an eye.
const mostColumns = 12

// Bounds of the lists on an implementation's or binding's page.
const (
	mostClients = 60
	mostChanges = 40
	mostBadges  = 60
	// mostFindings counts clients and what there is to say of each; a finding has
	// a kilobyte or two.
	mostFindings = 80
)

func (b *builder) implementationPage(name string) error {
	measured, absent := b.rowsOf(func(row results.Row) bool { return row.Newest.Implementation == name })
	rows := slices.Concat(measured, absent)
	newest := rows[0].Newest
	shown := rowsShown{frame: b.frame(implementationPage(name), "implementations", cmp.Or(newest.Title, name)), Kind: "implementation", Name: name, Homepage: newest.Homepage}
	return b.rowsPage(shown, measured, rows, b.past.newest.implementation[name], func(row results.Row) column {
		return column{Name: row.Newest.Binding, Note: row.Versions, Page: bindingPage(row.Newest.Binding)}
	})
}

func (b *builder) bindingPage(name string) error {
	measured, absent := b.rowsOf(func(row results.Row) bool { return row.Newest.Binding == name })
	shown := rowsShown{frame: b.frame(bindingPage(name), "bindings", name), Kind: "binding", Name: name}
	if b.hasFeeds() {
		shown.Feeds = append(shown.Feeds, feedLink{"Changed verdicts of " + name, feedPage(name)})
	}
	return b.rowsPage(shown, measured, slices.Concat(measured, absent), b.past.newest.binding[name], func(row results.Row) column {
		return column{Name: row.Newest.Implementation, Note: row.Versions, Page: implementationPage(row.Newest.Implementation)}
	})
}

// rowsPage fills in what implementations and bindings have in common.
func (b *builder) rowsPage(shown rowsShown, measured, all []results.Row, changes []history.Change, heading func(results.Row) column) error {
	view := b.view.Linked(linkFrom(shown.Root))
	columns := measured
	if len(columns) == 0 {
		columns = all
	}
	wide := len(columns) > mostColumns
	if !wide {
		for _, row := range columns {
			shown.Columns = append(shown.Columns, heading(row))
		}
	}
	var findings []findingsShown
	var clients []results.Client
	for _, row := range all {
		if of := view.Findings(row); len(of.Said)+len(of.List) > 0 {
			findings = append(findings, findingsShown{row.Name, row.Newest.Binding, of})
		}
		clients = append(clients, row.Clients...)
	}
	shown.Changes = b.changesShown(changes, shown.Root)
	items, each := len(b.Published.Features), max(10, 1500/max(1, len(columns)))
	if wide {
		items, each = len(columns), 150
	}
	return b.putParts(shown.Path, items, each, templates()["rows"], func(from, to int, p parts) any {
		shown := shown
		shown.Parts, shown.Part = p.Links(), p.Number
		if p.Number > 1 {
			shown.Changes = nil
		}
		if wide {
			table := b.tallies(columns[from:to], shown.Root)
			table.Caption = shown.Title + " and what passes"
			shown.Table = &table
		} else {
			for _, feature := range b.Published.Features[from:to] {
				if len(shown.Groups) == 0 || shown.Groups[len(shown.Groups)-1].Name != feature.Group {
					shown.Groups = append(shown.Groups, supportGroup{Name: feature.Group})
				}
				line := supportLine{Feature: feature, Page: featurePage(feature.Name)}
				for _, row := range columns {
					line.Verdicts = append(line.Verdicts, view.Verdict(row, feature))
				}
				group := &shown.Groups[len(shown.Groups)-1]
				group.Lines = append(group.Lines, line)
			}
		}
		// What is told once is on the first part; of very many the JSON has the rest.
		if p.Number == 1 {
			shown.Findings, shown.Left = fewFindings(findings)
			shown.Clients = clients[:min(len(clients), mostClients)]
			for _, client := range shown.Clients {
				shown.JSON = append(shown.JSON, jsonLink{client.Key().String(), clientJSON(client.Key())})
				for _, of := range append([]string{""}, b.view.Groups()...) {
					if client.NotRun == "" && len(shown.Badges) < mostBadges {
						shown.Badges = append(shown.Badges, b.badge(client.Key(), of, shown.Path))
					}
				}
			}
		}
		return shown
	})
}

// fewFindings are as many as fit on a page, and how many are left.
func fewFindings(findings []findingsShown) (few []findingsShown, left int) {
	room := mostFindings
	for i, of := range findings {
		if room <= 0 {
			return few, len(findings) - i
		}
		list := of.Of.List
		of.Of.List = nil
		for _, finding := range list[:min(len(list), room)] {
			finding.Links = finding.Links[:min(len(finding.Links), mostClients)]
			of.Of.List = append(of.Of.List, finding)
		}
		room -= 1 + len(of.Of.List)
		few = append(few, of)
	}
	return few, 0
}

// featureShown is the page of a feature: what is required, how it is judged, and
// who passes since when.
type featureShown struct {
	frame
	Feature                 results.Feature
	Lines                   []featureLine
	Passing, With, Measured int // clients; With are those that need a technique
	Changes                 []changeShown
	Since                   bool // a line says since when
	Parts                   []string
	Part                    int
}

type featureLine struct {
	Row                         results.Row
	Implementation, BindingPage string
	Verdict                     results.RowVerdict
	Since, Cause                string
}

func (b *builder) featurePage(feature results.Feature) error {
	path := featurePage(feature.Name)
	shown := featureShown{frame: b.frame(path, "features", feature.Name), Feature: feature}
	view := b.view.Linked(linkFrom(shown.Root))
	passing, with, measured := 0, 0, 0
	var lines []featureLine
	for _, row := range b.rows {
		line := featureLine{
			Row: row, Implementation: implementationPage(row.Newest.Implementation), BindingPage: bindingPage(row.Newest.Binding),
			Verdict: view.Verdict(row, feature),
		}
		if best, ok := view.Best(row.Newest, feature.Name); ok {
			if best.Outcome == matrix.Pass || best.Outcome.Red() {
				measured++
			}
			if best.Outcome == matrix.Pass {
				passing++
				if line.Verdict.Technique != "" {
					with++
				}
			}
			line.Cause = results.Shown(view.Cause(best), mostSentence)
			var stretches [][]stretch
			for _, cell := range view.Techniques(row.Newest, feature.Name) {
				stretches = append(stretches, b.past.stretches(b.past.changes(cell.Key())))
			}
			line.Since = b.past.sinceWords(stretches)
			shown.Since = shown.Since || line.Since != ""
		}
		lines = append(lines, line)
	}
	shown.Passing, shown.With, shown.Measured = passing, with, measured
	changes := b.changesShown(b.past.newest.feature[feature.Name], shown.Root)
	return b.putParts(path, len(lines), 150, templates()["feature"], func(from, to int, p parts) any {
		shown := shown
		shown.Lines, shown.Parts, shown.Part = lines[from:to], p.Links(), p.Number
		if p.Number == 1 {
			shown.Changes = changes
		}
		return shown
	})
}

// cellShown is the page of a client's feature.
type cellShown struct {
	frame
	results.CellDetail
	Row                                      results.Row
	Implementation, BindingPage, FeaturePage string
	Why                                      string
	Versions                                 []results.RowVerdict // of others
	Others                                   []results.RowVerdict // of the same feature through the target's other bindings
	Since                                    string
	Timeline                                 timeline
	Changes                                  []changeShown
	JSON                                     string
	Badge                                    *badgeShown
	Shortened                                bool // the evidence
	Left                                     int  // techniques that are not shown
}

func (b *builder) cellPage(client results.Client, feature results.Feature) error {
	path := cellPage(client.Key(), feature.Name)
	root := toRoot(path)
	view := b.view.Linked(linkFrom(root))
	detail, _ := view.Detail(client, feature)
	best, _ := view.Best(client, feature.Name)
	shown := cellShown{
		frame: b.frame(path, "", feature.Name+" in "+client.Key().String()), CellDetail: detail, Row: b.of[client.Key()],
		Implementation: implementationPage(client.Implementation), BindingPage: bindingPage(client.Binding), FeaturePage: featurePage(feature.Name),
		Why: results.Shown(view.Cause(best), mostSentence), JSON: clientJSON(client.Key()),
	}
	if b.ofFeatures() {
		shown.Badge = b.badge(client.Key(), feature.Name, path)
	}
	var techniques []string
	var stretches [][]stretch
	for i, technique := range shown.Techniques {
		shown.Techniques[i].ID = results.Anchor("technique", technique.Technique)
		changes := b.past.changes(technique.Key())
		techniques = append(techniques, results.Shown(technique.Technique, mostWord))
		stretches = append(stretches, b.past.stretches(changes))
		for _, change := range changes {
			shown.Changes = append(shown.Changes, b.changeShown(change, root))
		}
	}
	slices.SortStableFunc(shown.Changes, func(a, b changeShown) int { return cmp.Compare(b.place, a.place) })
	shown.Changes = shown.Changes[:min(len(shown.Changes), mostChanges)]
	shown.Since = b.past.sinceWords(stretches)
	shown.Timeline = b.past.timeline(techniques, stretches)
	if shown.Row.Several {
		for _, other := range shown.Row.Clients {
			if other.Key() != client.Key() && len(shown.Versions) < mostClients {
				shown.Versions = append(shown.Versions, view.VerdictOf(other, feature))
			}
		}
	}
	for _, other := range b.beside[client.Target] {
		if other.Key() != client.Key() && len(shown.Others) < mostClients {
			shown.Others = append(shown.Others, view.VerdictOf(other, feature))
		}
	}
	// A page that is too large has less and less evidence; the JSON has all of it.
	for _, most := range []int{-1, 8 << 10, 2 << 10, 256, 0} {
		if most >= 0 {
			shown.shorten(most)
		}
		buffer, err := b.render(templates()["cell"], shown)
		if err != nil {
			return err
		}
		if buffer.Len() <= mostPage || most == 0 {
			return b.putRendered(path+".html", buffer)
		}
		b.buffers.Put(buffer)
	}
	return nil
}

// shorten leaves so many bytes of each technique's texts, and few techniques.
func (c *cellShown) shorten(most int) {
	c.Shortened = true
	const many = 8
	if most == 0 && len(c.Techniques) > many {
		c.Left += len(c.Techniques) - many
		c.Techniques = c.Techniques[:many]
	}
	for i := range c.Techniques {
		technique := &c.Techniques[i]
		technique.Reason, technique.Cause = results.Shown(technique.Reason, mostSentence), results.Shown(technique.Cause, mostSentence)
		technique.CauseSource, technique.Replay = results.Shown(technique.CauseSource, mostSentence), results.Shown(technique.Replay, mostSentence)
		if technique.Evidence != nil {
			technique.Evidence = technique.Evidence.Shortened(most)
		}
	}
}

// changeShown is a change as a line.
type changeShown struct {
	history.Change
	Day     string
	Cells   string // the cell's name
	Link    string // "" where the results have no such cell any more
	Text    string
	Differs []string
	place   int
}

func (b *builder) changeShown(change history.Change, root string) changeShown {
	at := b.past.place[change.Since]
	shown := changeShown{Change: change, Day: b.past.day(at), Cells: change.Cell.String(), Text: results.Shown(change.Verdicts(), mostSentence), place: at}
	for _, difference := range change.Else {
		shown.Differs = append(shown.Differs, results.Shown(difference.Text(), mostWord))
	}
	client := change.Cell.Client()
	if _, ok := b.view.Best(results.Client{Target: client.Target, Binding: client.Binding}, change.Feature); ok {
		shown.Link = root + cellPage(client, change.Feature) + ".html"
	}
	return shown
}

// changesShown are changes as lines.
func (b *builder) changesShown(changes []history.Change, root string) []changeShown {
	var shown []changeShown
	for _, change := range changes {
		shown = append(shown, b.changeShown(change, root))
	}
	return shown
}

// entryShown is what a publication changed.
type entryShown struct {
	Day, ID, Summary string
	Tool             string
	Common           []string
	Changes          []changeShown
	Left             int // changes that are not shown
}

// latest are the newest publications with their changes.
func (b *builder) latest(entries, changes int) []entryShown {
	var shown []entryShown
	for i := len(b.past.recent) - 1; i >= 0 && len(shown) < entries; i-- {
		at := b.past.entries() - len(b.past.recent) + i
		entry := b.past.history.Entries[at]
		all := b.past.recent[i]
		common, own := history.Common(all)
		one := entryShown{Day: b.past.day(at), ID: entry.ID, Tool: entry.Run.Tool, Summary: history.Summary(all)}
		if at == 0 {
			one.Summary = "the first publication"
		}
		for _, difference := range common {
			one.Common = append(one.Common, results.Shown(difference.Text(), mostWord))
		}
		for _, change := range own[:min(len(own), changes)] {
			one.Changes = append(one.Changes, b.changeShown(change, ""))
		}
		one.Left = len(own) - len(one.Changes)
		shown = append(shown, one)
	}
	return shown
}

// historyShown is the page of what publications changed.
type historyShown struct {
	frame
	Entries []entryShown
	Span    string
	Parts   []string
	Part    int
}

// Bounds of the page of changes.
const (
	mostEntries      = 50
	mostEntryChanges = 30
)

func (b *builder) changesPage() error {
	entries := b.latest(mostEntries, mostEntryChanges)
	return b.putParts("changes", len(entries), 10, templates()["changes"], func(from, to int, p parts) any {
		return historyShown{b.frame("changes", "changes", "What changed"), entries[from:to], b.past.span(), p.Links(), p.Number}
	})
}

func (b *builder) seedsPage() error {
	seeds, err := b.view.Seeds()
	if err != nil {
		return err
	}
	return b.putPage("2010.html", templates()["seeds"], struct {
		frame
		Seeds results.SeedsShown
	}{b.frame("2010", "2010", seeds.Title), seeds})
}
