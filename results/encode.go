package results

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// appendLine appends a line as encoding/json would write it, without a newline.
// Attempts and verdicts, nearly all of a record, are written by hand: by
// reflection they would cost more than the write itself, and a run makes
// hundreds of thousands. TestLinesAreEncodedAsByEncodingJSON fails when a field
// of theirs is forgotten here.
func appendLine(b []byte, line matrix.Line) (_ []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("encoding a %s line: %w", line.Type, err)
		}
	}()
	switch {
	case line.Type == matrix.LineAttempt && line.Attempt != nil:
		b, err = appendAttempt(append(b, `{"type":"attempt","attempt":`...), line.Attempt)
		return append(b, '}'), err
	case line.Type == matrix.LineVerdict && line.Verdict != nil:
		return append(appendVerdict(append(b, `{"type":"verdict","verdict":`...), line.Verdict), '}'), nil
	}
	return appendJSON(b, line)
}

// appendJSON appends any value by reflection.
func appendJSON(b []byte, value any) ([]byte, error) {
	buffer := jsonBuffers.Get().(*jsonBuffer)
	defer jsonBuffers.Put(buffer)
	buffer.Reset()
	if err := buffer.encoder.Encode(value); err != nil {
		return b, err
	}
	return append(b, buffer.Bytes()[:buffer.Len()-1]...), nil
}

// putKey appends a key after what stands before it in its object.
func putKey(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(append(append(b, '"'), name...), `":`...)
}

func putText(b []byte, name, value string) []byte { return appendText(putKey(b, name), value) }

// putOptional is putText for a field that is left out when it is empty.
func putOptional[T ~string](b []byte, name string, value T) []byte {
	if value == "" {
		return b
	}
	return putText(b, name, string(value))
}

func putNumber[T ~int | ~int64](b []byte, name string, value T) []byte {
	return strconv.AppendInt(putKey(b, name), int64(value), 10)
}

func putOptionalNumber[T ~int | ~int64](b []byte, name string, value T) []byte {
	if value == 0 {
		return b
	}
	return putNumber(b, name, value)
}

func putUnsigned(b []byte, name string, value uint64) []byte {
	return strconv.AppendUint(putKey(b, name), value, 10)
}

func putFlag(b []byte, name string, value bool) []byte {
	return strconv.AppendBool(putKey(b, name), value)
}

// putList appends a list; a nil one is null.
func putList[T any](b []byte, name string, values []T, each func([]byte, T) []byte) []byte {
	b = putKey(b, name)
	if values == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = each(b, value)
	}
	return append(b, ']')
}

// putMapping appends a mapping in the order of its keys; a nil one is null.
func putMapping[K ~string, T any](b []byte, name string, values map[K]T, each func([]byte, T) []byte) []byte {
	b = putKey(b, name)
	if values == nil {
		return append(b, "null"...)
	}
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = each(append(appendText(b, string(name)), ':'), values[name])
	}
	return append(b, '}')
}

// appendText appends a string. What JSON must escape is left to encoding/json.
func appendText(b []byte, value string) []byte {
	for i := range len(value) {
		if c := value[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			b, _ = appendJSON(b, value) // a string can always be encoded
			return b
		}
	}
	return append(append(append(b, '"'), value...), '"')
}

func appendTime(b []byte, at time.Time) ([]byte, error) {
	b, err := at.AppendText(append(b, '"'))
	return append(b, '"'), err
}

func appendInt[T ~int | ~int64](b []byte, value T) []byte {
	return strconv.AppendInt(b, int64(value), 10)
}

