package ci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/history"
	"github.com/zmqmatrix/zmqmatrix/results/site"
)

// siteFlags choose what a site shows.
type siteFlags struct {
	From    string `help:"Published JSON to show: results/published/latest.json without it, or published.json of a run." placeholder:"FILE" type:"path"`
	History string `help:"Folder of earlier publications, results/history without it." placeholder:"DIR" type:"path"`
}

// options read what is shown.
func (f siteFlags) options(s *session) (site.Options, error) {
	from, err := s.sources()
	if err != nil {
		return site.Options{}, err
	}
	path := f.From
	if path == "" {
		path = filepath.Join(from.root, "results", "published", "latest.json")
	}
	published, source, err := results.ReadPublishedSource(path)
	if errors.Is(err, os.ErrNotExist) {
		return site.Options{}, usagef("there is nothing to show at %s; `zmqmatrix run --publish` makes it, --from names another file", path)
	}
	if err != nil {
		return site.Options{}, err
	}
	folder := f.History
	if folder == "" {
		folder = filepath.Join(from.root, "results", "history")
	} else if _, err := os.Stat(folder); err != nil {
		return site.Options{}, usagef("--history %s: %w", folder, err)
	}
	past, err := history.Load(folder)
	if err != nil {
		return site.Options{}, err
	}
	return site.Options{Published: published, Source: source, History: past}, nil
}

// write makes the site, and says what is wrong in the words of the command.
func (f siteFlags) write(s *session, ctx context.Context, options site.Options) (site.Report, error) {
	report, err := site.Write(ctx, options)
	switch {
	case errors.Is(err, results.ErrMisjudged):
		return report, &exitError{exitMisjudged, fmt.Errorf("nothing published: %w", err)}
	case errors.Is(err, site.ErrNotOurs), errors.Is(err, site.ErrBase):
		return report, &exitError{exitUsage, fmt.Errorf("nothing published: %w", err)}
	case err != nil:
		return report, fmt.Errorf("nothing published: %w", err)
	}
	return report, nil
}

type publishCommand struct {
	siteFlags
	Out     string `required:"" help:"Folder to write the site into: new, empty, or with a site of an earlier publish, which is replaced." placeholder:"DIR" type:"path"`
	BaseURL string `name:"base-url" help:"Address that the site will have, for sitemap.xml and canonical links." placeholder:"URL"`
}

func (publishCommand) Help() string {
	return `The site is static and needs no server: DIR/index.html opens in a browser as it is, and any host of static
files shows it. Nothing in DIR changes unless all of the site could be made.

Exit status: 0 written, 2 DIR holds something else or there is nothing to publish, 3 a file can't be read or
written, 5 the results' controls are misjudged.`
}

func (c *publishCommand) Run(s *session) error {
	ctx, release := interruptible(s, func() {}, func() {}, func() {})
	defer release()
	options, err := c.options(s)
	if err != nil {
		return err
	}
	options.Out, options.Base = c.Out, c.BaseURL
	started := time.Now()
	report, err := c.write(s, ctx, options)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(report)
	}
	s.print("%s\n", filepath.Join(report.Out, "index.html"))
	fmt.Fprintf(s.err, "the site of run %s: %d pages, %d files, %.1f MB in %.1f s\n",
		printable(report.Run), report.Pages, report.Files, float64(report.Bytes)/1e6, time.Since(started).Seconds())
	return nil
}

type serveSiteCommand struct {
	siteFlags
	Dir  string `arg:"" optional:"" help:"A site that publish wrote. Without it the published results are shown." type:"path"`
	Port int    `default:"8017" help:"Port on this machine alone; 0 takes any that is free."`
}

func (serveSiteCommand) Help() string {
	return `Only this machine reaches it. Ctrl-C ends it.`
}

func (c *serveSiteCommand) Run(s *session) error {
	ctx, release := interruptible(s, func() {}, func() {}, func() {})
	defer release()
	if c.Port < 0 || c.Port > 1<<16-1 {
		return usagef("--port %d: there are ports from 1 to 65535, and 0 for any", c.Port)
	}
	dir := c.Dir
	if dir == "" {
		options, err := c.options(s)
		if err != nil {
			return err
		}
		made, err := os.MkdirTemp("", "zmqmatrix-site-*")
		if err != nil {
			return fmt.Errorf("making a folder for the site: %w", err)
		}
		defer os.RemoveAll(made)
		options.Out = filepath.Join(made, "site")
		if _, err := c.write(s, ctx, options); err != nil {
			return err
		}
		dir = options.Out
	} else if c.From != "" || c.History != "" {
		return usagef("%s is a site already: --from and --history are for one that is made now", dir)
	}
	err := site.Serve(ctx, dir, c.Port, func(address string) {
		if s.json {
			s.printJSON(map[string]string{"address": address, "dir": dir})
			return
		}
		s.print("%s\n", address)
		fmt.Fprintln(s.err, "Ctrl-C ends it")
	})
	if errors.Is(err, site.ErrNotOurs) {
		return usagef("%w; `zmqmatrix publish --out DIR` writes one", err)
	}
	return err
}
