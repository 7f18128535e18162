package matrix

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const helloLine = `{"type":"hello","protocol":1,"implementation":"X","version":"1","binding":"b","binding_version":"","libzmq":"4.3.4","threads":true,"pid":7,"seed":"1","collector":"none"}` + "\n"

func TestParseReport(t *testing.T) {
	const done = `{"type":"done"}` + "\n"
	for name, test := range map[string]struct {
		stdout    string
		lost      int64
		violation string // start of it; empty for none
		closing   string
	}{
		"nothing is no violation":          {stdout: ""},
		"a whole report":                   {stdout: helloLine + `{"type":"step","text":"x"}` + "\n" + `{"type":"observe","key":"k","value":3,"unit":"count"}` + "\n" + done, closing: "done"},
		"garbage":                          {stdout: "\x00\x01\xff\n", violation: `line 1: not a JSON object: "\x00\x01\xff"`},
		"words":                            {stdout: "hello\n", violation: `line 1: not a JSON object`},
		"an answer before hello":           {stdout: done, violation: `line 1: the first line is of type "done", not "hello"`},
		"another protocol version":         {stdout: strings.Replace(helloLine, `"protocol":1`, `"protocol":2`, 1), violation: "line 1: protocol version 2; this zmqmatrix speaks 1: rebuild the probe's image"},
		"an unknown key":                   {stdout: helloLine + `{"type":"step","text":"x","colour":"red"}` + "\n", violation: `line 2: unknown key "colour"`},
		"a missing key":                    {stdout: helloLine + `{"type":"observe","key":"k","value":3}` + "\n", violation: `line 2: observation "k": key "unit" is missing`},
		"a key twice":                      {stdout: helloLine + `{"type":"step","text":"x","text":"y"}` + "\n", violation: `line 2: not a JSON object: jsontext: duplicate object member name "text"`},
		"a wrong type":                     {stdout: helloLine + `{"type":"step","text":5}` + "\n", violation: `line 2: value of "text": want a string`},
		"a fraction":                       {stdout: helloLine + `{"type":"observe","key":"k","value":3.5,"unit":"count"}` + "\n", violation: `line 2: observation "k": value of "value": not a whole number of 64 bits`},
		"a list as value":                  {stdout: helloLine + `{"type":"observe","key":"k","value":[3],"unit":"count"}` + "\n", violation: `line 2: value of "value": want a string, a whole`},
		"null":                             {stdout: helloLine + `{"type":"observe","key":"k","value":null,"unit":"count"}` + "\n", violation: `line 2: value of "value": want a string, a whole number or a boolean`},
		"a key observed twice":             {stdout: helloLine + strings.Repeat(`{"type":"observe","key":"k","value":3,"unit":"count"}`+"\n", 2), violation: `line 3: key "k" is observed a second time`},
		"something after the closing":      {stdout: helloLine + done + done, violation: `line 3: a line after "done"`, closing: "done"},
		"a second hello":                   {stdout: helloLine + helloLine, violation: "line 2: a second hello"},
		"half a line":                      {stdout: helloLine + `{"type":"do`, violation: "line 2: the line does not end: output stops in the middle of it"},
		"cut output":                       {stdout: helloLine + `{"type":"step","text":"xxxxxxxx`, lost: 1 << 30, violation: "line 2: the output went on for 1073741824 bytes more than are kept"},
		"too many lines":                   {stdout: helloLine + strings.Repeat(`{"type":"step","text":"x"}`+"\n", 5000), violation: "line 4097: more than 4096 lines"},
		"an unknown collector":             {stdout: strings.Replace(helloLine, `"none"`, `"sometimes"`, 1), violation: `line 1: collector "sometimes"`},
		"unsupported without its reason":   {stdout: helloLine + `{"type":"unsupported"}` + "\n", violation: `line 2: key "reason" is missing`},
		"failed with reason and condition": {stdout: helloLine + `{"type":"failed","reason":"r","condition":"c"}` + "\n", closing: "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			report := ParseReport([]byte(test.stdout), test.lost)
			if test.violation == "" {
				assert.Empty(t, report.Violation)
			} else {
				assert.Contains(t, report.Violation, test.violation)
				assert.Less(t, len(report.Violation), 1000)
			}
			assert.Equal(t, test.closing, report.Closing.Type)
		})
	}
}

