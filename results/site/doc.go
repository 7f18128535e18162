// Package site writes the published results, and their history, as a static
// site: pages that need no script and no other host, and the JSON files beside
// them.
//
// # The pages
//
//	index.html                                   who can, who can't, and why
//	search.html                                  every cell, to search and filter
//	implementations.html, implementations/…      a page for each implementation
//	bindings.html, bindings/…                    a page for each binding
//	features.html, features/GROUP/FEATURE        a page for each feature
//	cells/TARGET/BINDING/GROUP/FEATURE           a page for each client's feature
//	2010.html                                    the question of 2010
//	changes.html                                 what published runs changed
//	programs.html                                JSON files, badges and feeds
//
// Every page names its neighbours relatively, so that the site works from a
// folder, below any path of a host, and from file://. Scripts only add search,
// sorting and keys; without them all of it can be read.
//
// # Size
//
// Pages are rendered and written one by one, by as many workers as there are
// processors, so that memory is that of the results and not of the site. No
// page is larger than mostPage: long tables go on in further parts, and evidence
// that is too much for a page stands in the client's JSON file, to which the page
// links.
package site
