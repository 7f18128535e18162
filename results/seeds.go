package results

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// SeedsSchema names the version of the answers as JSON.
const SeedsSchema = "zmqmatrix/seeds/v1"

// Seeds sets what was claimed in 2010 beside what is measured now: could a
// Common Lisp binding offer ZeroMQ's zero-copy?
type Seeds struct {
	Schema string      `json:"schema"`
	Source ClaimSource `json:"source"` // of the claims
	Run    string      `json:"run"`    // of the measurements
	Seeds  []Seed      `json:"seeds"`
}

// Seed is one implementation, by its thinnest binding.
type Seed struct {
	Implementation string   `json:"implementation"`
	Title          string   `json:"title"`
	Binding        string   `json:"binding,omitempty"`
	Versions       string   `json:"versions,omitempty"` // that were measured
	MeasuredBy     string   `json:"measured_by,omitempty"`
	Answers        []Answer `json:"answers"`
}

// Answer is one question about one implementation.
type Answer struct {
	Question string `json:"question"` // "callback", "static-area", "zero-copy"
	Feature  string `json:"feature"`
	// Claimed and Quote are of 2010; "" where nothing was said.
	Claimed string `json:"claimed,omitempty"`
	Quote   string `json:"quote,omitempty"`
	// What follows is measured.
	Outcome  matrix.Outcome `json:"outcome"`         // of the newest version
	Measured string         `json:"measured"`        // of every version, in words
	Since    string         `json:"since,omitempty"` // as far as seen
	// Technique is what is needed, with the versions that need it if not all do;
	// "" where plain does.
	Technique string `json:"technique,omitempty"`
	Cause     string `json:"cause,omitempty"` // one sentence

	spans []VerdictSpan
	// Of what is known of it; several where that is of several versions.
	client  *Client
	several bool
}

// SeedsOf answers the question of 2010 from published results.
func SeedsOf(published Published) (Seeds, error) {
	claims, err := claimsOf2010()
	if err != nil {
		return Seeds{}, err
	}
	v := viewOf(published)
	seeds := Seeds{Schema: SeedsSchema, Source: claims.Source, Run: published.Run.ID, Seeds: []Seed{}}
	lisps := map[string]bool{}
	for _, row := range v.seedRows() {
		client := row.newest()
		lisps[client.Implementation] = client.Family == "common-lisp"
		seed := Seed{Implementation: client.Implementation, Title: client.Title, Binding: client.Binding, Versions: row.versions()}
		if client.MeasuredBy != nil {
			seed.MeasuredBy = client.MeasuredBy.credit()
		}
		for _, q := range questions {
			seed.Answers = append(seed.Answers, v.answer(claims, row, q))
		}
		seeds.Seeds = append(seeds.Seeds, seed)
	}
	for _, claim := range claims.Claims {
		if slices.ContainsFunc(seeds.Seeds, func(seed Seed) bool { return seed.Implementation == claim.Implementation }) {
			continue
		}
		lisps[claim.Implementation] = true
		seed := Seed{Implementation: claim.Implementation, Title: claim.Title}
		for _, q := range questions {
			answer := claimed(claims, claim.Implementation, q)
			answer.Outcome, answer.Measured = matrix.NotRun, mark(matrix.NotRun)+" "+string(matrix.NotRun)
			answer.Cause = fmt.Sprintf("Run %s had no client of it.", published.Run.ID)
			answer.spans = []VerdictSpan{{matrix.NotRun, answer.Measured}}
			seed.Answers = append(seed.Answers, answer)
		}
		seeds.Seeds = append(seeds.Seeds, seed)
	}
	slices.SortStableFunc(seeds.Seeds, func(a, b Seed) int {
		others := func(seed Seed) int { return map[bool]int{false: 1}[lisps[seed.Implementation]] }
		return cmp.Or(cmp.Compare(others(a), others(b)), strings.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title)))
	})
	return seeds, nil
}

