package expect_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results/expect"
)

func TestRulesAreRead(t *testing.T) {
	rules, err := expect.Parse("e.yaml", []byte(`# What we know.
schema: zmqmatrix/expect/v1
rules:
  - cells: sbcl@*/cl-zmq/messaging/*
    outcome: crash
    reason: calls zmq_init, which is gone
    issue: https://example.org/7
    until: 2027-01-31
    strict: true

  - cells:
      - "*/pzmq/callback/*"
      - ecl/pzmq/zero-copy/wire/plain
    outcome: [fail, flaky]
    reason: >
      timing
    issue: https://example.org/8
`))
	require.NoError(t, err)
	assert.Equal(t, "e.yaml", rules.File)
	require.Len(t, rules.List, 2)
	first, second := rules.List[0], rules.List[1]
	assert.Equal(t, 4, first.Line)
	assert.Equal(t, "sbcl@*/cl-zmq/messaging/*", first.Cells[0].String())
	assert.Equal(t, []matrix.Outcome{matrix.Crash}, first.Outcomes)
	assert.Equal(t, "2027-01-31", first.Until)
	assert.True(t, first.Strict)
	assert.Equal(t, 11, second.Line)
	require.Len(t, second.Cells, 2)
	assert.Equal(t, []matrix.Outcome{matrix.Fail, matrix.Flaky}, second.Outcomes)
	assert.Equal(t, "timing", second.Reason)
	assert.False(t, second.Strict)
	assert.Empty(t, rules.Proposed())
}

func TestAFileMayHaveNoRule(t *testing.T) {
	rules, err := expect.Parse("e.yaml", []byte(file()))
	require.NoError(t, err)
	assert.Empty(t, rules.List)
}

func TestAFileThatIsNotThereIsToldFromABrokenOne(t *testing.T) {
	_, err := expect.Read(filepath.Join(t.TempDir(), expect.FileName))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// The mistakes of each testdata/bad/NAME.yaml are in NAME.txt.
func TestBadFilesAreRefusedInTheseWords(t *testing.T) {
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			_, err = expect.Parse("zmqmatrix.expect.yaml", data)
			requireHarmless(t, err)
			golden(t, filepath.Join("bad", name+".txt"), err.Error()+"\n")
		})
	}
}

func TestAFileOfManyRulesIsRead(t *testing.T) {
	var rules []string
	for _, target := range []string{"sbcl@bookworm", "sbcl@trixie", "ecl@bookworm", "ecl@trixie"} {
		for i := range 250 {
			rules = append(rules, rule(target+"/pzmq/messaging/feature-"+string(rune('a'+i%26))+strings.Repeat("x", i/26), "crash"))
		}
	}
	assert.Len(t, parse(t, rules...).List, 1000)
}

// FuzzParse: whatever the file, it is refused in harmless words, or its rules
// judge results and are read again from what a proposal would write.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(f, err)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte(file()))
	f.Add([]byte(file(rule("sbcl@*/pzmq/messaging/*", "crash", "until: 2026-11-27", "strict: true"))))
	f.Add([]byte(file(rule("['*/*/*/*', sbcl/pzmq/messaging/req-rep/plain]", "[pass, fail]"), rule("'[!e]*/p?mq/*/req-rep'", "pass"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, err := expect.Parse("f.yaml", data)
		if err != nil {
			requireHarmless(t, err)
			return
		}
		question := expect.Question{
			Published: published(t, "sbcl@bookworm/pzmq/messaging/req-rep/plain=crash", "sbcl@bookworm/pzmq/callback/io-thread/plain=pass",
				"ecl@bookworm/pzmq/messaging/req-rep/plain=pass"),
			Rules: rules, Today: today,
		}
		if report, err := expect.Judge(question); err != nil {
			requireHarmless(t, err)
		} else {
			require.GreaterOrEqual(t, len(report.Findings), 3)
		}
		proposed, err := expect.Propose(question)
		require.NoError(t, err)
		question.Rules, err = expect.Parse("proposed.yaml", proposed)
		require.NoError(t, err)
		report, err := expect.Judge(question)
		require.NoError(t, err)
		require.Zero(t, report.Breaking())
	})
}
