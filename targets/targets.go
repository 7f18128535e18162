// Package targets finds and reads the registry: one folder per language
// implementation, each with a target.yaml.
package targets

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

// file is the name of a target's description in its folder.
const file = "target.yaml"

// sharedFile is the name of the causes that targets share, in a folder that
// their images include: the same binding is red for the same cause in each of
// them, and where that is written is the folder of its adaptor.
const sharedFile = "causes.yaml"

// Load reads every targets/*/target.yaml of the module's source tree, sorted by
// name. Folders without one, such as what several targets share, are passed
// over. The mistakes of all files are returned together; schema.Problems lists
// them.
func Load(root string) ([]matrix.Target, error) {
	paths, err := filepath.Glob(filepath.Join(globEscape(root), "targets", "*", file))
	if err != nil {
		return nil, fmt.Errorf("look for targets in %s: %w", root, err)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s has no targets/*/%s; it is not zmqmatrix's source tree, or not all of it", root, file)
	}
	var (
		loaded   []description
		problems []*schema.Error
		failed   []error
	)
	for _, path := range paths {
		read, err := load(root, path)
		switch found := schema.Problems(err); {
		case found != nil:
			problems = append(problems, found...)
		case err != nil:
			failed = append(failed, err)
		default:
			loaded = append(loaded, read)
		}
	}
	slices.SortFunc(loaded, func(a, b description) int { return cmp.Compare(a.target.Name, b.target.Name) })
	problems = append(problems, checkControls(loaded)...)
	if err := errors.Join(append(failed, schema.Join(problems...))...); err != nil {
		return nil, fmt.Errorf("the registry of targets is wrong:\n%w", err)
	}
	targets := make([]matrix.Target, len(loaded))
	for i, read := range loaded {
		targets[i] = read.target
	}
	return targets, nil
}

// LoadFile reads one target.yaml and checks all that can be checked of it
// alone. Folders that its image includes are looked for in root.
func LoadFile(root, path string) (matrix.Target, error) {
	read, err := load(root, path)
	if err != nil {
		return matrix.Target{}, err
	}
	return read.target, nil
}

// description is a target and the document that it was read from.
type description struct {
	target   matrix.Target
	document *schema.Document
}

func load(root, path string) (description, error) {
	shown := path
	if relative, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(relative) {
		shown = filepath.ToSlash(relative)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return description{}, fmt.Errorf("read target: %w", err)
	}
	document, err := schema.ReadYAML(schema.Target, shown, data)
	if err != nil {
		return description{}, err
	}
	asJSON, err := document.JSON()
	if err != nil {
		return description{}, err
	}
	read := description{document: document}
	if err := json.Unmarshal(asJSON, &read.target); err != nil {
		return description{}, fmt.Errorf("%s: the schema takes what the program can't: %w", shown, err)
	}
	shared, err := sharedCauses(root, read.target)
	if err != nil {
		return description{}, err
	}
	// The target's own come first: the first that fits is shown.
	read.target.Causes = append(read.target.Causes, shared...)
	check := check{description: read, root: root, folder: filepath.Dir(path)}
	check.all()
	if err := schema.Join(check.problems...); err != nil {
		return description{}, err
	}
	return read, nil
}

// sharedCauses reads the causes.yaml of each folder that the target includes, or
// of that folder's folders, and takes those of bindings that the target has.
func sharedCauses(root string, target matrix.Target) ([]matrix.Cause, error) {
	var causes []matrix.Cause
	for _, folder := range target.Image.Include {
		if !filepath.IsLocal(filepath.FromSlash(folder)) {
			continue // check.image says so
		}
		within := globEscape(filepath.Join(root, filepath.FromSlash(folder)))
		for _, pattern := range []string{filepath.Join(within, sharedFile), filepath.Join(within, "*", sharedFile)} {
			paths, err := filepath.Glob(pattern)
			if err != nil {
				return nil, fmt.Errorf("look for causes in %s: %w", folder, err)
			}
			for _, path := range paths {
				read, err := readCauses(root, path)
				if err != nil {
					return nil, err
				}
				causes = append(causes, slices.DeleteFunc(read, func(cause matrix.Cause) bool {
					return !slices.ContainsFunc(target.Bindings, func(binding matrix.Binding) bool { return binding.Name == cause.Binding })
				})...)
			}
		}
	}
	return causes, nil
}

func readCauses(root, path string) ([]matrix.Cause, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read shared causes: %w", err)
	}
	shown := path
	if relative, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(relative) {
		shown = filepath.ToSlash(relative)
	}
	document, err := schema.ReadYAML(schema.Causes, shown, data)
	if err != nil {
		return nil, err
	}
	asJSON, err := document.JSON()
	if err != nil {
		return nil, err
	}
	var shared matrix.SharedCauses
	if err := json.Unmarshal(asJSON, &shared); err != nil {
		return nil, fmt.Errorf("%s: the schema takes what the program can't: %w", shown, err)
	}
	return shared.Causes, nil
}

// check finds what a schema can't say.
type check struct {
	description
	root, folder string
	problems     []*schema.Error
}

func (c *check) add(problem string, path ...any) {
	c.problems = append(c.problems, c.document.Problem(problem, path...))
}

func (c *check) all() {
	folder := filepath.Base(c.folder)
	if absolute, err := filepath.Abs(c.folder); err == nil {
		folder = filepath.Base(absolute)
	}
	if c.target.Name != folder {
		c.add(fmt.Sprintf("the target is named %q, but its folder %q; want the same", c.target.Name, folder), "name")
	}
	c.variants()
	c.bindings()
	c.expectations()
	c.globs(c.target.Techniques, "techniques")
	c.image()
	c.file("a script", c.target.Local.Build, "local", "build")
}

func (c *check) variants() {
	defaults, seen := 0, map[string]bool{}
	for i, variant := range c.target.Variants {
		if seen[variant.Name] {
			c.add(fmt.Sprintf("a second variant %q", variant.Name), "variants", i, "name")
		}
		seen[variant.Name] = true
		if !variant.Default {
			continue
		}
		if defaults++; defaults > 1 {
			c.add("a second default; want exactly one", "variants", i, "default")
		}
	}
	if defaults == 0 {
		c.add("none is the default; want `default: true` in exactly one", "variants")
	}
}

func (c *check) bindings() {
	seen := map[string]bool{}
	for i, binding := range c.target.Bindings {
		if seen[binding.Name] {
			c.add(fmt.Sprintf("a second binding %q", binding.Name), "bindings", i, "name")
		}
		seen[binding.Name] = true
		if binding.Raw && binding.System != "" {
			c.add("a binding that comes from elsewhere is no raw one: the raw binding is what others are compared with", "bindings", i, "system")
		}
		c.globs(binding.Techniques, "bindings", i, "techniques")
	}
}

// expectations holds a negative control to say what each of its cells must come
// to, once, and others to say nothing.
func (c *check) expectations() {
	negative := c.target.Role == matrix.RoleNegativeControl
	switch {
	case negative && len(c.target.Expect) == 0:
		c.add("a negative control expects nothing; want `expect` with its cells and what each must come to", "role")
	case !negative && len(c.target.Expect) > 0:
		c.add("only a negative control knows its verdicts in advance; want `role: negative-control`, or no `expect`", "expect")
	}
	seen := map[[3]string]bool{}
	bindings := map[string]bool{}
	for _, binding := range c.target.Bindings {
		bindings[binding.Name] = true
	}
	for i, expected := range c.target.Expect {
		cell := [3]string{expected.Binding, expected.Feature, expected.Technique}
		if seen[cell] {
			c.add(fmt.Sprintf("a second expectation of %s", strings.Join(cell[:], " ")), "expect", i)
		}
		seen[cell] = true
		if !bindings[expected.Binding] {
			c.add(fmt.Sprintf("there is no binding %q", expected.Binding), "expect", i, "binding")
		}
		if _, err := regexp.Compile(expected.Reason); err != nil {
			c.add(fmt.Sprintf("no regular expression: %v", err), "expect", i, "reason")
		}
	}
}

// globs checks the form of feature globs; whether a feature matches them is for
// who has the catalogue.
func (c *check) globs(techniques map[string][]string, at ...any) {
	for glob := range techniques {
		here := append(slices.Clip(at), glob)
		problem := ""
		if _, err := path.Match(glob, ""); err != nil {
			problem = "not a glob of features; one has *, ? and [a-z], as in callback/*"
		} else if strings.Count(glob, "/") != 1 {
			problem = "no feature can match; want GROUP/NAME, as in callback/* or */*"
		}
		if problem != "" {
			c.problems = append(c.problems, c.document.KeyProblem(problem, here...))
		}
	}
}

