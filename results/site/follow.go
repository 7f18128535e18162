package site

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/badge"
	"github.com/zmqmatrix/zmqmatrix/results/feed"
	"github.com/zmqmatrix/zmqmatrix/results/history"
)

// feedName is the feed of everything that changed.
const feedName = "feed.xml"

// hasFeeds tells whether the site has feeds: they name pages by their address,
// and tell what publications changed.
func (b *builder) hasFeeds() bool { return b.base != "" && b.past.entries() > 0 }

// feeds write what changed, overall and by binding.
func (b *builder) feeds() error {
	if !b.hasFeeds() {
		return nil
	}
	site, err := url.Parse(b.base)
	if err != nil {
		return fmt.Errorf("the site's address in its feeds: %w", err)
	}
	put := func(path, title string, about func(matrix.Client) bool) error {
		data, err := feed.Atom(b.past.history.Entries, b.past.changed, feed.Options{
			Title: title, Site: site, Self: path, Page: b.pageOf, RunPage: func(history.Entry) string { return "changes.html" }, About: about,
		})
		if err != nil {
			return err
		}
		return b.put(path, data)
	}
	if err := put(feedName, "zmqmatrix: changed verdicts", nil); err != nil {
		return err
	}
	for _, binding := range b.bindings() {
		if err := put(feedPage(binding), "zmqmatrix: changed verdicts of "+binding, feed.Binding(binding)); err != nil {
			return err
		}
	}
	return nil
}

// pageOf is where a feed sends its readers: to the cell's page, and where the
// results have none any more, to what changed.
func (b *builder) pageOf(client matrix.Client, feature string) string {
	row, known := b.of[client]
	switch {
	case !known:
		return "changes.html"
	case feature == "":
		return implementationPage(row.Newest.Implementation) + ".html"
	}
	if _, ok := b.view.Best(results.Client{Target: client.Target, Binding: client.Binding}, feature); !ok {
		return "changes.html"
	}
	return cellPage(client, feature) + ".html"
}

// mostFeatureBadges bounds the badges of features. A site with more would be
// mostly badges, two files for each of its pages; it has those of clients and
// groups.
const mostFeatureBadges = 20_000

// ofFeatures tells whether features have badges.
func (b *builder) ofFeatures() bool { return len(b.Published.Best) <= mostFeatureBadges }

// badges write the badges of a client.
func (b *builder) badges(client results.Client) error {
	for _, summary := range b.view.Summaries(client) {
		if strings.Contains(summary.Of, "/") && !b.ofFeatures() {
			continue
		}
		made := badge.Of(summary)
		picture, err := made.SVG()
		if err != nil {
			return err
		}
		endpoint, err := made.Endpoint()
		if err != nil {
			return err
		}
		path := badgePage(client.Key(), summary.Of)
		if err := b.put(path+".svg", picture); err != nil {
			return err
		}
		if err := b.put(path+".json", endpoint); err != nil {
			return err
		}
	}
	return nil
}

// badgeShown is a badge and the line that shows it elsewhere.
type badgeShown struct{ Picture, Text, Markdown string }

// badge is that of a client, or of a group or feature of it; page is where it
// leads.
func (b *builder) badge(client matrix.Client, of, page string) *badgeShown {
	site := b.base
	if site == "" {
		site = "https://HOST/"
	}
	path := badgePage(client, of)
	text := client.String()
	if of != "" {
		text += " " + of
	}
	text = results.Shown(text, mostWord)
	return &badgeShown{Picture: path + ".svg", Text: text, Markdown: "[![" + results.EscapeMarkdown(text) + "](" + site + path + ".svg)](" + site + page + ".html)"}
}
