package schema_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

var update = flag.Bool("update", false, "write the golden files")

// The contracts of JSON lines with examples in testdata: NAME.good.jsonl and
// NAME.bad.jsonl, whose mistakes are in NAME.bad.txt.
var lineContracts = []schema.Name{
	schema.ProbeTask, schema.ProbeReport, schema.WardenRequest, schema.WardenReply, schema.EndpointRequest, schema.EndpointReply, schema.History,
}

func TestEverySchemaInTheFolderCompiles(t *testing.T) {
	paths, err := filepath.Glob("*.json")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		name := schema.Name(strings.TrimSuffix(path, ".json"))
		err := schema.CheckJSON(name, "nothing.json", []byte("null"))
		require.Error(t, err, "%s takes null", name)
		assert.NotEmpty(t, schema.Problems(err), "%s: %v", name, err)
	}
}

func TestAWrongKeyNameIsFoundWhereItStands(t *testing.T) {
	line := `{"type":"footer","footer":{"finished":"2026-11-23T20:00:00Z","counts":{"pass":1,"pas":2},"attempts":1,"reused":0,"controls":[{"name":"c","expected":"pass","outcome":"pass","reason":"x"}]}}`
	err := schema.CheckLine(schema.Record, "record.jsonl", 7, []byte(line))
	assert.EqualError(t, err, `record.jsonl:7:81: footer.counts.pas: the key: want "pass", "flaky", "fail", "crash", "hang", "unsupported", "error", "not-run", got "pas"; did you mean "pass"?`)
}

func TestAnUnknownSchemaIsNoMistakeOfTheFile(t *testing.T) {
	err := schema.CheckJSON("recrod", "a.json", []byte("{}"))
	require.EqualError(t, err, `there is no schema "recrod"`)
	assert.Empty(t, schema.Problems(err))
}

func TestGoodLinesAreTaken(t *testing.T) {
	for _, name := range lineContracts {
		for number, line := range lines(t, fmt.Sprintf("testdata/%s.good.jsonl", name)) {
			assert.NoError(t, schema.CheckLine(name, string(name), number+1, line))
		}
	}
}

func TestBadLinesAreRefusedInTheseWords(t *testing.T) {
	for _, name := range lineContracts {
		t.Run(string(name), func(t *testing.T) {
			var text strings.Builder
			for number, line := range lines(t, fmt.Sprintf("testdata/%s.bad.jsonl", name)) {
				err := schema.CheckLine(name, string(name), number+1, line)
				require.Error(t, err, "%s", line)
				fmt.Fprintf(&text, "%s\n  %s\n", line, strings.ReplaceAll(err.Error(), "\n", "\n  "))
			}
			golden(t, fmt.Sprintf("testdata/%s.bad.txt", name), text.String())
		})
	}
}

func TestYAML(t *testing.T) {
	good, err := filepath.Glob("testdata/target/good/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, good)
	for _, path := range good {
		t.Run("good/"+filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			asJSON, err := schema.CheckYAML(schema.Target, path, data)
			require.NoError(t, err)
			assert.NoError(t, schema.CheckJSON(schema.Target, path, asJSON), "as JSON it is as good")
		})
	}
	bad, err := filepath.Glob("testdata/target/bad/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, bad)
	for _, path := range bad {
		t.Run("bad/"+filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			_, err = schema.CheckYAML(schema.Target, "target.yaml", data)
			require.Error(t, err)
			golden(t, strings.TrimSuffix(path, ".yaml")+".txt", err.Error()+"\n")
		})
	}
}

func TestPositionsInADocumentOfSeveralLines(t *testing.T) {
	document := "{\n  \"ZM_PROTOCOL\": \"1\",\n  \"ZM_FEATURE\": \"a/b\", \"ZM_TECHNIQUE\": \"plain\",\n\t\"ZM_PARAM_Ü\": \"ü\", \"ZM_SEEED\": \"1\",\n  \"ZM_SEED\": 7\n}\n"
	err := schema.CheckJSON(schema.ProbeTask, "task.json", []byte(document))
	var first *schema.Error
	require.ErrorAs(t, err, &first)
	assert.Equal(t, "task.json", first.File)
	assert.Equal(t, strings.Join([]string{
		`task.json:4:2: ["ZM_PARAM_Ü"]: unknown key; there are "ZM_ENDPOINT", "ZM_FEATURE", "ZM_PROTOCOL", "ZM_SEED", "ZM_TECHNIQUE", or want one that matches ^ZM_ENDPOINT_[A-Z0-9_]+$ or ^ZM_PARAM_[A-Z0-9_]+$`,
		`task.json:4:21: ZM_SEEED: unknown key; did you mean "ZM_SEED"?`,
		`task.json:5:14: ZM_SEED: want a string, got 7; put it in quotation marks`,
	}, "\n"), err.Error())
}

