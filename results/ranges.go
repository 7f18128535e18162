package results

import (
	"cmp"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Range says in which of an implementation's measured versions a feature came
// to one outcome by one technique. It claims nothing of a version between them
// that was not measured.
type Range struct {
	Implementation string         `json:"implementation"`
	Binding        string         `json:"binding"`
	Feature        string         `json:"feature"`
	Technique      string         `json:"technique"` // the best one
	Outcome        matrix.Outcome `json:"outcome"`
	Targets        []string       `json:"targets"` // oldest version first
	// When is for people: "since 2.2.9", "until 2.1.1", "2.1.1–2.6.4", or ""
	// where all versions agree.
	When string `json:"when,omitempty"`
}

// rangesOf computes the ranges of every implementation that was measured in
// several variants.
func rangesOf(published Published) []Range {
	v := viewOf(published)
	var ranges []Range
	for _, row := range v.rows() {
		if row.single() {
			continue
		}
		for _, feature := range published.Features {
			for _, span := range v.spans(row, feature.Name) {
				best, _ := v.best(span.newest(), feature.Name)
				found := Range{
					Implementation: best.Implementation, Binding: best.Binding, Feature: feature.Name,
					Technique: best.Technique, Outcome: best.Outcome, When: span.when,
				}
				if best.Outcome == "" {
					continue
				}
				for _, client := range span.clients {
					found.Targets = append(found.Targets, client.Target)
				}
				ranges = append(ranges, found)
			}
		}
	}
	return ranges
}

// row is one implementation with one binding in every variant that the results
// have of it: a line of the tables.
type row struct {
	// clients are ordered by version, oldest first; those that could not be
	// asked for theirs come last.
	clients []Client
	labels  map[string]string // version → how it is called in a range
	// missing are variants that could not be had or prepared, where others
	// could: no cell has anything to say of them.
	missing []Client
}

// single tells a row of one variant, which needs no ranges.
func (r row) single() bool { return len(r.all()) == 1 }

// all are the row's clients and the missing ones.
func (r row) all() []Client { return slices.Concat(r.clients, r.missing) }

// absent tells a row none of whose clients could be had, or was wanted.
func (r row) absent() bool {
	return !slices.ContainsFunc(r.all(), func(client Client) bool { return client.NotRun == "" })
}

// newest is the client of the newest version that was measured.
func (r row) newest() Client {
	for _, client := range slices.Backward(r.clients) {
		if client.Version != "" {
			return client
		}
	}
	return r.clients[len(r.clients)-1]
}

// name is the target of a single row, else the implementation.
func (r row) name() string {
	if r.single() {
		return r.clients[0].Target
	}
	return r.clients[0].Implementation
}

// foreign tells a row that somebody else measured.
func (r row) foreign() bool { return r.clients[0].MeasuredBy != nil }

// measuredBy says who, when and by which key, or that it was the run itself.
func (r row) measuredBy() string {
	if !r.foreign() {
		return "this run"
	}
	return r.newest().MeasuredBy.credit()
}

// versions lists what was measured, each version once.
func (r row) versions() string {
	if r.single() {
		return r.clients[0].Version
	}
	var versions []string
	for _, client := range r.clients {
		if client.Version != "" && !slices.Contains(versions, r.labels[client.Version]) {
			versions = append(versions, r.labels[client.Version])
		}
	}
	text := strings.Join(versions, ", ")
	if len(r.missing) > 0 {
		var missing []string
		for _, client := range r.missing {
			missing = append(missing, variantOf(client))
		}
		text += "; not measured: " + strings.Join(missing, ", ")
	}
	return text
}

// labelled names the versions of some of the row's clients, "" if they are all
// that was measured. A version that not all of its variants are among is named
// with the variant, and so is a client that could not be asked.
func (r row) labelled(some []Client) string {
	count := func(clients []Client, version string) (number int) {
		for _, client := range clients {
			if client.Version == version {
				number++
			}
		}
		return number
	}
	if len(some) >= len(r.clients)-count(r.clients, "") {
		return ""
	}
	var names []string
	for _, client := range some {
		name := r.labels[client.Version]
		switch {
		case client.Version == "":
			name = variantOf(client)
		case count(some, client.Version) < count(r.clients, client.Version):
			name += " in " + variantOf(client)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// libzmq lists the versions of libzmq that were measured with, oldest first.
func (r row) libzmq() string {
	var versions []string
	for _, client := range r.clients {
		if client.Libzmq != "" && !slices.Contains(versions, client.Libzmq) {
			versions = append(versions, client.Libzmq)
		}
	}
	slices.SortFunc(versions, compareVersions)
	return strings.Join(versions, ", ")
}

// rows gathers the clients by implementation and binding, in the order in which
// the results first name them, those of which nothing could be had last. A row that somebody else measured is not joined
// with ours.
func (v view) rows() []row {
	type name struct{ implementation, binding, key string }
	places := map[name]int{}
	var rows []row
	for _, client := range v.Targets {
		name := name{client.Implementation, client.Binding, client.measuredBy()}
		place, known := places[name]
		if !known {
			place = len(rows)
			places[name] = place
			rows = append(rows, row{})
		}
		rows[place].clients = append(rows[place].clients, client)
	}
	for i := range rows {
		slices.SortStableFunc(rows[i].clients, func(a, b Client) int {
			unknown := func(client Client) int { return map[bool]int{true: 1}[client.Version == ""] }
			return cmp.Or(cmp.Compare(unknown(a), unknown(b)), compareVersions(a.Version, b.Version), compareVersions(a.Libzmq, b.Libzmq))
		})
		rows[i].labels = shortVersions(rows[i].clients)
		if slices.ContainsFunc(rows[i].clients, wasMeasured) {
			rows[i].missing = slices.Clone(rows[i].clients)
			rows[i].missing = slices.DeleteFunc(rows[i].missing, wasMeasured)
			rows[i].clients = slices.DeleteFunc(rows[i].clients, func(client Client) bool { return !wasMeasured(client) })
		}
	}
	// What was measured comes first.
	slices.SortStableFunc(rows, func(a, b row) int {
		absent := func(r row) int { return map[bool]int{true: 1}[r.absent()] }
		return cmp.Compare(absent(a), absent(b))
	})
	return rows
}

// variantsOf are rows of one client each.
func variantsOf(rows []row) []row {
	var variants []row
	for _, r := range rows {
		for _, client := range r.all() {
			variants = append(variants, row{clients: []Client{client}})
		}
	}
	return variants
}

// severalVariants tells whether any row has more than one variant.
func severalVariants(rows []row) bool {
	return slices.ContainsFunc(rows, func(r row) bool { return !r.single() })
}

// span is the clients of a row that agree on something.
type span struct {
	clients []Client // oldest version first
	said    bool     // a statement about the client
	when    string   // which versions these are; "" if the whole row agrees
}

func (s span) newest() Client { return s.clients[len(s.clients)-1] }

// statement is what one client of a row comes to. Clients with the same text
// agree.
type statement struct {
	text string
	said bool // about the client; otherwise nothing was measured
}

// point is a version of a row, or one variant where variants of the same
// version disagree.
type point struct {
	statement
	label   string
	clients []Client
}

// spansOf divides a row by what its clients come to: what the newest version
// says first, what was not measured last.
func (r row) spansOf(stated func(Client) statement) []span {
	var placed, unplaced []point
	for start := 0; start < len(r.clients); {
		end := start + 1
		for end < len(r.clients) && r.clients[start].Version != "" && r.clients[end].Version == r.clients[start].Version {
			end++
		}
		same := r.clients[start:end]
		start = end
		if same[0].Version == "" {
			unplaced = append(unplaced, point{stated(same[0]), variantOf(same[0]), same})
			continue
		}
		label := r.labels[same[0].Version]
		disagree := slices.ContainsFunc(same, func(client Client) bool { return stated(client) != stated(same[0]) })
		if !disagree {
			placed = append(placed, point{stated(same[0]), label, same})
			continue
		}
		for i, client := range same {
			placed = append(placed, point{stated(client), label + " in " + variantOf(client), same[i : i+1]})
		}
	}
	var spans []span
	texts := map[statement]int{}
	add := func(of statement, when string, clients []Client) {
		place, known := texts[of]
		if !known {
			place = len(spans)
			texts[of] = place
			spans = append(spans, span{said: of.said})
		}
		into := &spans[place]
		into.clients = append(slices.Clone(clients), into.clients...)
		if when != "" && into.when != "" {
			when += " and "
		}
		into.when = when + into.when
	}
	// From the newest down, so that the first that is added is the newest.
	for end := len(placed); end > 0; {
		start := end - 1
		for start > 0 && placed[start-1].statement == placed[start].statement {
			start--
		}
		var clients []Client
		for _, point := range placed[start:end] {
			clients = append(clients, point.clients...)
		}
		when := ""
		if start > 0 || end < len(placed) || len(unplaced) > 0 {
			when = stretchOf(placed, start, end)
		}
		add(placed[start].statement, when, clients)
		end = start
	}
	for _, point := range unplaced {
		when := ""
		if len(placed)+len(unplaced) > 1 {
			when = point.label
		}
		add(point.statement, when, point.clients)
	}
	if len(spans) == 1 {
		spans[0].when = ""
	}
	slices.SortStableFunc(spans, func(a, b span) int { return -cmp.Compare(map[bool]int{true: 1}[a.said], map[bool]int{true: 1}[b.said]) })
	return spans
}

// stretchOf names the versions from start to before end. "since" and "until"
// are only said where the version on the other side was measured to differ.
func stretchOf(points []point, start, end int) string {
	first, last := points[start].label, points[end-1].label
	switch {
	case points[start].said && end == len(points) && start > 0 && points[start-1].said:
		return "since " + first
	case points[start].said && start == 0 && end < len(points) && points[end].said:
		return "until " + last
	case first == last:
		return first
	}
	return first + "–" + last
}

// spans divides a row by a feature's verdict.
func (v view) spans(r row, feature string) []span {
	return r.spansOf(func(client Client) statement {
		best, ok := v.best(client, feature)
		if !ok {
			return statement{text: string(matrix.NotRun)}
		}
		text := string(best.Outcome)
		if best.Outcome == matrix.Pass || best.Outcome == matrix.Flaky {
			text += " " + best.Technique
		}
		return statement{text, best.Outcome.Red() || best.Outcome == matrix.Pass}
	})
}

// verdictOf is a span's cell and its label: its newest version's, without the
// rate of a flaky one where several versions stand together.
func (v view) verdictOf(s span, feature string, name func(string) string) (Cell, string) {
	best, _ := v.best(s.newest(), feature)
	switch {
	case best.Outcome == "":
		return best, string(matrix.NotRun)
	case len(s.clients) > 1:
		return best, withTechnique(string(best.Outcome), best, name)
	}
	return best, label(best, name)
}

// inVersions joins a verdict and its versions: "pass, with pin, since 2.2.9",
// "crash until 2.1.1".
func inVersions(text, when string) string {
	switch {
	case when == "":
		return text
	case strings.Contains(text, ", "):
		return text + ", " + when
	}
	return text + " " + when
}

// verdicts is a row's cell in words: each outcome with its sign and versions.
// escape makes versions fit for where they stand, and name techniques.
func (v view) verdicts(r row, feature string, escape, name func(string) string) string {
	var parts []string
	for _, span := range v.spans(r, feature) {
		best, text := v.verdictOf(span, feature, name)
		parts = append(parts, mark(best.Outcome)+" "+inVersions(text, escape(span.when)))
	}
	return strings.Join(parts, "; ")
}

// tallySpans divides a row by how many features of a group pass.
func (v view) tallySpans(r row, group string) []span {
	return r.spansOf(func(client Client) statement {
		tally := v.tally(client, group)
		return statement{tally.String(), tally.said > 0}
	})
}

// tallies is a row's count of a group in words: "6/6", "6/6 since 2.2.9; 5/6 (1
// crash) until 2.1.1".
func (v view) tallies(r row, group string, escape func(string) string) string {
	var parts []string
	for _, span := range v.tallySpans(r, group) {
		text := v.tally(span.newest(), group).String()
		if span.when != "" {
			text += " " + escape(span.when)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// variantOf is the part of a client's target that names its variant.
func variantOf(client Client) string {
	if _, variant, found := strings.Cut(client.Target, "@"); found {
		return variant
	}
	return client.Target
}

// shortVersions calls each version by its number alone, "2.2.9" for
// "2.2.9.debian", unless two of the row would then be called the same.
func shortVersions(clients []Client) map[string]string {
	owner := map[string]string{}
	labels := map[string]string{}
	for _, client := range clients {
		short := shortVersion(client.Version)
		if other, taken := owner[short]; taken && other != client.Version {
			owner[short] = ""
		} else if !taken {
			owner[short] = client.Version
		}
	}
	for _, client := range clients {
		labels[client.Version] = client.Version
		if short := shortVersion(client.Version); owner[short] == client.Version {
			labels[client.Version] = short
		}
	}
	return labels
}

// shortVersion is the first word with a digit, without a distribution's suffix.
func shortVersion(version string) string {
	for word := range strings.FieldsSeq(version) {
		if strings.ContainsAny(word, "0123456789") {
			return strings.TrimSuffix(word, ".debian")
		}
	}
	return version
}

// compareVersions orders versions as people do: numbers by value, so that
// 2.5.10 comes after 2.5.9, and everything else as text. A version that another
// one begins with comes first.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		numberA, numberB := leadingNumber(a), leadingNumber(b)
		if numberA != "" && numberB != "" {
			trimmedA, trimmedB := strings.TrimLeft(numberA, "0"), strings.TrimLeft(numberB, "0")
			if order := cmp.Or(cmp.Compare(len(trimmedA), len(trimmedB)), cmp.Compare(trimmedA, trimmedB)); order != 0 {
				return order
			}
			a, b = a[len(numberA):], b[len(numberB):]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func leadingNumber(text string) string {
	return text[:len(text)-len(strings.TrimLeft(text, "0123456789"))]
}
