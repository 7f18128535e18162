package report

import (
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/joshdk/go-junit"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/expect"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with testdata/name, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the test with -update once")
	assert.Equal(t, string(want), got, "%s differs; if that is meant, run the test with -update", name)
}

// sample are the invented results of package results, which have every outcome.
func sample(t testing.TB) results.Published {
	t.Helper()
	published, err := results.ReadPublished(filepath.Join("..", "..", "results", "testdata", "published.json"))
	require.NoError(t, err)
	return published
}

const sampleRules = `schema: zmqmatrix/expect/v1
rules:
  - cells: quick@one/zed/messaging/*
    outcome: fail
    reason: replies are cut off at a NUL
    issue: https://example.org/issues/7
  - cells: quick@one/ffi/callback/io-thread-gc/plain
    outcome: crash
    reason: signals are blocked
    issue: https://example.org/issues/8
  - cells: quick@*/ffi/static-area/*
    outcome: fail
    reason: the collector moved arrays
    issue: https://example.org/issues/9
  - cells: slow@one/ffi/static-area/*
    outcome: crash
    reason: it used to crash
    issue: https://example.org/issues/10
  - cells: vendor/*/messaging/*
    outcome: crash
    reason: proposed, as measured
    issue: https://example.invalid/replace-with-the-issue
`

// gateOf judges results by rules, "" for none.
func gateOf(t testing.TB, published results.Published, rules string, base *results.Published) Gate {
	t.Helper()
	gate := Gate{Published: published, Ran: true}
	var err error
	if rules != "" {
		gate.Rules, err = expect.Parse(expect.FileName, []byte(rules))
		require.NoError(t, err)
	}
	question := expect.Question{Published: published, Rules: gate.Rules, Base: base, Today: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)}
	if base != nil {
		gate.BaseRun = base.Run.ID
	}
	gate.Report, err = expect.Judge(question)
	require.NoError(t, err)
	return gate
}

func sampleGate(t testing.TB) Gate { return gateOf(t, sample(t), sampleRules, nil) }

// comparedGate is of the sample, after a change that broke, mended and changed
// something.
func comparedGate(t testing.TB) Gate {
	base := sample(t)
	base.Run.ID = "20260101T000000Z-base"
	set := func(client, feature string, outcome matrix.Outcome) {
		for i, cell := range base.Cells {
			if cell.Key().Client().String() == client && cell.Feature == feature {
				base.Cells[i].Outcome = outcome
			}
		}
		for i, best := range base.Best {
			if best.Target+"/"+best.Binding == client && best.Feature == feature {
				base.Best[i].Outcome = outcome
			}
		}
	}
	set("quick@one/zed", "messaging/req-rep", matrix.Pass)
	set("quick@one/zed", "static-area/address-stable", matrix.Fail)
	set("slow@one/ffi", "static-area/address-stable", matrix.Crash)
	return gateOf(t, sample(t), "", &base)
}

func everywhere(file string) string { return file }

func TestRenderings(t *testing.T) {
	for name, gate := range map[string]Gate{"rules": sampleGate(t), "base": comparedGate(t), "alone": gateOf(t, sample(t), "", nil)} {
		t.Run(name, func(t *testing.T) {
			golden(t, name+".txt", Text(gate))
			golden(t, name+".md", Summary(gate, MostSummary))
			golden(t, name+".annotations.txt", Annotations(gate, everywhere))
			junit, err := JUnit(gate)
			require.NoError(t, err)
			golden(t, name+".xml", string(junit))
			lines, err := Lines(gate)
			require.NoError(t, err)
			golden(t, name+".jsonl", string(lines))
		})
	}
}

func TestTheAnswerForATerminalHasNoEscapeSequence(t *testing.T) {
	assert.NotContains(t, Text(sampleGate(t)), "\x1b")
}

// hostile is what a client, a target of a stranger or a pull request's file may
// try to smuggle into a report.
const hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)></failure>]]></testsuites>" +
	"\x1b[2J\x1b]0;title\x07\x00\r\u202eevil\u2066\u200f\u009b31m\ufffe\uffff" +
	"|`*_[link](javascript:alert(3))\n::error title=a,file=b::c%0A::stop-commands::x ##[add-mask]y\n\n# heading\n</details>\nEOF\nname=value\nzmqmatrix_\n\xff http://evil.example www.evil.example @someone"

