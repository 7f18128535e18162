package endpoint_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/matrix/endpoint"
)

var sinkRequest = matrix.LaneRequest{Sockets: []matrix.SocketSpec{{Name: "sink", Role: matrix.RoleSink, Seed: 7, Count: 8, Sizes: []int{64}, Parts: 1}}}

const goodGreeting = `{"endpoint":1,"libzmq":"4.3.4","pid":7}` + "\n"

// scripted is a client whose endpoint says what the script writes.
func scripted(t *testing.T, script func(stream net.Conn, requests *bufio.Scanner)) (*endpoint.Client, error) {
	mine, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		script(theirs, bufio.NewScanner(theirs))
	}()
	client, err := endpoint.NewClient(t.Context(), mine)
	if err == nil {
		t.Cleanup(func() { client.Close(context.Background()) })
	}
	return client, err
}

func TestClientRefusesOtherGreetings(t *testing.T) {
	for _, greeting := range []struct {
		name, text string
		is         error
		says       string
	}{
		{"another_version", `{"endpoint":2,"libzmq":"4.3.5","pid":7}` + "\n", endpoint.ErrVersion, "2, this is 1"},
		{"no_endpoint", "login: \n", endpoint.ErrGarbled, `"login: "`},
		{"another_program", `{"warden":1}` + "\n", endpoint.ErrGarbled, "warden"},
		{"nothing", "", endpoint.ErrGone, "ended"},
		{"half_a_line", `{"endpoint":1`, endpoint.ErrGone, "ended inside a line"},
		{"a_line_too_long", strings.Repeat("x", endpoint.MaxReplyLine+1) + "\n", endpoint.ErrGarbled, "too long"},
	} {
		t.Run(greeting.name, func(t *testing.T) {
			_, err := scripted(t, func(stream net.Conn, _ *bufio.Scanner) { io.WriteString(stream, greeting.text) })
			require.ErrorIs(t, err, greeting.is)
			assert.ErrorContains(t, err, greeting.says)
		})
	}
}

func TestClientGreetingEndsWithItsContext(t *testing.T) {
	mine, theirs := net.Pipe()
	defer theirs.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := endpoint.NewClient(ctx, mine)
	require.ErrorIs(t, err, context.Canceled)
	_, err = theirs.Write([]byte("x"))
	assert.ErrorIs(t, err, io.ErrClosedPipe, "the stream is closed")
}

func TestClientNamesWhatIsWrongWithReplies(t *testing.T) {
	for _, reply := range []struct {
		name, text string
		is         error
		says       string
	}{
		{"an_error", `{"id":1,"error":"no sockets left"}` + "\n", nil, "the endpoint says: no sockets left"},
		{"no_lane", `{"id":1,"account":{"sockets":{}}}` + "\n", endpoint.ErrGarbled, "no lane"},
		{"another_id", `{"id":9,"error":"x"}` + "\n", endpoint.ErrGarbled, "request 9"},
		{"binary", "\x00\xff\x01\n", endpoint.ErrGarbled, `"\x00\xff\x01"`},
		{"another_type", `{"id":"1"}` + "\n", endpoint.ErrGarbled, "no reply"},
		{"a_line_too_long", strings.Repeat("x", endpoint.MaxReplyLine+1) + "\n", endpoint.ErrGarbled, "too long"},
		{"half_a_line", `{"id":1,"la`, endpoint.ErrGone, "inside a line"},
		{"the_end", "", endpoint.ErrGone, "its stream ended"},
	} {
		t.Run(reply.name, func(t *testing.T) {
			client, err := scripted(t, func(stream net.Conn, requests *bufio.Scanner) {
				io.WriteString(stream, goodGreeting)
				requests.Scan()
				io.WriteString(stream, reply.text)
			})
			require.NoError(t, err)
			_, err = client.Open(t.Context(), sinkRequest)
			require.Error(t, err)
			assert.ErrorContains(t, err, reply.says)
			if reply.is != nil {
				assert.ErrorIs(t, err, reply.is)
			}
		})
	}
}

