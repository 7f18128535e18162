//go:build integration

package site

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/history"
)

// How long anything may take in a browser on a busy machine, and how long all that
// one tab is asked for.
const (
	patient     = time.Minute
	mostPatient = 8 * time.Minute
)

// browser starts Chromium; `zmqmatrix doctor --fix --for-tests` installs it.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	require.NoError(t, err, "the site is tested in Chromium")
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(patient),
		// What costs as much again, and is not the page: the address bar's own pages
		// in each window that nobody sees, and an emulated graphics card.
		chromedp.Flag("disable-features", "Translate,WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup"), chromedp.DisableGPU)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which root can't have
	}
	allocated, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	started, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(started))
	return started
}

// tab is a browser's tab, and what went on in it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mutex    sync.Mutex
	requests []string
	errors   []string
	dialogs  int
}

type action = chromedp.Action[chromedp.Void]

// command is a command of the protocol as an action.
func command[P, R any](name cdp.Command[P, R], parameters P) action {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, name, parameters)
		return err
	})
}

// open makes a tab with these settings.
func open(t *testing.T, browser context.Context, settings ...action) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, mostPatient)
	t.Cleanup(cancel)
	opened := &tab{t: t, ctx: ctx}
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		opened.mutex.Lock()
		defer opened.mutex.Unlock()
		switch event := event.(type) {
		case *network.EventRequestWillBeSent:
			opened.requests = append(opened.requests, event.Request.URL)
		case *runtime.EventExceptionThrown:
			opened.errors = append(opened.errors, event.ExceptionDetails.Text+" "+event.ExceptionDetails.URL)
		case *runtime.EventConsoleAPICalled:
			if event.Type == runtime.ConsoleAPICalledTypeError {
				opened.errors = append(opened.errors, fmt.Sprint("console: ", len(event.Args)))
			}
		case *cdplog.EventEntryAdded:
			if event.Entry.Level == cdplog.EntryLevelError {
				opened.errors = append(opened.errors, event.Entry.Text+" "+event.Entry.URL)
			}
		case *cdppage.EventJavascriptDialogOpening:
			opened.dialogs++
			go chromedp.Do(ctx, command(cdppage.HandleJavaScriptDialog, cdppage.HandleJavaScriptDialogParams{Accept: true}))
		}
	}))
	// Keys go to the tab as if it were in front.
	opened.run(command(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}))
	opened.run(command(network.Enable, network.EnableParams{}), command(cdplog.Enable, cdp.Empty{}), command(cdppage.Enable, cdppage.EnableParams{}))
	opened.run(settings...)
	return opened
}

func (o *tab) run(actions ...action) {
	o.t.Helper()
	require.NoError(o.t, chromedp.Do(o.ctx, actions...))
}

// within keeps the names of a script to itself.
func within(script string) string { return "(() => {" + script + "})()" }

// do runs a script whose value is of no interest.
func (o *tab) do(script string) {
	o.t.Helper()
	ask[bool](o, within(script+"; return true"))
}

func (o *tab) press(keys ...string) {
	o.t.Helper()
	for _, key := range keys {
		o.run(chromedp.KeyEvent(key))
	}
}

func (o *tab) click(selector string) {
	o.t.Helper()
	o.run(chromedp.Click(chromedp.CSS(selector)))
}

