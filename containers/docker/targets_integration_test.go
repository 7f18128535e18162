//go:build integration

package docker

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/targets"
)

// Every target that the project builds itself must start in its default
// variant and say its version. What it can do is not asked here.
func TestTargets_start_and_say_their_version(t *testing.T) {
	root := module(t)
	all, err := targets.Load(root)
	require.NoError(t, err)
	runtime, log := newRuntime(t, root)
	for _, target := range all {
		if target.Image.Supplied != "" {
			continue
		}
		for _, variant := range target.Variants {
			if !variant.Default {
				continue
			}
			t.Run(target.Name+"@"+variant.Name, func(t *testing.T) {
				started := time.Now()
				at, err := runtime.Prepare(t.Context(), target, variant, target.Bindings[0])
				if target.ArchiveOf(variant) != nil && errors.Is(err, matrix.ErrUnavailable) {
					t.Skip(err)
				}
				require.NoError(t, err, "%s", log)
				defer at.Close(context.Background())
				require.NoError(t, at.Start(t.Context()))
				t.Logf("prepared in %v", time.Since(started))
				var command []string
				for _, word := range target.Version {
					command = append(command, at.Expand(word))
				}
				account, err := at.Run(t.Context(), matrix.Task{Command: command, Bounds: matrix.Bounds{Wall: time.Minute, Output: 1 << 20, Processes: target.Limits.Processes, MemoryMiB: target.Limits.MemoryMiB}})
				require.NoError(t, err)
				assert.Equal(t, matrix.Exited, account.Ending, "%s", account.Stderr)
				assert.Zero(t, account.Code, "%s", account.Stderr)
				assert.NotEmpty(t, account.Stdout)
				t.Logf("%s", account.Stdout)
			})
		}
	}
	t.Logf("%s", log)
}

// The positive control sends to the endpoint over the run's network, and the
// endpoint saw what was sent.
func TestClient_reaches_the_endpoint_by_its_name(t *testing.T) {
	root := module(t)
	target, err := targets.LoadFile(root, filepath.Join(root, "targets/c/target.yaml"))
	require.NoError(t, err)
	runtime, _ := newRuntime(t, root)
	peer, err := runtime.StartEndpoint(t.Context())
	require.NoError(t, err)
	at, err := runtime.Prepare(t.Context(), target, variant(), target.Bindings[0])
	require.NoError(t, err)
	require.NoError(t, at.Start(t.Context()))
	lane, err := peer.Open(t.Context(), matrix.LaneRequest{Sockets: []matrix.SocketSpec{
		{Name: "sink", Role: matrix.RoleSink, Count: 8, Sizes: []int{100}, Parts: 1},
		{Name: "source", Role: matrix.RoleSource, Seed: 5, Count: 8, Sizes: []int{100}, Parts: 1},
	}})
	require.NoError(t, err)
	account, err := at.Run(t.Context(), matrix.Task{
		Command: []string{at.Expand(target.Bindings[0].Command[0])},
		Env: map[string]string{
			"ZM_PROTOCOL": "1", "ZM_FEATURE": "messaging/push-pull", "ZM_TECHNIQUE": "plain", "ZM_SEED": "7",
			"ZM_ENDPOINT": lane.Endpoints["sink"], "ZM_ENDPOINT_SINK": lane.Endpoints["sink"], "ZM_ENDPOINT_SOURCE": lane.Endpoints["source"],
			"ZM_PARAM_COUNT": "8", "ZM_PARAM_SIZES": "100",
		},
		Bounds: matrix.Bounds{Wall: time.Minute, Output: 1 << 20, Processes: 64},
	})
	require.NoError(t, err)
	assert.Contains(t, string(account.Stdout), `"type":"done"`, "%s", account.Stderr)
	seen, err := peer.CloseLane(t.Context(), lane.ID)
	require.NoError(t, err)
	assert.EqualValues(t, 8, seen.Sockets["sink"].Received)
	require.NotEmpty(t, seen.Sockets["sink"].Digests)
	assert.Equal(t, matrix.MessageDigest(matrix.Payload(7, 0, 100)), seen.Sockets["sink"].Digests[0])
	require.NoError(t, at.Close(t.Context()))
	require.NoError(t, peer.Close(t.Context()))
}
