//go:build linux

package supervisor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/zmqmatrix/zmqmatrix/containers/warden"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

func TestOutOfMemoryKillsAreRead(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       oomKills
	}{
		{"version 1", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", oomKills{count: 3, known: true}},
		{"version 2", "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n", oomKills{count: 1, known: true}},
		{"a kernel before 4.13", "oom_kill_disable 0\nunder_oom 0\n", oomKills{}},
		{"nonsense", "oom_kill many\n", oomKills{}},
	} {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, parseOOMKills([]byte(test.text))) })
	}
	assert.True(t, oomKills{count: 2, known: true}.more(oomKills{count: 1, known: true}))
	assert.False(t, oomKills{count: 2, known: true}.more(oomKills{count: 2, known: true}))
	assert.False(t, oomKills{count: 2, known: true}.more(oomKills{}), "what was not known before is no rise")
}

// What others took is not the probe's fault.
func TestAProbeIsKilledAtItsMemoryLimitOnlyWithThatMuchMemory(t *testing.T) {
	p := &probe{request: warden.Request{Bounds: matrix.Bounds{MemoryMiB: 64}}}
	killed := unix.WaitStatus(unix.SIGKILL)
	account := &matrix.Account{PeakRSS: 60 << 20}
	require.ErrorContains(t, p.conclude(account, killed, true), "had 60 of its 64 MiB, as memory ran out around it")
	assert.Empty(t, account.Ending)
	account.PeakRSS = 64 << 20
	require.NoError(t, p.conclude(account, killed, true))
	assert.Equal(t, matrix.EndedMemory, account.Ending)
	account = &matrix.Account{PeakRSS: 60 << 20}
	require.NoError(t, p.conclude(account, killed, false))
	assert.Equal(t, "SIGKILL", account.Signal, "somebody's signal")
}

func TestTheKernelsCPULimit(t *testing.T) {
	soft, hard := kernelCPU(300 * time.Millisecond)
	assert.Equal(t, 2*time.Second, soft)
	assert.Equal(t, 3*time.Second, hard)
	assert.True(t, brokeKernelCPU(300*time.Millisecond, soft, unix.SIGXCPU))
	assert.False(t, brokeKernelCPU(300*time.Millisecond, time.Second, unix.SIGXCPU), "a probe may send it to itself")
	assert.True(t, brokeKernelCPU(300*time.Millisecond, hard, unix.SIGKILL))
	assert.False(t, brokeKernelCPU(300*time.Millisecond, soft, unix.SIGKILL))
	assert.False(t, brokeKernelCPU(300*time.Millisecond, time.Hour, unix.SIGSEGV))
}

// The peak is exact where the kernel knows it, and a sample where the kernel's
// number may be our own.
func TestPeak(t *testing.T) {
	const mib = 1 << 20
	assert.EqualValues(t, 9*mib, (&peak{floor: 5 * mib, sampled: 3 * mib}).highest(9*mib))
	assert.EqualValues(t, 3*mib, (&peak{floor: 5 * mib, sampled: 3 * mib}).highest(5*mib))
	assert.EqualValues(t, 5*mib, (&peak{floor: 5 * mib}).highest(5*mib), "an upper bound is better than nothing")
}

func TestOnlyAStandstillIsNotCharged(t *testing.T) {
	for late, want := range map[time.Duration]time.Duration{-time.Second: 0, 0: 0, standstill: 0, standstill + 1: standstill + 1, time.Hour: time.Hour} {
		assert.Equal(t, want, stoodStill(late), "late by %v", late)
	}
}