func (o *tab) typeInto(selector, text string) {
	o.t.Helper()
	o.run(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// networkChanged is that an address came to this machine or left it, as with every
// container that starts or ends: Chromium then breaks off all that it loads.
const networkChanged = "net::ERR_NETWORK_CHANGED"

// goTo loads a page, again as often as the network changed meanwhile.
func (o *tab) goTo(address string) {
	o.t.Helper()
	for {
		err := chromedp.Do(o.ctx, chromedp.Navigate(address))
		if err != nil && strings.Contains(err.Error(), networkChanged) {
			continue
		}
		require.NoError(o.t, err, address)
		if !o.wasInterrupted() {
			return
		}
	}
}

// wasInterrupted reports whether the network changed while something loaded, and
// forgets the errors that came of it.
func (o *tab) wasInterrupted() bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	all := len(o.errors)
	o.errors = slices.DeleteFunc(o.errors, func(text string) bool { return strings.Contains(text, networkChanged) })
	return len(o.errors) < all
}

// ask evaluates an expression.
func ask[T any](o *tab, expression string) T {
	o.t.Helper()
	answer, err := chromedp.Run(o.ctx, chromedp.Evaluate[T](expression))
	require.NoError(o.t, err, expression)
	return answer
}

// until waits for an expression to hold, on whatever page is there by then. It
// asks again and again from outside, since a page's policy forbids what chromedp
// would put into it.
func (o *tab) until(expression string) {
	o.t.Helper()
	require.Eventually(o.t, func() bool {
		holds, err := chromedp.Run(o.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		return err == nil && holds
	}, patient, 20*time.Millisecond, expression)
}

// requireQuiet holds the tab to have asked no other host for anything, and to
// have had no error of a page's and no dialog.
func (o *tab) requireQuiet(allowed ...string) {
	o.t.Helper()
	o.wasInterrupted()
	o.mutex.Lock()
	defer o.mutex.Unlock()
	assert.Empty(o.t, o.errors)
	assert.Zero(o.t, o.dialogs)
	require.NotEmpty(o.t, o.requests)
	for _, request := range o.requests {
		assert.True(o.t, slices.ContainsFunc(allowed, func(start string) bool { return strings.HasPrefix(request, start) }), "asked for %s", request)
	}
}

func fileURL(path string) string { return (&url.URL{Scheme: "file", Path: path}).String() }

// publishedSite is the site of what the repository publishes, and where it is
// served.
func publishedSite(t *testing.T) (dir, address string) {
	t.Helper()
	published, source := published(t)
	past, err := history.Load(filepath.Join("..", "history"))
	require.NoError(t, err)
	dir = filepath.Join(t.TempDir(), "site")
	_, err = Write(t.Context(), Options{Published: published, Source: source, History: past, Out: dir, Base: "https://example.org/"})
	require.NoError(t, err)
	return dir, served(t, dir)
}

func served(t *testing.T, dir string) string {
	t.Helper()
	server := httptest.NewServer(handler(os.DirFS(dir)))
	t.Cleanup(server.Close)
	return server.URL + "/"
}

// kindsOfPages has a page of each kind.
func kindsOfPages(t *testing.T) []string {
	t.Helper()
	published, _ := published(t)
	kinds := []string{home, "search.html", "implementations.html", "bindings.html", "features.html", "2010.html", "changes.html", "programs.html",
		implementationPage("sbcl") + ".html", bindingPage("cffi") + ".html", featurePage("zero-copy/callback-free") + ".html"}
	for _, cell := range published.Cells {
		// One with a dossier and a standard error.
		if cell.Evidence != nil && cell.Evidence.Dossier != nil && cell.Evidence.Stderr != "" {
			return append(kinds, cellPage(cell.Key().Client(), cell.Feature)+".html")
		}
	}
	t.Fatal("no cell has all that a page of one can show")
	return nil
}

const (
	rows  = `[...document.querySelectorAll("#found tbody tr")].map((row) => row.textContent)`
	count = `document.getElementById("count").textContent`
)

func TestInABrowser(t *testing.T) {
	dir, address := publishedSite(t)
	chromium := browser(t)

	for kind, base := range map[string]string{"from a host": address, "from a folder": fileURL(dir) + "/"} {
		t.Run("search, filter, permalink and back, "+kind, func(t *testing.T) {
			o := open(t, chromium)
			o.goTo(base + home)
			o.typeInto("#find", "sbcl")
			o.click(".find button")
			o.until(`location.pathname.endsWith("/search.html") && document.getElementById("count")?.textContent.length > 0`)
			assert.Equal(t, "?q=sbcl", ask[string](o, "location.search"))
			everything := ask[int](o, "window.zmqmatrixCells.cells.length / 8")
			sbcl := ask[[]string](o, rows)
			require.NotEmpty(t, sbcl)
			require.Less(t, len(sbcl), everything)

			o.typeInto("#q", " unsupported")
			o.until(`location.search === "?q=sbcl+unsupported"`)
			fewer := ask[[]string](o, rows)
			require.Less(t, len(fewer), len(sbcl))
			for _, row := range fewer {
				assert.Contains(t, row, "sbcl")
				assert.Contains(t, row, "unsupported")
			}
			choose := func(name, value string) {
				o.do(fmt.Sprintf(`const s = document.getElementById("f-%s"); s.value = %q; s.dispatchEvent(new Event("change", { bubbles: true }));`, name, value))
			}
			choose("binding", "pzmq")
			o.until(`location.search === "?q=sbcl+unsupported&binding=pzmq"`)
			filtered := ask[[]string](o, rows)
			require.NotEmpty(t, filtered)
			require.Less(t, len(filtered), len(fewer))
			choose("group", "zero-copy")
			o.until(`location.search.endsWith("&group=zero-copy")`)
			link, narrow := ask[string](o, "location.href"), ask[[]string](o, rows)

			other := open(t, chromium)
			other.goTo(link)
			other.until(`document.getElementById("count").textContent.length > 0`)
			assert.Equal(t, narrow, ask[[]string](other, rows), "the address is of the view")
			assert.Equal(t, "pzmq", ask[string](other, `document.getElementById("f-binding").value`))
			other.requireQuiet(base)

			o.do("history.back()")
			o.until(`location.search === "?q=sbcl+unsupported&binding=pzmq"`)
			assert.Equal(t, filtered, ask[[]string](o, rows))
			o.do("history.back()")
			o.until(`location.search === "?q=sbcl+unsupported"`)
			assert.Equal(t, fewer, ask[[]string](o, rows))
			o.do("history.back()")
			o.until(`location.search === "?q=sbcl"`)
			assert.Equal(t, sbcl, ask[[]string](o, rows), "what was typed is one step")
			o.do("history.forward()")
			o.until(`location.search === "?q=sbcl+unsupported"`)
			o.requireQuiet(base)
		})
	}

	t.Run("each filter leaves only what it names", func(t *testing.T) {
		o := open(t, chromium)
		for query, column := range map[string]string{"?implementation=ecl": "ecl@", "?outcome=crash": "crash", "?layer=binding": "binding", "?technique=main-stack": "main-stack", "?group=messaging": "messaging/"} {
			o.goTo(address + "search.html" + query)
			o.until(`document.getElementById("count").textContent.length > 0`)
			found := ask[[]string](o, rows)
			require.NotEmpty(t, found, query)
			for _, row := range found {
				assert.Contains(t, row, column, query)
			}
		}
		o.goTo(address + "search.html?changed=1")
		o.until(`document.getElementById("count").textContent.length > 0`)
		changed := ask[int](o, `window.zmqmatrixCells.cells.filter((value, at) => at % 8 === 7 && value === 1).length`)
		assert.True(t, strings.HasPrefix(ask[string](o, count), fmt.Sprintf("%d of ", changed)), ask[string](o, count))
		o.goTo(address + "search.html?outcome=nonsense&sort=constructor&q=" + url.QueryEscape(attack))
		o.until(`document.getElementById("count").textContent.startsWith("0 of")`)
		o.requireQuiet(address)
	})

	t.Run("what begins a word is meant, and else any part of one", func(t *testing.T) {
		o := open(t, chromium)
		search := func(query string) []string {
			o.goTo(address + "search.html?q=" + query)
			o.until(`document.getElementById("count").textContent.length > 0`)
			return ask[[]string](o, rows)
		}
		found := search("ecl")
		require.NotEmpty(t, found)
		for _, row := range found {
			assert.Regexp(t, `(?i)(^|[^a-z0-9])ecl`, row)
		}
		signals := search("sigsegv")
		require.NotEmpty(t, signals)
		assert.Equal(t, signals, search("igsegv"))
		o.requireQuiet(address)
	})

	t.Run("the keyboard does", func(t *testing.T) {
		o := open(t, chromium)
		o.goTo(address + "search.html")
		o.until(`document.getElementById("count").textContent.length > 0`)
		// Down and up as a keyboard sends them: chromedp's own keys write their
		// character even where the page took the key for itself.
		for _, event := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
			o.run(command(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: event, Key: "/", Code: "Slash", Text: "/", WindowsVirtualKeyCode: 191}))
		}
		o.until(`document.activeElement.id === "q" && document.getElementById("q").value === ""`)
		o.press("ecl@bookworm native-free")
		o.until(rows + `.length > 0 && ` + rows + `.every((row) => row.includes("ecl@bookworm") && row.includes("native-free"))`)
		o.press(kb.ArrowDown, kb.ArrowDown, kb.ArrowUp)
		o.until(`document.activeElement === document.querySelector("#found tbody a")`)
		o.press(kb.Escape)
		o.until(`document.activeElement.id === "q"`)
		o.press(kb.ArrowDown)
		o.until(`document.activeElement === document.querySelector("#found tbody a")`)
		o.press(kb.Enter)
		o.until(`location.pathname.startsWith("/cells/ecl@bookworm")`)
		o.do("history.back()")
		o.until(`location.search === "?q=ecl%40bookworm+native-free"`)
		o.goTo(address + home)
		o.press(kb.Tab)
		assert.Equal(t, "skip", ask[string](o, "document.activeElement.className"), "the first stop leads to the content")
		o.press(kb.Enter)
		o.until(`location.hash === "#main" && document.activeElement.id === "main"`)
		o.requireQuiet(address)
	})

	t.Run("tables are sorted by their headers", func(t *testing.T) {
		o := open(t, chromium)
		o.goTo(address + "search.html")
		o.until(`document.querySelectorAll("#found th button").length > 0`)
		first := `document.querySelector("#found tbody td").textContent`
		o.click(`#found th[data-key=binding] button`)
		o.until(`document.querySelector("#found th[data-key=binding]").ariaSort === "ascending" && location.search === "?sort=binding"`)
		lowest := ask[string](o, first)
		o.click(`#found th[data-key=binding] button`)
		o.until(`location.search === "?sort=-binding"`)
		assert.Greater(t, ask[string](o, first), lowest)
		o.goTo(address + "implementations.html")
		o.until(`document.querySelectorAll("th button.sort").length > 0`)
		names := `[...document.querySelectorAll("table.sortable tbody tr")].map((row) => row.cells[1].textContent)`
		o.click(`table.sortable thead th:nth-child(2) button`)
		assert.True(t, slices.IsSorted(ask[[]string](o, names)))
		o.requireQuiet(address)
	})

	t.Run("all can be read without scripts", func(t *testing.T) {
		o := open(t, chromium, command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
		for _, path := range kindsOfPages(t) {
			o.goTo(address + path)
			assert.Greater(t, ask[int](o, `document.querySelector("main").innerText.length`), 300, path)
			assert.Zero(t, ask[int](o, `[...document.querySelectorAll(".needs-script")].filter((e) => e.offsetParent !== null).length`), "%s shows what does nothing", path)
			assert.False(t, ask[bool](o, `document.documentElement.classList.contains("scripted")`), "a script ran")
		}
		o.goTo(address + "search.html")
		assert.Greater(t, len(ask[[]string](o, rows)), 100)
		assert.Contains(t, ask[string](o, `document.querySelector("main").innerText`), "need a script")
		o.requireQuiet(address)
	})

	t.Run("a phone scrolls no page sideways", func(t *testing.T) {
		o := open(t, chromium, chromedp.EmulateViewport(360, 740, chromedp.EmulateScale(2), chromedp.EmulateMobile))
		for _, path := range kindsOfPages(t) {
			o.goTo(address + path)
			wide := ask[[]string](o, `[...document.querySelectorAll("main *")].filter((e) => !e.closest(".scroll, svg, pre, .unseen") && e.getBoundingClientRect().right > 361).map((e) => e.outerHTML.slice(0, 120))`)
			assert.LessOrEqual(t, ask[int](o, "document.documentElement.scrollWidth"), 360, "%s: %v", path, wide)
		}
		o.requireQuiet(address)
	})

	for _, scheme := range []string{"light", "dark"} {
		t.Run("contrast and semantics, "+scheme, func(t *testing.T) {
			o := open(t, chromium, command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}))
			for _, path := range kindsOfPages(t) {
				o.goTo(address + path)
				o.until(`document.documentElement.classList.contains("scripted")`)
				o.do(`for (const d of document.querySelectorAll("details")) d.open = true`)
				paper := ask[float64](o, within(contrastScript+`return luminance(parse(getComputedStyle(document.body).backgroundColor))`))
				assert.Equal(t, scheme == "dark", paper < 0.2, "%s: paper of luminance %.2f", path, paper)
				assert.Empty(t, ask[[]string](o, within(contrastScript+`return tooFaint()`)), path)
				assert.Empty(t, ask[[]string](o, semanticsScript), path)
			}
			o.requireQuiet(address)
		})
	}

	t.Run("it can be printed", func(t *testing.T) {
		o := open(t, chromium, command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print", Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}))
		o.goTo(address + home)
		assert.Equal(t, "rgb(255, 255, 255)", ask[string](o, "getComputedStyle(document.body).backgroundColor"))
		assert.False(t, ask[bool](o, `document.querySelector("header nav").offsetParent !== null`))
		printed, err := chromedp.Run(o.ctx, chromedp.PrintToPDF())
		require.NoError(t, err)
		assert.Greater(t, len(printed), 10_000)
		o.requireQuiet(address)
	})
}

