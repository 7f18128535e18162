package results

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

// desk is a folder with our results, a contributor's signed run of an
// implementation that we could not run, and whom we trust.
type desk struct {
	folder                            string
	own, foreign, trusted, key, other string // paths
	fingerprint                       string
}

const sinceTheStart = "2026-01-01"

func newDesk(t *testing.T) desk {
	t.Helper()
	folder := t.TempDir()
	d := desk{folder: folder}
	path := func(name string) string { return filepath.Join(folder, name) }
	d.own, d.foreign, d.trusted, d.key, d.other = path("own.json"), path("foreign.json"), path("contributors.yaml"), path("key"), path("other-key")
	require.NoError(t, WritePublished(d.own, samplePublished(t)))
	require.NoError(t, WritePublished(d.foreign, foreignPublished(t)))
	private, public, err := GenerateKey("Ada")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(d.key, private, 0o600))
	require.NoError(t, os.WriteFile(d.key+".pub", []byte(public+"\n"), 0o600))
	unknown, _, err := GenerateKey("")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(d.other, unknown, 0o600))
	d.trust(t, public, sinceTheStart, "")
	d.fingerprint, err = Sign(d.foreign, private)
	require.NoError(t, err)
	return d
}

// trust writes whom we trust: Ada, by a key, for some days.
func (d desk) trust(t *testing.T, public, since, until string) {
	t.Helper()
	text := "schema: zmqmatrix/contributors/v1\ncontributors:\n  - name: Ada\n    key: " + public + "\n    since: \"" + since + "\"\n"
	if until != "" {
		text += "    until: \"" + until + "\"\n"
	}
	require.NoError(t, os.WriteFile(d.trusted, []byte(text), 0o644))
}

func (d desk) public(t *testing.T) string {
	t.Helper()
	line, err := os.ReadFile(d.key + ".pub")
	require.NoError(t, err)
	return strings.TrimSpace(string(line))
}

func (d desk) merger(t *testing.T) Merger {
	t.Helper()
	trusted, err := ReadContributors(d.trusted)
	require.NoError(t, err)
	return Merger{Catalogue: sampleFeatures, Targets: sampleTargets, Contributors: trusted}
}

// foreignPublished is a run of somebody who has the vendor's image, and only
// selected it; the control is in every run.
func foreignPublished(t *testing.T) Published {
	t.Helper()
	var lines []matrix.Line
	for _, line := range sampleLines(t, matrix.Selection{Targets: []string{"vendor"}}) {
		switch {
		case line.Header != nil:
			header := *line.Header
			header.Run, header.Environment.Host = "20260203T000000Z-vendor", "Linux 7 of Ada"
			line.Header = &header
		case line.Client != nil && line.Client.NotRun != "":
			client := *line.Client
			client.NotRun, client.Trusted, client.Image = "", true, "sha256:vendors"
			client.Hello = &matrix.Hello{Protocol: 1, Implementation: "Vendor", Version: "8.0.1", Binding: "ffi", Libzmq: "4.3.5", Threads: true, PID: 7, Seed: "4711", Collector: "moving"}
			line.Client = &client
		case line.Verdict != nil && line.Verdict.Outcome == matrix.NotRun:
			verdict := *line.Verdict
			verdict.Outcome, verdict.Reason, verdict.Attempts, verdict.Passes = matrix.Pass, "", 1, 1
			if verdict.Feature == "callback/io-thread-gc" {
				verdict.Outcome, verdict.Reason, verdict.Passes, verdict.Layer = matrix.Hang, "no end within 10s", 0, matrix.LayerRuntime
			}
			line.Verdict = &verdict
		}
		lines = append(lines, line)
	}
	published, err := publishLines(t, lines)
	require.NoError(t, err)
	return published
}

// part writes results of our own of a part of the sample, as a run of the name.
func (d desk) part(t *testing.T, name string, selection matrix.Selection, change func(*Published)) string {
	t.Helper()
	published, err := publishLines(t, sampleLines(t, selection))
	require.NoError(t, err)
	published.Run.ID = name
	change(&published)
	path := filepath.Join(d.folder, name+".json")
	require.NoError(t, WritePublished(path, published))
	return path
}

