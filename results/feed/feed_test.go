package feed

import (
	"encoding/xml"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/history"
)

var update = flag.Bool("update", false, "write the golden file anew")

// runOf is the results of a day in January 2026: a cell for each name,
// TARGET/BINDING/GROUP/FEATURE, with its outcome.
func runOf(day int, outcomes map[string]matrix.Outcome) results.Published {
	started := time.Date(2026, 1, day, 12, 0, 0, 0, time.UTC)
	published := results.Published{
		Schema: results.PublishedSchema,
		Run: results.Run{
			ID: started.Format("20060102T150405Z-") + fmt.Sprintf("%06x", day), Tool: "v1", Started: started, Finished: started.Add(time.Hour), Runtime: "docker", Seed: 7,
		},
	}
	clients := map[matrix.Client]bool{}
	for name, outcome := range outcomes {
		parts := strings.SplitN(name, "/", 3)
		cell := results.Cell{Target: parts[0], Binding: parts[1], Feature: parts[2], Technique: "plain", Outcome: outcome, Attempts: 3}
		if outcome != matrix.Pass {
			cell.Reason = "it is " + string(outcome)
		}
		published.Cells = append(published.Cells, cell)
		if client := cell.Key().Client(); !clients[client] {
			clients[client] = true
			published.Targets = append(published.Targets, results.Client{Target: cell.Target, Binding: cell.Binding, Libzmq: fmt.Sprintf("4.3.%d", day)})
		}
	}
	return published
}

// historyOf publishes runs one after the other.
func historyOf(t testing.TB, runs ...results.Published) *history.History {
	t.Helper()
	folder := t.TempDir()
	for _, run := range runs {
		addition, err := history.Prepare(folder, run)
		require.NoError(t, err)
		require.NoError(t, addition.Write())
	}
	all, err := history.Load(folder)
	require.NoError(t, err)
	return all
}

func options(about func(matrix.Client) bool) Options {
	return Options{
		Title: "zmqmatrix: changed verdicts", Site: &url.URL{Scheme: "https", Host: "example.org", Path: "/matrix/"}, Self: "feed.xml", About: about,
		Page: func(client matrix.Client, feature string) string {
			return "client/" + url.PathEscape(client.String()) + "/" + url.PathEscape(feature) + "#plain"
		},
		RunPage: func(entry history.Entry) string { return "run/" + entry.ID },
	}
}

// read is a feed as a reader reads it, who takes only what RFC 4287 allows.
type read struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string      `xml:"http://www.w3.org/2005/Atom id"`
	Title   string      `xml:"http://www.w3.org/2005/Atom title"`
	Updated time.Time   `xml:"http://www.w3.org/2005/Atom updated"`
	Author  string      `xml:"http://www.w3.org/2005/Atom author>name"`
	Links   []link      `xml:"http://www.w3.org/2005/Atom link"`
	Entries []readEntry `xml:"http://www.w3.org/2005/Atom entry"`
}

type readEntry struct {
	ID      string    `xml:"http://www.w3.org/2005/Atom id"`
	Title   string    `xml:"http://www.w3.org/2005/Atom title"`
	Updated time.Time `xml:"http://www.w3.org/2005/Atom updated"`
	Links   []link    `xml:"http://www.w3.org/2005/Atom link"`
	Content struct {
		Type string `xml:"type,attr"`
		Body string `xml:",chardata"`
	} `xml:"http://www.w3.org/2005/Atom content"`
}

type link struct {
	Rel  string `xml:"rel,attr"`
	Href string `xml:"href,attr"`
}

func feedOf(t testing.TB, all *history.History, options Options) (read, string) {
	t.Helper()
	data, err := Atom(all.Entries, all.ChangesByEntry(), options)
	require.NoError(t, err)
	var feed read
	require.NoError(t, xml.Unmarshal(data, &feed), "%s", data)
	requireValid(t, feed)
	return feed, string(data)
}

