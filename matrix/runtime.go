package matrix

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrUnavailable marks a client that can't be had here (no licence, no
// package, no image): its cells are not-run, with the error's text as reason.
var ErrUnavailable = errors.New("not available here")

// Runtime is where clients run: docker, the host, or a script in tests.
type Runtime interface {
	// Name is "docker", "local" or "fake".
	Name() string
	// Environment describes the machine and engine for the record's header.
	Environment(ctx context.Context) (Environment, error)
	// StartEndpoint brings up the run's one endpoint.
	StartEndpoint(ctx context.Context) (Endpoint, error)
	// Prepare makes the client ready to be started: image built or found.
	// ErrUnavailable means not-run.
	Prepare(ctx context.Context, target Target, variant Variant, binding Binding) (Place, error)
	// Close removes everything that the runtime started.
	Close(ctx context.Context) error
}

// Environment is the machine and engine of a run.
type Environment struct {
	Host   string `json:"host"` // kernel and architecture
	Cores  int    `json:"cores"`
	Engine string `json:"engine"` // "docker 20.10.24", "local"
	// EndpointDigest identifies the endpoint's build; part of what decides
	// whether a recorded attempt may be reused.
	EndpointDigest string `json:"endpoint_digest"`
	// Confinement identifies what supervises and confines the clients and is in no
	// image of theirs: the warden's build on a host, the containers' settings. It
	// is part of that decision too.
	Confinement string `json:"confinement,omitempty"`
}

// changes says in which parts another environment is not this one.
func (e Environment) changes(now Environment) string {
	var changes []string
	for _, part := range []struct{ name, was, is string }{
		{"host", e.Host, now.Host},
		{"number of cores", strconv.Itoa(e.Cores), strconv.Itoa(now.Cores)},
		{"engine", e.Engine, now.Engine},
		{"endpoint", e.EndpointDigest, now.EndpointDigest},
		{"confinement", e.Confinement, now.Confinement},
	} {
		if part.was != part.is {
			changes = append(changes, fmt.Sprintf("its %s was %s and is %s", part.name, part.was, part.is))
		}
	}
	return strings.Join(changes, ", ")
}

// Place is one prepared client. Its methods are called by one goroutine at a
// time.
type Place interface {
	// Start has the client's container up, with what Target.Needs asks for, and
	// its warden answering. It is called once, before the first Run, and again
	// if it failed; a client of which nothing has to be run is never started.
	Start(ctx context.Context) error
	// Digest identifies all of the client that is not the task: an image id,
	// or a digest of the installed files and their versions.
	Digest() string
	// Size is the bytes of the client's image or installation, 0 if unknown.
	Size() int64
	// Source is where a binding that comes from elsewhere was taken from, nil
	// for the project's own.
	Source() *Source
	// Expand replaces {dir} in a command or path.
	Expand(text string) string
	// Run runs the task in one fresh process of a started place and accounts
	// for how it ended. An error is the harness's fault.
	Run(ctx context.Context, task Task) (Account, error)
	Close(ctx context.Context) error
}

// Source is the origin of a binding that comes from elsewhere.
type Source struct {
	From   string `json:"from"`             // the folder as it was named, or what it was fetched from
	Folder bool   `json:"folder,omitempty"` // From is a folder
	// Revision is the commit that the folder is a working copy of, "" if it is
	// none or git can't tell; "-dirty" follows if files were changed since.
	Revision string `json:"revision,omitempty"`
	Digest   string `json:"digest"` // "sha256:…" of the tree
}

// Bounds are the limits of one attempt. Zero means none.
type Bounds struct {
	Wall      time.Duration `json:"wall"`
	CPU       time.Duration `json:"cpu"`
	MemoryMiB int           `json:"memory_mib"` // resident size of the whole process group
	Output    int           `json:"output"`     // bytes kept of each of stdout and stderr
	Processes int           `json:"processes"`
}

// Ending is how a probe's process ended.
type Ending string

// The endings. A signal is read from wait status, never guessed from an exit
// code above 128.
const (
	Exited   Ending = "exited"
	Signaled Ending = "signaled"
	// The rest were killed by the warden for the bound they broke.
	EndedWall      Ending = "wall-limit"
	EndedCPU       Ending = "cpu-limit"
	EndedMemory    Ending = "memory-limit"
	EndedOutput    Ending = "output-limit"
	EndedProcesses Ending = "process-limit"
)

