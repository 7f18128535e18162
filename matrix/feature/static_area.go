package feature

import (
	"fmt"
	"time"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

const sourceStatic = "the 2010 account of cl-zmq's author: the collector moves the bytes under libzmq's feet unless they lie in a static area"

// releaseBoundMiB is how much the resident size may grow while ten thousand
// arrays of 1 MiB are made and released: far above what a lazy collector keeps
// back, far below the ten thousand that a leak would show.
const releaseBoundMiB = 256

// staticAreas is the group static-area/*.
func staticAreas() []matrix.Feature {
	return []matrix.Feature{
		{
			Name:        "static-area/address-stable",
			Requirement: "Octet arrays of 1 KiB, 64 KiB and 16 MiB that are first-class arrays of the language keep address and content over full GCs with heap churn.",
			Source:      sourceStatic,
			Method:      "C compares the bytes at the address from before with the pattern after the GCs, the language compares the array's elements, a store by the language is seen by C; an ordinary array beside them shows whether the collector moves at all.",
			Attempts:    severalAttempts,
			Version:     1,
			Params:      map[string]string{"sizes": "1024,65536,16777216", "ordinary": "1024", "gcs": "5"},
			Wall:        30 * time.Second,
			Judge:       judgeAddressStable,
		},
		{
			Name:        "static-area/shared-view",
			Requirement: "C reads what the client wrote into such an array and the client reads what C wrote, in place, with GCs between.",
			Source:      sourceStatic,
			Method:      "Four rounds in each direction over 64 KiB, every octet compared.",
			Version:     1,
			Params:      map[string]string{"size": "65536", "rounds": "4"},
			Wall:        20 * time.Second,
			Judge:       judgeSharedView,
		},
		{
			Name:        "static-area/release",
			Requirement: "Ten thousand arrays of 1 MiB in non-moving memory are made and released in bounded memory.",
			Source:      sourceStatic,
			Method:      "C writes every octet; the warden's account of the peak resident size may not grow by more than 256 MiB.",
			Version:     1,
			Params:      map[string]string{"count": "10000", "size": "1048576"},
			Wall:        90 * time.Second,
			Judge:       judgeRelease,
		},
		{
			Name:        "static-area/pin",
			Requirement: "An ordinary array pinned for a dynamic extent keeps its address and content while full GCs run in the extent.",
			Source:      "the implementation's manual (for example SBCL: sb-sys:with-pinned-objects; Go: runtime.Pinner)",
			Method:      "C compares the bytes at the address from before with the pattern after each GC; the same kind of array without pinning shows whether it would have moved.",
			Attempts:    severalAttempts,
			Version:     1,
			Params:      map[string]string{"size": "1024", "gcs": "5"},
			Wall:        20 * time.Second,
			Judge:       judgePin,
		},
	}
}

func judgeAddressStable(evidence matrix.Evidence) matrix.Finding {
	f := read(evidence)
	for _, size := range f.paramList("sizes") {
		key := func(name string) string { return fmt.Sprintf("array.%d.%s", size, name) }
		f.require(f.flag(key("first-class")), "what holds %d octets is not a first-class array of the language", size)
		before, after := f.address(key("address-before")), f.address(key("address-after"))
		f.require(before == after, "the array of %d octets moved from %#x to %#x", size, before, after)
		f.none(key("mismatches"), fmt.Sprintf("octets that C found changed in the array of %d", size))
		f.none(key("array-mismatches"), fmt.Sprintf("octets that the language found changed in the array of %d", size))
		f.require(f.flag(key("write-seen")), "C does not see what the language stores into the array of %d octets", size)
	}
	f.collected("gc.count", f.param("gcs"))
	f.ordinary("ordinary.moved", f.param("gcs"))
	return f.finding()
}

// ordinary notes what became of an ordinary object beside the one that must
// stay: if it stayed too, the pass says less than it seems to.
func (f *facts) ordinary(key string, collections int64) {
	moved := f.count(key)
	f.wellFormed(moved >= 0 && moved <= collections, "%s is %d of %d collections", key, moved, collections)
	if f.Report.Hello == nil {
		return
	}
	switch collector := f.Report.Hello.Collector; {
	case collector == "moving" && moved == 0:
		f.note("an ordinary array did not move in %d full GCs either", collections)
	case collector != "moving" && moved > 0:
		f.wellFormed(false, "the client says that its collector is %s, but an ordinary array moved", collector)
	case collector == "non-moving":
		f.note("the collector never moves an array")
	}
}

func judgeSharedView(evidence matrix.Evidence) matrix.Finding {
	f := read(evidence)
	f.require(f.flag("array.first-class"), "what holds the octets is not a first-class array of the language")
	f.none("c.mismatches", "octets that C read otherwise than the client wrote them")
	f.none("client.mismatches", "octets that the client read otherwise than C wrote them")
	f.collected("gc.count", 2*f.param("rounds"))
	return f.finding()
}

func judgeRelease(evidence matrix.Evidence) matrix.Finding {
	f := read(evidence)
	count := f.param("count")
	f.equal("allocated", count, "arrays made")
	f.equal("released", count, "arrays released")
	f.none("wrong", "arrays in which the client did not read what C wrote")
	f.boundedMemory(releaseBoundMiB)
	return f.finding()
}

// boundedMemory requires the warden's account of the resident size to stay
// within so many MiB of what it was when the probe said hello.
func (f *facts) boundedMemory(mebibytes int64) {
	f.exercised(f.Account.PeakRSS > 0 && f.Account.BaselineRSS > 0, "the warden has no account of the resident size")
	f.exercised(f.Account.PeakRSS >= f.Account.BaselineRSS, "the warden saw a resident size of %d octets at hello, and of %d at most", f.Account.BaselineRSS, f.Account.PeakRSS)
	grown := (f.Account.PeakRSS - f.Account.BaselineRSS) >> 20
	f.require(grown <= mebibytes, "the resident size grew by %d MiB, more than %d", grown, mebibytes)
}

func judgePin(evidence matrix.Evidence) matrix.Finding {
	f := read(evidence)
	before, after := f.address("pinned.address-before"), f.address("pinned.address-after")
	f.require(before == after, "the pinned array moved from %#x to %#x", before, after)
	f.none("mismatches", "octets that C found changed at the pinned array's address")
	f.collected("gc.count", f.param("gcs"))
	f.ordinary("unpinned.moved", f.param("gcs"))
	return f.finding()
}