// hostileGate has hostile text wherever text can come from outside.
func hostileGate(t testing.TB) Gate {
	published := sample(t)
	rename := func(target, binding, feature *string) {
		if *binding == "zed" {
			*target, *binding = hostile, hostile
		}
		if *feature == "messaging/req-rep" {
			*feature = "messaging/" + strings.ReplaceAll(hostile, "/", "")
		}
	}
	published.Run.ID, published.Run.Tool, published.Run.Runtime, published.Run.Host = hostile, hostile, hostile, hostile
	none := ""
	for i := range published.Targets {
		client := &published.Targets[i]
		rename(&client.Target, &client.Binding, &none)
		client.Version, client.Libzmq, client.BindingVersion, client.Title, client.NotRun = hostile, hostile, hostile, hostile, hostile
	}
	for i := range published.Features {
		rename(&none, &none, &published.Features[i].Name)
	}
	for i := range published.Cells {
		cell := &published.Cells[i]
		rename(&cell.Target, &cell.Binding, &cell.Feature)
		cell.Signal, cell.Reason, cell.Replay, cell.Version = hostile, strings.Repeat(hostile, 20), hostile, hostile
		if i%2 == 0 {
			cell.Cause = hostile
		}
	}
	for i := range published.Best {
		best := &published.Best[i]
		rename(&best.Target, &best.Binding, &best.Feature)
	}
	quoted, err := json.Marshal(hostile)
	require.NoError(t, err)
	rules := fmt.Sprintf("schema: zmqmatrix/expect/v1\nrules:\n  - cells: quick@one/ffi/*/*\n    outcome: fail\n    reason: %s\n    issue: \"https://example.org/)>](x)<script>\\u202e|'\"\n", quoted)
	gate := gateOf(t, published, rules, nil)
	gate.Rules.File = hostile
	gate.BaseRun = hostile
	return gate
}

// orders are what GitHub's runner obeys in a job's log.
var orders = regexp.MustCompile(`(?m)^\s*::|##\[`)

// requireVisible finds every character that would not show itself.
func requireVisible(t *testing.T, text string) {
	t.Helper()
	for i, r := range text {
		require.True(t, r == '\n' || unicode.IsPrint(r), "%U stands unescaped at byte %d: %.80q", r, i, text[max(0, i-40):])
	}
}

func TestHostileTextIsEscapedEverywhere(t *testing.T) {
	gate := hostileGate(t)
	require.Positive(t, gate.Report.Breaking())
	t.Run("terminal", func(t *testing.T) {
		requireVisible(t, Text(gate))
		assert.NotRegexp(t, orders, Text(gate))
	})
	t.Run("Markdown", func(t *testing.T) {
		for _, document := range []string{Summary(gate, MostSummary), SummaryOfRefusal(fmt.Errorf("reading %s: %w", hostile, os.ErrInvalid), MostSummary)} {
			requireVisible(t, document)
			assert.NotRegexp(t, orders, document)
			assert.NotContains(t, document, "\n# heading")
			assert.NotRegexp(t, `[^\\]\]\(`, strings.ReplaceAll(document, "[issue](<https://", ""), "no link but the issues'")
			for _, tag := range regexp.MustCompile(`<[^>]*`).FindAllString(document, -1) {
				assert.Contains(t, []string{"<br", "<details", "<summary", "</summary", "</details"}, tag, "no tag but the summary's own")
			}
			assert.Equal(t, strings.Count(document, "<details>"), strings.Count(document, "</details>"))
		}
	})
	t.Run("annotations", func(t *testing.T) {
		for _, commands := range []string{Annotations(gate, everywhere), Refusal(fmt.Errorf("%s", hostile), everywhere)} {
			requireVisible(t, commands)
			for _, line := range strings.Split(strings.TrimSuffix(commands, "\n"), "\n") {
				command := parseCommand(t, line)
				assert.NotRegexp(t, `(?m)^\s*::|##\[`, command.message, "not even in the log")
				assert.Subset(t, []string{"title", "file", "line", "col"}, command.names)
			}
		}
	})
	t.Run("JUnit", func(t *testing.T) {
		document, err := JUnit(gate)
		require.NoError(t, err)
		requireVisible(t, string(document))
		requireJUnit(t, document, gate)
	})
	t.Run("JSON", func(t *testing.T) { requireSchema(t, gate) })
	t.Run("outputs", func(t *testing.T) {
		outputs := []Output{{"hostile", hostile}, {"totals", gate.Totals()}}
		assert.Equal(t, outputs, parseOutputs(t, Outputs(outputs)))
	})
}