// Account is the warden's word on one attempt.
type Account struct {
	Ending Ending        `json:"ending"`
	Code   int           `json:"code"`             // exit code when Exited
	Signal string        `json:"signal,omitempty"` // "SIGSEGV" when Signaled
	Wall   time.Duration `json:"wall"`
	User   time.Duration `json:"user"`
	System time.Duration `json:"system"`
	// Supervision is the CPU time of the warden and its debugger meanwhile: with
	// User and System what the attempt took of the machine.
	Supervision  time.Duration `json:"supervision,omitempty"`
	PeakRSS      int64         `json:"peak_rss"`              // bytes, highest resident size of the probe process
	BaselineRSS  int64         `json:"baseline_rss"`          // bytes, resident size when the first line of output came; 0 if none came
	Stdout       []byte        `json:"-"`                     // the report, as it was printed
	Stderr       []byte        `json:"stderr,omitempty"`      // tail
	StdoutLost   int64         `json:"stdout_lost,omitempty"` // bytes dropped past Bounds.Output
	StderrLost   int64         `json:"stderr_lost,omitempty"`
	Strays       int           `json:"strays,omitempty"` // processes of the group still there at the end, killed
	WitnessCalls []WitnessCall `json:"witness,omitempty"`
	WitnessLost  int64         `json:"witness_lost,omitempty"` // calls past the witness's cap
	Dossier      *Dossier      `json:"dossier,omitempty"`
	// CoreMissing is why Task.Core got no core file of a probe that a signal
	// killed.
	CoreMissing string `json:"-"`
}

// WitnessCall is one call of send or its kin, as the preloaded witness library
// saw it: what address the kernel was given.
type WitnessCall struct {
	Call    string `json:"call"`    // "send", "sendto", "sendmsg", "write", "writev"
	Peer    int    `json:"peer"`    // peer's TCP port, 0 if the descriptor is no TCP socket
	Thread  int    `json:"thread"`  // thread id
	Address uint64 `json:"address"` // first byte of the buffer
	Length  int64  `json:"length"`  // bytes offered
	Result  int64  `json:"result"`  // bytes taken by the kernel, -1 on error
}

// Dossier is what is known of a crash or hang.
type Dossier struct {
	Signal  string `json:"signal,omitempty"`
	Address string `json:"address,omitempty"` // faulting address, "0x…"
	Code    string `json:"code,omitempty"`    // si_code in words: "SEGV_ACCERR"
	// Sender is whose kill it was, if the signal is no fault.
	Sender Sender `json:"sender,omitempty"`
	// Page has the rights of the page at Address, as /proc/PID/maps writes
	// them: "r--p"; PageNone where nothing is mapped.
	Page string `json:"page,omitempty"`
	// Access is what was done at Address, as far as the page's rights and the
	// program counter leave no other.
	Access Access `json:"access,omitempty"`
	// Instruction is the one at the thread's program counter, in the debugger's
	// words.
	Instruction string `json:"instruction,omitempty"`
	Thread      string `json:"thread,omitempty"` // "ZMQbg/IO/0 (4711)"
	Main        bool   `json:"main"`             // whether it was the process's first thread
	// Forced says that the process had a handler for the signal, and that the
	// kernel took it away to let the signal kill: what it does with a fault in a
	// thread that blocks its signal. The signal is then missing in Blocked, as
	// the kernel unblocks it, too.
	Forced  bool     `json:"forced,omitempty"`
	Blocked []string `json:"blocked,omitempty"` // signals blocked in that thread
	// Threads are the process's, as far as MaxThreads, at the signal or when its
	// time was up.
	Threads   []ThreadState `json:"threads,omitempty"`
	Backtrace string        `json:"backtrace,omitempty"` // C backtrace of every thread
	// Missing says why a part is not there: no debugger, not allowed, not
	// reproduced under trace.
	Missing string `json:"missing,omitempty"`
}

// Sender is who sent a signal.
type Sender string

// The senders.
const (
	SenderSelf  Sender = "self"  // the process itself, as abort does
	SenderOther Sender = "other" // another process
)

// Access is a way to use memory.
type Access string

// The accesses that can be proven. What is no more than a read is never
// without another explanation.
const (
	AccessWrite   Access = "write"
	AccessExecute Access = "execute"
)

// PageNone stands for a page that is not mapped.
const PageNone = "none"

// MaxThreads bounds the threads of a dossier.
const MaxThreads = 64

// ThreadState is one thread of a process that crashed or hung.
type ThreadState struct {
	ID   int    `json:"id"`   // kernel thread id
	Name string `json:"name"` // its command name; libzmq names its own "ZMQbg/IO/0", "ZMQbg/Reaper"
	// State is what it did: StateRunning, "asleep in futex".
	State string `json:"state,omitempty"`
	// Start is the outermost function of its backtrace past the C library's, and
	// where that is: "caller_main in fixture.c", "libzmq.so.5". Empty of the
	// process's first thread, and where the backtrace does not reach so far.
	Start string `json:"start,omitempty"`
	// Maker is the thread that made it, 0 if that was not seen.
	Maker int `json:"maker,omitempty"`
}

// StateRunning is the state of a thread that ran or was ready to.
const StateRunning = "running"

// String is the thread as in Dossier.Thread.
func (t ThreadState) String() string { return fmt.Sprintf("%s (%d)", t.Name, t.ID) }

// Endpoint is the one ZeroMQ peer all clients talk to.
type Endpoint interface {
	// Open opens a lane. Lanes of several attempts are open at once.
	Open(ctx context.Context, request LaneRequest) (Lane, error)
	// CloseLane waits until what the client sent has arrived, closes the lane
	// and yields what was observed.
	CloseLane(ctx context.Context, id string) (LaneAccount, error)
	Close(ctx context.Context) error
}

