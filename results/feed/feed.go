// Package feed writes changed verdicts as Atom feeds (RFC 4287): overall, and
// of one binding.
package feed

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/tools/blog/atom"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/history"
)

const (
	// mostEntries bounds a feed: a year of weekly runs in which a few verdicts
	// change, in some 300 kB.
	mostEntries = 200
	// mostOfRun bounds the entries of one run, so that one which changes
	// everything leaves room for those before it.
	mostOfRun = 50
	// mostTitle bounds a title, in bytes.
	mostTitle = 300
)

// Options say what a feed is about and where it and its pages are.
type Options struct {
	Title string
	// Site is the address of the site, and Self the feed's in it: "feed.xml".
	Site *url.URL
	Self string
	// Page is a link in the site to a client's feature, "" for the client, and
	// RunPage one to a publication.
	Page    func(client matrix.Client, feature string) string
	RunPage func(history.Entry) string
	// About tells the clients that the feed is about; nil: all.
	About func(matrix.Client) bool
}

// Binding is about one binding, in all implementations that have it.
func Binding(name string) func(matrix.Client) bool {
	return func(client matrix.Client) bool { return client.Binding == name }
}

// Atom writes the feed of what publications changed, newest first: a history's
// entries, and its ChangesByEntry, which is worth making once for many feeds.
// Each verdict that broke, was mended or is red otherwise is an entry; what is
// new or gone is one entry per client, and so is the rest of a run that changed
// more than fifty things. The words of a reason, a signal or a rate are no
// verdict. The same history gives the same bytes.
func Atom(entries []history.Entry, changed [][]history.Change, options Options) ([]byte, error) {
	self, err := options.address(options.Self)
	if err != nil {
		return nil, err
	}
	home, err := options.address(".")
	if err != nil {
		return nil, err
	}
	feed := atom.Feed{
		Title: results.Shown(options.Title, mostTitle),
		ID:    idOf(self),
		Link: []atom.Link{
			{Rel: "self", Type: "application/atom+xml", Href: self},
			{Rel: "alternate", Type: "text/html", Href: home},
		},
		Author: &atom.Person{Name: "zmqmatrix", URI: "https://github.com/zmqmatrix/zmqmatrix"},
	}
	updated := time.Unix(0, 0) // of a feed that has nothing yet
	for i, entry := range slices.Backward(entries) {
		items, err := itemsOf(entry, changed[i], options)
		if err != nil {
			return nil, err
		}
		if len(items) > mostEntries-len(feed.Entry) {
			break
		}
		feed.Entry = append(feed.Entry, items...)
		if len(items) > 0 && entry.Run.Finished.After(updated) {
			updated = entry.Run.Finished
		}
	}
	feed.Updated = atom.Time(updated.UTC())
	data, err := xml.MarshalIndent(feed, "", " ")
	if err != nil {
		return nil, fmt.Errorf("writing the feed %s: %w", options.Self, err)
	}
	return slices.Concat([]byte(xml.Header), data, []byte("\n")), nil
}

// address is that of a page in the site, which is given as in a link.
func (o Options) address(page string) (string, error) {
	site := *o.Site
	if !strings.HasSuffix(site.Path, "/") {
		site.Path, site.RawPath = site.Path+"/", ""
	}
	found, err := site.Parse(page)
	if err != nil {
		return "", fmt.Errorf("the address of a page in the feed %s: %w", o.Self, err)
	}
	return found.String(), nil
}

// idOf makes a name that is the same whenever it is made (RFC 9562, section 5.5).
// Those of entries have nothing of the site in them, which may move.
func idOf(parts ...string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/zmqmatrix/zmqmatrix\n"+strings.Join(parts, "\n"))).URN()
}

