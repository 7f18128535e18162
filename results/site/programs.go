package site

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"slices"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
	"github.com/zmqmatrix/zmqmatrix/results"
)

//go:embed site.css
var siteStyle string

//go:embed site.js
var siteScript []byte

//go:embed search.js
var searchScript []byte

//go:embed icon.svg
var icon []byte

// assets write what pages are shown with.
func (b *builder) assets() error {
	for name, data := range map[string][]byte{
		"style.css": []byte(results.Style + siteStyle), "site.js": siteScript, "search.js": searchScript, "icon.svg": icon,
	} {
		if err := b.put(name, data); err != nil {
			return err
		}
	}
	return nil
}

// IndexSchema names the version of index.json.
const IndexSchema = "zmqmatrix/site/v1"

// Index is index.json: what the site has for programs, described by
// matrix/schema/site.json. Paths are relative to the file.
type Index struct {
	Schema    string         `json:"schema"`
	Run       string         `json:"run"`
	Published string         `json:"published"`
	Clients   []IndexClient  `json:"clients"`
	Features  []IndexFeature `json:"features"`
}

// IndexClient is where a client's cells are.
type IndexClient struct {
	Target  string `json:"target"`
	Binding string `json:"binding"`
	JSON    string `json:"json"` // its cells, in the form of the published JSON
	// Pages is what the paths of its cells' pages begin with; a feature's Cell
	// completes it.
	Pages string `json:"pages"`
}

// IndexFeature is where a feature is shown.
type IndexFeature struct {
	Name string `json:"name"`
	Page string `json:"page"`
	Cell string `json:"cell"` // see IndexClient.Pages
}

// programFiles write the JSON that is not a client's.
func (b *builder) programFiles() error {
	if err := b.put("latest.json", b.Source); err != nil {
		return err
	}
	for _, name := range []schema.Name{schema.Published, schema.Site} {
		source, err := schema.Source(name)
		if err != nil {
			return err
		}
		if err := b.put("schema/"+string(name)+".json", source); err != nil {
			return err
		}
	}
	seeds, err := results.SeedsOf(b.Published)
	if err != nil {
		return err
	}
	if err := b.putJSON("2010.json", seeds); err != nil {
		return err
	}
	index := Index{Schema: IndexSchema, Run: b.Published.Run.ID, Published: "latest.json", Clients: []IndexClient{}, Features: []IndexFeature{}}
	for _, client := range b.Published.Targets {
		index.Clients = append(index.Clients, IndexClient{
			client.Target, client.Binding, clientJSON(client.Key()), page("cells", segment(client.Target), segment(client.Binding)) + "/",
		})
	}
	for _, feature := range b.Published.Features {
		index.Features = append(index.Features, IndexFeature{feature.Name, featurePage(feature.Name) + ".html", featureSegments(feature.Name) + ".html"})
	}
	return b.putJSON("index.json", index)
}

// clientJSON writes a client's cells with all their evidence: published JSON of
// one client.
func (b *builder) clientJSON(client results.Client) error {
	one := b.Published
	one.Targets, one.Features, one.Cells, one.Best, one.Ranges = []results.Client{client}, []results.Feature{}, []results.Cell{}, []results.Best{}, nil
	for _, feature := range b.Published.Features {
		best, ok := b.view.Best(client, feature.Name)
		if !ok {
			continue
		}
		one.Features = append(one.Features, feature)
		one.Cells = append(one.Cells, b.view.Techniques(client, feature.Name)...)
		one.Best = append(one.Best, results.Best{Target: best.Target, Binding: best.Binding, Feature: best.Feature, Technique: best.Technique, Outcome: best.Outcome})
	}
	return b.putJSON(clientJSON(client.Key()), one)
}

func (b *builder) putJSON(path string, value any) error {
	buffer := b.buffers.Get().(*bytes.Buffer)
	defer b.buffers.Put(buffer)
	buffer.Reset()
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("encoding %s of the site: %w", path, err)
	}
	return b.put(path, buffer.Bytes())
}

