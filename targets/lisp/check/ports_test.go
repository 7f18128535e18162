// Package check holds the runtime files of the Lisps that can't be had here to
// what can be known of them: they read and compile against stubs with exactly
// the symbols that their symbols.txt lists, they define every operation of the
// runtime protocol, and each symbol has a source.
package check

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sourceVariable names a copy of Clozure CL's source, a git directory or a
// working tree of tag v1.13, that the test of its symbols reads.
const sourceVariable = "ZMQMATRIX_CCL_SOURCE"

// needSBCL skips where there is no SBCL, but never in CI, where that would hide
// the loss of these tests.
func needSBCL(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("sbcl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("sbcl is missing")
		}
		t.Skip("sbcl is missing")
	}
}

// problems are what port.lisp finds in a runtime file and the others.
func problems(t *testing.T, symbols, runtime string, others ...string) string {
	t.Helper()
	arguments := append([]string{"--script", "port.lisp", "--", "..", symbols, runtime}, others...)
	output, err := exec.CommandContext(t.Context(), "sbcl", arguments...).CombinedOutput()
	if len(output) == 0 {
		require.NoError(t, err)
	}
	if err == nil {
		require.Empty(t, string(output), "problems, but exit status 0")
	}
	return string(output)
}

// ports are the folders that list their symbols.
func ports(t *testing.T) []string {
	t.Helper()
	lists, err := filepath.Glob("../../*/symbols.txt")
	require.NoError(t, err)
	require.NotEmpty(t, lists)
	var folders []string
	for _, list := range lists {
		folders = append(folders, filepath.Dir(list))
	}
	return folders
}

func TestPorts_read_compile_and_keep_to_the_protocol(t *testing.T) {
	needSBCL(t)
	for _, folder := range ports(t) {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			runtime := filepath.Join(folder, "runtime.lisp")
			files, err := filepath.Glob(filepath.Join(folder, "*.lisp"))
			require.NoError(t, err)
			others := slices.DeleteFunc(files, func(file string) bool { return file == runtime })
			assert.Empty(t, problems(t, filepath.Join(folder, "symbols.txt"), runtime, others...))
		})
	}
}

func TestPorts_mistakes_are_found(t *testing.T) {
	needSBCL(t)
	const folder = "../../ccl"
	runtime, err := os.ReadFile(filepath.Join(folder, "runtime.lisp"))
	require.NoError(t, err)
	for _, row := range []struct{ name, old, new, says string }{
		{"a parenthesis too few", "(defun threads-p () t)", "(defun threads-p () t", "runtime.lisp can't be read: end of file"},
		{"a parenthesis too many", "(defun threads-p () t)", "(defun threads-p () t))", "runtime.lisp can't be read: unmatched close parenthesis"},
		{"a misspelt exported symbol", "ccl:dispose-heap-ivector", "ccl:dispose-heap-vector", `Symbol "DISPOSE-HEAP-VECTOR" not found in the CCL package`},
		{"a misspelt internal symbol", "ccl::%vect-data-to-macptr", "ccl::%vect-data-to-pointer", "CCL::%VECT-DATA-TO-POINTER is used and not listed"},
		{"an internal symbol as if exported", "ccl::%copy-ivector-to-ptr", "ccl:%copy-ivector-to-ptr", "%COPY-IVECTOR-TO-PTR\" is not external"},
		{"a listed symbol that is gone", "(ccl:gc)", "nil", "CCL:GC is listed and not used"},
		{"a missing operation", "(defun own-techniques ()", "(defun my-techniques ()", "the operation own-techniques is not defined"},
		{"another lambda list", "(defun memory-octet (address offset)", "(defun memory-octet (address offset &optional end) (declare (ignore end))", "memory-octet takes (address offset &optional end)"},
		{"too few arguments", "(ccl:make-heap-ivector size 'octet)", "(ccl:make-heap-ivector size)", "is called with one argument, but wants exactly two"},
		{"a misspelt function of its own", "(defun static-array-address (array) (octets-address array))", "(defun static-array-address (array) (octet-address array))", "undefined function: ZMQMATRIX.RUNTIME::OCTET-ADDRESS"},
		{"a misspelt variable", "(subseq text start (position", "(subseq txt start (position", "undefined variable: ZMQMATRIX.RUNTIME::TXT"},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Contains(t, string(runtime), row.old)
			mistaken := filepath.Join(t.TempDir(), "runtime.lisp")
			require.NoError(t, os.WriteFile(mistaken, []byte(strings.ReplaceAll(string(runtime), row.old, row.new)), 0o644))
			assert.Contains(t, strings.ToLower(problems(t, filepath.Join(folder, "symbols.txt"), mistaken, filepath.Join(folder, "save.lisp"))), strings.ToLower(row.says))
		})
	}
}

