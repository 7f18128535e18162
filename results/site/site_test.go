package site

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/results"
)

func compressed(t testing.TB, text string) int {
	t.Helper()
	var size counter
	writer := gzip.NewWriter(&size)
	_, err := io.WriteString(writer, text)
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	return int(size)
}

type counter int

func (c *counter) Write(data []byte) (int, error) {
	*c += counter(len(data))
	return len(data), nil
}

// requireWhole holds a site to what every site is held to: sizes, links that lead
// somewhere, and nothing of another host.
func requireWhole(t *testing.T, site string) {
	t.Helper()
	pages := pagesOf(t, site)
	files := map[string]bool{}
	for _, path := range filesOf(t, site) {
		files[path] = true
	}
	ids := map[string]map[string]bool{}
	for name, text := range pages {
		ids[name] = map[string]bool{}
		for _, id := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(text, -1) {
			assert.False(t, ids[name][id[1]], "%s has the id %s twice", name, id[1])
			ids[name][id[1]] = true
		}
	}
	for name, text := range pages {
		require.LessOrEqual(t, len(text), mostPage, name)
		require.Contains(t, text, `content="default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'"`, name)
		require.Equal(t, 1, strings.Count(text, "<h1"), name)
		require.NotRegexp(t, `<style|<script>|\sstyle=|<iframe|<base`, text, name)
		for _, link := range regexp.MustCompile(`\s(?:href|src|action)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
			address, err := url.Parse(strings.ReplaceAll(link[1], "&amp;", "&"))
			require.NoError(t, err, "%s: %s", name, link[1])
			if address.Host != "" {
				continue
			}
			require.Empty(t, address.Scheme, "%s: %s", name, link[1])
			require.False(t, path.IsAbs(address.Path), "%s: %s", name, link[1])
			to := name
			if address.Path != "" {
				to = path.Join(path.Dir(name), address.Path)
			}
			require.True(t, files[to], "%s: %s leads nowhere", name, link[1])
			if address.Fragment != "" {
				require.True(t, ids[to][address.Fragment], "%s: %s has no such place", name, link[1])
			}
		}
		for _, loaded := range regexp.MustCompile(`<(?:script|img|link)\s[^>]*(?:src|href)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(loaded[0], `rel="canonical"`) {
				require.NotContains(t, loaded[1], ":", "%s loads %s", name, loaded[1])
			}
		}
	}
	require.LessOrEqual(t, compressed(t, pages[home]), 150_000)
}

func TestTheSiteOfWhatIsPublished(t *testing.T) {
	published, source := published(t)
	out := filepath.Join(t.TempDir(), "site")
	report, err := Write(t.Context(), Options{Published: published, Source: source, Out: out, Base: "https://example.org/matrix/"})
	require.NoError(t, err)
	requireWhole(t, out)
	pages := pagesOf(t, out)
	assert.EqualValues(t, len(pages), report.Pages)
	assert.EqualValues(t, len(filesOf(t, out))-1, report.Files, "all but the marker")

	t.Run("every cell, client and feature has its page", func(t *testing.T) {
		for _, cell := range published.Cells {
			text, ok := pages[cellPage(cell.Key().Client(), cell.Feature)+".html"]
			require.True(t, ok, "%s", cell.Key())
			require.Contains(t, text, `id="`+results.Anchor("technique", cell.Technique)+`"`, "%s", cell.Key())
		}
		for _, client := range published.Targets {
			assert.Contains(t, pages, implementationPage(client.Implementation)+".html")
			assert.Contains(t, pages, bindingPage(client.Binding)+".html")
		}
		for _, feature := range published.Features {
			text := pages[featurePage(feature.Name)+".html"]
			assert.Contains(t, text, "<h1><code>"+feature.Name)
		}
	})
	t.Run("programs find what was published, and each client's part of it", func(t *testing.T) {
		copied, err := os.ReadFile(filepath.Join(out, "latest.json"))
		require.NoError(t, err)
		assert.Equal(t, source, copied)
		text, err := os.ReadFile(filepath.Join(out, "index.json"))
		require.NoError(t, err)
		require.NoError(t, schema.CheckJSON(schema.Site, "index.json", text))
		var index Index
		require.NoError(t, json.Unmarshal(text, &index))
		cells := 0
		for _, client := range index.Clients {
			one, err := results.ReadPublished(filepath.Join(out, client.JSON))
			require.NoError(t, err)
			require.Len(t, one.Targets, 1)
			cells += len(one.Cells)
			for _, feature := range index.Features {
				if _, err := os.Stat(filepath.Join(out, client.Pages, feature.Cell)); err != nil {
					assert.NotContains(t, one.Features, feature.Name)
				}
			}
		}
		assert.Len(t, published.Cells, cells)
	})
	t.Run("the sitemap has every page", func(t *testing.T) {
		text, err := os.ReadFile(filepath.Join(out, "sitemap.xml"))
		require.NoError(t, err)
		var found struct {
			URLs []sitemapAddress `xml:"url"`
		}
		require.NoError(t, xml.Unmarshal(text, &found))
		assert.Len(t, found.URLs, len(pages))
		assert.Equal(t, "https://example.org/matrix/", found.URLs[slices.IndexFunc(found.URLs, func(a sitemapAddress) bool { return strings.HasSuffix(a.Location, "/") })].Location)
	})
}