// seedRows are the rows that the question is asked of: each implementation by
// its thinnest binding, since a binding above it can only offer less. Where one
// row of it was measured, those that were not say nothing.
func (v view) seedRows() []row {
	measured := func(r row) bool { return r.newest().Version != "" }
	var rows []row
	for _, r := range v.rows() {
		if r.newest().Raw {
			rows = append(rows, r)
		}
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r row) bool {
		return !measured(r) && slices.ContainsFunc(rows, func(other row) bool {
			return other.newest().Implementation == r.newest().Implementation && measured(other)
		})
	})
}

// claimed is the part of an answer that is of 2010.
func claimed(claims Claims, implementation string, q Question) Answer {
	claim, _ := claims.about(implementation, q.Claim)
	return Answer{Question: q.Claim, Feature: q.Feature, Claimed: claim.Claim, Quote: claim.Quote}
}

func (v view) answer(claims Claims, r row, q Question) Answer {
	client := r.newest()
	answer := claimed(claims, client.Implementation, q)
	plainName := func(name string) string { return name }
	techniques := []string{}
	for i, span := range v.spans(r, q.Feature) {
		best, text := v.verdictOf(span, q.Feature, plainName)
		outcome := cmp.Or(best.Outcome, matrix.NotRun)
		answer.spans = append(answer.spans, VerdictSpan{outcome, mark(best.Outcome) + " " + inVersions(text, span.when)})
		if i == 0 {
			answer.Outcome = outcome
			if span.said {
				answer.Since = v.since(r, q.Feature)
			}
		}
		if (outcome == matrix.Pass || outcome == matrix.Flaky) && best.Technique != plainTechnique {
			techniques = append(techniques, inVersions(best.Technique, span.when))
		}
		if cause := v.causeOf(best); answer.Cause == "" && cause != "" {
			answer.Cause = cause
			if i > 0 && span.when != "" {
				answer.Cause = span.when + ": " + cause
			}
		}
	}
	answer.Technique = strings.Join(techniques, "; ")
	var parts []string
	for _, span := range answer.spans {
		parts = append(parts, span.Text)
	}
	answer.Measured = strings.Join(parts, "; ")
	switch {
	case answer.Outcome == matrix.NotRun && client.NotRun != "":
		answer.Cause = stopped(client.NotRun)
	case answer.Outcome == matrix.NotRun && answer.Cause == "":
		answer.Cause = fmt.Sprintf("Run %s did not attempt it.", v.Run.ID)
	}
	if _, ok := v.best(client, q.Feature); ok {
		answer.client, answer.several = &client, !r.single()
	}
	return answer
}

// causeOf is why a feature is red, or why it needs a technique, in a sentence.
func (v view) causeOf(best Cell) string {
	red := best
	if best.Outcome == matrix.Pass {
		red = v.cells[best.Key().Client()][best.Feature][0]
	}
	if red.Outcome == matrix.Pass {
		return ""
	}
	return firstSentence(cmp.Or(red.Cause, red.Reason))
}

// since is the oldest version from which on all measured ones come to the
// outcome of the newest, by whatever technique.
func (v view) since(r row, feature string) string {
	outcome := func(client Client) matrix.Outcome { best, _ := v.best(client, feature); return best.Outcome }
	var measured []Client
	for _, client := range r.clients {
		if client.Version != "" {
			measured = append(measured, client)
		}
	}
	if len(measured) == 0 {
		return ""
	}
	newest := measured[len(measured)-1]
	oldest := newest
	for _, client := range slices.Backward(measured) {
		if outcome(client) != outcome(newest) {
			break
		}
		oldest = client
	}
	version := cmp.Or(r.labels[oldest.Version], oldest.Version)
	switch measured[0].Version {
	case newest.Version:
		return version + ", the only version measured"
	case oldest.Version:
		return version + ", the oldest measured"
	}
	return version
}