// command is a workflow command as the runner reads it (actions/runner,
// ActionCommand.cs).
type command struct {
	level, message string
	names          []string
	properties     map[string]string
}

func parseCommand(t *testing.T, line string) command {
	t.Helper()
	matched := regexp.MustCompile(`^::(error|warning) ([^:]*)::(.*)$`).FindStringSubmatch(line)
	require.NotNil(t, matched, "%.200s", line)
	found := command{level: matched[1], properties: map[string]string{}}
	unescape := func(text string, more ...string) string {
		pairs := append([]string{"%0D", "\r", "%0A", "\n"}, more...)
		return strings.ReplaceAll(strings.NewReplacer(pairs...).Replace(text), "%25", "%")
	}
	for _, property := range strings.Split(matched[2], ",") {
		name, value, ok := strings.Cut(property, "=")
		require.True(t, ok, line)
		found.names = append(found.names, name)
		found.properties[name] = unescape(value, "%3A", ":", "%2C", ",")
	}
	found.message = unescape(matched[3])
	return found
}

func TestACommandIsReadAsItWasMeant(t *testing.T) {
	for _, text := range []string{"plain", "a: b, c = d", "100 % of 50%25", "two\nlines\r\n", "::error::x", "%0A%3A%2C", "größe"} {
		read := parseCommand(t, strings.TrimSuffix(annotation{"error", text, text, text, 7, 3}.String(), "\n"))
		assert.Equal(t, text, read.message)
		assert.Equal(t, text, read.properties["title"])
	}
	read := parseCommand(t, strings.TrimSuffix(annotation{"error", "t", "m", "a, b/c:d 100%.yaml", 7, 3}.String(), "\n"))
	assert.Equal(t, map[string]string{"title": "t", "file": "a, b/c:d 100%.yaml", "line": "7", "col": "3"}, read.properties)
	assert.Equal(t, "::error title=t::m\n", annotation{"error", "t", "m", "a\x1b[2J.yaml", 7, 3}.String(), "a name that leads nowhere")
	assert.Equal(t, "::warning title=t::m\n", annotation{level: "warning", title: "t", message: "m", line: 3}.String(), "no line without a file")
}

func TestTheMostImportantAnnotationsAreShown(t *testing.T) {
	gate := manyGate(t, 2, 1)
	commands := strings.Split(strings.TrimSuffix(Annotations(gate, everywhere), "\n"), "\n")
	require.Len(t, commands, mostAnnotations)
	for _, line := range commands[:mostAnnotations-1] {
		read := parseCommand(t, line)
		assert.Equal(t, "error", read.level)
		assert.Contains(t, read.properties["title"], "Unexpected failure: ")
		assert.Contains(t, read.message, "\nmeasure it again: zmqmatrix run --")
	}
	assert.Equal(t, fmt.Sprintf("And %d more", gate.Report.Breaking()-mostAnnotations+1), parseCommand(t, commands[mostAnnotations-1]).properties["title"])
	exact := gate
	exact.Report.Findings = slices.DeleteFunc(slices.Clone(gate.Report.Findings), func(finding expect.Finding) bool { return !finding.Breaks })[:mostAnnotations]
	assert.NotContains(t, Annotations(exact, everywhere), "more")
	assert.Equal(t, mostAnnotations, strings.Count(Annotations(exact, everywhere), "\n"))
}