func TestASignedRunIsVerifiedAndMerged(t *testing.T) {
	d := newDesk(t)
	merger := d.merger(t)
	_, by, err := merger.Verify(d.foreign)
	require.NoError(t, err)
	assert.Equal(t, "Ada", by.Name)
	assert.Equal(t, d.fingerprint, by.Key)
	assert.Equal(t, "20260203T000000Z-vendor", by.Run)

	own := samplePublished(t)
	merged, err := merger.Merge([]string{d.own, d.foreign}, nil)
	require.NoError(t, err)
	encoded, err := merged.encode()
	require.NoError(t, err)
	require.NoError(t, schema.CheckJSON(schema.Published, "merged.json", encoded))

	assert.Len(t, merged.Targets, len(own.Targets), "the vendor's row was there as not-run, and the control is ours")
	for _, client := range merged.Targets {
		if client.Implementation == "vendor" {
			require.NotNil(t, client.MeasuredBy)
			assert.Equal(t, by, *client.MeasuredBy)
			assert.Equal(t, "8.0.1", client.Version)
		} else {
			assert.Nil(t, client.MeasuredBy, "%s", client.Key())
		}
	}
	assert.Equal(t, matrix.Hang, cellOf(t, merged, "vendor@one/ffi/callback/io-thread-gc/plain").Outcome)
	assert.Equal(t, own.Controls, merged.Controls)
	require.Len(t, merged.Run.Merged, 1)
	assert.Equal(t, d.fingerprint, merged.Run.Merged[0].Key)
	for _, cell := range own.Cells {
		if cell.Implementation != "vendor" {
			assert.Contains(t, merged.Cells, cell, "ours are as they were")
		}
	}

	page, err := Page(merged)
	require.NoError(t, err)
	seeds, err := SeedsMarkdown(merged)
	require.NoError(t, err)
	for name, got := range map[string]string{
		"merged.md": Markdown(merged), "merged-terminal-80.txt": Terminal(merged, TerminalOptions{Width: 80}),
		"merged-terminal-wide.txt": Terminal(merged, TerminalOptions{}), "merged.html": string(page), "merged-seeds.md": seeds,
	} {
		// Keys are random, and a page escapes their plus signs.
		escaped := strings.ReplaceAll(d.fingerprint, "+", "&#43;")
		golden(t, name, []byte(strings.NewReplacer(d.fingerprint, "SHA256:KEY", escaped, "SHA256:KEY").Replace(got)))
		assert.Contains(t, strings.Join(strings.Fields(strings.ReplaceAll(got, "html", "")), " "), "Ada, 2026-01-02, key", name)
	}

	t.Run("what is merged is not signed by being there", func(t *testing.T) {
		path := filepath.Join(d.folder, "merged.json")
		require.NoError(t, WritePublished(path, merged))
		again, err := merger.Merge([]string{path}, nil)
		require.NoError(t, err)
		for _, client := range again.Targets {
			assert.NotEqual(t, "vendor", client.Implementation, "a row of another without its signature")
		}
		assert.Empty(t, again.Run.Merged)
		again, err = merger.Merge([]string{path, d.foreign}, nil)
		require.NoError(t, err)
		assert.Equal(t, merged.Cells, again.Cells)
		assert.Equal(t, merged.Run, again.Run)
	})
	t.Run("a record is as good", func(t *testing.T) {
		record := filepath.Join(d.folder, "record.jsonl")
		data, err := os.ReadFile(filepath.Join("testdata", "record.jsonl"))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(record, data, 0o644))
		again, err := merger.Merge([]string{record, d.foreign}, nil)
		require.NoError(t, err)
		assert.Equal(t, merged.Cells, again.Cells)
		private, err := os.ReadFile(d.key)
		require.NoError(t, err)
		_, err = Sign(record, private)
		require.NoError(t, err)
		_, _, err = merger.Verify(record)
		require.NoError(t, err)
	})
}

// sshKeygen is the other program that signs as we do. In continuous integration
// a missing one is a failure: a skip would hide the loss of these tests.
func sshKeygen(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("ssh-keygen")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal("ssh-keygen is missing: apt-get install openssh-client")
	}
	if err != nil {
		t.Skip("ssh-keygen is missing")
	}
	return program
}

