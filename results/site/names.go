package site

import (
	"fmt"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results/badge"
)

// segment is a name as one part of a path: the same for as long as the name is,
// and neither hidden nor a way out of its folder.
func segment(name string) string { return badge.FileName(name) }

// page is the path of a page, without root and suffix.
func page(parts ...string) string { return strings.Join(parts, "/") }

// file is the path of a page's part: the first has the page's own name.
func file(page string, part int) string {
	if part > 1 {
		return fmt.Sprintf("%s~p%d.html", page, part)
	}
	return page + ".html"
}

// featureSegments are a feature's group and its name within it.
func featureSegments(feature string) string {
	group, name, _ := strings.Cut(feature, "/")
	return segment(group) + "/" + segment(name)
}

func implementationPage(name string) string { return page("implementations", segment(name)) }
func bindingPage(name string) string        { return page("bindings", segment(name)) }
func featurePage(name string) string        { return page("features", featureSegments(name)) }

func cellPage(client matrix.Client, feature string) string {
	return page("cells", segment(client.Target), segment(client.Binding), featureSegments(feature))
}

// badgePage is where a badge is, without its suffix; of is a group, a feature, or
// "" for the whole client.
func badgePage(client matrix.Client, of string) string { return "badges/" + badge.Path(client, of) }

// feedPage is the feed of what changed in a binding.
func feedPage(binding string) string { return page("feeds", segment(binding)) + ".xml" }

// clientJSON is the file that has a client's cells with all of their evidence.
func clientJSON(client matrix.Client) string {
	return page("json", segment(client.Target), segment(client.Binding)) + ".json"
}

// toRoot leads from a page to the site's root.
func toRoot(page string) string { return strings.Repeat("../", strings.Count(page, "/")) }