// firstSentence ends at a full stop, which that of “e.g.” or of a version is
// not.
func firstSentence(text string) string {
	text = stopped(text)
	for end := 0; ; {
		stop := strings.Index(text[end:], ". ")
		if stop < 0 {
			return text
		}
		end += stop + 1
		if word := text[strings.LastIndexByte(text[:end], ' ')+1 : end-1]; !strings.Contains(word, ".") {
			return text[:end]
		}
	}
}

const seedsTitle = "The question of 2010, answered"

const seedsAsked = "In 2010 the author of cl-zmq explained why a Common Lisp binding could not offer ZeroMQ's zero-copy: libzmq's I/O thread calls back on a thread that the Lisp never made, and the collector moves the bytes unless they lie in a static area."

// cited is the source of the claims in one line.
func (s ClaimSource) cited() string {
	return fmt.Sprintf("%s, “%s”, %s, %s", s.Author, s.Title, s.Date, s.URL)
}

const (
	seedsMeasured = "Measured: the strictest feature of each kind, by the implementation's thinnest binding. “Since” is as far as seen: of versions that were not measured nothing is said."
	nothingSaid   = "nothing said"
)

// SeedsMarkdown renders the answers as a document.
func SeedsMarkdown(published Published) (string, error) {
	seeds, err := SeedsOf(published)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", seedsTitle, escapeMarkdown(seedsAsked))
	source := seeds.Source
	fmt.Fprintf(&b, "- Claimed: %s, [%s](<%s>), %s. His words are below, and no part of any verdict.\n", escapeMarkdown(source.Author), escapeMarkdown(source.Title), source.URL, escapeMarkdown(source.Date))
	fmt.Fprintf(&b, "- %s %s; %s.\n", escapeMarkdown(seedsMeasured), escapeMarkdown(published.Run.summary()), escapeMarkdown(published.controlsHeld()))
	quotes := seeds.quotes()
	for place, q := range questions {
		fmt.Fprintf(&b, "\n## %s\n\n%s (%s)\n\n", q.Title, escapeMarkdown(q.Asks), codeMarkdown(q.Feature))
		lines := [][]string{{"implementation", "claimed in 2010", "measured now", "since, as far as seen", "technique", "cause"}}
		for _, seed := range seeds.Seeds {
			answer := seed.Answers[place]
			said := nothingSaid
			if answer.Claimed != "" {
				said = fmt.Sprintf("%s (%d)", escapeMarkdown(answer.Claimed), slices.Index(quotes, answer.Quote)+1)
			}
			lines = append(lines, []string{
				escapeMarkdown(seed.named()), said, escapeMarkdown(answer.Measured), escapeMarkdown(answer.Since),
				escapeMarkdown(answer.Technique), escapeMarkdown(answer.Cause),
			})
		}
		b.WriteString(alignMarkdown(lines))
	}
	b.WriteString("\n## His words\n\n")
	for i, quote := range quotes {
		fmt.Fprintf(&b, "%d. “%s”\n", i+1, escapeMarkdown(quote))
	}
	return b.String(), nil
}

//go:embed seeds.html
var seedsSource string

var seedsTemplate = templateOf("seeds", seedsSource)

// SeedsShown is what pages show of the answers.
type SeedsShown struct {
	Title, Asked, Measured, Summary, Controls string
	Results                                   template.URL // the page of the results
	Source                                    ClaimSource
	Questions                                 []seedsQuestion
	Quotes                                    []string
}

type seedsQuestion struct {
	Title, Asks, Feature, Claim string
	Rows                        []seedsRow
}

type seedsRow struct {
	Seed   Seed
	Answer Answer
	Quote  int // number of the claim's words, 0 where nothing was said
	Link   template.URL
	Spans  []VerdictSpan
}