func TestHomeAnswersTheQuestions(t *testing.T) {
	made := madeUp(4, 3, 1)
	for i := range made.Cells {
		if cell := &made.Cells[i]; cell.Target == "lang-1@one" && cell.Feature == "zero-copy/callback-free" {
			cell.Outcome, cell.Cause, made.Best[i].Outcome = matrix.Crash, "The collector moves it. And more.", matrix.Crash
		}
	}
	b := newBuilder(Options{Published: made}, "", nil)
	answers := b.answers()
	require.Len(t, answers, 3)
	assert.Equal(t, "zero-copy by callback", answers[0].Title)
	require.Len(t, answers[0].Groups, 2)
	assert.Equal(t, "Yes", answers[0].Groups[0].Heading)
	assert.Equal(t, "Language 0", answers[0].Groups[0].Clients[0].Title)
	assert.Equal(t, "No", answers[0].Groups[1].Heading)
	assert.Equal(t, "The collector moves it.", answers[0].Groups[1].Clients[0].Cause)
	assert.Equal(t, []bindingGroup{{matrix.Pass, []string{"library-1"}}, {matrix.Crash, []string{"library-3"}}}, answers[0].Bindings)
}

func TestHostileTextIsHarmless(t *testing.T) {
	made := attacked()
	clean := pagesOf(t, written(t, madeUp(4, 5, 2), remembered(t, madeUp(4, 5, 2))))
	site := written(t, made, nil)
	requireWhole(t, site)
	tag := regexp.MustCompile(`<[/!]?[a-zA-Z][a-zA-Z0-9]*`)
	known := map[string]bool{}
	for _, text := range clean {
		for _, name := range tag.FindAllString(text, -1) {
			known[name] = true
		}
	}
	pages := pagesOf(t, site)
	for name, text := range pages {
		for _, found := range tag.FindAllString(text, -1) {
			require.True(t, known[found], "%s has a tag that no page has: %s", name, found)
		}
		unquoted := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(text, `""`)
		require.NotRegexp(t, `<[a-z][^>]*\son[a-z]+\s*=`, unquoted, name)
		for i, r := range text {
			require.True(t, r == '\n' || unicode.IsPrint(r), "%s: %U stands unescaped at byte %d", name, r, i)
		}
		require.NotContains(t, text, "javascript:window.canary=1\"", name)
	}
	t.Run("the search's data is one statement", func(t *testing.T) {
		text, err := os.ReadFile(filepath.Join(site, "cells.js"))
		require.NoError(t, err)
		literal, ok := strings.CutPrefix(string(text), "window.zmqmatrixCells = ")
		require.True(t, ok)
		literal, ok = strings.CutSuffix(literal, ";\n")
		require.True(t, ok)
		require.True(t, json.Valid([]byte(literal)))
		assert.NotContains(t, literal, "<")
		assert.NotContains(t, literal, "\u2028")
	})
	t.Run("names stay within the folder", func(t *testing.T) {
		for _, file := range filesOf(t, site) {
			assert.Regexp(t, `^[a-zA-Z0-9@._~+/-]+$`, file)
			for part := range strings.SplitSeq(file, "/") {
				assert.LessOrEqual(t, len(part), 140)
				assert.False(t, strings.HasPrefix(part, "."), file)
			}
		}
		assert.NoFileExists(t, filepath.Join(site, "..", "passwd"))
	})
	require.Greater(t, len(pages), 20, "nothing was left out")
}

func TestPartsOfNamesDoNotMeet(t *testing.T) {
	assert.NotEqual(t, file(implementationPage("a"), 2), file(implementationPage("a~p2"), 1))
	assert.NotEqual(t, featurePage("a/b/c"), featurePage("a/b~2fc"))
	assert.NotEqual(t, featurePage("a"), featurePage("a/"+"~"))
	assert.NotEqual(t, cellPage(matrix.Client{Target: "a/b", Binding: "c"}, "g/f"), cellPage(matrix.Client{Target: "a", Binding: "b/c"}, "g/f"))
}