// symbol is a line of symbols.txt.
type symbol struct{ name, kind, lambdaList, source string }

func symbols(t *testing.T, folder string) []symbol {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "symbols.txt"))
	require.NoError(t, err)
	var listed []symbol
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Split(line, "|")
		require.Len(t, columns, 4, line)
		for i := range columns {
			columns[i] = strings.TrimSpace(columns[i])
		}
		listed = append(listed, symbol{columns[0], columns[1], columns[2], columns[3]})
	}
	return listed
}

func TestPorts_symbols_have_a_source_each(t *testing.T) {
	for _, folder := range ports(t) {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			seen := map[string]bool{}
			for _, listed := range symbols(t, folder) {
				assert.Regexp(t, `^[a-z-]+::?[^: ]+$`, listed.name)
				assert.NotEmpty(t, listed.source, listed.name)
				assert.False(t, seen[listed.name], "%s is listed twice", listed.name)
				seen[listed.name] = true
			}
			assert.NotEmpty(t, seen)
		})
	}
}

// cclSource reads files of Clozure CL's source, or skips the test where none is
// given.
func cclSource(t *testing.T) func(path string) string {
	t.Helper()
	source := os.Getenv(sourceVariable)
	if source == "" {
		t.Skipf("%s names no copy of Clozure CL's source", sourceVariable)
	}
	read := map[string]string{}
	return func(path string) string {
		if text, found := read[path]; found {
			return text
		}
		text, err := os.ReadFile(filepath.Join(source, path))
		if os.IsNotExist(err) {
			text, err = exec.CommandContext(t.Context(), "git", "-C", source, "show", "v1.13:"+path).Output()
		}
		require.NoError(t, err, "%s in %s", path, source)
		read[path] = string(text)
		return read[path]
	}
}

func TestCCL_symbols_stand_in_its_source(t *testing.T) {
	read := cclSource(t)
	exports := read("lib/ccl-export-syms.lisp")
	for _, listed := range symbols(t, "../../ccl") {
		t.Run(listed.name, func(t *testing.T) {
			prefix, name, _ := strings.Cut(listed.name, ":")
			require.Equal(t, "ccl", prefix)
			internal := strings.HasPrefix(name, ":")
			name = strings.TrimPrefix(name, ":")
			file, definer, found := strings.Cut(listed.source, " ")
			require.True(t, found, "the source has no operator: %s", listed.source)
			definition := regexp.MustCompile(`(?mi)^\s*\(` + regexp.QuoteMeta(definer) + ` ` + regexp.QuoteMeta(name) + `\s`)
			text := read(file)
			place := definition.FindStringIndex(text)
			require.NotNil(t, place, "%s has no (%s %s", file, definer, name)
			exported := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(name) + `\s*$`).MatchString(exports)
			assert.Equal(t, !internal, exported, "exported from CCL")
			if definer != "defun" && definer != "defx86lapfunction" && definer != "%eval-redef" {
				return
			}
			// The parameters' names, in order: those of LAP functions have the
			// register or the place on the stack beside them.
			following := text[place[0]:min(len(text), place[0]+400)]
			at := 0
			for _, parameter := range strings.Fields(strings.Trim(listed.lambdaList, "()")) {
				next := strings.Index(strings.ToLower(following[at:]), parameter)
				require.GreaterOrEqual(t, next, 0, "%s has no parameter %s after those before it", name, parameter)
				at += next + len(parameter)
			}
			if listed.lambdaList == "()" {
				assert.Regexp(t, fmt.Sprintf(`(?i)^\s*\(%s %s \(\)`, regexp.QuoteMeta(definer), regexp.QuoteMeta(name)), following)
			}
		})
	}
}

func TestPorts_have_all_that_a_target_needs(t *testing.T) {
	for _, folder := range ports(t) {
		for _, name := range []string{"target.yaml", "runtime.lisp", "build.sh", "Dockerfile"} {
			_, err := fs.Stat(os.DirFS(folder), name)
			assert.NoError(t, err, folder)
		}
	}
}
