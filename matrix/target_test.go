package matrix

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCauseFitsOnlyWhatItWasFoundFor(t *testing.T) {
	target := Target{Causes: []Cause{
		{Binding: "b", Feature: "callback/io-*", Technique: "plain", Outcomes: []Outcome{Crash, Flaky}, Text: "first"},
		{Binding: "b", Feature: "callback/*", Technique: "*", Outcomes: []Outcome{Crash}, Text: "second"},
		{Binding: "b", Feature: "binding/loads", Technique: "*", Outcomes: []Outcome{Fail}, Text: "does not load"},
	}}
	for name, test := range map[string]struct {
		verdict Verdict
		want    string
	}{
		"fits":                 {Verdict{Cell: Cell{Binding: "b", Feature: "callback/io-thread", Technique: "plain"}, Outcome: Flaky}, "first"},
		"the first that fits":  {Verdict{Cell: Cell{Binding: "b", Feature: "callback/io-thread", Technique: "mended"}, Outcome: Crash}, "second"},
		"another outcome":      {Verdict{Cell: Cell{Binding: "b", Feature: "callback/io-thread", Technique: "plain"}, Outcome: Hang}, ""},
		"a pass has none":      {Verdict{Cell: Cell{Binding: "b", Feature: "callback/io-thread", Technique: "plain"}, Outcome: Pass}, ""},
		"the probe's fault":    {Verdict{Cell: Cell{Binding: "b", Feature: "callback/io-thread", Technique: "plain"}, Outcome: Crash, Layer: LayerProbe}, ""},
		"not loaded":           {Verdict{Cell: Cell{Binding: "b", Feature: "callback/io-thread", Technique: "plain"}, Outcome: Crash, Reason: "b does not load: no package"}, ""},
		"why it is not loaded": {Verdict{Cell: Cell{Binding: "b", Feature: "callback/io-thread", Technique: "plain"}, Outcome: Fail, Reason: "b does not load: no package"}, "does not load"},
		"loaded with warnings": {Verdict{Cell: Cell{Binding: "b", Feature: "binding/loads", Technique: "plain"}, Outcome: Fail, Reason: "3 warnings"}, ""},
		"another binding":      {Verdict{Cell: Cell{Binding: "c", Feature: "callback/io-thread", Technique: "plain"}, Outcome: Crash}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cause := target.CauseOf(test.verdict)
			if test.want == "" {
				assert.Nil(t, cause)
				return
			}
			assert.Equal(t, test.want, cause.Text)
		})
	}
}