func TestOpenSSHAndWeUnderstandEachOther(t *testing.T) {
	keygen := sshKeygen(t)
	d := newDesk(t)
	fields := strings.Fields(d.public(t))
	signers := filepath.Join(d.folder, "allowed_signers")
	require.NoError(t, os.WriteFile(signers, []byte("ada "+fields[0]+" "+fields[1]+"\n"), 0o600))
	verify := exec.CommandContext(t.Context(), keygen, "-Y", "verify", "-f", signers, "-I", "ada", "-n", SignatureNamespace, "-s", d.foreign+SignatureSuffix)
	data, err := os.Open(d.foreign)
	require.NoError(t, err)
	defer data.Close()
	verify.Stdin = data
	output, err := verify.CombinedOutput()
	require.NoError(t, err, "%s", output)

	require.NoError(t, os.Remove(d.foreign+SignatureSuffix))
	output, err = exec.CommandContext(t.Context(), keygen, "-Y", "sign", "-n", SignatureNamespace, "-f", d.key, d.foreign).CombinedOutput()
	require.NoError(t, err, "%s", output)
	_, by, err := d.merger(t).Verify(d.foreign)
	require.NoError(t, err)
	assert.Equal(t, d.fingerprint, by.Key)
}

func TestWhatIsNotRightlySignedIsRefused(t *testing.T) {
	rewrite := func(path, old, new string) func(*testing.T, desk) {
		return func(t *testing.T, d desk) {
			file := strings.ReplaceAll(path, "FOREIGN", d.foreign)
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Contains(t, string(data), old)
			require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(data), old, new, 1)), 0o644))
		}
	}
	signAgain := func(t *testing.T, d desk) {
		private, err := os.ReadFile(d.key)
		require.NoError(t, err)
		_, err = Sign(d.foreign, private)
		require.NoError(t, err)
	}
	both := func(steps ...func(*testing.T, desk)) func(*testing.T, desk) {
		return func(t *testing.T, d desk) {
			for _, step := range steps {
				step(t, d)
			}
		}
	}
	for name, test := range map[string]struct {
		harm func(*testing.T, desk)
		want error
		says []string
	}{
		"one byte of the results": {rewrite("FOREIGN", `"outcome": "hang"`, `"outcome": "pass"`), ErrTampered, []string{"foreign.json", "SHA256:", "get both files again"}},
		"a blank at their end": {func(t *testing.T, d desk) {
			file, err := os.OpenFile(d.foreign, os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = file.WriteString("\n")
			require.NoError(t, err)
			require.NoError(t, file.Close())
		}, ErrTampered, []string{"foreign.json"}},
		"results that are gone but for their beginning": {func(t *testing.T, d desk) { require.NoError(t, os.Truncate(d.foreign, 100)) }, ErrTampered, []string{"foreign.json"}},
		"the signature of another file": {func(t *testing.T, d desk) {
			private, err := os.ReadFile(d.key)
			require.NoError(t, err)
			_, err = Sign(d.own, private)
			require.NoError(t, err)
			require.NoError(t, os.Rename(d.own+SignatureSuffix, d.foreign+SignatureSuffix))
		}, ErrTampered, []string{"foreign.json"}},
		"a damaged signature": {rewrite("FOREIGN"+SignatureSuffix, "U1NIU0lH", "U1NIU0lI"), ErrSignature, []string{"foreign.json.sig", "sign anew"}},
		"a signature that is none": {func(t *testing.T, d desk) {
			require.NoError(t, os.WriteFile(d.foreign+SignatureSuffix, []byte("trust me\n"), 0o644))
		}, ErrSignature, []string{"foreign.json.sig"}},
		"no signature": {func(t *testing.T, d desk) { require.NoError(t, os.Remove(d.foreign+SignatureSuffix)) }, ErrNotSigned, []string{"foreign.json.sig is not there", "zmqmatrix results sign"}},
		"a signature for something else": {func(t *testing.T, d desk) {
			keygen := sshKeygen(t)
			require.NoError(t, os.Remove(d.foreign+SignatureSuffix))
			output, err := exec.CommandContext(t.Context(), keygen, "-Y", "sign", "-n", "git", "-f", d.key, d.foreign).CombinedOutput()
			require.NoError(t, err, "%s", output)
		}, ErrSignature, []string{`"git"`, "sign with -n results@zmqmatrix"}},
		"a key that nobody knows": {func(t *testing.T, d desk) {
			private, err := os.ReadFile(d.other)
			require.NoError(t, err)
			_, err = Sign(d.foreign, private)
			require.NoError(t, err)
		}, ErrUnknownKey, []string{"foreign.json.sig", "contributors.yaml", "SHA256:"}},
		"a key that is trusted later":  {func(t *testing.T, d desk) { d.trust(t, d.public(t), "2026-01-03", "") }, ErrKeyExpired, []string{"2026-01-02", "Ada from 2026-01-03 on"}},
		"a key that is trusted before": {func(t *testing.T, d desk) { d.trust(t, d.public(t), sinceTheStart, sinceTheStart) }, ErrKeyExpired, []string{"2026-01-02", "Ada until 2026-01-01"}},
		"another version of the schema": {both(rewrite("FOREIGN", PublishedSchema, "zmqmatrix/published/v2"), signAgain), nil,
			[]string{"foreign.json: schema", `"zmqmatrix/published/v2"`, "publish them again"}},
		"results that are none":        {both(rewrite("FOREIGN", `"controls": [`, `"controls": {`), signAgain), nil, []string{"foreign.json"}},
		"a control that is not right":  {both(rewrite("FOREIGN", `"outcome": "pass"`, `"outcome": "fail"`), signAgain), ErrMisjudged, []string{"foreign.json", "measure again"}},
		"another version of a feature": {both(rewrite("FOREIGN", `"version": 2`, `"version": 3`), signAgain), ErrOtherFeature, []string{"static-area/address-stable in version 3", "ask for a run by zmqmatrix v0-test"}},
		"a feature that nobody knows": {both(func(t *testing.T, d desk) {
			data, err := os.ReadFile(d.foreign)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(d.foreign, []byte(strings.ReplaceAll(string(data), "messaging/req-rep", "messaging/telepathy")), 0o644))
		}, signAgain), ErrOtherFeature, []string{"messaging/telepathy"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			test.harm(t, d)
			_, err := d.merger(t).Merge([]string{d.own}, []string{d.foreign})
			require.Error(t, err)
			if test.want != nil {
				require.ErrorIs(t, err, test.want)
			}
			for _, says := range test.says {
				assert.Contains(t, err.Error(), says)
			}
		})
	}
}