func appendAttempt(b []byte, attempt *matrix.Attempt) ([]byte, error) {
	b = putNumber(append(b, '{'), "number", attempt.Number)
	b = putText(b, "key", attempt.Key)
	b, err := appendTime(putKey(b, "started"), attempt.Started)
	if err != nil {
		return b, err
	}
	b = putNumber(b, "duration", attempt.Duration)
	if attempt.Traced {
		b = putFlag(b, "traced", true)
	}
	if attempt.Shared {
		b = putFlag(b, "shared", true)
	}
	if attempt.HungAlone {
		b = putFlag(b, "hung_alone", true)
	}
	b = putOptional(b, "reused_from", attempt.ReusedFrom)
	if b, err = appendEvidence(putKey(b, "evidence"), &attempt.Evidence); err != nil {
		return b, err
	}
	b = putText(append(putKey(b, "finding"), '{'), "outcome", string(attempt.Finding.Outcome))
	b = putOptional(b, "reason", attempt.Finding.Reason)
	b = putOptional(b, "signal", attempt.Finding.Signal)
	b = putOptional(b, "layer", attempt.Finding.Layer)
	return append(b, "}}"...), nil
}

func appendCell(b []byte, cell matrix.Cell) []byte {
	b = putText(b, "target", cell.Target)
	b = putText(b, "binding", cell.Binding)
	b = putText(b, "feature", cell.Feature)
	return putText(b, "technique", cell.Technique)
}

func appendVerdict(b []byte, verdict *matrix.Verdict) []byte {
	b = appendCell(append(b, '{'), verdict.Cell)
	b = putText(b, "outcome", string(verdict.Outcome))
	b = putOptional(b, "reason", verdict.Reason)
	b = putOptional(b, "layer", verdict.Layer)
	b = putOptional(b, "signal", verdict.Signal)
	b = putNumber(b, "attempts", verdict.Attempts)
	b = putNumber(b, "passes", verdict.Passes)
	b = putOptionalNumber(b, "reused", verdict.Reused)
	b = putNumber(b, "slowest", verdict.Slowest)
	return append(b, '}')
}

func appendEvidence(b []byte, evidence *matrix.Evidence) ([]byte, error) {
	b = append(b, '{')
	b = append(appendCell(append(putKey(b, "cell"), '{'), evidence.Cell), '}')
	b = putUnsigned(b, "seed", evidence.Seed)
	b = putMapping(b, "params", evidence.Params, appendText)
	if len(evidence.Sockets) > 0 {
		b = putList(b, "sockets", evidence.Sockets, appendSocketSpec)
	}
	if lane := evidence.Lane; lane.ID != "" || lane.Endpoints != nil || lane.Curve != nil {
		b = putText(append(putKey(b, "lane"), '{'), "id", lane.ID)
		b = putMapping(b, "endpoints", lane.Endpoints, appendText)
		if lane.Curve != nil {
			b = putText(append(putKey(b, "curve"), '{'), "server", lane.Curve.Server)
			b = putText(b, "public", lane.Curve.Public)
			b = append(putText(b, "secret", lane.Curve.Secret), '}')
		}
		b = append(b, '}')
	}
	b, err := appendReport(putKey(b, "report"), &evidence.Report)
	if err != nil {
		return b, err
	}
	if evidence.Seen.Sockets != nil {
		b = append(putMapping(append(putKey(b, "seen"), '{'), "sockets", evidence.Seen.Sockets, appendSocketAccount), '}')
	}
	if b, err = appendAccount(putKey(b, "account"), &evidence.Account); err != nil {
		return b, err
	}
	return append(putOptional(b, "harness_error", evidence.HarnessError), '}'), nil
}

func appendSocketSpec(b []byte, socket matrix.SocketSpec) []byte {
	b = putText(append(b, '{'), "name", socket.Name)
	b = putText(b, "role", string(socket.Role))
	b = putUnsigned(b, "seed", socket.Seed)
	b = putNumber(b, "count", socket.Count)
	b = putList(b, "sizes", socket.Sizes, appendInt)
	b = putNumber(b, "parts", socket.Parts)
	if socket.Curve {
		b = putFlag(b, "curve", true)
	}
	return append(b, '}')
}

