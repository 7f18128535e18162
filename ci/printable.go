package ci

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zmqmatrix/zmqmatrix/results"
)

// printable is text with everything that a terminal could take for an order,
// or that would not stand where it seems to stand, written out: control
// characters (C0, C1, DEL), line and paragraph separators, the marks that turn
// the direction of writing, bytes that are no UTF-8, and what a log of GitHub's
// takes for an order. Whatever came from a
// client, an image's build or a record goes through it before a person sees it.
func printable(text string) string {
	clean := func(r rune) bool { return r != utf8.RuneError && unicode.IsPrint(r) }
	if strings.IndexFunc(text, func(r rune) bool { return !clean(r) }) < 0 {
		return results.Disarmed(text)
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, text[i])
		case clean(r):
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\t':
			out.WriteString(`\t`)
		case r < 0x100:
			fmt.Fprintf(&out, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			fmt.Fprintf(&out, `\U%08x`, r)
		}
		i += size
	}
	return results.Disarmed(out.String())
}

// printableLines is printable for text of several lines: they stay lines, and
// tabs become spaces.
func printableLines(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = printable(strings.ReplaceAll(strings.TrimSuffix(line, "\r"), "\t", "    "))
	}
	return strings.Join(lines, "\n")
}

// mostLine bounds what is said of one event, in bytes: a client may give a
// reason of a megabyte, which the record has and no log needs.
const mostLine = 4000

// shortened is the start of a printable line.
func shortened(line string) string {
	if len(line) <= mostLine {
		return line
	}
	cut := mostLine
	for !utf8.RuneStart(line[cut]) {
		cut--
	}
	return fmt.Sprintf("%s… (%d bytes more)", line[:cut], len(line)-cut)
}
