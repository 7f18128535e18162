package matrixtest

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/containers/fake"
	"github.com/zmqmatrix/zmqmatrix/matrix"
)

// counting keeps a fake endpoint, and counts how often it is started and ended.
func counting(started, ended *int) *keeper {
	return &keeper{start: func(ctx context.Context) (matrix.Endpoint, func(context.Context) error, error) {
		*started++
		endpoint, err := fake.New(fake.Script{}).StartEndpoint(ctx)
		return endpoint, func(ctx context.Context) error { *ended++; return endpoint.Close(ctx) }, err
	}}
}

func TestTheEndpointIsSharedAndEndsWithItsLastLane(t *testing.T) {
	started, ended := 0, 0
	keeper := counting(&started, &ended)
	t.Run("together", func(t *testing.T) {
		first := keeper.lane(t, []Role{Sink()})
		second := keeper.lane(t, []Role{Sink(), Replier(64)})
		assert.NotEqual(t, first.Address("sink"), second.Address("sink"))
		assert.Regexp(t, "^tcp://", second.Address("replier"))
		assert.Equal(t, 1, started)
		t.Run("within", func(t *testing.T) { keeper.lane(t, []Role{Sink()}) })
		assert.Zero(t, ended)
	})
	assert.Equal(t, 1, ended)
	t.Run("later", func(t *testing.T) { keeper.lane(t, []Role{Sink()}) })
	assert.Equal(t, 2, started)
	assert.Equal(t, 2, ended)
}

func TestRolesAreFilledIn(t *testing.T) {
	roles := filledIn("TestPush", []Role{Sink(), Source(3, 10, 20), {Name: "other", Role: matrix.RoleSink, Seed: 7, Parts: 2}})
	assert.Equal(t, "sink", roles[0].Name)
	assert.Equal(t, "source", roles[1].Name)
	assert.Equal(t, 1, roles[1].Parts)
	assert.NotZero(t, roles[1].Seed)
	assert.NotEqual(t, roles[0].Seed, roles[1].Seed)
	assert.Equal(t, Role{Name: "other", Role: matrix.RoleSink, Seed: 7, Parts: 2}, roles[2])
	assert.Equal(t, roles, filledIn("TestPush", []Role{Sink(), Source(3, 10, 20), roles[2]}), "the same again")
	assert.NotEqual(t, roles[0].Seed, filledIn("TestPull", []Role{Sink()})[0].Seed)
}

func TestFramesAreThoseThatTheEndpointSends(t *testing.T) {
	started, ended := 0, 0
	lane := counting(&started, &ended).lane(t, []Role{
		{Role: matrix.RoleSource, Count: 4, Sizes: []int{3, 5}, Seed: 9},
		{Name: "many", Role: matrix.RoleSource, Count: 4, Sizes: []int{3, 5, 7}, Parts: 2, Seed: 9},
	})
	assert.Equal(t, matrix.Payload(9, 1, 5), lane.Frame("source", 1, 0))
	assert.Equal(t, matrix.Payload(9, 16+1, 3), lane.Frame("many", 1, 1))
}

func TestClosingALaneTwiceSaysTheSame(t *testing.T) {
	started, ended := 0, 0
	lane := counting(&started, &ended).lane(t, []Role{Sink()})
	assert.Equal(t, lane.Close(), lane.Close())
}

// fatal notes what a test would have failed with.
type fatal struct {
	testing.TB
	text string
}

func (f *fatal) Helper() {}
func (f *fatal) Fatal(arguments ...any) {
	f.text = arguments[0].(string)
	panic(f)
}

func TestWhatTheEndpointLacksFailsTheTest(t *testing.T) {
	keeper := &keeper{start: func(context.Context) (matrix.Endpoint, func(context.Context) error, error) {
		return nil, nil, errors.New("the endpoint needs libzmq to build (apt-get install gcc pkg-config libzmq3-dev)")
	}}
	failing := &fatal{TB: t}
	require.PanicsWithValue(t, failing, func() { keeper.lane(failing, []Role{Sink()}) })
	assert.Equal(t, "starting the endpoint: the endpoint needs libzmq to build (apt-get install gcc pkg-config libzmq3-dev)", failing.text)
}