// contrastScript finds text that is too faint for WCAG 2.2, 1.4.3.
const contrastScript = `
const parse = (text) => { const n = text.match(/[\d.]+/g).map(Number); return { rgb: n.slice(0, 3), alpha: n[3] ?? 1 }; };
const luminance = ({ rgb }) => { const [r, g, b] = rgb.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (element) => { for (let e = element; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.alpha === 1) return c; if (c.alpha > 0) throw new Error("half transparent"); } return { rgb: [255, 255, 255] }; };
const tooFaint = () => {
  const faint = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || element.closest("title, script, .unseen, option") || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const inPicture = element.closest("svg");
    const ink = parse(inPicture ? style.fill : style.color);
    const square = element.classList.contains("sign") ? element.previousElementSibling : null;
    const paper = square ? parse(getComputedStyle(square).fill) : behind(inPicture ?? element);
    const [a, b] = [luminance(ink), luminance(paper)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5)) faint.add(ratio.toFixed(2) + " " + element.outerHTML.slice(0, 100));
  }
  return [...faint].slice(0, 10);
};
`

// semanticsScript finds what a screen reader would stumble over.
const semanticsScript = `(() => {
  const wrong = [];
  const say = (element, what) => wrong.push(what + ": " + element.outerHTML.slice(0, 100));
  if (document.documentElement.lang !== "en") wrong.push("no language");
  if (!document.title) wrong.push("no title");
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption?.textContent.trim()) say(table, "a table without a caption");
    if (!table.querySelector("th")) say(table, "a table without headers");
  }
  for (const th of document.querySelectorAll("th")) {
    if (!["col", "row", "colgroup", "rowgroup"].includes(th.scope)) say(th, "a header without a scope");
  }
  for (const row of document.querySelectorAll("tbody tr")) if (!row.querySelector("th")) say(row, "a row without a header");
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const its = Number(heading.tagName[1]);
    if (its > level + 1) say(heading, "a heading after one of level " + level);
    level = its;
  }
  for (const field of document.querySelectorAll("input, select, textarea")) if (!field.labels.length && !field.ariaLabel) say(field, "a field without a label");
  for (const nav of document.querySelectorAll("nav, [role=region]")) if (!nav.ariaLabel && !document.getElementById(nav.getAttribute("aria-labelledby"))) say(nav, "a region without a name");
  for (const image of document.querySelectorAll("img")) if (!image.alt) say(image, "a picture without words");
  for (const link of document.querySelectorAll("a")) if (!link.closest("[aria-hidden]") && !link.textContent.trim()) say(link, "a link without words");
  for (const hidden of document.querySelectorAll("[aria-hidden=true] a")) if (hidden.tabIndex >= 0) say(hidden, "a hidden link in the way of the keyboard");
  for (const verdict of document.querySelectorAll(".o")) if (!/[a-z]/.test(verdict.textContent)) say(verdict, "a verdict without a word");
  const ids = new Set();
  for (const { id } of document.querySelectorAll("[id]")) { if (ids.has(id)) wrong.push("twice: " + id); ids.add(id); }
  return wrong.slice(0, 10);
})()`