func TestResultsThatCanNotBeReliedOnAreNotPublished(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*results.Published)
		want  error
	}{
		"an unfinished run":     {func(p *results.Published) { p.Run.Finished = p.Run.Finished.AddDate(-3000, 0, 0) }, nil},
		"a misjudged control":   {func(p *results.Published) { p.Controls[0].Outcome = matrix.Fail }, results.ErrMisjudged},
		"no control whatsoever": {func(p *results.Published) { p.Controls = nil }, results.ErrMisjudged},
	} {
		t.Run(name, func(t *testing.T) {
			made := madeUp(2, 3, 1)
			test.spoil(&made)
			if test.want == nil {
				made.Run.Finished, test.want = made.Run.Finished.Truncate(0), results.ErrUnfinished
				made.Run.Finished = results.Run{}.Finished
			}
			out := filepath.Join(t.TempDir(), "site")
			_, err := Write(t.Context(), Options{Published: made, Out: out})
			require.ErrorIs(t, err, test.want)
			assert.NoDirExists(t, out)
		})
	}
}

func TestTheFolder(t *testing.T) {
	small := madeUp(2, 3, 1)
	write := func(out string) error {
		_, err := Write(t.Context(), Options{Published: small, Source: []byte("{}"), Out: out})
		return err
	}
	put := func(t *testing.T, path, text string) {
		t.Helper()
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	t.Run("that holds something else is left alone", func(t *testing.T) {
		out := t.TempDir()
		put(t, filepath.Join(out, "thesis.txt"), "mine")
		require.ErrorIs(t, write(out), ErrNotOurs)
		assert.Equal(t, []string{"thesis.txt"}, filesOf(t, out))
	})
	t.Run("with a marker that is not ours is left alone", func(t *testing.T) {
		for _, text := range []string{"", "{}", `{"schema":"zmqmatrix/site-folder/v9"}`, `{"schema":"zmqmatrix/site-folder/v1","entries":["../x"]}`, `{"schema":"zmqmatrix/site-folder/v1","entries":[".."]}`, `{"schema":"zmqmatrix/site-folder/v1","entries":[".git"]}`} {
			out := t.TempDir()
			put(t, filepath.Join(out, marker), text)
			put(t, filepath.Join(out, ".git", "config"), "")
			require.ErrorIs(t, write(out), ErrNotOurs, text)
			assert.Len(t, filesOf(t, out), 2)
		}
	})
	t.Run("of an earlier site is replaced, and nothing of it stays", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "a [strange] *name")
		_, err := Write(t.Context(), Options{Published: madeUp(6, 5, 1), Source: []byte("{}"), Out: out, Base: "https://example.org"})
		require.NoError(t, err)
		put(t, filepath.Join(out, "CNAME"), "example.org")
		put(t, filepath.Join(out, ".git", "HEAD"), "ref")
		put(t, filepath.Join(out, staging+"killed", "index.html"), "half")
		require.NoError(t, write(out))
		clean := filepath.Join(t.TempDir(), "site")
		require.NoError(t, write(clean))
		assert.ElementsMatch(t, append(filesOf(t, clean), "CNAME", ".git/HEAD"), filesOf(t, out))
		assert.NoFileExists(t, filepath.Join(out, "sitemap.xml"), "this one has no address")
	})
	t.Run("is not written over somebody's file of a name that the site has", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "site")
		require.NoError(t, write(out))
		before := pagesOf(t, out)
		put(t, filepath.Join(out, "sitemap.xml"), "mine")
		_, err := Write(t.Context(), Options{Published: madeUp(6, 5, 1), Source: []byte("{}"), Out: out, Base: "https://example.org"})
		require.ErrorIs(t, err, ErrNotOurs)
		assert.Equal(t, before, pagesOf(t, out))
	})
	t.Run("is as it was when the site can't be made", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "site")
		require.NoError(t, write(out))
		before := filesOf(t, out)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := Write(ctx, Options{Published: madeUp(6, 5, 1), Out: out})
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, before, filesOf(t, out))
	})
	t.Run("that another process writes to is left to it", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "site")
		other, err := openFolder(out)
		require.NoError(t, err)
		require.ErrorIs(t, write(out), ErrBusy)
		require.NoError(t, other.close())
		require.NoError(t, write(out))
	})
	t.Run("is repaired after a kill between its renames", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "site")
		require.NoError(t, write(out))
		require.NoError(t, os.Rename(filepath.Join(out, "cells"), filepath.Join(out, staging+"old")))
		require.NoError(t, write(out))
		requireWhole(t, out)
	})
}

