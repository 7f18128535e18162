package ci

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/history"
)

// publish writes results/published and the README's table from a complete run.
func publish(s *session, run *runPlan, record string) error {
	if run.Header.Selection.Partial() {
		return usagef("not published: run %s had a selection; --publish writes the results of a full run", run.Header.Run)
	}
	if shard := run.Header.Shard; shard != nil {
		return usagef("not published: run %s is shard %s; `zmqmatrix merge --publish` with all shards writes the results of a full run", run.Header.Run, shard)
	}
	published, err := results.Publish(record, s.catalogue, run.targets)
	if err != nil {
		return fmt.Errorf("not published: %w", err)
	}
	contributed, err := contributedTo(run.sources)
	if err != nil {
		return fmt.Errorf("not published: %w", err)
	}
	if len(contributed) > 0 {
		merger, err := contributorsFlag{}.merger(s, run.sources)
		if err != nil {
			return fmt.Errorf("not published: %w", err)
		}
		if published, err = merger.AddContributed(published, contributed...); err != nil {
			return fmt.Errorf("not published: %w", err)
		}
	}
	return writePublication(s, run.sources, published)
}

// writePublication writes results/published, the README's table and the history.
func writePublication(s *session, from sources, published results.Published) error {
	// The README and the history are looked at first: what is published, its
	// table and its entry change together or not at all.
	readme := filepath.Join(from.root, "README.md")
	text, err := os.ReadFile(readme)
	if err != nil {
		return fmt.Errorf("not published: reading where the table goes: %w", err)
	}
	replaced, err := results.ReplaceTable(text, results.MarkdownTable(published))
	if err != nil {
		return fmt.Errorf("not published: putting the table into %s: %w", readme, err)
	}
	addition, err := history.Prepare(from.historyFolder(), published)
	if err != nil {
		return fmt.Errorf("not published: %w", err)
	}
	folder := filepath.Join(from.root, "results", "published")
	if err := writeResults(folder, publishedNames, published); err != nil {
		return err
	}
	if err := results.ReplaceFile(readme, replaced); err != nil {
		return err
	}
	if err := addition.Write(); err != nil {
		return err
	}
	fmt.Fprintf(s.err, "published: %s and the table of %s\n", folder, readme)
	if addition.Path != "" {
		fmt.Fprintf(s.err, "history: %s\n", addition.Path)
	}
	return nil
}

// resultNames are the files of results in a folder.
type resultNames struct{ json, markdown, page string }

var publishedNames = resultNames{"latest.json", "latest.md", "latest.html"}

// The question of 2010 as it stands beside the other forms; the page links to
// it by this name.
const (
	seedsMarkdownName = "seeds.md"
	seedsPageName     = "seeds.html"
)

// writeResults writes every form of the results into a folder.
func writeResults(folder string, names resultNames, published results.Published) error {
	html, err := results.Page(published)
	if err != nil {
		return fmt.Errorf("rendering the page: %w", err)
	}
	seeds, err := results.SeedsMarkdown(published)
	if err != nil {
		return fmt.Errorf("answering the question of 2010: %w", err)
	}
	seedsPage, err := results.SeedsPage(published, names.page)
	if err != nil {
		return fmt.Errorf("rendering the question of 2010: %w", err)
	}
	if err := results.WritePublished(filepath.Join(folder, names.json), published); err != nil {
		return err
	}
	for _, file := range []struct {
		name string
		data []byte
	}{
		{names.markdown, []byte(results.Markdown(published))}, {names.page, html},
		{seedsMarkdownName, []byte(seeds)}, {seedsPageName, seedsPage},
	} {
		if err := results.ReplaceFile(filepath.Join(folder, file.name), file.data); err != nil {
			return err
		}
	}
	return nil
}

// terminalOptions fit a table to where it goes: colour and the width only for a
// terminal.
func terminalOptions(out *os.File) results.TerminalOptions {
	if !term.IsTerminal(int(out.Fd())) {
		return results.TerminalOptions{}
	}
	options := results.TerminalOptions{Color: terminalStyle(os.Getenv).colour}
	if width, _, err := term.GetSize(int(out.Fd())); err == nil {
		options.Width = width
	}
	return options
}
