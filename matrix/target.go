package matrix

import (
	"path"
	"slices"
	"strings"
)

// Target is one implementation as its target.yaml describes it. The package
// targets reads and checks that file; see matrix/schema/target.json.
type Target struct {
	Schema     string              `json:"schema"` // "zmqmatrix/target/v1"
	Name       string              `json:"name"`   // "sbcl"
	Title      string              `json:"title"`  // "Steel Bank Common Lisp"
	Homepage   string              `json:"homepage"`
	Family     string              `json:"family"` // "common-lisp", "c", "go"
	Licence    string              `json:"licence"`
	Role       string              `json:"role,omitempty"` // of a control; else empty
	Variants   []Variant           `json:"variants"`
	Image      Image               `json:"image"`
	Local      Local               `json:"local"`
	Bindings   []Binding           `json:"bindings"`
	Techniques map[string][]string `json:"techniques"` // feature glob → techniques, in order of preference
	Limits     Limits              `json:"limits"`
	Needs      *Needs              `json:"needs,omitempty"`
	Version    []string            `json:"version"` // command that prints the version, {dir} as in Binding.Command
	Causes     []Cause             `json:"causes,omitempty"`
	// Expect are a negative control's cells, and what each must come to; other
	// targets have none.
	Expect []Expectation `json:"expect,omitempty"`
}

// Expectation is what a cell of a negative control must come to: each part that
// is given, and the signal in any case, for a crash of another kind would be
// another verdict.
type Expectation struct {
	Binding   string  `json:"binding"`
	Feature   string  `json:"feature"`
	Technique string  `json:"technique"` // how it misbehaves
	Outcome   Outcome `json:"outcome"`
	Signal    string  `json:"signal,omitempty"`
	Layer     Layer   `json:"layer,omitempty"`
	Reason    string  `json:"reason,omitempty"` // regular expression (package regexp) that the reason must match
	// WallSeconds replaces the feature's limit, for what never ends: 0 leaves it.
	WallSeconds int `json:"wall-seconds,omitempty"`
}

// Cause is why cells are red, as people found out from sources, backtraces and
// trials. It is shown beside a measured verdict that it fits and has no part in
// any: a cell that turns green loses it by itself.
type Cause struct {
	Binding   string    `json:"binding"`
	Feature   string    `json:"feature"`   // glob
	Technique string    `json:"technique"` // glob
	Outcomes  []Outcome `json:"outcomes"`
	Text      string    `json:"text"`   // one or two sentences
	Source    string    `json:"source"` // what it rests on: a file and function of a version, a trial
}

// SharedCauses is a causes.yaml: causes of bindings that several targets have,
// in a folder that their images include.
type SharedCauses struct {
	Schema string  `json:"schema"` // "zmqmatrix/causes/v1"
	Causes []Cause `json:"causes"`
}

// causeOfLoading is the feature of causes why a binding does not load. It fails all
// others by that, and nothing else.
const causeOfLoading = "binding/loads"

// CauseOf is the first cause that fits the red verdict, or nil. None fits what is
// the probe's fault.
func (t Target) CauseOf(verdict Verdict) *Cause {
	if verdict.Layer == LayerProbe {
		return nil
	}
	loaded := !strings.Contains(verdict.Reason, verdict.Binding+" does not load: ")
	for i, cause := range t.Causes {
		featureFits := cause.Feature == causeOfLoading
		if loaded {
			matches, _ := path.Match(cause.Feature, verdict.Feature)
			featureFits = matches && !featureFits
		}
		techniqueFits, _ := path.Match(cause.Technique, verdict.Technique)
		if featureFits && techniqueFits && cause.Binding == verdict.Binding && slices.Contains(cause.Outcomes, verdict.Outcome) {
			return &t.Causes[i]
		}
	}
	return nil
}

// The roles of controls: the target that must pass everything it should, and
// those that misbehave on purpose and must each get their known outcomes.
const (
	RolePositiveControl = "positive-control"
	RoleNegativeControl = "negative-control"
)