func TestTheTrustedKeysAreHeldToTheirForm(t *testing.T) {
	d := newDesk(t)
	public := d.public(t)
	for name, test := range map[string]struct{ text, want string }{
		"no key":         {"schema: zmqmatrix/contributors/v1\ncontributors:\n  - name: Ada\n    key: ssh-ed25519 AAAA\n    since: \"2026-01-01\"\n", ":4:10: contributors[0].key: no Ed25519 key"},
		"another kind":   {"schema: zmqmatrix/contributors/v1\ncontributors:\n  - name: Ada\n    key: ssh-rsa AAAA\n    since: \"2026-01-01\"\n", "key"},
		"a key twice":    {"schema: zmqmatrix/contributors/v1\ncontributors:\n  - {name: Ada, key: " + public + ", since: \"2026-01-01\"}\n  - {name: Eve, key: " + public + ", since: \"2026-01-01\"}\n", "the key of Ada too"},
		"until too soon": {"schema: zmqmatrix/contributors/v1\ncontributors:\n  - {name: Ada, key: " + public + ", since: \"2026-01-02\", until: \"2026-01-01\"}\n", "before since"},
		"no day":         {"schema: zmqmatrix/contributors/v1\ncontributors:\n  - {name: Ada, key: " + public + ", since: \"2026-02-30\"}\n", "since"},
		"unknown keys":   {"schema: zmqmatrix/contributors/v1\ncontributors:\n  - {name: Ada, key: " + public + ", since: \"2026-01-02\", expires: never}\n", "expires"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(d.trusted, []byte(test.text), 0o644))
			_, err := ReadContributors(d.trusted)
			require.Error(t, err)
			assert.Contains(t, err.Error(), test.want)
		})
	}
	_, err := ReadContributors("contributors.yaml")
	require.NoError(t, err, "the project's own")
}

