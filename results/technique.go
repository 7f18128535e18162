package results

// plainTechnique does it as the manual says; every other is a workaround or a
// choice, and is named with the outcome.
const plainTechnique = "plain"

// techniqueAdvice says what a binding's author does to use a technique, in one
// sentence. A technique that is not here is shown by its name alone.
var techniqueAdvice = map[string]string{
	"unblock-signals": "As the first act of the callback, unblock ILL, TRAP, BUS, FPE, SEGV and the signals that the collector stops threads with, by pthread_sigmask: libzmq's I/O threads block every signal.",
	"import-thread":   "Register the thread with the runtime in a C trampoline around the callback.",
	"lisp-lock":       "For a runtime without threads: hold one lock while the main thread runs the language, give it up around every C call, and take it around every callback.",
	"c-queue":         "Give libzmq a free function in C that only queues, and drain the queue on a thread of the language's own.",
	"pin":             "Pin an ordinary object for as long as libzmq has it, instead of allocating a static one.",
}