// TestNoScriptOfAClientRuns opens every page that results are shown on, with an
// attack in every text of theirs.
func TestNoScriptOfAClientRuns(t *testing.T) {
	made := attacked()
	dir := written(t, made, nil)
	chromium := browser(t)
	report, err := results.Page(made)
	require.NoError(t, err)
	seeds, err := results.SeedsPage(made, "report.html")
	require.NoError(t, err)
	one := t.TempDir()
	for name, data := range map[string][]byte{
		"report.html": report, "seeds.html": seeds, "control.html": []byte("<!DOCTYPE html><title>x</title><p>" + attack),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(one, name), data, 0o644))
	}
	server := httptest.NewServer(http.FileServer(http.Dir(one)))
	t.Cleanup(server.Close)
	address := served(t, dir)

	t.Run("control: where it is not escaped, it does", func(t *testing.T) {
		o := open(t, chromium)
		o.goTo(server.URL + "/control.html")
		o.until("window.canary === 1")
		o.mutex.Lock()
		defer o.mutex.Unlock()
		assert.NotZero(t, o.dialogs)
		assert.True(t, slices.ContainsFunc(o.requests, func(request string) bool { return strings.HasPrefix(request, "http://203.0.113.1/") }))
	})
	harmless := func(t *testing.T, o *tab, page string) {
		t.Helper()
		o.goTo(page)
		o.do(`for (const d of document.querySelectorAll("details")) d.open = true`)
		for _, link := range ask[[]string](o, `[...document.querySelectorAll("[href], [src]")].map((e) => e.getAttribute("href") ?? e.getAttribute("src"))`) {
			assert.False(t, strings.HasPrefix(strings.TrimSpace(strings.ToLower(link)), "javascript:"), page)
		}
		assert.Equal(t, "undefined", ask[string](o, "typeof window.canary"), page)
	}
	t.Run("the pages of a run", func(t *testing.T) {
		o := open(t, chromium)
		harmless(t, o, server.URL+"/report.html")
		harmless(t, o, server.URL+"/seeds.html")
		o.mutex.Lock()
		// A browser asks for an icon of its own accord.
		o.errors = slices.DeleteFunc(o.errors, func(text string) bool { return strings.HasSuffix(text, "/favicon.ico") })
		o.mutex.Unlock()
		o.requireQuiet(server.URL)
	})
	t.Run("the site", func(t *testing.T) {
		o := open(t, chromium)
		pages := pagesOf(t, dir)
		require.Greater(t, len(pages), 20)
		for page := range pages {
			harmless(t, o, address+(&url.URL{Path: page}).EscapedPath())
		}
		harmless(t, o, address+"search.html?q=script")
		o.until(`document.querySelectorAll("#found tbody tr").length > 0`)
		assert.Equal(t, "undefined", ask[string](o, "typeof window.canary"))
		o.requireQuiet(address)
	})
}
