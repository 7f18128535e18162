package measure

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRunsAreListedNewestFirst(t *testing.T) {
	folder := Runs(t.TempDir())
	began := time.Date(2026, 11, 23, 20, 15, 0, 0, time.UTC)
	for i, name := range []string{"20261123T201500Z-ffffff", "20261123T201500Z-000000", "20261123T201459Z-aaaaaa", "20261124T000000Z-111111"} {
		require.NoError(t, os.MkdirAll(filepath.Join(string(folder), name), 0o755))
		record := folder.File(name, RecordName)
		require.NoError(t, os.WriteFile(record, nil, 0o644))
		require.NoError(t, os.Chtimes(record, time.Time{}, began.Add(time.Duration(i)*time.Millisecond)))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(string(folder), "20271124T000000Z-no-record"), 0o755))
	runs, err := folder.List()
	require.NoError(t, err)
	assert.Equal(t, []string{"20261124T000000Z-111111", "20261123T201500Z-000000", "20261123T201500Z-ffffff", "20261123T201459Z-aaaaaa"}, runs)
}

func TestRunNamesBeginWithTheirTime(t *testing.T) {
	began := time.Date(2026, 11, 23, 20, 15, 0, 0, time.FixedZone("", 3600))
	assert.Regexp(t, `^20261123T191500Z-[0-9a-f]{6}$`, NewRunID(began))
	assert.NotEqual(t, NewRunID(began), NewRunID(began))
}
