package matrix

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"
)

// introduction stands among the features of a client for its negative probe.
const introduction = ""

// NegativeProbe tells whether the cell stands for a client's negative probe, by
// whatever name.
func (c Cell) NegativeProbe() bool { return c.Feature == introduction }

// negativeProbe is the feature of this name, which no client can know: asked for
// it, a client tells who it is, and whether its "unsupported" can be believed.
func negativeProbe(name string) Feature {
	return Feature{Name: name, Wall: 30 * time.Second, Judge: func(Evidence) Finding { return saidDone }}
}

// saidDone is the finding on a client that said so.
var saidDone = Finding{Outcome: Fail, Reason: "said done of a feature that does not exist"}

// introductionOf is the cell of a client's negative probe, and what its attempts
// are found by, whatever name it was given.
func (r *run) introductionOf(client *client) (Cell, string) {
	cell := Cell{Target: client.Client().Target, Binding: client.Binding.Name, Feature: introduction, Technique: "plain"}
	return cell, r.key(client.place.now.Digest(), client.PlannedClient, negativeProbe(introduction), cell)
}

// recall finds what the client answered to the negative probe when it was what it
// is now, if it answered the same each time. An answer that came out of a fault,
// such as a line that broke the report, is asked for again.
func (r *run) recall(client *client) error {
	if r.Prior == nil {
		return nil
	}
	earlier, err := r.Prior.Attempts(r.introductionOf(client))
	if err != nil {
		return fmt.Errorf("reading earlier answers of %s to the negative probe: %w", client.Client(), err)
	}
	var answers []Attempt
	for _, attempt := range earlier {
		if attempt.ReusedFrom == "" {
			client.asked++
		}
		attempt.Finding = concludeIntroduction(attempt.Evidence)
		if attempt.Finding.Outcome == Unsupported || attempt.Finding == saidDone {
			answers = append(answers, attempt)
		}
	}
	differs := func(attempt Attempt) bool { return knowsNot(attempt.Evidence) != knowsNot(answers[0].Evidence) }
	if len(answers) > 0 && !slices.ContainsFunc(answers, differs) {
		client.introduced = &answers[0]
	}
	return nil
}

// answered tells whether the client answered. One that died or was too slow gave no
// answer that could be distrusted.
func (a Attempt) answered() bool {
	return a.Finding.Outcome != Error && a.Finding.Outcome != Hang && a.Finding.Outcome != Crash
}

// introduce asks the client for a feature with a random name, unless an earlier
// run did, and notes in the account what its answers tell.
func (r *run) introduce(ctx context.Context, client *client, account *ClientAccount) error {
	if answer := client.introduced; answer != nil {
		account.Trusted, account.Distrust = answer.trust()
		account.Hello = answer.Evidence.Report.Hello
		if answer.ReusedFrom == "" {
			return nil
		}
		client.asked++
		answer.Number = client.asked
		return r.append(Line{Type: LineAttempt, Attempt: answer})
	}
	digest := sha256.Sum256(append(append(r.seedText(), "negative probe\x00"...), client.Client().String()...))
	cell, key := r.introductionOf(client)
	cell.Feature = fmt.Sprintf("zz%x/%x", digest[:3], digest[3:8])
	feature := negativeProbe(cell.Feature)
	bounds := r.bounds(client.PlannedClient, feature, cell)
	var attempt Attempt
	for range errorAttempts {
		wanted := claim{urgency: r.urgency(client.PlannedClient), share: wholeCore, alone: attempt.Finding.Outcome == Hang}
		err := client.turn.next(ctx, wanted)
		if err != nil {
			return err
		}
		client.asked++
		if attempt, err = r.attempt(ctx, client, feature, bounds, Attempt{Number: client.asked, Key: key, Evidence: Evidence{Cell: cell}}, true); err != nil {
			return err
		}
		attempt.Finding = concludeIntroduction(attempt.Evidence)
		if err := r.append(Line{Type: LineAttempt, Attempt: &attempt}); err != nil {
			return err
		}
		if attempt.answered() {
			break
		}
	}
	// Nothing stands under a raw client by which its fault could be told from its
	// probe's.
	mustStart := client.Binding.Raw && !client.negative()
	switch {
	case attempt.Finding.Outcome == Error:
		account.Error = "the negative probe: " + attempt.Finding.Reason
	case mustStart && attempt.Evidence.Report.Hello == nil:
		account.Error = "the probe does not start, and that may be its own fault: " + attempt.Finding.Reason
	default:
		account.Trusted, account.Distrust = attempt.trust()
	}
	account.Hello = attempt.Evidence.Report.Hello
	return nil
}

// concludeIntroduction is what an attempt of the negative probe shows: that the
// client says unsupported of what it can't know, as it must, or what it did instead.
func concludeIntroduction(evidence Evidence) Finding {
	finding := Conclude(negativeProbe(evidence.Cell.Feature), true, evidence)
	if knowsNot(evidence) && finding == unknownCell(evidence) {
		return Finding{Outcome: Unsupported, Reason: evidence.Report.Closing.Reason}
	}
	return finding
}

// knowsNot tells whether the client said that it does not know what it was asked
// for, which one that says unsupported of everything does not.
func knowsNot(evidence Evidence) bool {
	closing := evidence.Report.Closing
	return closing.Type == ClosingUnsupported && slices.Contains(unknown(evidence.Cell), closing.Reason)
}

// trust tells whether the client can be trusted by its answer to the negative
// probe, or why not.
func (a Attempt) trust() (trusted bool, distrust string) {
	cell, closing := a.Evidence.Cell, a.Evidence.Report.Closing
	switch {
	case knowsNot(a.Evidence):
		return true, ""
	case closing.Type == ClosingUnsupported:
		return false, fmt.Sprintf("asked for the feature %s, which does not exist, it said unsupported, but not with the reason %q: %s", cell.Feature, unknown(cell)[0], closing.Reason)
	}
	return false, fmt.Sprintf("asked for the feature %s, which does not exist: %s: %s", cell.Feature, a.Finding.Outcome, a.Finding.Reason)
}
