package results

// plainTechnique does it as the manual says; every other is a workaround or a
// choice, and is named with the outcome.
const plainTechnique = "plain"

// techniqueAdvice says what a binding's author does to use a technique, in one
// sentence. A technique that is not here is shown by its name alone.
var techniqueAdvice = map[string]string{
	"unblock-signals": "As the first act of the callback, unblock ILL, TRAP, BUS, FPE, SEGV and the signals that the collector stops threads with, by pthread_sigmask: libzmq's I/O threads block every signal.",
	"import-thread":   "In a C trampoline before the thread's first callback, unblock the synchronous signals and the collector's own, then register the thread with the runtime.",
	"lisp-lock":       "For a runtime without threads: hold one lock while the main thread runs the language, give it up around every C call, and take it around every callback.",
	"main-stack":      "For a runtime whose collector looks at one stack: take the lock of lisp-lock, and run the callback on a part of the main thread's stack that is left free for it.",
	"own-namespace":   "For a runtime that exports its own malloc and free: load libzmq with a libc of its own by dlmopen with LM_ID_NEWLM.",
	"c-queue":         "Give libzmq a free function in C that only queues, and drain the queue on a thread of the language's own.",
	"pin":             "Pin an ordinary object for as long as libzmq has it, instead of allocating a static one.",
}
