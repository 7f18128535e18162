package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// insideTarget is where a builder's Dockerfile has the build context's targets/
// and binding/.
const insideTarget = "/src"

// addBuilt puts below built/ in files what the target's build script makes in
// the target's builder. files are so far what the script may need. It is made
// once for a builder's image, whose id stands for all of that.
func (m *Maker) addBuilt(ctx context.Context, name string, target matrix.Target, variant matrix.Variant, binding matrix.Binding, own string, base Image, files *Context) error {
	dockerfile := path.Join("targets", target.Name, target.Image.Builder)
	args := map[string]string{"BASE": base.Tag, "SUITE": variant.Suite}
	for key, value := range variant.Args {
		args[key] = value
	}
	builder, err := m.build(ctx, name+" (its builder)", "zmqmatrix/"+target.Name+"-builder", variant.Suite, base, files, dockerfile, args)
	if err != nil {
		return err
	}
	environment := map[string]string{
		"HOME": "/tmp", "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8",
		"ZMQMATRIX_BINDING": own, "ZMQMATRIX_SYSTEMS": binding.System, "ZMQMATRIX_SOURCE": "",
	}
	if binding.System != "" {
		environment["ZMQMATRIX_SOURCE"] = insideTarget + "/binding"
	}
	for key, value := range variant.Args {
		environment[key] = value
	}
	digest := sha256.Sum256(fmt.Appendf(nil, "%s\n%v\n%v", builder.ID, environment, target.Needs))
	output := filepath.Join(m.CacheDir, "built", target.Name, hex.EncodeToString(digest[:16]))
	if _, err := os.Stat(output); errors.Is(err, fs.ErrNotExist) {
		err = m.runBuild(ctx, name, target, builder, environment, output)
		if err != nil {
			return fmt.Errorf("%s in %s: %w", target.Local.Build, builder.Tag, err)
		}
	}
	return filepath.WalkDir(output, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(output, file)
		if err != nil {
			return err
		}
		return files.AddHostFile(path.Join("built", filepath.ToSlash(relative)), file)
	})
}

// runBuild runs the script with its output aside, which gets its name when it
// is whole.
func (m *Maker) runBuild(ctx context.Context, name string, target matrix.Target, builder Image, environment map[string]string, output string) error {
	parent := filepath.Dir(output)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("cache folder: %w", err)
	}
	aside, err := os.MkdirTemp(parent, "building-")
	if err != nil {
		return fmt.Errorf("cache folder: %w", err)
	}
	defer os.RemoveAll(aside)
	leave, err := m.builds.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	m.say("%s: running its build script", name)
	err = m.Engine.RunJob(ctx, Job{
		Image:   builder.Tag,
		Command: []string{"sh", path.Join("targets", target.Name, target.Local.Build), insideOutput},
		Env:     environment,
		Dir:     insideTarget,
		Trees:   []Tree{{Host: aside, Inside: insideOutput, Use: Output}},
		Needs:   target.Needs,
	})
	if err != nil {
		return err
	}
	// Another run may have been quicker; what it made is of the same.
	if err := os.Rename(aside, output); err != nil {
		if _, statErr := os.Stat(output); statErr != nil {
			return fmt.Errorf("keep what was built: %w", err)
		}
	}
	return nil
}
