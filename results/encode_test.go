package results

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// filler fills every field of a value by reflection, so that a field that is
// added to the domain's types later is filled too.
type filler struct {
	count int
	// leave says what stays at its zero.
	leave func(path string) bool
}

func (f *filler) fill(value reflect.Value, path string) {
	if f.leave(path) {
		return
	}
	f.count++
	switch value.Interface().(type) {
	case time.Time:
		value.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 1000*f.count, time.UTC)))
		return
	}
	switch value.Kind() {
	case reflect.Bool:
		value.SetBool(true)
	case reflect.Int, reflect.Int64:
		value.SetInt(int64(f.count))
	case reflect.Uint64:
		value.SetUint(1<<63 + uint64(f.count))
	case reflect.String:
		value.SetString(fmt.Sprintf("%d <&> \"ä\" \x00\x1b\u2028\xff \\", f.count))
		if f.count%2 == 0 {
			value.SetString(fmt.Sprintf("plain %d <&>", f.count))
		}
	case reflect.Interface:
		value.Set(reflect.ValueOf([]any{json.Number("-12"), "text", true, 7}[f.count%4]))
	case reflect.Pointer:
		value.Set(reflect.New(value.Type().Elem()))
		f.fill(value.Elem(), path)
	case reflect.Struct:
		for i := range value.NumField() {
			f.fill(value.Field(i), path+"."+value.Type().Field(i).Name)
		}
	case reflect.Slice:
		value.Set(reflect.MakeSlice(value.Type(), 3, 3))
		for i := range value.Len() {
			f.fill(value.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Map:
		value.Set(reflect.MakeMap(value.Type()))
		for i := range 3 {
			element := reflect.New(value.Type().Elem()).Elem()
			f.fill(element, fmt.Sprintf("%s{%d}", path, i))
			value.SetMapIndex(reflect.ValueOf(fmt.Sprintf("key \"%d", 3-i)).Convert(value.Type().Key()), element)
		}
	case reflect.Uint8:
		value.SetUint(uint64(f.count % 256))
	default:
		panic("a kind that the test does not fill: " + value.Kind().String() + " at " + path)
	}
}

func TestLinesAreEncodedAsByEncodingJSON(t *testing.T) {
	same := func(t *testing.T, line matrix.Line) {
		t.Helper()
		var want bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		require.NoError(t, encoder.Encode(line))
		require.NoError(t, encodeLine(line, func(got []byte) error {
			assert.Equal(t, want.String(), string(got))
			return nil
		}))
	}
	for _, lineType := range []matrix.LineType{matrix.LineAttempt, matrix.LineVerdict} {
		filled := func(leave func(string) bool) (matrix.Line, []string) {
			var paths []string
			line := matrix.Line{Type: lineType}
			part := reflect.ValueOf(&line).Elem().FieldByName(map[matrix.LineType]string{matrix.LineAttempt: "Attempt", matrix.LineVerdict: "Verdict"}[lineType])
			f := &filler{leave: func(path string) bool { paths = append(paths, path); return leave(path) }}
			f.fill(part, "")
			return line, paths
		}
		whole, paths := filled(func(string) bool { return false })
		t.Run(string(lineType)+" with every field", func(t *testing.T) { same(t, whole) })
		t.Run(string(lineType)+" with any one part at its zero", func(t *testing.T) {
			for _, without := range paths[1:] {
				line, _ := filled(func(path string) bool { return path == without })
				same(t, line)
			}
		})
		t.Run(string(lineType)+" with one part alone", func(t *testing.T) {
			for _, only := range paths[1:] {
				line, _ := filled(func(path string) bool { return path != "" && !prefixes(path, only) && !prefixes(only, path) })
				same(t, line)
			}
		})
	}
	t.Run("empty collections", func(t *testing.T) {
		attempt := matrix.Attempt{Evidence: matrix.Evidence{
			Params: map[string]string{}, Sockets: []matrix.SocketSpec{{Sizes: []int{}}}, Lane: matrix.Lane{Endpoints: map[string]string{}},
			Report: matrix.Report{Steps: []string{}, Observations: []matrix.Observation{}},
			Seen:   matrix.LaneAccount{Sockets: map[string]matrix.SocketAccount{"s": {Digests: []string{}, Topics: map[string]int64{}}}},
		}}
		attempt.Evidence.Account.Stderr, attempt.Evidence.Account.WitnessCalls = []byte{}, []matrix.WitnessCall{}
		same(t, matrix.Line{Type: matrix.LineAttempt, Attempt: &attempt})
		attempt.Evidence.Seen.Sockets = map[string]matrix.SocketAccount{}
		same(t, matrix.Line{Type: matrix.LineAttempt, Attempt: &attempt})
	})
	t.Run("a whole run", func(t *testing.T) {
		for _, line := range sampleLines(t, matrix.Selection{}) {
			same(t, line)
		}
	})
}

func prefixes(part, path string) bool {
	return len(path) >= len(part) && path[:len(part)] == part
}

func TestALineThatCannotBeEncodedIsAnError(t *testing.T) {
	attempt := matrix.Attempt{Number: 1}
	attempt.Evidence.Report.Observations = []matrix.Observation{{Key: "k", Value: json.Number("no number")}}
	require.Error(t, encodeLine(matrix.Line{Type: matrix.LineAttempt, Attempt: &attempt}, func([]byte) error { return nil }))
	attempt = matrix.Attempt{Started: time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)}
	require.Error(t, encodeLine(matrix.Line{Type: matrix.LineAttempt, Attempt: &attempt}, func([]byte) error { return nil }))
}