func TestTheAddress(t *testing.T) {
	for _, wrong := range []string{"example.org", "ftp://example.org", "https://", "javascript:x", "https://example.org/?x", "https://example.org/#x", "https://me@example.org/", ":"} {
		_, err := Write(t.Context(), Options{Published: madeUp(2, 3, 1), Out: filepath.Join(t.TempDir(), "site"), Base: wrong})
		require.ErrorIs(t, err, ErrBase, wrong)
	}
}

func TestNoPageIsTooLarge(t *testing.T) {
	t.Run("however much evidence a cell has", func(t *testing.T) {
		made := madeUp(2, 3, 12)
		for i := range made.Cells {
			evidence := made.Cells[i].Evidence
			evidence.Stderr = strings.Repeat(`<"&'>`, 800)
			evidence.Dossier = &matrix.Dossier{Signal: "SIGSEGV", Backtrace: strings.Repeat("\"<frame>\"\n", 1600)}
			for j := range 64 {
				evidence.Observations = append(evidence.Observations, matrix.Observation{Key: fmt.Sprint(j), Value: strings.Repeat(`"`, 500), Unit: "text"})
			}
		}
		site := written(t, made, nil)
		requireWhole(t, site)
		text := pagesOf(t, site)[cellPage(made.Targets[1].Key(), made.Features[0].Name)+".html"]
		assert.Contains(t, text, "The evidence is shortened here.")
	})
	t.Run("however many clients and features there are", func(t *testing.T) {
		made := madeUp(40, 320, 1)
		for i := range made.Cells {
			made.Cells[i].Evidence = nil
		}
		site := written(t, made, nil)
		requireWhole(t, site)
		assert.FileExists(t, filepath.Join(site, file("features", 2)))
	})
}

func TestThePast(t *testing.T) {
	first := madeUp(2, 3, 2)
	name := first.Cells[len(first.Cells)-1].Key() // library-1, zero-copy, way-1
	crashing := func(technique string) func(*results.Cell) {
		return func(cell *results.Cell) {
			of := cell.Key()
			if of.Client() == name.Client() && of.Feature == name.Feature {
				cell.Outcome, cell.Passes = matrix.Pass, 1
				if technique == "both" || cell.Technique == technique {
					cell.Outcome, cell.Passes, cell.Reason = matrix.Crash, 0, "died"
				}
			}
		}
	}
	runs := []results.Published{first, later(first, 1, crashing("both")), later(first, 2, crashing("plain")), later(first, 3, crashing("way-1"))}
	past := remembered(t, runs...)
	site := written(t, runs[3], past)
	requireWhole(t, site)
	pages := pagesOf(t, site)
	cell := pages[cellPage(name.Client(), name.Feature)+".html"]
	assert.Contains(t, cell, "<dt>Passes since</dt><dd>2026-03-03</dd>", "one technique or the other has passed since")
	assert.Contains(t, cell, `<svg class="timeline"`)
	assert.Contains(t, cell, "way-1: crash from 2026-03-02 to 2026-03-03")
	assert.Contains(t, cell, "way-1: crash from 2026-03-04 to today")
	assert.Contains(t, pages[featurePage(name.Feature)+".html"], "2026-03-03")
	assert.Contains(t, pages[featurePage(name.Feature)+".html"], "2026-03-01, the first publication", "of the other client")
	assert.Contains(t, pages["changes.html"], "1 broken, 1 mended")
	assert.Contains(t, pages[home], "What changed last")
	for _, page := range []string{implementationPage("lang-0"), bindingPage(name.Binding), featurePage(name.Feature)} {
		assert.Contains(t, pages[page+".html"], "kind-mended", page)
	}

	t.Run("a history without these results says nothing of since when", func(t *testing.T) {
		pages := pagesOf(t, written(t, later(first, 9, crashing("plain")), past))
		assert.NotContains(t, pages[cellPage(name.Client(), name.Feature)+".html"], "Passes since")
	})
	t.Run("cells that changed in the last run are marked for the search", func(t *testing.T) {
		b := newBuilder(Options{Published: runs[3], History: past}, "", nil)
		day, changed := b.lastChange(runs[3].Targets[1], name.Feature)
		assert.Equal(t, "2026-03-04", day)
		assert.True(t, changed)
		day, changed = b.lastChange(runs[3].Targets[0], name.Feature)
		assert.Equal(t, "2026-03-01", day)
		assert.False(t, changed)
	})
}