// programsShown is the page for those who write programs.
type programsShown struct {
	frame
	Files   []programFile
	Example string
}

type programFile struct{ Path, Name, Has, Schema string }

func (b *builder) programsPage() error {
	shown := programsShown{frame: b.frame("programs", "programs", "For programs"), Example: "zero-copy/callback-free", Files: []programFile{
		{"latest.json", "latest.json", "Everything that was published: the run, its controls, clients, features, and every cell with its evidence.", "schema/published.json"},
		{"index.json", "index.json", "Where the clients’ files and the pages of cells are.", "schema/site.json"},
		{"index.json", "json/TARGET/BINDING.json", "The same as latest.json for one client; index.json names the files.", "schema/published.json"},
		{badgePage(b.example(), "") + ".svg", "badges/TARGET/BINDING/….svg", "A badge of each client (all), of each of its groups (GROUP/all) and features (GROUP/FEATURE). The pages of implementations and cells have the lines to paste.", ""},
		{badgePage(b.example(), "") + ".json", "badges/TARGET/BINDING/….json", "The same for shields.io, as an endpoint badge.", ""},
		{"2010.json", "2010.json", "The question of 2010: what was claimed, and what is measured.", ""},
	}}
	if !b.ofFeatures() {
		shown.Files[3].Has = "A badge of each client (all) and of each of its groups (GROUP/all); of this many features there are none. The pages of implementations have the lines to paste."
	}
	if b.hasFeeds() {
		shown.Files = append(shown.Files, programFile{feedName, feedName, "An Atom feed of changed verdicts; feeds/BINDING.xml are those of one binding.", ""})
	}
	if _, ok := b.features[shown.Example]; !ok && len(b.Published.Features) > 0 {
		shown.Example = b.Published.Features[0].Name
	}
	shown.Example = results.Shown(shown.Example, mostWord)
	return b.putPage("programs.html", templates()["programs"], shown)
}

// example is a client whose files serve as an example: one that was measured, if
// there is any.
func (b *builder) example() matrix.Client {
	for _, row := range b.rows {
		return row.Newest.Key()
	}
	return matrix.Client{}
}

// mostAddresses is how many a sitemap may have (sitemaps.org, protocol).
const mostAddresses = 50_000

type sitemapAddress struct {
	Location string `xml:"loc"`
	Modified string `xml:"lastmod"`
}

// sitemap tells search engines the pages: in one file, or in several with an
// index of them.
func (b *builder) sitemap() error {
	if b.base == "" {
		return nil
	}
	type urls struct {
		XMLName xml.Name         `xml:"http://www.sitemaps.org/schemas/sitemap/0.9 urlset"`
		URLs    []sitemapAddress `xml:"url"`
	}
	type index struct {
		XMLName xml.Name         `xml:"http://www.sitemaps.org/schemas/sitemap/0.9 sitemapindex"`
		Maps    []sitemapAddress `xml:"sitemap"`
	}
	modified := b.Published.Run.Finished.UTC().Format("2006-01-02")
	put := func(name string, value any) error {
		data, err := xml.Marshal(value)
		if err != nil {
			return fmt.Errorf("encoding the sitemap: %w", err)
		}
		return b.put(name, append([]byte(xml.Header), data...))
	}
	slices.Sort(b.paths.all)
	all := index{}
	for part := range slices.Chunk(b.paths.all, mostAddresses) {
		one := urls{}
		for _, path := range part {
			if path == home {
				path = ""
			}
			one.URLs = append(one.URLs, sitemapAddress{b.base + path, modified})
		}
		if len(b.paths.all) <= mostAddresses {
			return put("sitemap.xml", one)
		}
		name := fmt.Sprintf("sitemap-%d.xml", len(all.Maps)+1)
		if err := put(name, one); err != nil {
			return err
		}
		all.Maps = append(all.Maps, sitemapAddress{b.base + name, modified})
	}
	return put("sitemap.xml", all)
}