// An engine whose connection stalls looks like this.
func TestClientGivesUpAnEndpointThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, err := scripted(t, func(stream net.Conn, requests *bufio.Scanner) {
			io.WriteString(stream, goodGreeting)
			for requests.Scan() {
			}
		})
		require.NoError(t, err)
		began := time.Now()
		_, err = client.CloseLane(t.Context(), "1")
		require.ErrorIs(t, err, endpoint.ErrGone)
		assert.ErrorContains(t, err, "did not answer within 1m0s")
		assert.Equal(t, time.Minute, time.Since(began), "by the bubble's clock")
		_, err = client.Open(t.Context(), sinkRequest)
		assert.ErrorContains(t, err, "did not answer within 1m0s", "it is gone for all others, too")
	})
}

func TestClientClosesLanesThatNobodyWaitsFor(t *testing.T) {
	opened, answer, closed := make(chan struct{}), make(chan struct{}), make(chan string, 1)
	client, err := scripted(t, func(stream net.Conn, requests *bufio.Scanner) {
		io.WriteString(stream, goodGreeting)
		requests.Scan()
		close(opened)
		<-answer
		io.WriteString(stream, `{"id":1,"lane":{"id":"31","endpoints":{}}}`+"\n")
		requests.Scan()
		closed <- requests.Text()
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-opened
		cancel()
	}()
	_, err = client.Open(ctx, sinkRequest)
	require.ErrorIs(t, err, context.Canceled)
	close(answer)
	assert.JSONEq(t, `{"id":2,"op":"close","lane":"31"}`, <-closed)
}

func TestClientCallsEndWhenItIsClosed(t *testing.T) {
	asked := make(chan struct{})
	client, err := scripted(t, func(stream net.Conn, requests *bufio.Scanner) {
		io.WriteString(stream, goodGreeting)
		requests.Scan()
		close(asked)
		requests.Scan()
	})
	require.NoError(t, err)
	result := make(chan error, 1)
	go func() {
		_, err := client.CloseLane(context.Background(), "1")
		result <- err
	}()
	<-asked
	require.NoError(t, client.Close(t.Context()))
	assert.ErrorIs(t, <-result, endpoint.ErrGone)
	_, err = client.Open(t.Context(), sinkRequest)
	assert.ErrorIs(t, err, endpoint.ErrGone)
}

// memory is an endpoint without sockets. A lane called "slow" closes when
// release is closed.
type memory struct {
	release chan struct{}
	mutex   sync.Mutex
	opened  int
}

func (m *memory) Open(_ context.Context, request matrix.LaneRequest) (matrix.Lane, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.opened++
	return matrix.Lane{ID: fmt.Sprintf("%d-%d", m.opened, request.Sockets[0].Seed), Endpoints: map[string]string{"sink": "tcp://127.0.0.1:1"}}, nil
}

func (m *memory) CloseLane(ctx context.Context, id string) (matrix.LaneAccount, error) {
	switch id {
	case "none":
		return matrix.LaneAccount{}, errors.New("there is no such lane")
	case "slow":
		select {
		case <-m.release:
		case <-ctx.Done():
			return matrix.LaneAccount{}, ctx.Err()
		}
	}
	return matrix.LaneAccount{Sockets: map[string]matrix.SocketAccount{id: {Received: 3}}}, nil
}

func (m *memory) Close(context.Context) error { return nil }

// served is a control stream that Serve answers, and the result of Serve.
func served(t *testing.T) (stream net.Conn, lanes *memory, result chan error) {
	mine, theirs := net.Pipe()
	lanes, result = &memory{release: make(chan struct{})}, make(chan error, 1)
	go func() {
		result <- endpoint.Serve(t.Context(), theirs, endpoint.Greeting{Endpoint: endpoint.Version, Libzmq: "4.3.4", PID: 7}, lanes)
		theirs.Close()
	}()
	t.Cleanup(func() { mine.Close() })
	return mine, lanes, result
}

func TestClientAndServeAgree(t *testing.T) {
	stream, lanes, result := served(t)
	client, err := endpoint.NewClient(t.Context(), stream)
	require.NoError(t, err)
	assert.Equal(t, endpoint.Greeting{Endpoint: 1, Libzmq: "4.3.4", PID: 7}, client.Greeting())

	slow := make(chan matrix.LaneAccount, 1)
	go func() {
		account, err := client.CloseLane(context.Background(), "slow")
		assert.NoError(t, err)
		slow <- account
	}()
	var callers sync.WaitGroup
	for k := range 50 {
		callers.Go(func() {
			request := matrix.LaneRequest{Sockets: []matrix.SocketSpec{sinkRequest.Sockets[0]}}
			request.Sockets[0].Seed = uint64(k)
			lane, err := client.Open(t.Context(), request)
			if assert.NoError(t, err) {
				assert.True(t, strings.HasSuffix(lane.ID, fmt.Sprintf("-%d", k)), "each caller gets the reply to its own request")
			}
			account, err := client.CloseLane(t.Context(), lane.ID)
			assert.NoError(t, err)
			assert.EqualValues(t, 3, account.Sockets[lane.ID].Received)
		})
	}
	callers.Wait() // while the slow lane is still closing
	close(lanes.release)
	assert.Contains(t, (<-slow).Sockets, "slow")

	_, err = client.CloseLane(t.Context(), "none")
	assert.ErrorContains(t, err, "there is no such lane")
	require.NoError(t, client.Close(t.Context()))
	assert.NoError(t, <-result)
}

func TestServeEndsWithItsStreamWhateverIsUnderWay(t *testing.T) {
	stream, _, result := served(t)
	client, err := endpoint.NewClient(t.Context(), stream)
	require.NoError(t, err)
	gone := make(chan error, 1)
	go func() {
		_, err := client.CloseLane(context.Background(), "slow")
		gone <- err
	}()
	_, err = client.Open(t.Context(), sinkRequest) // the slow one may be before or after
	require.NoError(t, err)
	require.NoError(t, client.Close(t.Context()))
	assert.ErrorIs(t, <-gone, endpoint.ErrGone)
	select {
	case <-result:
	case <-time.After(5 * time.Second):
		assert.Fail(t, "Serve still waits")
	}
}

func TestServeAnswersGarbageAndGoesOn(t *testing.T) {
	for _, line := range []struct {
		name, text string
		id         int64
		says       string
	}{
		{"binary", "\x00\x01\xff\xfe", 0, "not a JSON object"},
		{"not_an_object", `[1]`, 0, "not a JSON object"},
		{"null", `null`, 0, "not a JSON object"},
		{"half_an_object", `{"id":4,"op":"open"`, 0, "unexpected EOF"},
		{"two_objects", `{"id":4,"op":"close","lane":"1"}{}`, 0, "more than one JSON value"},
		{"another_type", `{"id":4,"op":7}`, 4, "op"},
		{"an_id_of_another_type", `{"id":"4","op":"close","lane":"1"}`, 0, "id"},
		{"a_negative_id", `{"id":-4,"op":"close","lane":"1"}`, 0, "at least 1"},
		{"no_id", `{"op":"close","lane":"1"}`, 0, "at least 1"},
		{"an_unknown_op", `{"id":4,"op":"shutdown"}`, 4, `unknown op "shutdown"`},
		{"an_unknown_key", `{"id":4,"op":"close","lane":"1","force":true}`, 4, `unknown field "force"`},
		{"an_unknown_key_inside", `{"id":4,"op":"open","sockets":[{"name":"a","role":"sink","gssapi":true}]}`, 4, `unknown field "gssapi"`},
		{"a_huge_line", `{"id":4,"op":"` + strings.Repeat("x", endpoint.MaxRequestLine) + `"}`, 0, "too long"},
		{"a_huge_key", `{"id":4,"` + strings.Repeat("x", 1000) + `":1}`, 4, "…"},
		{"no_sockets", `{"id":4,"op":"open"}`, 4, "no sockets"},
		{"no_lane", `{"id":4,"op":"close"}`, 4, `"lane" is missing`},
		{"a_lane_for_open", `{"id":4,"op":"open","lane":"1","sockets":[{"name":"a","role":"sink"}]}`, 4, "is for close"},
		{"sockets_for_close", `{"id":4,"op":"close","lane":"1","sockets":[]}`, 4, "is for open"},
		{"an_unknown_lane", `{"id":4,"op":"close","lane":"none"}`, 4, "no such lane"},
	} {
		t.Run(line.name, func(t *testing.T) {
			stream, _, result := served(t)
			lines := bufio.NewReader(stream)
			read := func() (reply endpoint.Reply) {
				text, err := lines.ReadBytes('\n')
				require.NoError(t, err)
				require.NoError(t, json.Unmarshal(text, &reply))
				return reply
			}
			read() // the greeting
			_, err := io.WriteString(stream, line.text+"\n")
			require.NoError(t, err)
			reply := read()
			assert.Equal(t, line.id, reply.ID)
			assert.Contains(t, reply.Error, line.says)
			assert.Less(t, len(reply.Error), 500)

			_, err = io.WriteString(stream, `{"id":5,"op":"close","lane":"1"}`+"\n")
			require.NoError(t, err)
			reply = read()
			assert.EqualValues(t, 5, reply.ID)
			assert.NotNil(t, reply.Account)
			stream.Close()
			assert.NoError(t, <-result)
		})
	}
}

func TestLanesAreChecked(t *testing.T) {
	spec := func(change func(*matrix.SocketSpec)) []matrix.SocketSpec {
		spec := matrix.SocketSpec{Name: "a", Role: matrix.RoleSource, Count: 1, Sizes: []int{1}}
		change(&spec)
		return []matrix.SocketSpec{spec}
	}
	for _, lane := range []struct {
		name    string
		sockets []matrix.SocketSpec
		says    string
	}{
		{"nine_sockets", make([]matrix.SocketSpec, 9), "9 sockets, at most 8"},
		{"a_name_no_variable_can_have", spec(func(s *matrix.SocketSpec) { s.Name = "A b" }), "the name must match"},
		{"an_unknown_role", spec(func(s *matrix.SocketSpec) { s.Role = "router" }), `unknown role "router"`},
		{"a_negative_count", spec(func(s *matrix.SocketSpec) { s.Count = -1 }), "count -1"},
		{"too_high_a_count", spec(func(s *matrix.SocketSpec) { s.Count = 1_000_001 }), "count 1000001"},
		{"too_many_parts", spec(func(s *matrix.SocketSpec) { s.Parts = 17 }), "parts 17"},
		{"too_large_a_size", spec(func(s *matrix.SocketSpec) { s.Sizes = []int{64<<20 + 1} }), "size 67108865"},
		{"a_negative_size", spec(func(s *matrix.SocketSpec) { s.Sizes = []int{-1} }), "size -1"},
		{"a_source_without_sizes", spec(func(s *matrix.SocketSpec) { s.Sizes = nil }), "needs sizes"},
		{"a_pubsub_of_parts", spec(func(s *matrix.SocketSpec) { s.Role, s.Parts = matrix.RolePubSub, 2 }), "no parts"},
		{"a_pubsub_of_gigabytes", spec(func(s *matrix.SocketSpec) { s.Role, s.Count, s.Sizes = matrix.RolePubSub, 1000, []int{1, 1 << 20} }), "at most 268435456"},
		{"a_name_twice", append(spec(func(s *matrix.SocketSpec) { s.Name = "a-in" }), spec(func(s *matrix.SocketSpec) { s.Role = matrix.RolePubSub })...), `"a-in": the name is taken`},
	} {
		t.Run(lane.name, func(t *testing.T) {
			assert.ErrorContains(t, endpoint.CheckLane(matrix.LaneRequest{Sockets: lane.sockets}), lane.says)
		})
	}
	assert.NoError(t, endpoint.CheckLane(matrix.LaneRequest{Sockets: append(spec(func(s *matrix.SocketSpec) { s.Parts = 16 }), matrix.SocketSpec{Name: "sink", Role: matrix.RoleSink})}))
}

// FuzzParseRequest: whatever the line, there is a request that holds to the
// bounds, or an error that fits a reply.
func FuzzParseRequest(f *testing.F) {
	for _, line := range []string{
		`{"id":1,"op":"open","sockets":[{"name":"sink","role":"sink","seed":0,"count":8,"sizes":[64],"parts":1}]}`,
		`{"id":2,"op":"close","lane":"1"}`, `{"id":1e9}`, `{"id":3,"op":"open","sockets":[{}]}`, `{`, `null`, "\xff", `{"ID":1,"Op":"close","LANE":"1"}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		request, err := endpoint.ParseRequest(line)
		if err != nil {
			assert.Less(t, len(err.Error()), 1000+len(line))
			assert.GreaterOrEqual(t, request.ID, int64(0))
			return
		}
		assert.Positive(t, request.ID)
		again, err := json.Marshal(request)
		require.NoError(t, err)
		second, err := endpoint.ParseRequest(again)
		require.NoError(t, err)
		assert.Equal(t, request, second)
		if request.Op == endpoint.OpOpen {
			assert.NoError(t, endpoint.CheckLane(matrix.LaneRequest{Sockets: request.Sockets}))
		} else {
			assert.NotEmpty(t, request.Lane)
		}
	})
}