func TestAMistakeInTheRulesIsAnnotatedWhereItStands(t *testing.T) {
	_, err := expect.Parse("ci/e.yaml", []byte("schema: zmqmatrix/expect/v1\nrules:\n  - cell: x\n"))
	require.Error(t, err)
	commands := strings.Split(strings.TrimSuffix(Refusal(fmt.Errorf("reading: %w", err), everywhere), "\n"), "\n")
	require.Len(t, commands, len(schema.Problems(err)))
	read := parseCommand(t, commands[len(commands)-1])
	assert.Equal(t, "ci/e.yaml", read.properties["file"])
	assert.Equal(t, "3", read.properties["line"])
	outside := Refusal(err, func(string) string { return "" })
	assert.NotContains(t, outside, "file=")
	assert.NotContains(t, outside, "line=")
}

// manyGate has the sample's clients so many times, with reasons as many times as
// long. Every cell of theirs crashed.
func manyGate(t testing.TB, clients, reason int) Gate {
	t.Helper()
	from := sample(t)
	published := from
	published.Targets, published.Cells, published.Best, published.Ranges = nil, nil, nil, nil
	for i := range clients {
		rename := func(target string) string { return fmt.Sprintf("%s%d", target, i) }
		for _, client := range from.Targets {
			client.Target = rename(client.Target)
			published.Targets = append(published.Targets, client)
		}
		for _, cell := range from.Cells {
			cell.Target = rename(cell.Target)
			cell.Outcome, cell.Reason = matrix.Crash, strings.Repeat("died of SIGSEGV, at a step; ", reason)
			published.Cells = append(published.Cells, cell)
		}
		for _, best := range from.Best {
			best.Target, best.Outcome = rename(best.Target), matrix.Crash
			published.Best = append(published.Best, best)
		}
	}
	return gateOf(t, published, "", nil)
}

func TestTheSummaryFitsHoweverLargeTheRun(t *testing.T) {
	gate := manyGate(t, 100, 20)
	full := Summary(gate, 1<<40)
	require.Greater(t, len(full), 2*MostSummary, "a run that does not fit")
	whole := map[string]bool{}
	for line := range strings.Lines(full) {
		whole[line] = true
	}
	breaking := gate.Report.Breaking()
	for _, most := range []int{MostSummary, MostSummary - 1, 1 << 19, 100_000, 10_000, 3000} {
		document := Summary(gate, most)
		assert.LessOrEqual(t, len(document), most)
		if most >= 100_000 {
			assert.Greater(t, len(document), most*95/100, "no more is left out than must be")
		}
		assert.Contains(t, document, fmt.Sprintf("✗ %d verdicts break the build", breaking))
		first, table := strings.Index(document, fmt.Sprintf("### Unexpected failures (%d)", breaking)), strings.Index(document, "### Table")
		require.Positive(t, first)
		assert.Greater(t, table, first, "what breaks the build comes first")
		assert.Regexp(t, `\n\d+ more verdicts are left out: GitHub takes 1024 KiB of a summary\.\n`, document)
		assert.Regexp(t, `\n\d+ more lines are left out`, document)
		for line := range strings.Lines(document) {
			assert.True(t, whole[line] || strings.Contains(line, "left out"), "half a line: %s", line)
		}
	}
	for _, most := range []int{600, 200, 100, 10, 0, -5} {
		assert.LessOrEqual(t, len(Summary(gate, most)), max(most, 0))
	}
}

func TestASummaryThatFitsLeavesNothingOut(t *testing.T) {
	gate := sampleGate(t)
	document := Summary(gate, MostSummary)
	assert.NotContains(t, document, "left out")
	assert.Equal(t, document, Summary(gate, len(document)+10*leftOut))
	assert.Contains(t, document, results.MarkdownTable(gate.Published))
}

func TestTheSummaryOfARefusalFits(t *testing.T) {
	why := fmt.Errorf("%s", strings.Repeat("a line of it\n", 100_000))
	for _, most := range []int{MostSummary, 5000, 100, 0, -1} {
		document := SummaryOfRefusal(why, most)
		assert.LessOrEqual(t, len(document), max(most, 0))
		assert.Equal(t, most > 1000, strings.Contains(document, "left out"))
	}
}