// requireValid holds a feed to what RFC 4287 wants of it (4.1.1, 4.1.2, 4.2.6,
// 4.2.7).
func requireValid(t testing.TB, feed read) {
	t.Helper()
	ids := map[string]bool{}
	absolute := func(id string) {
		address, err := url.Parse(id)
		require.NoError(t, err)
		require.True(t, address.IsAbs(), id)
	}
	unique := func(id string) {
		absolute(id)
		require.False(t, ids[id], "the id %s stands twice", id)
		ids[id] = true
	}
	unique(feed.ID)
	require.NotEmpty(t, feed.Title)
	require.NotEmpty(t, feed.Author, "entries have none of their own")
	require.False(t, feed.Updated.IsZero())
	require.Equal(t, "self", feed.Links[0].Rel)
	for _, link := range feed.Links {
		absolute(link.Href)
	}
	for _, entry := range feed.Entries {
		unique(entry.ID)
		require.NotEmpty(t, entry.Title)
		require.False(t, entry.Updated.IsZero())
		require.False(t, entry.Updated.After(feed.Updated))
		require.Len(t, entry.Links, 1)
		absolute(entry.Links[0].Href)
		require.Equal(t, "html", entry.Content.Type)
		require.NotEmpty(t, entry.Content.Body)
	}
}

func titles(feed read) (titles []string) {
	for _, entry := range feed.Entries {
		titles = append(titles, entry.Title)
	}
	return titles
}

func sample(t testing.TB) *history.History {
	return historyOf(t,
		runOf(1, map[string]matrix.Outcome{"a@one/ffi/g/f": matrix.Pass, "a@one/ffi/g/g": matrix.Fail, "a@one/zed/g/f": matrix.Pass}),
		runOf(2, map[string]matrix.Outcome{"a@one/ffi/g/f": matrix.Pass, "a@one/ffi/g/g": matrix.Fail, "a@one/zed/g/f": matrix.Pass}),
		runOf(3, map[string]matrix.Outcome{"a@one/ffi/g/f": matrix.Crash, "a@one/ffi/g/g": matrix.Pass, "a@one/zed/g/f": matrix.Hang}),
		runOf(4, map[string]matrix.Outcome{"a@one/ffi/g/f": matrix.Crash, "a@one/ffi/g/g": matrix.Pass, "b@one/zed/g/f": matrix.Pass, "b@one/zed/g/g": matrix.Unsupported}),
	)
}

func TestAFeedHasWhatChangedNewestFirst(t *testing.T) {
	feed, data := feedOf(t, sample(t), options(nil))
	assert.Equal(t, []string{
		"new: b@one/zed: 2 cells: 1 pass, 1 unsupported",
		"gone: a@one/zed: 1 cell: 1 hang",
		"broken: a@one/ffi/g/f/plain: pass, then crash",
		"broken: a@one/zed/g/f/plain: pass, then hang",
		"mended: a@one/ffi/g/g/plain: fail, then pass",
		"new: a@one/ffi: 2 cells: 1 pass, 1 fail",
		"new: a@one/zed: 1 cell: 1 pass",
	}, titles(feed))
	assert.Equal(t, time.Date(2026, 1, 4, 13, 0, 0, 0, time.UTC), feed.Updated.UTC())
	assert.Equal(t, []link{{"self", "https://example.org/matrix/feed.xml"}, {"alternate", "https://example.org/matrix/"}}, feed.Links)
	assert.Equal(t, "https://example.org/matrix/client/a@one%2Fffi/g%2Ff#plain", feed.Entries[2].Links[0].Href)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile("testdata/feed.xml", []byte(data), 0o644))
	}
	want, err := os.ReadFile("testdata/feed.xml")
	require.NoError(t, err, "run the test with -update once")
	assert.Equal(t, string(want), data)
}

func TestAFeedOfOneBinding(t *testing.T) {
	feed, _ := feedOf(t, sample(t), options(Binding("zed")))
	assert.Equal(t, []string{
		"new: b@one/zed: 2 cells: 1 pass, 1 unsupported",
		"gone: a@one/zed: 1 cell: 1 hang",
		"broken: a@one/zed/g/f/plain: pass, then hang",
		"new: a@one/zed: 1 cell: 1 pass",
	}, titles(feed))
	none, _ := feedOf(t, sample(t), options(Binding("nobody")))
	assert.Empty(t, none.Entries)
}

