package ci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/zmqmatrix/zmqmatrix/results"
)

// resultsCommand is for contributors: those who can run what others can't, such
// as an implementation that needs a licence.
type resultsCommand struct {
	Keygen keygenCommand `cmd:"" help:"Make a key for signing results."`
	Sign   signCommand   `cmd:"" help:"Sign the results of a run, to contribute them."`
	Verify verifyCommand `cmd:"" help:"Say who signed results, or why they would not be taken."`
}

// keyFlag names a private key.
type keyFlag struct {
	Key string `help:"Private key as OpenSSH keeps it, Ed25519: one that keygen made, or your own. Without it, contributor_ed25519 in the user's configuration directory." placeholder:"FILE" type:"path"`
}

func (f keyFlag) path() (string, error) {
	if f.Key != "" {
		return f.Key, nil
	}
	base, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("finding the user's configuration directory: %w; name a file with --key", err)
	}
	return filepath.Join(base, "zmqmatrix", "contributor_ed25519"), nil
}

type keygenCommand struct {
	keyFlag
	Name string `required:"" help:"Your name, as the tables will show it." placeholder:"NAME"`
}

func (keygenCommand) Help() string {
	return `The private key stays with you and has no passphrase. An Ed25519 key that you have already, such as
~/.ssh/id_ed25519, serves as well: sign --key takes it, and ssh-keygen -Y sign -n ` + results.SignatureNamespace + ` one
with a passphrase or in an agent.`
}

func (c *keygenCommand) Run(s *session) error {
	path, err := c.path()
	if err != nil {
		return err
	}
	private, public, err := results.GenerateKey(c.Name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("making the folder of the key: %w", err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return usagef("there is a key at %s already, and signatures by it may be out in the world: sign with it, or name another file with --key", path)
	}
	if err != nil {
		return fmt.Errorf("writing the key: %w", err)
	}
	_, err = file.Write(private)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing the key: %w", err)
	}
	if err := results.ReplaceFile(path+".pub", []byte(public+"\n")); err != nil {
		return err
	}
	since := time.Now().UTC().Format("2006-01-02")
	if s.json {
		return s.printJSON(map[string]string{"private": path, "public": public, "name": c.Name, "since": since})
	}
	fmt.Fprintf(s.err, "private key: %s\npublic key:  %s.pub\n\nyour entry for results/contributors.yaml:\n", path, path)
	s.print("  - name: %q\n    key: %q\n    since: %q\n", c.Name, public, since)
	return nil
}

type signCommand struct {
	keyFlag
	File string `arg:"" help:"published.json or record.jsonl of a run." type:"path"`
}

func (c *signCommand) Run(s *session) error {
	from, err := s.sources()
	if err != nil {
		return err
	}
	// What can't be published is told to whoever can run it again.
	published, err := results.Merger{Catalogue: s.catalogue, Targets: from.targets}.Read(c.File)
	if err != nil {
		return fmt.Errorf("not signed: %w", err)
	}
	path, err := c.path()
	if err != nil {
		return err
	}
	private, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return usagef("there is no key at %s; `zmqmatrix results keygen --name NAME` makes one, --key names another", path)
	}
	if err != nil {
		return fmt.Errorf("reading the key: %w", err)
	}
	fingerprint, err := results.Sign(c.File, private)
	if err != nil {
		return fmt.Errorf("not signed: %w", err)
	}
	signature := c.File + results.SignatureSuffix
	if s.json {
		return s.printJSON(map[string]string{"file": c.File, "signature": signature, "key": fingerprint, "run": published.Run.ID})
	}
	s.print("run %s is signed by %s: %s\n", published.Run.ID, fingerprint, signature)
	fmt.Fprintf(s.err, "to contribute it, put both files into %s of the project, under one name\n", filepath.Join("results", contributedFolder))
	return nil
}

// contributorsFlag names whose signatures are trusted.
type contributorsFlag struct {
	Contributors string `help:"Whose signatures are trusted. Without it, results/contributors.yaml of the project." placeholder:"FILE" type:"path"`
}

// contributedFolder is where signed results of others are, in results/.
const contributedFolder = "contributed"

// contributedTo lists the signed results that the project has.
func contributedTo(from sources) ([]string, error) {
	return results.Contributed(filepath.Join(from.root, "results", contributedFolder))
}