// FuzzParseReport: whatever a probe prints, its report is bounded by it, holds
// to the protocol as far as it goes, survives a record, and says what was wrong
// in words that harm nobody who reads them.
func FuzzParseReport(f *testing.F) {
	for _, stdout := range []string{
		helloLine + `{"type":"done"}` + "\n",
		helloLine + `{"type":"step","text":"\u001b[2J\u202e"}` + "\n" + `{"type":"observe","key":"k","value":-0,"unit":"count"}` + "\n" + `{"type":"failed","reason":"r","condition":""}` + "\n",
		helloLine + `{"type":"observe","key":"k","value":true,"unit":"flag"}` + "\n" + `{"type":"unsupported","reason":"none"}` + "\n",
		helloLine + `{"type":"step","text":"","\u202e\u001b":1,"\u202e\u001b":2}` + "\n",
		helloLine + `{"type":"step","text":"","` + strings.Repeat("long", 1000) + `":1}` + "\n",
		helloLine + `{"type":"step","text":"","` + strings.Repeat("\u202e", 1000) + `":[]}` + "\n",
		helloLine + "{\"type\":\"step\",\"text\":\"\",\"\u202e\":1,\"\u202e\":2}\n", "{\"\u202e\"\n", "{\"\u202e\":\u202e}\n",
		helloLine + `{"type":"step","text":"` + strings.Repeat("\u009b", 1000) + `","text":""}` + "\n",
		"{\"type\":\"hello\",\"type\":1}\n", "{\"type\":\"\u202e\"}\n", "null\n", "[1]\n", "",
	} {
		f.Add([]byte(stdout), int64(0))
	}
	f.Add([]byte(helloLine), int64(1))
	f.Fuzz(func(t *testing.T, stdout []byte, lost int64) {
		report := ParseReport(stdout, lost)
		require.Equal(t, report, ParseReport(stdout, lost), "the same each time")
		assert.LessOrEqual(t, len(report.Violation), 2000)
		for _, r := range report.Violation {
			assert.True(t, unicode.IsPrint(r), "%U in the violation %q", r, report.Violation)
		}
		assert.True(t, lost <= 0 || report.Violation != "", "nobody says that output is lost")

		written := len(report.Closing.Reason) + len(report.Closing.Condition)
		for _, step := range report.Steps {
			written += len(step)
		}
		keys := map[string]bool{}
		for _, observation := range report.Observations {
			written += len(observation.Key) + len(observation.Unit) + len(fmt.Sprint(observation.Value))
			assert.False(t, keys[observation.Key], "%q is observed twice", observation.Key)
			keys[observation.Key] = true
			switch value := observation.Value.(type) {
			case string, bool:
			case json.Number:
				_, err := value.Int64()
				assert.NoError(t, err)
			default:
				assert.Fail(t, "a value of another type", "%T", value)
			}
		}
		// A replacement character has three bytes, for one that is no UTF-8.
		assert.LessOrEqual(t, written, 3*len(stdout))
		assert.True(t, report.Hello != nil || report.Closing.Type == "" && written == 0, "something said by nobody")

		recorded, err := json.Marshal(report)
		require.NoError(t, err)
		var read Report
		require.NoError(t, json.Unmarshal(recorded, &read))
		assert.Equal(t, report, read, "what was recorded")

		report.Violation = ""
		assert.Equal(t, report, ParseReport(printed(t, report), 0), "what was taken, printed again")
	})
}

// printed is the report as a probe prints it.
func printed(t *testing.T, report Report) []byte {
	t.Helper()
	var stdout []byte
	line := func(kind string, value any) {
		encoded, err := json.Marshal(value)
		require.NoError(t, err)
		rest := strings.TrimPrefix(string(encoded), "{")
		if rest != "}" {
			rest = "," + rest
		}
		stdout = fmt.Appendf(stdout, "{%q:%q%s\n", "type", kind, rest)
	}
	if report.Hello != nil {
		line("hello", report.Hello)
	}
	// An observation is no step, whichever came first.
	for _, step := range report.Steps {
		line("step", map[string]string{"text": step})
	}
	for _, observation := range report.Observations {
		line("observe", observation)
	}
	switch closing := report.Closing; closing.Type {
	case ClosingDone:
		line(closing.Type, struct{}{})
	case ClosingUnsupported:
		line(closing.Type, map[string]string{"reason": closing.Reason})
	case ClosingFailed:
		line(closing.Type, map[string]string{"reason": closing.Reason, "condition": closing.Condition})
	}
	return stdout
}

// FuzzParseCell: what is a cell's name is that cell's, and no other's.
func FuzzParseCell(f *testing.F) {
	for _, text := range []string{"sbcl@bookworm/cffi/zero-copy/callback-free/plain", "a/b/c/d", "a/b/../d/e", "a/b/c/..", "////", "a/b/c/d/e/f", "\x1b/\u202e/\xff/d", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cell, err := ParseCell(text)
		if err != nil {
			for _, r := range err.Error() {
				assert.True(t, unicode.IsPrint(r), "%U in the error %q", r, err)
			}
			return
		}
		assert.Equal(t, text, strings.TrimSuffix(cell.String(), "/"))
		if cell.Technique != "" {
			again, err := ParseCell(cell.String())
			require.NoError(t, err)
			assert.Equal(t, cell, again)
		}
	})
}
