package docker

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/images"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

func TestClientContainer_of_a_target_with_needs_has_the_default_profile_and_these_values_of_personality(t *testing.T) {
	plan, err := clientContainer(images.Image{}, matrix.Target{Needs: &matrix.Needs{Personality: []uint32{0x40000, 0x400000}}})
	require.NoError(t, err)
	var host container.HostConfig
	plan.request("net").HostConfigModifier(&host)
	assert.Equal(t, []string{"ALL"}, host.CapDrop)
	require.Len(t, host.SecurityOpt, 2)
	assert.Equal(t, "no-new-privileges:true", host.SecurityOpt[0])

	text, found := strings.CutPrefix(host.SecurityOpt[1], "seccomp=")
	require.True(t, found)
	var given seccomp.Seccomp
	require.NoError(t, json.Unmarshal([]byte(text), &given))
	known := seccomp.DefaultProfile()
	assert.Equal(t, specs.ActErrno, given.DefaultAction)
	require.Len(t, given.Syscalls, len(known.Syscalls)+2)
	for i, value := range []uint64{0x40000, 0x400000} {
		added := given.Syscalls[len(known.Syscalls)+i]
		assert.Equal(t, []string{"personality"}, added.Names)
		assert.Equal(t, specs.ActAllow, added.Action)
		assert.Equal(t, []specs.LinuxSeccompArg{{Index: 0, Value: value, Op: specs.OpEqualTo}}, added.Args)
	}
	given.Syscalls = given.Syscalls[:len(known.Syscalls)]
	left, err := json.Marshal(given)
	require.NoError(t, err)
	whole, err := json.Marshal(known)
	require.NoError(t, err)
	assert.JSONEq(t, string(whole), string(left), "nothing else is another than in the default profile")
}
