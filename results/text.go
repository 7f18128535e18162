package results

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// bounded is the start of a client's text, valid and at most so many bytes of
// it, and says how much is missing.
func bounded(text string, most int) string {
	if len(text) <= most {
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	cut := most
	for range utf8.UTFMax - 1 {
		if cut == 0 || utf8.RuneStart(text[cut]) {
			break
		}
		cut--
	}
	return fmt.Sprintf("%s… (%d bytes more)", strings.ToValidUTF8(text[:cut], "\uFFFD"), len(text)-cut)
}

// boundedTail is bounded's counterpart for text whose end matters.
func boundedTail(text string, most int) string {
	if len(text) <= most {
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	cut := len(text) - most
	for range utf8.UTFMax - 1 {
		if cut == len(text) || utf8.RuneStart(text[cut]) {
			break
		}
		cut++
	}
	return fmt.Sprintf("(%d bytes before) …%s", cut, strings.ToValidUTF8(text[cut:], "\uFFFD"))
}

// visible is text on one line in which every character shows itself: what
// would move the cursor, turn the direction of writing, or not be seen at all
// stands as an escape, such as \x1b. White space becomes a blank.
func visible(text string) string {
	return strings.Join(strings.Fields(visibleLines(text)), " ")
}

// Shown is the start of a stranger's text, at most so many bytes of it, on one
// line in which every character shows itself.
func Shown(text string, most int) string { return bounded(visible(text), most) }

// visibleLines is visible for text of several lines: it keeps line feeds, tabs
// and blanks.
func visibleLines(text string) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\r\n", "\n"), "\uFFFD")
	if strings.IndexFunc(text, hidden) < 0 {
		return Disarmed(text)
	}
	var builder strings.Builder
	for _, r := range text {
		if hidden(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			builder.WriteString(quoted[1 : len(quoted)-1])
		} else {
			builder.WriteRune(r)
		}
	}
	return Disarmed(builder.String())
}

// workflowCommand is what GitHub's runner takes for an order where it is printed
// in a job's log (actions/runner, ActionCommand.cs): "::" where a line begins,
// behind blanks too, and "##[" anywhere. A renderer may break a line at any
// blank.
var workflowCommand = regexp.MustCompile(`(^|\s)::|##\[`)

// Disarmed is text with the last character of what begins a workflow command
// as an escape.
func Disarmed(text string) string {
	if !strings.Contains(text, "::") && !strings.Contains(text, "##[") {
		return text
	}
	return workflowCommand.ReplaceAllStringFunc(text, func(start string) string {
		last := len(start) - 1
		return fmt.Sprintf(`%s\x%02x`, start[:last], start[last])
	})
}

func hidden(r rune) bool {
	return !unicode.IsPrint(r) && r != '\n' && r != '\t'
}

// stopped is a reason with a full stop.
func stopped(text string) string {
	text = visible(text)
	if text == "" || strings.HasSuffix(text, ".") || strings.HasSuffix(text, "!") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

// sentence is text as a sentence of its own.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + stopped(text[size:])
}

// ShellWord is text as one word of a POSIX shell.
func ShellWord(text string) string {
	plain := func(r rune) bool {
		return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("@%+=:,./_-", r))
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// byteSize is a size for people, in binary units.
func byteSize(size int64) string {
	if size < 1<<10 {
		return fmt.Sprintf("%d B", size)
	}
	value, unit := float64(size)/(1<<10), "KiB"
	for _, larger := range []string{"MiB", "GiB", "TiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, larger
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// milliseconds is a time for people.
func milliseconds(ms float64) string {
	switch {
	case ms >= 10_000:
		return fmt.Sprintf("%.1f s", ms/1000)
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f ms", ms)
}

// inMilliseconds rounds to a microsecond, so that the published number is
// short.
func inMilliseconds(duration time.Duration) float64 {
	return float64(duration.Round(time.Microsecond)/time.Microsecond) / 1000
}

// plural is "1 cell", "2 cells".
func plural(count int, word string) string {
	if count == 1 {
		return "1 " + word
	}
	return strconv.Itoa(count) + " " + word + "s"
}