func TestOwnResultsJoin(t *testing.T) {
	d := newDesk(t)
	part := func(name string, change func(*Published), targets ...string) string {
		return d.part(t, name, matrix.Selection{Targets: targets}, change)
	}
	keep := func(*Published) {}
	merger := d.merger(t)
	quick, rest := part("quick", keep, "quick"), part("rest", keep, "slow", "vendor")
	merged, err := merger.Merge([]string{quick, rest}, nil)
	require.NoError(t, err)
	whole := samplePublished(t)
	assert.Equal(t, whole.Targets, merged.Targets)
	for _, cells := range [][]Cell{whole.Cells, merged.Cells} {
		for i := range cells {
			cells[i].Evidence = nil // it has the time at which the part was made
		}
	}
	assert.Equal(t, whole.Cells, merged.Cells)
	assert.Equal(t, whole.Best, merged.Best)
	assert.Equal(t, whole.Features, merged.Features)
	assert.Equal(t, whole.Controls, merged.Controls)
	assert.False(t, merged.Run.Partial, "together they are all that a full run has")
	assert.Equal(t, whole.Run.Cells, merged.Run.Cells)
	assert.Equal(t, whole.Run.Attempts, merged.Run.Attempts)

	for name, test := range map[string]struct {
		change func(*Published)
		want   error
	}{
		"another tool":    {func(p *Published) { p.Run.Tool = "v9" }, ErrOtherTool},
		"another plan":    {func(p *Published) { p.Run.Plan = "sha256:other" }, ErrOtherPlan},
		"another feature": {func(p *Published) { p.Features[0].Version++ }, ErrOtherFeature},
		"another verdict": {func(p *Published) { p.Cells[0].Outcome, p.Cells[0].Reason = matrix.Fail, "made up" }, ErrDisagree},
		"a wrong control": {func(p *Published) { p.Controls[0].Outcome = matrix.Fail }, ErrMisjudged},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := merger.Merge([]string{quick, part(strings.ReplaceAll(name, " ", "-"), test.change, "slow")}, nil)
			require.ErrorIs(t, err, test.want)
			assert.Contains(t, err.Error(), strings.ReplaceAll(name, " ", "-")+".json", "it names the file")
		})
	}
	_, err = merger.Merge([]string{d.foreign}, nil)
	require.ErrorIs(t, err, ErrNothingOwn)
}

// A cause that was found after a run was published holds for what it measured;
// one that was withdrawn, for nothing.
func TestCausesAreThoseOfToday(t *testing.T) {
	d := newDesk(t)
	published := samplePublished(t)
	red := slices.IndexFunc(published.Cells, func(cell Cell) bool { return cell.Outcome == matrix.Crash })
	require.GreaterOrEqual(t, red, 0)
	crashed := published.Cells[red]
	green := slices.IndexFunc(published.Cells, func(cell Cell) bool {
		return cell.Outcome == matrix.Pass && cell.Implementation == crashed.Implementation
	})
	require.GreaterOrEqual(t, green, 0)
	published.Cells[green].Cause, published.Cells[green].CauseSource = "withdrawn", "nowhere"
	require.NoError(t, WritePublished(d.own, published))

	merger := d.merger(t)
	merger.Targets = slices.Clone(sampleTargets)
	place := slices.IndexFunc(merger.Targets, func(target matrix.Target) bool { return target.Name == crashed.Implementation })
	require.GreaterOrEqual(t, place, 0)
	merger.Targets[place].Causes = []matrix.Cause{{
		Binding: crashed.Binding, Feature: crashed.Feature, Technique: crashed.Technique, Outcomes: []matrix.Outcome{matrix.Crash}, Text: "found since", Source: "a debugger",
	}}
	merged, err := merger.Merge([]string{d.own}, nil)
	require.NoError(t, err)
	assert.Equal(t, "found since", merged.Cells[red].Cause)
	assert.Equal(t, "a debugger", merged.Cells[red].CauseSource)
	assert.Empty(t, merged.Cells[green].Cause)
	assert.Empty(t, merged.Cells[green].CauseSource)

	// Of a contributor's results, too.
	published, foreign := foreignPublished(t), []matrix.Target(nil)
	for i := range published.Cells {
		published.Cells[i].Cause, published.Cells[i].CauseSource = "withdrawn", "nowhere"
	}
	require.NoError(t, WritePublished(d.foreign, published))
	private, err := os.ReadFile(d.key)
	require.NoError(t, err)
	_, err = Sign(d.foreign, private)
	require.NoError(t, err)
	for _, target := range sampleTargets {
		target.Causes = nil
		foreign = append(foreign, target)
	}
	merger.Targets = foreign
	verified, _, err := merger.Verify(d.foreign)
	require.NoError(t, err)
	for _, cell := range verified.Cells {
		assert.Empty(t, cell.Cause, cell.Key())
	}
}