// Variant is one version of a target: a Debian suite and what it installs.
type Variant struct {
	Name     string            `json:"name"`     // "bookworm"; the target is then "sbcl@bookworm"
	Suite    string            `json:"suite"`    // Debian suite of the base image
	Packages []string          `json:"packages"` // what the suite packages of the implementation
	Args     map[string]string `json:"args,omitempty"`
	Default  bool              `json:"default,omitempty"` // measured unless another is named
	// Archive replaces the image's for this variant where it is given.
	Archive *Archive `json:"archive,omitempty"`
}

// Archive is an upstream release file that a target is made from.
type Archive struct {
	URL    string `json:"url"`
	SHA256 string `json:"sha256"` // in hex
}

// ArchiveOf is the release file that the variant is made from, or nil.
func (t Target) ArchiveOf(variant Variant) *Archive {
	if variant.Archive != nil {
		return variant.Archive
	}
	return t.Image.Archive
}

// Image says how a target's container image comes to be.
type Image struct {
	Dockerfile string `json:"dockerfile"` // in the target's folder
	// Builder is a Dockerfile, in the target's folder, of the image in which the
	// script of Local.Build runs, with what the target needs granted, for an
	// implementation that does not run in an engine's builder. The script's
	// output is below built/ in the context of Dockerfile.
	Builder  string            `json:"builder,omitempty"`
	Include  []string          `json:"include,omitempty"`  // further folders of the module put into the build context
	Go       map[string]string `json:"go,omitempty"`       // file in the context's bin/ → Go package, built with cgo in the variant's suite
	Supplied string            `json:"supplied,omitempty"` // why and how the user must supply the image; empty if the project builds it
	Archive  *Archive          `json:"archive,omitempty"`  // upstream release that the target is made from, in the build context as `archive`
}

// Local says how a target runs on the host.
type Local struct {
	Requires []string `json:"requires"` // commands that must be on the PATH, absolute paths that must be there
	Packages []string `json:"packages"` // Debian packages that bring them
	Build    string   `json:"build"`    // script in the target's folder: sh SCRIPT OUTPUT-DIR, run in the module's root
	// Supplied says how the user comes by the commands where no package brings
	// them all.
	Supplied string `json:"supplied,omitempty"`
}

// Binding is a library inside a target that reaches ZeroMQ.
type Binding struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Raw     bool     `json:"raw,omitempty"`     // the thinnest layer: what breaks here is the runtime, not a binding
	Command []string `json:"command"`           // the probe's argument vector; {dir} is where the target was installed
	Witness string   `json:"witness,omitempty"` // the witness library to preload for features that ask for it
	// System is the name under which a binding that comes from elsewhere is
	// loaded (its ASDF system); empty for the project's own. Such a binding's
	// client has an image, or an installation, of its own.
	System string `json:"system,omitempty"`
	// Techniques replaces the target's for this binding where it is given.
	Techniques map[string][]string `json:"techniques,omitempty"`
}

// Needs are what the environment must grant a target beyond the default
// hardening. A runtime that can't grant them refuses to prepare the client.
type Needs struct {
	// Personality lists further values that the personality system call must
	// take (personality(2)); docker's default seccomp profile allows five.
	Personality []uint32 `json:"personality"`
	Reason      string   `json:"reason"` // why the implementation does not run without
}

// Own is the name of the binding that the target's shared image is built with:
// the raw one of the project's own, or else their first.
func (t Target) Own() string {
	own := ""
	for _, binding := range t.Bindings {
		switch {
		case binding.System != "":
		case binding.Raw:
			return binding.Name
		case own == "":
			own = binding.Name
		}
	}
	return own
}

// Limits bound a probe.
type Limits struct {
	MemoryMiB  int     `json:"memory-mib"`
	Processes  int     `json:"processes"`
	TimeFactor float64 `json:"time-factor"` // how much longer than the feature's own limit this target may take
}
