package results

import (
	"slices"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// Summary is what a client comes to: as a whole, in a group, or in one feature.
type Summary struct {
	Client Client
	// Of is the group or the feature, "" for all features.
	Of string
	// Passes of Said features pass by their best technique; of one feature it is
	// one at most. Nothing was said of a client that was not run.
	Passes, Said int
	// Outcome is that of all features that said something, "" where they don't
	// agree; NotRun if nothing was said.
	Outcome matrix.Outcome
	// Text is "6/6", "4/6 (2 crash)", "pass, with unblock-signals", "not-run".
	Text string
}

// Summaries lists what every client comes to: first as a whole, then in each
// group, then in each feature, in the order of the results.
func Summaries(published Published) []Summary {
	v := viewOf(published)
	var all []Summary
	for _, client := range published.Targets {
		all = append(all, v.summaries(client)...)
	}
	return all
}

// summaries are one client's.
func (v view) summaries(client Client) []Summary {
	whole := tally{others: map[matrix.Outcome]int{}}
	var groups, features []Summary
	for _, group := range v.groups {
		tally := v.tally(client, group)
		groups = append(groups, tally.summary(client, group))
		whole.passes, whole.said = whole.passes+tally.passes, whole.said+tally.said
		for outcome, count := range tally.others {
			whole.others[outcome] += count
		}
	}
	for _, feature := range v.Features {
		summary := Summary{Client: client, Of: feature.Name, Outcome: matrix.NotRun, Text: string(matrix.NotRun)}
		if best, ok := v.best(client, feature.Name); ok {
			summary.Outcome, summary.Text = best.Outcome, visible(label(best, visible))
			if best.Outcome == matrix.Pass {
				summary.Passes = 1
			}
			if best.Outcome == matrix.Pass || best.Outcome.Red() {
				summary.Said = 1
			}
		}
		features = append(features, summary)
	}
	return slices.Concat([]Summary{whole.summary(client, "")}, groups, features)
}

func (t tally) summary(client Client, of string) Summary {
	summary := Summary{Client: client, Of: of, Passes: t.passes, Said: t.said, Text: t.String()}
	switch {
	case t.said == 0:
		summary.Outcome = matrix.NotRun
	case t.passes == t.said:
		summary.Outcome = matrix.Pass
	default:
		for outcome, count := range t.others {
			if outcome.Red() && count == t.said {
				summary.Outcome = outcome
			}
		}
	}
	return summary
}
