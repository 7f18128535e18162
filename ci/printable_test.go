package ci

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPrintable(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"ordinary text stays":                  {"größe 1 → 2, 名前", "größe 1 → 2, 名前"},
		"an escape sequence is written out":    {"\x1b[2Jgone", `\x1b[2Jgone`},
		"a C1 control is written out":          {"\u009b2J", `\x9b2J`},
		"a carriage return is written out":     {"pass\rfail", `pass\x0dfail`},
		"a new line is written out":            {"a\nb\tc", `a\nb\tc`},
		"a direction override is written out":  {"a\u202eb", `a\u202eb`},
		"an octet that is no UTF-8 is written": {"a\xffb", `a\xffb`},
		"a tag character is written out":       {"\U000e0041", `\U000e0041`},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, printable(test.text)) })
	}
}

func TestPrintableLinesKeepsLinesAndNothingElse(t *testing.T) {
	assert.Equal(t, "a    b\n\\x1b[31mc", printableLines("a\tb\r\n\x1b[31mc\n"))
}
