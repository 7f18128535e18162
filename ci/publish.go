package ci

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"github.com/zmqmatrix/zmqmatrix/results"
)

// publish writes results/published and the README's table from a complete run.
func publish(s *session, run *runPlan, record string) error {
	if selection := (selectionFlags{run.header.Selection.Targets, run.header.Selection.Bindings, run.header.Selection.Features, run.header.Selection.Techniques}); !selection.empty() {
		return usagef("not published: run %s had a selection; --publish writes the results of a full run", run.header.Run)
	}
	published, err := results.Publish(record, s.catalogue, run.targets)
	if err != nil {
		return fmt.Errorf("not published: %w", err)
	}
	// The README is looked at first: what is published and its table change
	// together or not at all.
	readme := filepath.Join(run.root, "README.md")
	text, err := os.ReadFile(readme)
	if err != nil {
		return fmt.Errorf("not published: reading where the table goes: %w", err)
	}
	replaced, err := results.ReplaceTable(text, results.MarkdownTable(published))
	if err != nil {
		return fmt.Errorf("not published: putting the table into %s: %w", readme, err)
	}
	folder := filepath.Join(run.root, "results", "published")
	if err := writeResults(folder, "latest.json", "latest.md", "latest.html", published); err != nil {
		return err
	}
	if err := results.ReplaceFile(readme, replaced); err != nil {
		return err
	}
	fmt.Fprintf(s.err, "published: %s and the table of %s\n", folder, readme)
	return nil
}

// writeResults writes the three forms of the results into a folder.
func writeResults(folder, jsonName, markdown, page string, published results.Published) error {
	if err := results.WritePublished(filepath.Join(folder, jsonName), published); err != nil {
		return err
	}
	if err := results.ReplaceFile(filepath.Join(folder, markdown), []byte(results.Markdown(published))); err != nil {
		return err
	}
	html, err := results.Page(published)
	if err != nil {
		return fmt.Errorf("rendering the page: %w", err)
	}
	return results.ReplaceFile(filepath.Join(folder, page), html)
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