// itemsOf are the feed's entries of one publication.
func itemsOf(entry history.Entry, changes []history.Change, options Options) ([]*atom.Entry, error) {
	var items []*atom.Entry
	var counted []client
	add := func(title, id, page string, told body) error {
		var text bytes.Buffer
		told.Run = entry.ID
		if err := bodyTemplate.Execute(&text, told); err != nil {
			return fmt.Errorf("writing of %s in the feed %s: %w", entry.ID, options.Self, err)
		}
		address, err := options.address(page)
		if err != nil {
			return err
		}
		at := atom.Time(entry.Run.Finished.UTC())
		items = append(items, &atom.Entry{
			Title: results.Shown(title, mostTitle), ID: id, Published: at, Updated: at,
			Link:    []atom.Link{{Rel: "alternate", Type: "text/html", Href: address}},
			Content: &atom.Text{Type: "html", Body: text.String()},
		})
		return nil
	}
	rest := 0
	for _, change := range changes {
		switch {
		case options.About != nil && !options.About(change.Client()) || !change.OfVerdict():
		case change.Kind == history.New || change.Kind == history.Gone:
			counted = count(counted, change)
		case len(items) == mostOfRun:
			rest++
		default:
			title := fmt.Sprintf("%s: %s: %s, then %s", change.Kind.Words(), change.Cell, change.Before.Outcome, change.After.Outcome)
			id := idOf("changed", entry.ID, change.Cell.String())
			if err := add(title, id, options.Page(change.Client(), change.Feature), bodyOf(change)); err != nil {
				return nil, err
			}
		}
	}
	for _, of := range counted {
		if len(items) >= mostOfRun {
			rest += of.cells
			continue
		}
		title := fmt.Sprintf("%s: %s: %s", of.kind.Words(), of.Client, of.text())
		if err := add(title, idOf("counted", entry.ID, string(of.kind), of.Client.String()), options.Page(of.Client, ""), body{Lead: of.text()}); err != nil {
			return nil, err
		}
	}
	if rest > 0 {
		title := fmt.Sprintf("%d more verdicts changed in run %s", rest, entry.ID)
		if err := add(title, idOf("rest", entry.ID), options.RunPage(entry), body{Lead: title}); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// client counts the cells of a client that are new or gone.
type client struct {
	matrix.Client
	kind     history.Kind
	cells    int
	outcomes map[matrix.Outcome]int
}

func count(counted []client, change history.Change) []client {
	place := slices.IndexFunc(counted, func(c client) bool { return c.Client == change.Client() && c.kind == change.Kind })
	if place < 0 {
		place = len(counted)
		counted = append(counted, client{Client: change.Client(), kind: change.Kind, outcomes: map[matrix.Outcome]int{}})
	}
	counted[place].cells++
	counted[place].outcomes[cmp.Or(change.After, change.Before).Outcome]++
	return counted
}

// text is "31 cells: 20 pass, 11 unsupported".
func (c client) text() string {
	var parts []string
	for _, outcome := range matrix.Outcomes {
		if number := c.outcomes[outcome]; number > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", number, outcome))
		}
	}
	cells := "cells"
	if c.cells == 1 {
		cells = "cell"
	}
	return fmt.Sprintf("%d %s: %s", c.cells, cells, strings.Join(parts, ", "))
}

// body is what an entry says beside its title.
type body struct {
	Lead          string
	Before, After string
	Else          []string
	Compared      bool // Else is known
	Run, Until    string
}

func bodyOf(change history.Change) body {
	told := body{Before: change.Before.Text(), After: change.After.Text(), Compared: true, Until: change.Until}
	for _, difference := range change.Else {
		told.Else = append(told.Else, difference.Text())
	}
	return told
}

// bodyTemplate writes HTML, which is text to the feed.
var bodyTemplate = template.Must(template.New("entry").Parse(
	`{{with .Lead}}<p>{{.}}</p>{{end}}{{with .Before}}<p>Before: {{.}}</p>{{end}}{{with .After}}<p>Now: {{.}}</p>{{end}}
{{- if .Compared}}{{if .Else}}<p>What else differs:</p><ul>{{range .Else}}<li>{{.}}</li>{{end}}</ul>{{else}}<p>Nothing else differs.</p>{{end}}{{end}}
{{- ""}}<p>Run {{.Run}}{{with .Until}}, compared with {{.}}{{end}}</p>`))
