package results

import (
	"bytes"
	"errors"
	"fmt"
)

// The markers in README.md between which the table stands.
const (
	tableStart = "<!-- zmqmatrix:table -->"
	tableEnd   = "<!-- /zmqmatrix:table -->"
)

// ErrNoTable says that a README has no place for the table.
var ErrNoTable = errors.New("no place for the table: want the lines " + tableStart + " and " + tableEnd + ", once each, in this order")

// ReplaceTable puts the table between the README's markers.
func ReplaceTable(readme []byte, table string) ([]byte, error) {
	before, _, after, err := cutTable(readme)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s%s\n%s%s%s", before, tableStart, table, tableEnd, after), nil
}

// TableOf returns what stands between the README's markers. It equals
// MarkdownTable of the published results if the README is up to date.
func TableOf(readme []byte) (string, error) {
	_, table, _, err := cutTable(readme)
	return table, err
}

func cutTable(readme []byte) (before []byte, table string, after []byte, err error) {
	if bytes.Count(readme, []byte(tableStart)) != 1 || bytes.Count(readme, []byte(tableEnd)) != 1 {
		return nil, "", nil, ErrNoTable
	}
	before, rest, _ := bytes.Cut(readme, []byte(tableStart))
	between, after, found := bytes.Cut(rest, []byte(tableEnd))
	if !found {
		return nil, "", nil, ErrNoTable
	}
	return before, string(bytes.TrimPrefix(between, []byte("\n"))), after, nil
}