// LaneRequest names the sockets of a lane.
type LaneRequest struct {
	Sockets []SocketSpec `json:"sockets"`
}

// SocketSpec is one socket that the endpoint binds for a lane.
type SocketSpec struct {
	Name string `json:"name"` // "sink"; the probe gets ZM_ENDPOINT_SINK
	Role Role   `json:"role"`
	// Seed makes what the endpoint sends. It is never told to the client, so
	// that only a client that received the bytes can know them.
	Seed  uint64 `json:"seed"`
	Count int    `json:"count"` // messages to send, or expected
	Sizes []int  `json:"sizes"` // body bytes of message i's parts: Sizes[(i*Parts+j) % len(Sizes)]
	Parts int    `json:"parts"` // frames per message, 1 unless multipart
	// Curve secures the socket (RFC 26): only a client with the lane's keys
	// gets in.
	Curve bool `json:"curve,omitempty"`
}

// Role is what a socket of the endpoint does.
type Role string

// The roles.
const (
	RoleSink      Role = "sink"      // PULL: receives and digests
	RoleSource    Role = "source"    // PUSH: sends Count messages to the first peer
	RoleReplier   Role = "replier"   // REP: answers request i with Payload(Seed, i, size i)
	RoleRequester Role = "requester" // REQ: sends Count requests, digests the replies
	// RolePubSub binds two sockets: "<name>" is the PUB the client subscribes
	// to, "<name>-in" the SUB that the client publishes to.
	RolePubSub Role = "pubsub"
)

// Lane is an open lane: where the client connects.
type Lane struct {
	ID        string            `json:"id"`
	Endpoints map[string]string `json:"endpoints"` // socket name → "tcp://host:port", in the client's network
	// Curve has the keys of the lane's secured sockets, nil if there are none.
	Curve *CurveKeys `json:"curve,omitempty"`
}

// CurveKeys are what a client needs to get into a lane's secured sockets. They
// are made for the lane and worth nothing after it. All are in Z85 (RFC 32).
type CurveKeys struct {
	Server string `json:"server"` // the endpoint's public key
	Public string `json:"public"` // the one client key that it lets in
	Secret string `json:"secret"` // of that key
}

// LaneAccount is what the endpoint saw on a lane, by socket name.
type LaneAccount struct {
	Sockets map[string]SocketAccount `json:"sockets"`
}

// SocketAccount is what the endpoint saw on one socket.
type SocketAccount struct {
	Received int64 `json:"received"` // messages
	Bytes    int64 `json:"bytes"`    // body bytes of all frames
	Sent     int64 `json:"sent"`     // messages
	// Digests has MessageDigest of the first MaxDigests messages received, in
	// order of arrival.
	Digests []string `json:"digests,omitempty"`
	// Rolling is the sum of a Rolling over all messages received, in order of
	// arrival.
	Rolling string `json:"rolling"`
	// Topics counts what a SUB received, by topic frame, as far as MaxTopics.
	Topics map[string]int64 `json:"topics,omitempty"`
	Peers  int              `json:"peers"` // connections accepted
	// Curve is of a secured socket's handshakes, nil for others.
	Curve *CurveAccount `json:"curve,omitempty"`
	// Error is what went wrong on this socket, in the endpoint's words.
	Error string `json:"error,omitempty"`
	// Fault is what the endpoint itself did not manage: the account may lack what
	// a client sent, and says nothing against one.
	Fault string `json:"fault,omitempty"`
}

// CurveAccount is what became of the connections to a secured socket. Who was
// refused is no error of the socket.
type CurveAccount struct {
	Accepted int             `json:"accepted"` // handshakes with the lane's keys
	Refused  map[Refusal]int `json:"refused,omitempty"`
}

// Refusal is why a connection to a secured socket did not get in.
type Refusal string

// The refusals.
const (
	// RefusedKey: the client has the server's key and proves its own, which is
	// not the lane's.
	RefusedKey Refusal = "unknown-key"
	// RefusedCipher: what the client sent can't be opened with the lane's keys,
	// as that of a client that has another server key.
	RefusedCipher Refusal = "cipher"
	// RefusedMechanism: the client wants another mechanism than CURVE.
	RefusedMechanism Refusal = "mechanism"
	// RefusedProtocol: the client broke the handshake otherwise.
	RefusedProtocol Refusal = "protocol"
	// RefusedUnfinished: the connection ended, or the lane was closed, before
	// the handshake was through, or the client speaks a ZMTP without one.
	RefusedUnfinished Refusal = "unfinished"
)

// Refusals are all of them, in the order in which they are told.
var Refusals = []Refusal{RefusedKey, RefusedCipher, RefusedMechanism, RefusedProtocol, RefusedUnfinished}

// MaxDigests and MaxTopics bound what a client can make the endpoint remember.
const (
	MaxDigests = 1024
	MaxTopics  = 64
)