func (c *check) image() {
	image := c.target.Image
	if image.Dockerfile != "" {
		c.file("a Dockerfile", image.Dockerfile, "image", "dockerfile")
	}
	if image.Builder != "" {
		c.file("a Dockerfile", image.Builder, "image", "builder")
	}
	for i, folder := range image.Include {
		c.isFolder(folder, "image", "include", i)
	}
	for name, pkg := range image.Go {
		if strings.HasPrefix(pkg, "./") {
			c.isFolder(pkg, "image", "go", name)
		}
	}
}

// file holds a path in the target's folder to be a file.
func (c *check) file(what, name string, at ...any) {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		c.add(fmt.Sprintf("%q leads out of the target's folder", name), at...)
		return
	}
	info, err := os.Stat(filepath.Join(c.folder, filepath.FromSlash(name)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.add(fmt.Sprintf("the target's folder has no file %q; want %s there", name, what), at...)
	case err != nil:
		c.add(fmt.Sprintf("%q can't be looked at: %v", name, errors.Unwrap(err)), at...)
	case !info.Mode().IsRegular():
		c.add(fmt.Sprintf("%q is no file; want %s", name, what), at...)
	}
}

// isFolder holds a path in the module to be a folder.
func (c *check) isFolder(name string, at ...any) {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		c.add(fmt.Sprintf("%q leads out of the module", name), at...)
		return
	}
	info, err := os.Stat(filepath.Join(c.root, filepath.FromSlash(name)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.add(fmt.Sprintf("the module has no folder %q", name), at...)
	case err != nil:
		c.add(fmt.Sprintf("%q can't be looked at: %v", name, errors.Unwrap(err)), at...)
	case !info.IsDir():
		c.add(fmt.Sprintf("%q is no folder", name), at...)
	}
}

// checkControls holds the registry to one positive control at most: layers are
// found and limits scaled by comparison with it.
func checkControls(loaded []description) []*schema.Error {
	var first string
	var problems []*schema.Error
	for _, read := range loaded {
		if read.target.Role != matrix.RolePositiveControl {
			continue
		}
		if first == "" {
			first = read.target.Name
			continue
		}
		problems = append(problems, read.document.Problem(fmt.Sprintf("a second %s; the first is %q", matrix.RolePositiveControl, first), "role"))
	}
	return problems
}

// globEscape makes a path match itself alone.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
