package matrix

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const helloLine = `{"type":"hello","protocol":1,"implementation":"X","version":"1","binding":"b","binding_version":"","libzmq":"4.3.4","threads":true,"pid":7,"collector":"none"}` + "\n"

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

func FuzzParseReport(f *testing.F) {
	f.Add([]byte(helloLine+`{"type":"done"}`+"\n"), int64(0))
	f.Add([]byte("{\"type\":\"hello\",\"type\":1}\n"), int64(1))
	f.Add([]byte("null\n"), int64(0))
	f.Add([]byte("[1]\n"), int64(0))
	f.Fuzz(func(t *testing.T, stdout []byte, lost int64) {
		report := ParseReport(stdout, lost)
		if report.Closing.Type != "" && report.Hello == nil {
			t.Error("closed without a hello")
		}
		for _, r := range report.Violation {
			if r < 0x20 || r == 0x7f {
				t.Errorf("a control character in the violation: %q", report.Violation)
			}
		}
	})
}