// parseOutputs reads them as the runner does (actions/runner,
// FileCommandManager.cs).
func parseOutputs(t *testing.T, text string) []Output {
	t.Helper()
	var outputs []Output
	for text != "" {
		head, rest, ok := strings.Cut(text, "\n")
		require.True(t, ok)
		name, end, ok := strings.Cut(head, "<<")
		require.True(t, ok, "%q", head)
		value, after, ok := strings.Cut("\n"+rest, "\n"+end+"\n")
		require.True(t, ok, "%q has no end", name)
		outputs = append(outputs, Output{name, strings.TrimPrefix(value, "\n")})
		text = after
	}
	return outputs
}

func TestOutputsCannotBeForged(t *testing.T) {
	written := Outputs([]Output{{"a", "x"}})
	_, end, _ := strings.Cut(strings.Split(written, "\n")[0], "<<")
	again := Outputs([]Output{{"a", "x\n" + end + "\nb=forged"}, {"c", ""}})
	assert.Equal(t, []Output{{"a", "x\n" + end + "\nb=forged"}, {"c", ""}}, parseOutputs(t, again))
}

func TestTheOutputsCountEveryFinding(t *testing.T) {
	gate := sampleGate(t)
	values := map[string]string{}
	for _, output := range Counts(gate) {
		assert.NotContains(t, values, output.Name)
		assert.NotEmpty(t, output.Name)
		values[output.Name] = output.Value
	}
	sum := 0
	for _, kind := range expect.Kinds {
		count, err := strconv.Atoi(values[outputNames[kind]])
		require.NoError(t, err, kind)
		sum += count
	}
	assert.Equal(t, strconv.Itoa(sum), values["verdicts"])
	assert.Equal(t, strconv.Itoa(gate.Report.Breaking()), values["breaking"])
}

// element is an XML element with what JUnit's schemas speak of.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
	Text     string     `xml:",chardata"`
}

func (e element) attr(t *testing.T, name string) string {
	t.Helper()
	for _, attr := range e.Attrs {
		if attr.Name.Local == name {
			return attr.Value
		}
	}
	t.Fatalf("%s has no attribute %s", e.XMLName.Local, name)
	return ""
}

// requireJUnit holds a document to what Ant's and Jenkins' schemas demand, each
// where it is the stricter of the two, and to what its readers rely on: counts
// that are right, and names that stand once. Then a reader reads it.
func requireJUnit(t *testing.T, data []byte, gate Gate) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(string(data)))
	for {
		_, err := decoder.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err, "well formed")
	}
	var root element
	require.NoError(t, xml.Unmarshal(data, &root))
	require.Equal(t, "testsuites", root.XMLName.Local)
	assert.Empty(t, root.Attrs)
	decimal := regexp.MustCompile(`^[0-9]+\.[0-9]{3}$`)
	total := 0
	for id, suite := range root.Children {
		require.Equal(t, "testsuite", suite.XMLName.Local)
		names := []string{}
		for _, attr := range suite.Attrs {
			names = append(names, attr.Name.Local)
		}
		assert.ElementsMatch(t, []string{"id", "package", "name", "hostname", "timestamp", "tests", "failures", "errors", "skipped", "time"}, names)
		assert.Equal(t, strconv.Itoa(id), suite.attr(t, "id"))
		assert.NotEmpty(t, suite.attr(t, "name"))
		assert.NotEmpty(t, suite.attr(t, "hostname"))
		assert.Regexp(t, `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$`, suite.attr(t, "timestamp"))
		assert.Regexp(t, decimal, suite.attr(t, "time"))
		order := []string{}
		counts, seen := map[string]int{}, map[string]bool{}
		for _, child := range suite.Children {
			kind := child.XMLName.Local
			if kind != "testcase" || len(order) == 0 || order[len(order)-1] != "testcase" {
				order = append(order, kind)
			}
			if kind == "properties" {
				for _, property := range child.Children {
					require.Equal(t, "property", property.XMLName.Local)
					assert.NotEmpty(t, property.attr(t, "name"))
					property.attr(t, "value")
				}
			}
			if kind != "testcase" {
				continue
			}
			counts["tests"]++
			require.Len(t, child.Attrs, 3)
			assert.False(t, seen[child.attr(t, "name")], "%s stands twice", child.attr(t, "name"))
			seen[child.attr(t, "name")] = true
			assert.Equal(t, suite.attr(t, "name"), child.attr(t, "classname"))
			assert.Regexp(t, decimal, child.attr(t, "time"))
			require.LessOrEqual(t, len(child.Children), 1)
			for _, outcome := range child.Children {
				counts[outcome.XMLName.Local]++
				assert.NotEmpty(t, outcome.attr(t, "message"))
				if outcome.XMLName.Local != "skipped" {
					assert.NotEmpty(t, outcome.attr(t, "type"))
					assert.NotEmpty(t, outcome.Text)
				}
			}
		}
		assert.Equal(t, []string{"properties", "testcase", "system-out", "system-err"}, order)
		for attribute, kind := range map[string]string{"tests": "tests", "failures": "failure", "errors": "error", "skipped": "skipped"} {
			assert.Equal(t, strconv.Itoa(counts[kind]), suite.attr(t, attribute), attribute)
		}
		total += counts["tests"]
	}
	assert.Equal(t, len(gate.Report.Findings), total)

	suites, err := junit.Ingest(data)
	require.NoError(t, err)
	require.Len(t, suites, len(root.Children))
	failed, errored := 0, 0
	for _, suite := range suites {
		failed += suite.Totals.Failed
		errored += suite.Totals.Error
	}
	assert.Equal(t, gate.Report.Breaking(), failed)
	assert.Equal(t, gate.Report.Count(expect.HarnessError), errored)
}