// merger joins results with those of the project's contributors.
func (f contributorsFlag) merger(s *session, from sources) (results.Merger, error) {
	path := f.Contributors
	if path == "" {
		path = filepath.Join(from.root, "results", "contributors.yaml")
	}
	trusted, err := results.ReadContributors(path)
	if f.Contributors == "" && errors.Is(err, os.ErrNotExist) {
		err = nil // a checkout without the file trusts nobody
	}
	return results.Merger{Catalogue: s.catalogue, Targets: from.targets, Contributors: trusted}, err
}

type verifyCommand struct {
	contributorsFlag
	Files []string `arg:"" name:"file" help:"Results with their signature beside them, FILE.sig." type:"path"`
}

func (c *verifyCommand) Run(s *session) error {
	from, err := s.sources()
	if err != nil {
		return err
	}
	merger, err := c.merger(s, from)
	if err != nil {
		return err
	}
	found := []results.Contributor{}
	for _, file := range c.Files {
		_, by, err := merger.Verify(file)
		if err != nil {
			return err
		}
		found = append(found, by)
		if !s.json {
			s.print("%s: run %s of %s, signed by %s, key %s\n", file, printable(by.Run), by.Finished.UTC().Format("2006-01-02"), printable(by.Name), by.Key)
		}
	}
	if s.json {
		return s.printJSON(found)
	}
	return nil
}

type mergeCommand struct {
	contributorsFlag
	Files   []string `arg:"" name:"file" help:"published.json or record.jsonl files: your own first; those of others with their signature beside them, FILE.sig." type:"path"`
	Replace []string `help:"Take the client from a later file, which has all of its cells measured anew beside its raw binding's, and not from the first. Repeat for several." placeholder:"TARGET@VARIANT/BINDING" sep:"none"`
	To      string   `help:"Write the joined results to FILE, and their other forms beside it." placeholder:"FILE.json" type:"path"`
	Publish bool     `help:"Write results/published, the README's table and an entry of results/history."`
}

func (mergeCommand) Help() string {
	return `Your own results are unsigned: they join if one version of zmqmatrix made them from today's targets and
features. Shards become the run that they are parts of: all of them must be there, none twice. Signed
results are a contributor's: from them come the clients that your own could not measure, with
the name, day and key of who did. The signed results in results/contributed always join what is published.

Two of your own that differ on a cell are refused: one of them is wrong, or the cell is flaky. Measure the
client anew, by more attempts, and --replace it.

Without --to and --publish the table is printed, and nothing is written.`
}

// contributed are the files of results/contributed, which is where signed ones
// must be to be published: the next publication has only these.
func (c *mergeCommand) contributed(from sources) ([]string, error) {
	contributed, err := contributedTo(from)
	if err != nil {
		return nil, err
	}
	for _, file := range c.Files {
		if results.IsSigned(file) && !slices.Contains(contributed, file) {
			return nil, usagef("%s is signed, and not in %s: put it and its signature there, so that the next publication has it too", file, filepath.Join("results", contributedFolder))
		}
	}
	return contributed, nil
}

func (c *mergeCommand) Run(s *session) error {
	from, err := s.sources()
	if err != nil {
		return err
	}
	if c.Publish && !from.checkout {
		return usagef("--publish writes into the checkout that it is run in, and this is none: the targets come from %s", from.root)
	}
	merger, err := c.merger(s, from)
	if err != nil {
		return err
	}
	merger.Replaced = c.Replace
	var contributed []string
	if c.Publish {
		if contributed, err = c.contributed(from); err != nil {
			return err
		}
	}
	merged, err := merger.Merge(c.Files, contributed)
	if errors.Is(err, results.ErrNothingOwn) {
		return &exitError{exitUsage, err}
	}
	if err != nil {
		return fmt.Errorf("not merged: %w", err)
	}
	if c.To != "" {
		base := c.To[:len(c.To)-len(filepath.Ext(c.To))]
		names := resultNames{filepath.Base(c.To), filepath.Base(base) + ".md", filepath.Base(base) + ".html"}
		if err := writeResults(filepath.Dir(c.To), names, merged); err != nil {
			return err
		}
	}
	if c.Publish {
		if err := writePublication(s, from, merged); err != nil {
			return err
		}
	}
	switch {
	case s.json:
		return s.printJSON(merged)
	case c.To == "" && !c.Publish:
		s.print("%s", results.Terminal(merged, terminalOptions(s.out)))
	}
	return nil
}
