package matrixtest_test

import (
	"flag"
	"fmt"
	"testing"
)

// try runs a test in an example, where go test's own flags choose the example, and
// says what it came to.
func try(name string, test func(*testing.T)) {
	for flagName, value := range map[string]string{"test.run": "", "test.skip": "", "test.v": "false"} {
		known := flag.Lookup(flagName)
		defer flag.Set(flagName, known.Value.String())
		flag.Set(flagName, value)
	}
	everything := func(string, string) (bool, error) { return true, nil }
	if testing.RunTests(everything, []testing.InternalTest{{Name: name, F: test}}) {
		fmt.Println(name, "passes")
	}
}