func TestAMessageIsBoundedAndPrintable(t *testing.T) {
	hostile := strings.Repeat("\x1b[31m\u202e\\u0007", 100_000)
	for _, line := range []string{
		`{"type":"` + strings.ReplaceAll(hostile, "\x1b", `\u001b`) + `"}`,
		`{"type":"done","` + strings.ReplaceAll(hostile, "\x1b", `\u001b`) + `":1}`,
		hostile,
		`{"type":"step","text":` + strings.Repeat("9", 100_000) + `}`,
		`{"type":"step","text":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}`,
		`{"type":"done"` + strings.Repeat(`,"x":1`, 10_000) + `}`,
	} {
		requireHarmless(t, schema.CheckLine(schema.ProbeReport, "report\x1b[2J", 1, []byte(line)))
	}
	for _, yaml := range []string{
		strings.Repeat("[", 30_000),
		strings.Repeat("[", 1_999),
		strings.Repeat("- ", 16_000),
		strings.Repeat("a: [", 1_999),
		"a: &a [x]\nb: *a\n",
		hostile,
	} {
		_, err := schema.CheckYAML(schema.Target, "target.yaml", []byte(yaml))
		requireHarmless(t, err)
	}
}

func TestYAMLIsBounded(t *testing.T) {
	_, err := schema.CheckYAML(schema.Target, "target.yaml", []byte("a: b\n# "+strings.Repeat("c", 5000)+"\n"))
	require.EqualError(t, err, "target.yaml:2:1: a line of 5002 bytes; at most 4096 are read: break it")
	const large = 100 << 10
	comments := strings.Repeat("# a line of a comment\n", large/20)
	_, err = schema.CheckYAML(schema.Target, "target.yaml", []byte(comments+"a: b\n"))
	require.ErrorContains(t, err, "at most 32768 are read")
	_, err = schema.CheckYAML(schema.Expect, "e.yaml", []byte("schema: zmqmatrix/expect/v1\nrules: []\n"+comments))
	require.NoError(t, err, "expectations may be longer")
	_, err = schema.CheckYAML(schema.Expect, "e.yaml", []byte(comments+comments+comments))
	require.ErrorContains(t, err, "at most 262144 are read")
}

func TestJoinOrdersAndDropsRepetitions(t *testing.T) {
	one := &schema.Error{File: "a", Line: 2, Column: 1, Problem: "later"}
	two := &schema.Error{File: "a", Line: 1, Column: 9, Field: "x", Problem: "sooner"}
	require.NoError(t, schema.Join())
	assert.Equal(t, error(one), schema.Join(one, one))
	assert.EqualError(t, schema.Join(one, two, one), "a:1:9: x: sooner\na:2:1: later")
	assert.Equal(t, []*schema.Error{two, one}, schema.Problems(fmt.Errorf("reading: %w", schema.Join(one, two))))
	assert.Nil(t, schema.Problems(errors.New("another")))
}

// requireHarmless holds an error to what a terminal and a log can take.
func requireHarmless(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	text := err.Error()
	require.Less(t, len(text), 16<<10)
	require.True(t, utf8.ValidString(text))
	for _, char := range text {
		require.True(t, char == '\n' || unicode.IsPrint(char), "%q in %q", char, text)
	}
}

func lines(t testing.TB, path string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var all [][]byte
	scanner := bufio.NewScanner(bytes.NewReader(data))
	for scanner.Scan() {
		all = append(all, bytes.Clone(scanner.Bytes()))
	}
	require.NoError(t, scanner.Err())
	require.NotEmpty(t, all, path)
	return all
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run with -update to write it")
	assert.Equal(t, string(want), got)
}
