package docker

import (
	"encoding/json"
	"fmt"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// grant is the security options that give a target what it needs: the engine's
// own default seccomp profile with these values of personality allowed as well.
// Nothing for a target without needs, whose profile is then the engine's.
func grant(needs *matrix.Needs) ([]string, error) {
	if needs == nil {
		return nil, nil
	}
	profile := seccomp.DefaultProfile()
	for _, value := range needs.Personality {
		profile.Syscalls = append(profile.Syscalls, &seccomp.Syscall{LinuxSyscall: specs.LinuxSyscall{
			Names:  []string{"personality"},
			Action: specs.ActAllow,
			Args:   []specs.LinuxSeccompArg{{Index: 0, Value: uint64(value), Op: specs.OpEqualTo}},
		}})
	}
	text, err := json.Marshal(profile)
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	return []string{"seccomp=" + string(text)}, nil
}