func appendSocketAccount(b []byte, account matrix.SocketAccount) []byte {
	b = putNumber(append(b, '{'), "received", account.Received)
	b = putNumber(b, "bytes", account.Bytes)
	b = putNumber(b, "sent", account.Sent)
	if len(account.Digests) > 0 {
		b = putList(b, "digests", account.Digests, appendText)
	}
	b = putText(b, "rolling", account.Rolling)
	if len(account.Topics) > 0 {
		b = putMapping(b, "topics", account.Topics, appendInt)
	}
	b = putNumber(b, "peers", account.Peers)
	if account.Curve != nil {
		b = putNumber(append(putKey(b, "curve"), '{'), "accepted", account.Curve.Accepted)
		if len(account.Curve.Refused) > 0 {
			b = putMapping(b, "refused", account.Curve.Refused, appendInt)
		}
		b = append(b, '}')
	}
	return append(putOptional(putOptional(b, "error", account.Error), "fault", account.Fault), '}')
}

func appendReport(b []byte, report *matrix.Report) ([]byte, error) {
	b = append(b, '{')
	var err error
	if report.Hello != nil {
		b = appendHello(putKey(b, "hello"), report.Hello)
	}
	if len(report.Steps) > 0 {
		b = putList(b, "steps", report.Steps, appendText)
	}
	if len(report.Observations) > 0 {
		b = putList(b, "observations", report.Observations, func(b []byte, observation matrix.Observation) []byte {
			b = putText(append(b, '{'), "key", observation.Key)
			b = putKey(b, "value")
			switch value := observation.Value.(type) {
			case string:
				b = appendText(b, value)
			case bool:
				b = strconv.AppendBool(b, value)
			default:
				var failed error
				if b, failed = appendJSON(b, value); failed != nil {
					err = failed
				}
			}
			return append(putText(b, "unit", observation.Unit), '}')
		})
	}
	if report.Closing != (matrix.Closing{}) {
		b = putText(append(putKey(b, "closing"), '{'), "type", report.Closing.Type)
		b = putOptional(b, "reason", report.Closing.Reason)
		b = append(putOptional(b, "condition", report.Closing.Condition), '}')
	}
	return append(putOptional(b, "violation", report.Violation), '}'), err
}

func appendHello(b []byte, hello *matrix.Hello) []byte {
	b = putNumber(append(b, '{'), "protocol", hello.Protocol)
	b = putText(b, "implementation", hello.Implementation)
	b = putText(b, "version", hello.Version)
	b = putText(b, "binding", hello.Binding)
	b = putText(b, "binding_version", hello.BindingVersion)
	b = putText(b, "libzmq", hello.Libzmq)
	b = putFlag(b, "threads", hello.Threads)
	b = putNumber(b, "pid", hello.PID)
	b = putText(b, "seed", hello.Seed)
	return append(putText(b, "collector", hello.Collector), '}')
}

func appendAccount(b []byte, account *matrix.Account) ([]byte, error) {
	b = putText(append(b, '{'), "ending", string(account.Ending))
	b = putNumber(b, "code", account.Code)
	b = putOptional(b, "signal", account.Signal)
	b = putNumber(b, "wall", account.Wall)
	b = putNumber(b, "user", account.User)
	b = putNumber(b, "system", account.System)
	b = putOptionalNumber(b, "supervision", account.Supervision)
	b = putNumber(b, "peak_rss", account.PeakRSS)
	b = putNumber(b, "baseline_rss", account.BaselineRSS)
	if len(account.Stderr) > 0 {
		b = append(base64.StdEncoding.AppendEncode(append(putKey(b, "stderr"), '"'), account.Stderr), '"')
	}
	b = putOptionalNumber(b, "stdout_lost", account.StdoutLost)
	b = putOptionalNumber(b, "stderr_lost", account.StderrLost)
	b = putOptionalNumber(b, "strays", account.Strays)
	if len(account.WitnessCalls) > 0 {
		b = putList(b, "witness", account.WitnessCalls, func(b []byte, call matrix.WitnessCall) []byte {
			b = putText(append(b, '{'), "call", call.Call)
			b = putNumber(b, "peer", call.Peer)
			b = putNumber(b, "thread", call.Thread)
			b = putUnsigned(b, "address", call.Address)
			b = putNumber(b, "length", call.Length)
			return append(putNumber(b, "result", call.Result), '}')
		})
	}
	b = putOptionalNumber(b, "witness_lost", account.WitnessLost)
	if account.Dossier != nil {
		var err error
		if b, err = appendJSON(putKey(b, "dossier"), account.Dossier); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}
