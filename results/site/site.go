package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/history"
)

// home is the page that a host shows first.
const home = "index.html"

// mostPage bounds every page, in bytes. A phone on a slow network has it in a
// second or two once it is compressed.
const mostPage = 300_000

// Options say what the site shows and where it goes.
type Options struct {
	Published results.Published
	// Source is the published JSON as it was read; the site has a copy of it.
	Source []byte
	// History is of earlier publications; nil shows none.
	History *history.History
	// Out is the folder: new, empty, or with a site of ours, which is replaced.
	Out string
	// Base is the site's address, which sitemap.xml and canonical links need;
	// "" leaves both out.
	Base string
}

// Report says what was written.
type Report struct {
	Out   string `json:"out"`
	Run   string `json:"run"`
	Pages int64  `json:"pages"`
	Files int64  `json:"files"` // pages included
	Bytes int64  `json:"bytes"`
}

// ErrBase says that the site's address is none.
var ErrBase = errors.New("not the address of a site")

// Write makes the site. Unless all of it could be made the folder is as it was.
// Results that can't be relied on are refused: see results.Published.Unfit.
func Write(ctx context.Context, options Options) (report Report, err error) {
	if err := options.Published.Unfit(); err != nil {
		return Report{}, err
	}
	base, err := baseOf(options.Base)
	if err != nil {
		return Report{}, err
	}
	folder, err := openFolder(options.Out)
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, folder.close()) }()
	b := newBuilder(options, base, folder)
	if err := b.build(ctx); err != nil {
		return Report{}, err
	}
	if err := ctx.Err(); err != nil {
		return Report{}, fmt.Errorf("the site was not written: %w", context.Cause(ctx))
	}
	if err := folder.commit(); err != nil {
		return Report{}, err
	}
	return Report{Out: options.Out, Run: options.Published.Run.ID, Pages: b.pages.Load(), Files: b.files.Load(), Bytes: b.bytes.Load()}, nil
}

// baseOf is the site's address with a slash at its end.
func baseOf(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	address, err := url.Parse(text)
	if err != nil || address.Scheme != "https" && address.Scheme != "http" || address.Host == "" || address.RawQuery != "" || address.Fragment != "" || address.User != nil {
		return "", fmt.Errorf("%q: %w: want https://HOST/PATH/", text, ErrBase)
	}
	return strings.TrimRight(address.String(), "/") + "/", nil
}

// builder makes the pages.
type builder struct {
	Options
	base   string
	folder *folder
	view   *results.View
	past   past

	rows     []results.Row                 // of what was measured, unless nothing was
	of       map[matrix.Client]results.Row // that a client belongs to
	beside   map[string][]results.Client   // by target
	features map[string]results.Feature    // by name

	buffers sync.Pool
	parts   sync.Map // headers and footers
	paths   struct {
		sync.Mutex
		all []string
	}
	pages, files, bytes atomic.Int64
}