func TestEntriesKeepTheirIDsAndDays(t *testing.T) {
	all := sample(t)
	known := map[string]readEntry{}
	feed, _ := feedOf(t, all, options(nil))
	for _, entry := range feed.Entries {
		known[entry.ID] = entry
	}
	moved := options(Binding("zed"))
	moved.Site = &url.URL{Scheme: "https", Host: "elsewhere.example"}
	feed, _ = feedOf(t, all, moved)
	require.NotEmpty(t, feed.Entries)
	for _, entry := range feed.Entries {
		require.Contains(t, known, entry.ID, "another feed, on another site, has the same entries")
		assert.Equal(t, known[entry.ID].Updated, entry.Updated)
		assert.Contains(t, entry.Links[0].Href, "https://elsewhere.example/")
	}
}

func TestWhatComesBackIsTold(t *testing.T) {
	feed, _ := feedOf(t, historyOf(t,
		runOf(1, map[string]matrix.Outcome{"a@one/ffi/g/f": matrix.Pass}),
		runOf(2, map[string]matrix.Outcome{"a@one/ffi/g/f": matrix.NotRun}),
		runOf(3, map[string]matrix.Outcome{"a@one/ffi/g/f": matrix.Pass}),
	), options(nil))
	assert.Equal(t, []string{"new: a@one/ffi: 1 cell: 1 pass", "gone: a@one/ffi: 1 cell: 1 pass", "new: a@one/ffi: 1 cell: 1 pass"}, titles(feed))
}

func TestWordsAloneAreNoChange(t *testing.T) {
	before, after := runOf(1, map[string]matrix.Outcome{"a@one/ffi/g/f": matrix.Fail}), runOf(2, map[string]matrix.Outcome{"a@one/ffi/g/f": matrix.Fail})
	after.Cells[0].Reason = "in other words"
	feed, _ := feedOf(t, historyOf(t, before, after), options(nil))
	assert.Len(t, feed.Entries, 1, "that it was new")
}

func TestARunThatChangesEverythingLeavesRoomForOthers(t *testing.T) {
	outcomes := func(outcome matrix.Outcome) map[string]matrix.Outcome {
		all := map[string]matrix.Outcome{}
		for i := range 300 {
			all[fmt.Sprintf("a@%d/ffi/g/f%d", i%100, i)] = outcome
		}
		return all
	}
	runs := []results.Published{runOf(1, outcomes(matrix.Pass))}
	for day := 2; day <= 7; day++ {
		runs = append(runs, runOf(day, outcomes(map[bool]matrix.Outcome{true: matrix.Pass, false: matrix.Fail}[day%2 == 1])))
	}
	feed, data := feedOf(t, historyOf(t, runs...), options(nil))
	assert.LessOrEqual(t, len(feed.Entries), mostEntries)
	assert.Less(t, len(data), 300<<10)
	assert.Equal(t, "250 more verdicts changed in run 20260107T120000Z-000007", feed.Entries[50].Title)
	assert.Equal(t, "https://example.org/matrix/run/20260107T120000Z-000007", feed.Entries[50].Links[0].Href)
	assert.Contains(t, feed.Entries[51].Title, "broken: ")
}

func TestAFeedOfNothingIsValid(t *testing.T) {
	feed, _ := feedOf(t, historyOf(t), options(nil))
	assert.Empty(t, feed.Entries)
}

func TestHostileTextStaysText(t *testing.T) {
	const hostile = "<script>alert(1)</script>\"'&]]>\x1b[2J\x00\u202e\ufffe"
	name := "a@one/" + strings.ReplaceAll(hostile, "/", "") + "/g/f"
	before, after := runOf(1, map[string]matrix.Outcome{name: matrix.Pass}), runOf(2, map[string]matrix.Outcome{name: matrix.Fail})
	after.Cells[0].Reason, after.Targets[0].Version = hostile, hostile
	changed := options(nil)
	changed.Title = hostile
	feed, data := feedOf(t, historyOf(t, before, after), changed)
	require.Len(t, feed.Entries, 2)
	for _, text := range []string{feed.Title, feed.Entries[0].Title, feed.Entries[0].Content.Body} {
		assert.NotContains(t, text, "\x1b")
		assert.NotContains(t, text, "\u202e")
	}
	assert.Contains(t, feed.Entries[0].Content.Body, "&lt;script&gt;", "in the HTML too it is text")
	assert.NotContains(t, feed.Entries[0].Content.Body, "<script")
	assert.NotContains(t, data, "<script")
}
