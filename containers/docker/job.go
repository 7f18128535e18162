package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"github.com/zmqmatrix/zmqmatrix/containers/images"
)

// jobMemory bounds a job, so that a compiler gone wild is its own problem:
// ten times what building a client takes, in bytes.
const jobMemory = 4 << 30

// carrier is how a job's trees get into its container and out of it.
type carrier interface {
	// configure names the trees in the container's request.
	configure(config *container.Config, host *container.HostConfig)
	// bring is called when the container is created, fetch when it has ended well.
	bring(ctx context.Context, id string) error
	fetch(ctx context.Context, id string) error
}

func (e *engine) RunJob(ctx context.Context, job images.Job) (err error) {
	var carry carrier = mounting{trees: job.Trees, rootless: slices.Contains(e.info.SecurityOptions, "name=rootless")}
	if e.copyTrees {
		carry = copying{trees: job.Trees, api: e.api}
	}
	security, err := grant(job.Needs)
	if err != nil {
		return fmt.Errorf("job in %s: %w", job.Image, err)
	}
	image, err := e.Image(ctx, job.Image)
	if err != nil {
		return fmt.Errorf("job in %s: %w", job.Image, err)
	}
	id, err := e.create(ctx, testcontainers.ContainerRequest{
		Image: job.Image,
		Env:   job.Env,
		ConfigModifier: func(config *container.Config) {
			config.Entrypoint = job.Command[:1]
			config.Cmd = job.Command[1:]
			config.WorkingDir = job.Dir
			config.AttachStdout, config.AttachStderr = true, true
			carry.configure(config, nil)
		},
		HostConfigModifier: func(host *container.HostConfig) {
			if !job.Network {
				host.NetworkMode = "none" // all it needs was brought
			}
			host.CapDrop = []string{"ALL"}
			host.SecurityOpt = append([]string{"no-new-privileges:true"}, security...)
			host.Memory, host.MemorySwap = jobMemory, jobMemory
			host.LogConfig.Type = "none"
			carry.configure(nil, host)
		},
	}, image.ID)
	if err != nil {
		return fmt.Errorf("job in %s: %w", job.Image, err)
	}
	defer func() { err = errors.Join(err, e.remove(ctx, id)) }()
	if err := carry.bring(ctx, id); err != nil {
		return fmt.Errorf("job in %s: %w", job.Image, err)
	}
	result, err := e.api.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		return fmt.Errorf("job in %s: attach: %w", job.Image, err)
	}
	defer result.Close()
	said := &lastBytes{limit: stderrKept}
	ended := make(chan error, 1)
	go func() { ended <- demultiplex(said, result.Reader) }()
	exit := e.api.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if err := e.start(ctx, id); err != nil {
		return fmt.Errorf("job in %s: start: %w", job.Image, err)
	}
	select {
	case ending := <-exit.Result:
		// The streams end with the container.
		if err := <-ended; err != nil {
			return fmt.Errorf("job in %s: output: %w", job.Image, err)
		}
		if ending.StatusCode != 0 {
			return fmt.Errorf("%s: exit status %d\n%s", strings.Join(job.Command, " "), ending.StatusCode, said)
		}
	case err := <-exit.Error:
		return fmt.Errorf("job in %s: wait: %w", job.Image, err)
	}
	if err := carry.fetch(ctx, id); err != nil {
		return fmt.Errorf("job in %s: %w", job.Image, err)
	}
	return nil
}

// mounting is the way of an engine on this machine.
type mounting struct {
	trees    []images.Tree
	rootless bool
}

func (m mounting) configure(config *container.Config, host *container.HostConfig) {
	if config != nil && !m.rootless {
		// What it writes shall be ours, not root's. A rootless engine's root is us.
		config.User = fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
	}
	if host != nil {
		for _, tree := range m.trees {
			host.Mounts = append(host.Mounts, mount.Mount{
				// Unlike a bind by its short form, a mount fails if the engine
				// does not have the folder: it is not on this machine then.
				Type: mount.TypeBind, Source: tree.Host, Target: tree.Inside, ReadOnly: tree.Use == images.Input,
			})
		}
	}
}

func (mounting) bring(context.Context, string) error { return nil }
func (mounting) fetch(context.Context, string) error { return nil }

// copying is the way of a remote engine: it has no folder of ours.
type copying struct {
	trees []images.Tree
	api   client.APIClient
}

func (copying) configure(*container.Config, *container.HostConfig) {}

func (c copying) bring(ctx context.Context, id string) error {
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(c.pack(writer)) }()
	// Whatever ends the copy early must end the packing too.
	defer reader.Close()
	_, err := c.api.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: "/", Content: reader})
	if err != nil {
		return fmt.Errorf("copy folders to the engine: %w", err)
	}
	return nil
}

// pack writes all trees at their places inside as one tar.
func (c copying) pack(output io.Writer) error {
	archive := tar.NewWriter(output)
	for _, tree := range c.trees {
		header := &tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(tree.Inside, "/") + "/", Mode: 0o755}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if tree.Use != images.Input {
			continue
		}
		wanted := tree.Files
		if wanted == nil {
			wanted = []string{"."}
		}
		for _, file := range wanted {
			if err := packTree(archive, tree, file); err != nil {
				return fmt.Errorf("pack %s: %w", filepath.Join(tree.Host, file), err)
			}
		}
	}
	return archive.Close()
}

func packTree(archive *tar.Writer, tree images.Tree, file string) error {
	return filepath.WalkDir(filepath.Join(tree.Host, file), func(hostPath string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		// Followed, so that a GOROOT of symbolic links (Debian's) arrives whole.
		info, err := os.Stat(hostPath)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(tree.Host, hostPath)
		if err != nil {
			return err
		}
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: path.Join(strings.TrimPrefix(tree.Inside, "/"), filepath.ToSlash(relative)),
			Mode: int64(info.Mode().Perm()), ModTime: info.ModTime().Truncate(time.Second), Size: info.Size(),
		}
		if info.IsDir() {
			// Folders are made where the files need them.
			return nil
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		content, err := os.Open(hostPath)
		if err != nil {
			return err
		}
		defer content.Close()
		_, err = io.Copy(archive, content)
		return err
	})
}

func (c copying) fetch(ctx context.Context, id string) error {
	for _, tree := range c.trees {
		if tree.Use != images.Output {
			continue
		}
		copied, err := c.api.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: tree.Inside + "/."})
		if err != nil {
			return fmt.Errorf("copy %s from the engine: %w", tree.Inside, err)
		}
		err = unpack(tree.Host, copied.Content)
		if err = errors.Join(err, copied.Content.Close()); err != nil {
			return fmt.Errorf("copy %s from the engine: %w", tree.Inside, err)
		}
	}
	return nil
}

// unpack writes a tar's files into folder and nowhere else.
func unpack(folder string, input io.Reader) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	archive := tar.NewReader(input)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(header.Name)
		switch header.Typeflag {
		case tar.TypeDir:
			if name != "." {
				if err := root.MkdirAll(name, 0o755); err != nil {
					return err
				}
			}
		case tar.TypeReg:
			if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
				return err
			}
			file, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, fs.FileMode(header.Mode).Perm())
			if err != nil {
				return err
			}
			_, err = io.Copy(file, archive)
			if err = errors.Join(err, file.Close()); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s is neither a file nor a folder", header.Name)
		}
	}
}