func newBuilder(options Options, base string, folder *folder) *builder {
	b := &builder{
		Options: options, base: base, folder: folder, view: results.ViewOf(options.Published, linkFrom("")),
		of: map[matrix.Client]results.Row{}, beside: map[string][]results.Client{}, features: map[string]results.Feature{},
		buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
	for _, row := range b.view.Rows() {
		if !row.Absent {
			b.rows = append(b.rows, row)
		}
		for _, client := range row.Clients {
			b.of[client.Key()] = row
		}
	}
	if len(b.rows) == 0 {
		b.rows = b.view.Rows()
	}
	for _, client := range options.Published.Targets {
		b.beside[client.Target] = append(b.beside[client.Target], client)
	}
	for _, feature := range options.Published.Features {
		b.features[feature.Name] = feature
	}
	b.past = pastOf(options.History, options.Published)
	return b
}

// linkFrom links to cells' pages from a page that is so far from the root.
func linkFrom(root string) results.Linker {
	return func(client results.Client, feature string, _ bool) template.URL {
		return template.URL(root + cellPage(client.Key(), feature) + ".html")
	}
}

// build renders and writes everything.
func (b *builder) build(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(runtime.GOMAXPROCS(0))
	do := func(task func() error) {
		work.Go(func() error {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			return task()
		})
	}
	for _, task := range []func() error{
		b.assets, b.programFiles, b.searchData,
		b.feeds,
		b.homePage, b.searchPage, b.listPages, b.changesPage, b.seedsPage, b.programsPage,
	} {
		do(task)
	}
	for _, name := range b.implementations() {
		do(func() error { return b.implementationPage(name) })
	}
	for _, name := range b.bindings() {
		do(func() error { return b.bindingPage(name) })
	}
	for _, feature := range b.Published.Features {
		do(func() error { return b.featurePage(feature) })
	}
	for _, client := range b.Published.Targets {
		do(func() error { return b.clientJSON(client) })
		do(func() error { return b.badges(client) })
		for _, feature := range b.Published.Features {
			if _, ok := b.view.Best(client, feature.Name); !ok {
				continue
			}
			do(func() error { return b.cellPage(client, feature) })
		}
	}
	if err := work.Wait(); err != nil {
		return err
	}
	return b.sitemap()
}

// implementations are the names of those that the results have, in their order.
func (b *builder) implementations() []string {
	return namesOf(b.Published.Targets, func(client results.Client) string { return client.Implementation })
}

func (b *builder) bindings() []string {
	return namesOf(b.Published.Targets, func(client results.Client) string { return client.Binding })
}

func namesOf(clients []results.Client, name func(results.Client) string) []string {
	var names []string
	known := map[string]bool{}
	for _, client := range clients {
		if name := name(client); !known[name] {
			known[name] = true
			names = append(names, name)
		}
	}
	return names
}

// rowsOf are the rows that hold for pages of their own: what was measured first,
// and nothing else if there is any.
func (b *builder) rowsOf(wanted func(results.Row) bool) (measured, absent []results.Row) {
	for _, row := range b.view.Rows() {
		switch {
		case !wanted(row):
		case row.Absent:
			absent = append(absent, row)
		default:
			measured = append(measured, row)
		}
	}
	return measured, absent
}

// put writes a file that is no page.
func (b *builder) put(path string, data []byte) error {
	if err := b.folder.write(path, data); err != nil {
		return err
	}
	b.files.Add(1)
	b.bytes.Add(int64(len(data)))
	return nil
}

// render executes a page's template into a buffer that the caller gives back.
func (b *builder) render(page *template.Template, shown any) (*bytes.Buffer, error) {
	buffer := b.buffers.Get().(*bytes.Buffer)
	buffer.Reset()
	if err := page.ExecuteTemplate(buffer, "frame", shown); err != nil {
		return nil, fmt.Errorf("rendering the site's page %s: %w", page.Name(), err)
	}
	return buffer, nil
}

// putPage writes a page.
func (b *builder) putPage(path string, page *template.Template, shown any) error {
	buffer, err := b.render(page, shown)
	if err != nil {
		return err
	}
	return b.putRendered(path, buffer)
}

func (b *builder) putRendered(path string, buffer *bytes.Buffer) error {
	defer b.buffers.Put(buffer)
	if err := b.put(path, buffer.Bytes()); err != nil {
		return err
	}
	b.pages.Add(1)
	if b.base != "" {
		b.paths.Lock()
		defer b.paths.Unlock()
		b.paths.all = append(b.paths.all, path)
	}
	return nil
}

// putParts writes a page of a long list in as many parts as it takes for each to
// fit. shown renders the items from and to before a place.
func (b *builder) putParts(name string, items, each int, page *template.Template, shown func(from, to int, parts parts) any) error {
	each = max(1, each)
	for {
		count := max(1, (items+each-1)/each)
		var rendered []*bytes.Buffer
		fits := true
		for part := 1; part <= count && fits; part++ {
			from := (part - 1) * each
			buffer, err := b.render(page, shown(from, min(from+each, items), parts{name: name, Number: part, Count: count}))
			if err != nil {
				return err
			}
			rendered = append(rendered, buffer)
			fits = buffer.Len() <= mostPage || each == 1
		}
		if fits {
			for i, buffer := range rendered {
				if err := b.putRendered(file(name, i+1), buffer); err != nil {
					return err
				}
			}
			return nil
		}
		for _, buffer := range rendered {
			b.buffers.Put(buffer)
		}
		each = max(1, each/2)
	}
}

// parts are the pages that a long list is spread over.
type parts struct {
	name          string
	Number, Count int
}

// Links are the parts by number, relative to each other.
func (p parts) Links() []string {
	if p.Count < 2 {
		return nil
	}
	var links []string
	for part := range p.Count {
		links = append(links, file(p.name[strings.LastIndexByte(p.name, '/')+1:], part+1))
	}
	return links
}

// frame is what every page shows.
type frame struct {
	around
	Title  string
	Path   string // of the page
	Base   string
	Feeds  []feedLink
	Header template.HTML
	Footer template.HTML
}

// around is what the header and the footer are made from. They are the same on
// very many pages, and made once.
type around struct {
	Root, Section     string
	Summary, Controls string
	Partial           bool
}

type feedLink struct{ Title, Path string }

func (b *builder) frame(path, section, title string) frame {
	of := around{Root: toRoot(path), Section: section, Partial: b.Published.Run.Partial}
	of.Summary, of.Controls = b.view.Summary()
	f := frame{around: of, Path: path, Base: b.base, Title: title, Header: b.part("header", of), Footer: b.part("footer", of)}
	if b.hasFeeds() {
		f.Feeds = []feedLink{{"Changed verdicts", feedName}}
	}
	return f
}

// part is the header or the footer. Its template has nothing that can fail.
func (b *builder) part(name string, of around) template.HTML {
	key := name + " " + of.Section + " " + of.Root
	if made, ok := b.parts.Load(key); ok {
		return made.(template.HTML)
	}
	var text strings.Builder
	template.Must(templates()["home"], templates()["home"].ExecuteTemplate(&text, name, of))
	made := template.HTML(text.String())
	b.parts.Store(key, made)
	return made
}