// SeedsPage renders the answers as one HTML page. results is the name of the
// results' own page beside it, whose cells it links to.
func SeedsPage(published Published, results string) ([]byte, error) {
	page, err := seedsPageOf(published, func(client Client, feature string, several bool) template.URL {
		return template.URL(results) + inPage(client, feature, several)
	})
	if err != nil {
		return nil, err
	}
	page.Results = template.URL(results)
	var buffer bytes.Buffer
	if err := seedsTemplate.Execute(&buffer, page); err != nil {
		return nil, fmt.Errorf("rendering the question of 2010 for run %s: %w", published.Run.ID, err)
	}
	return buffer.Bytes(), nil
}

func seedsPageOf(published Published, link Linker) (SeedsShown, error) {
	seeds, err := SeedsOf(published)
	if err != nil {
		return SeedsShown{}, err
	}
	page := SeedsShown{
		Title: seedsTitle, Asked: seedsAsked, Measured: seedsMeasured, Summary: published.Run.summary(), Controls: published.controlsHeld(),
		Source: seeds.Source, Quotes: seeds.quotes(),
	}
	for place, q := range questions {
		question := seedsQuestion{Title: q.Title, Asks: q.Asks, Feature: q.Feature, Claim: q.Claim}
		for _, seed := range seeds.Seeds {
			answer := seed.Answers[place]
			row := seedsRow{Seed: seed, Answer: answer, Spans: answer.spans, Quote: slices.Index(page.Quotes, answer.Quote) + 1}
			if answer.client != nil {
				row.Link = link(*answer.client, q.Feature, answer.several)
			}
			question.Rows = append(question.Rows, row)
		}
		page.Questions = append(page.Questions, question)
	}
	return page, nil
}

// quotes are the claims' sentences, each once, in the order of the questions.
func (s Seeds) quotes() []string {
	var quotes []string
	for place := range questions {
		for _, seed := range s.Seeds {
			if quote := seed.Answers[place].Quote; quote != "" && !slices.Contains(quotes, quote) {
				quotes = append(quotes, quote)
			}
		}
	}
	return quotes
}

// named is an implementation, its binding and versions for people.
func (s Seed) named() string {
	text := s.Title
	if s.Versions != "" {
		text += " " + s.Versions
	}
	if s.Binding != "" {
		text += ", " + s.Binding
	}
	if s.MeasuredBy != "" {
		text += "; measured by " + s.MeasuredBy
	}
	return visible(text)
}

// SeedsTerminal renders the answers for a terminal of so many columns; 0 means
// as many as they need.
func SeedsTerminal(published Published, options TerminalOptions) (string, error) {
	seeds, err := SeedsOf(published)
	if err != nil {
		return "", err
	}
	paint := painter(options.Color)
	var b strings.Builder
	b.WriteString(wrappedHeading(seedsAsked, options.Width))
	for _, seed := range seeds.Seeds {
		b.WriteString("\n" + wrappedHeading(seed.named(), options.Width))
		for place, answer := range seed.Answers {
			b.WriteString(wrapped(questions[place].Title, options.Width))
			said := nothingSaid
			if answer.Claimed != "" {
				said = fmt.Sprintf("%s: “%s”", answer.Claimed, answer.Quote)
			}
			for _, line := range [][2]string{
				{"2010", said}, {"measured", answer.Measured}, {"since", answer.Since}, {"technique", answer.Technique}, {"cause", answer.Cause},
			} {
				if line[1] == "" {
					continue
				}
				outcome := matrix.Outcome("")
				if line[0] == "measured" {
					outcome = answer.Outcome
				}
				b.WriteString(paint(outcome, hanging(fmt.Sprintf("    %-10s ", line[0]), visible(line[1]), options.Width)))
			}
		}
	}
	b.WriteString("\n" + wrappedHeading("2010: "+seeds.Source.cited(), options.Width))
	b.WriteString(wrappedHeading(seedsMeasured, options.Width))
	b.WriteString(wrappedHeading(published.Run.summary(), options.Width))
	b.WriteString(wrappedHeading(published.controlsHeld(), options.Width))
	return b.String(), nil
}
