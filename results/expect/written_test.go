package expect

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the schema takes and the type forgets would be taken and not judged by.
func TestARuleHasTheKeysOfItsSchema(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "matrix", "schema", "expect.json"))
	require.NoError(t, err)
	var schema struct {
		Properties map[string]any `json:"properties"`
		Defs       struct {
			Rule struct {
				Properties map[string]any `json:"properties"`
			} `json:"rule"`
		} `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(data, &schema))
	assert.Equal(t, keys(reflect.TypeFor[writtenRules]()), slices.Sorted(maps.Keys(schema.Properties)))
	assert.Equal(t, keys(reflect.TypeFor[writtenRule]()), slices.Sorted(maps.Keys(schema.Defs.Rule.Properties)))
}

// keys are a struct's in JSON.
func keys(goType reflect.Type) []string {
	var keys []string
	for field := range goType.Fields() {
		key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