func TestJUnitIsWhatItsSchemasDemand(t *testing.T) {
	gates := map[string]Gate{"rules": sampleGate(t), "base": comparedGate(t), "alone": gateOf(t, sample(t), "", nil)}
	endless := sample(t)
	for i := range endless.Cells {
		if evidence := endless.Cells[i].Evidence; evidence != nil {
			copied := *evidence
			copied.Account.WallMS = 1.7e308
			endless.Cells[i].Evidence = &copied
		}
	}
	gates["a time that no run takes"] = gateOf(t, endless, "", nil)
	for name, gate := range gates {
		t.Run(name, func(t *testing.T) {
			document, err := JUnit(gate)
			require.NoError(t, err)
			requireJUnit(t, document, gate)
		})
	}
}

// requireSchema holds the answer and each line to ci/schema/gate.json.
func requireSchema(t *testing.T, gate Gate) {
	t.Helper()
	path := filepath.Join("..", "schema", "gate.json")
	compiler := jsonschema.NewCompiler()
	answers, err := compiler.Compile(path)
	require.NoError(t, err)
	findings, err := compiler.Compile(path + "#/$defs/finding")
	require.NoError(t, err)
	standards, err := compiler.Compile(path + "#/$defs/standards")
	require.NoError(t, err)
	check := func(schema *jsonschema.Schema, data []byte) {
		t.Helper()
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(value), "%.2000s", data)
	}
	answer, err := json.Marshal(AnswerOf(gate, 1))
	require.NoError(t, err)
	check(answers, answer)
	standard, err := json.Marshal(Standards{StandardsSchema, gate.Rules.File, len(gate.Rules.List), gate.BaseRun})
	require.NoError(t, err)
	check(standards, standard)
	lines, err := Lines(gate)
	require.NoError(t, err)
	count := 0
	for line := range strings.Lines(string(lines)) {
		check(findings, []byte(line))
		count++
	}
	assert.Equal(t, len(gate.Report.Findings), count)
}

func TestJSONHoldsToItsSchema(t *testing.T) {
	requireSchema(t, sampleGate(t))
	requireSchema(t, comparedGate(t))
	requireSchema(t, gateOf(t, sample(t), "", nil))
}

func TestEveryKindHasItsWords(t *testing.T) {
	for _, kind := range expect.Kinds {
		assert.NotEmpty(t, words[kind][0], kind)
		assert.NotEmpty(t, words[kind][1], kind)
		assert.NotEmpty(t, outputNames[kind], kind)
	}
}
