package images

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Labels by which people and the sweep know what is ours.
const (
	LabelOurs  = "zmqmatrix"
	LabelSuite = "zmqmatrix.suite"
)

// ours labels an image. Nothing of the run is in it: an image is a cache for
// all runs, and a label that changes would change its id.
func ours(suite string) map[string]string {
	return map[string]string{LabelOurs: "1", LabelSuite: suite}
}

// baseTags are the names of a suite's base image. The archive's build does not
// take the registry's name: whoever pulls debian:bookworm-slim later, or builds
// something else from it, must get the registry's. An archive whose validity
// date was not looked at is another base.
func baseTags(suite string) (registry, archive, unchecked string) {
	archive = "zmqmatrix-base:" + suite
	return "debian:" + suite + "-slim", archive, archive + "-unchecked"
}

// Base is the base image of a Debian suite: the registry's if the engine has
// it, then our own from an earlier run, then pulled, then built from the
// Debian archive.
func (m *Maker) Base(ctx context.Context, suite string) (Image, error) {
	if suite == "" || strings.ContainsAny(suite, "/: ") {
		return Image{}, fmt.Errorf("base image: %q is no Debian suite", suite)
	}
	release, err := m.locks.acquire(ctx, "base "+suite)
	if err != nil {
		return Image{}, err
	}
	defer release()
	if made, found := m.made("base " + suite); found {
		return made, nil
	}
	base, err := m.findOrMakeBase(ctx, suite)
	if err != nil {
		return Image{}, fmt.Errorf("base image of Debian %s: %w", suite, err)
	}
	m.keep("base "+suite, base)
	return base, nil
}

func (m *Maker) findOrMakeBase(ctx context.Context, suite string) (Image, error) {
	registryTag, archiveTag, uncheckedTag := baseTags(suite)
	known := []string{registryTag, archiveTag}
	if m.StaleArchive {
		known = append(known, uncheckedTag)
	}
	for _, tag := range known {
		base, err := m.find(ctx, tag)
		if err == nil || !errors.Is(err, ErrNoImage) {
			return base, err
		}
	}
	if !m.noRegistry.Load() {
		m.say("base %s: pulling %s", suite, registryTag)
		err := m.Engine.Pull(ctx, registryTag)
		if err == nil {
			return m.find(ctx, registryTag)
		}
		if ctx.Err() != nil {
			return Image{}, err
		}
		// The next suite would only wait for the same refusal.
		m.noRegistry.Store(true)
		m.say("base %s: no registry answers (%v); building from the Debian archive instead", suite, err)
	}
	m.say("base %s: mmdebstrap from the Debian archive, about half a minute", suite)
	made := archiveTag
	err := m.bootstrap(ctx, m.Engine, suite, made, false)
	if m.StaleArchive && errors.Is(err, errStaleArchive) {
		// Only where it is needed: the other suites are what they always are.
		m.say("base %s: the archive's copy is past its validity date; taken all the same, as asked for", suite)
		made = uncheckedTag
		err = m.bootstrap(ctx, m.Engine, suite, made, true)
	}
	if err != nil {
		return Image{}, err
	}
	base, err := m.find(ctx, made)
	if err != nil {
		return Image{}, err
	}
	m.say("base %s: %s is ready", suite, made)
	return base, nil
}

// find is the image with this tag, or ErrNoImage.
func (m *Maker) find(ctx context.Context, tag string) (Image, error) {
	found, err := m.Engine.Image(ctx, tag)
	if err != nil {
		return Image{}, fmt.Errorf("image %s: %w", tag, err)
	}
	return found, nil
}