// A client that was measured anew, as a whole, takes the place of the one before.
func TestAClientIsReplaced(t *testing.T) {
	d := newDesk(t)
	const cell = "quick@one/ffi/callback/same-thread/plain"
	otherwise := func(p *Published) {
		for i := range p.Cells {
			if p.Cells[i].Target == "quick@one" {
				p.Cells[i].Image = "sha256:anew"
			}
			if p.Cells[i].Key().String() == cell {
				p.Cells[i].Outcome, p.Cells[i].Reason, p.Cells[i].Attempts = matrix.Flaky, "2 of 13", 13
			}
		}
	}
	quick := matrix.Selection{Targets: []string{"quick"}}
	merger := d.merger(t)
	later := d.part(t, "later", quick, otherwise)
	_, err := merger.Merge([]string{d.own, later}, nil)
	require.ErrorIs(t, err, ErrDisagree)

	before := samplePublished(t)
	both := []string{"quick@one/ffi", "quick@one/zed"}
	merger.Replaced = both
	merged, err := merger.Merge([]string{d.own, later}, nil)
	require.NoError(t, err)
	assert.Equal(t, matrix.Flaky, cellOf(t, merged, cell).Outcome)
	assert.Equal(t, before.Run.Attempts-cellOf(t, before, cell).Attempts+13, merged.Run.Attempts)
	assert.Equal(t, before.Run.Cells, merged.Run.Cells)
	require.Len(t, merged.Cells, len(before.Cells))
	for i, cell := range merged.Cells {
		assert.Equal(t, before.Cells[i].Key(), cell.Key(), "they are in the same order")
		if cell.Target == "quick@one" {
			assert.Equal(t, "sha256:anew", cell.Image)
		} else {
			assert.Equal(t, before.Cells[i].Outcome, cell.Outcome)
		}
	}
	assert.Equal(t, before.Features, merged.Features)
	assert.False(t, merged.Run.Partial)
	require.Len(t, merged.Run.Merged, 1)
	assert.Equal(t, "later", merged.Run.Merged[0].ID)
	assert.Equal(t, 2, merged.Run.Merged[0].Clients)

	came := func(outcome matrix.Outcome) func(*Published) {
		return func(p *Published) {
			for i := range p.Cells {
				if p.Cells[i].Key().String() == cell {
					p.Cells[i].Outcome, p.Cells[i].Reason = outcome, "not prepared"
				}
			}
		}
	}
	for name, test := range map[string]struct {
		replaced, files []string
		says            string
	}{
		"a client that is not there": {[]string{"quick@two/ffi"}, []string{d.own, later}, "own.json has no client quick@two/ffi; name one as TARGET@VARIANT/BINDING"},
		"nothing to replace it":      {both, []string{d.own}, "only " + d.own + " has quick@one/ffi/"},
		"a part of what there was": {both, []string{d.own, d.part(t, "part", matrix.Selection{Targets: []string{"quick"}, Features: []string{"callback/*"}}, otherwise)},
			"only " + d.own + " has quick@one/ffi/"},
		"cells that were not run":       {both, []string{d.own, d.part(t, "cell-not-run", quick, came(matrix.NotRun))}, "has " + cell},
		"cells that the harness failed": {both, []string{d.own, d.part(t, "cell-error", quick, came(matrix.Error))}, "has " + cell},
		"without what it is compared with": {[]string{"quick@one/zed"}, []string{d.own, d.part(t, "zed", matrix.Selection{Targets: []string{"quick"}, Bindings: []string{"zed"}}, func(*Published) {})},
			"zed.json has quick@one/zed without quick@one/ffi, which it is compared with; measure both in one run"},
		"a binding that was compared with it": {[]string{"quick@one/ffi"}, []string{d.own, later}, "quick@one/zed was compared with quick@one/ffi; replace it too"},
	} {
		t.Run(name, func(t *testing.T) {
			merger.Replaced = test.replaced
			_, err := merger.Merge(test.files, nil)
			require.ErrorIs(t, err, ErrNotReplaced)
			assert.ErrorContains(t, err, test.says)
		})
	}
}

// Cells of one client from two images of it are those of two clients.
func TestCellsOfOneClientAreOfOneImage(t *testing.T) {
	d := newDesk(t)
	part := func(name, feature, image string) string {
		return d.part(t, name, matrix.Selection{Targets: []string{"quick"}, Features: []string{feature}}, func(p *Published) {
			for i := range p.Cells {
				if p.Cells[i].Target == "quick@one" {
					p.Cells[i].Image = image
				}
			}
		})
	}
	merger := d.merger(t)
	first := part("first", "messaging/req-rep", "sha256:one")
	_, err := merger.Merge([]string{first, part("same", "callback/same-thread", "sha256:one")}, nil)
	require.NoError(t, err)
	_, err = merger.Merge([]string{first, part("other", "callback/same-thread", "sha256:two")}, nil)
	require.ErrorIs(t, err, ErrOtherImage)
	assert.ErrorContains(t, err, "other.json")
	// Neither adds a cell to the other, so that nothing is mixed.
	_, err = merger.Merge([]string{first, part("again", "messaging/req-rep", "sha256:two")}, nil)
	require.NoError(t, err)
}
