;;;; One package per layer, and the macro with which a layer declares the
;;;; operations that another file must supply.

(defpackage #:zmqmatrix.protocol
  (:documentation "How a layer says what must be implemented elsewhere: by an
implementation's runtime.lisp, a foreign interface, or a binding.")
  (:use #:common-lisp)
  (:export #:define-operation #:operations #:missing-operations #:operation-documentation
           #:octet #:octets #:address
           #:unsupported #:unsupported-reason #:not-offered))

(defpackage #:zmqmatrix.report
  (:documentation "The report: JSON lines on standard output.")
  (:use #:common-lisp)
  (:export #:json-text #:hello #:progress #:observe #:observe-address #:done #:closed-unsupported #:failed
           #:address-text #:comma-list))

(defpackage #:zmqmatrix.payload
  (:documentation "Payloads and CRC-32, as PROBE.md defines them.")
  (:use #:common-lisp #:zmqmatrix.protocol)
  (:export #:make-octets #:fill-payload #:*repeat* #:payload #:payload-mismatches #:payload-octet
           #:crc32 #:crc32-step #:crc32-start #:crc32-text #:crc32-by-octet))

(defpackage #:zmqmatrix.runtime
  (:documentation "What the probe needs of a Lisp implementation beyond the
standard. targets/<implementation>/runtime.lisp defines it.")
  (:use #:common-lisp #:zmqmatrix.protocol)
  (:export #:implementation-name #:implementation-version #:threads-p #:collector
           #:start-up #:environment-variable #:arguments #:executable-directory
           #:full-gc #:leave
           #:allocate-static-array #:release-static-array #:released-by-collector-p #:static-array-address
           #:ordinary-array-address #:call-with-pinned-array
           #:copy-to-memory #:copy-from-memory #:memory-octet #:store-memory-octet
           #:memory-as-array
           #:errno-survives-p #:collector-signal #:own-techniques #:trampoline))

(defpackage #:zmqmatrix.foreign
  (:documentation "Calling C and being called by C. foreign/<interface>.lisp
defines it; all pointers are integers.")
  (:use #:common-lisp #:zmqmatrix.protocol)
  (:export #:interface-name #:define-c-functions #:open-c-library #:c-function-address
           #:store-word #:*call-through* #:callback-address
           #:lisp-lock-trampoline #:*loading-techniques* #:*on-call* #:*on-free* #:*callback-condition*))

(defpackage #:zmqmatrix.fixture
  (:documentation "The functions of targets/c/fixture.h.")
  (:use #:common-lisp #:zmqmatrix.protocol)
  (:export #:call-here #:start-threads #:threads-running #:join-threads #:call-threads
           #:calls-made #:calls-right #:callers #:mask-blocked
           #:thread-id #:note-thread #:noted-threads #:noted-names #:forget-threads
           #:mismatches #:fill-memory #:peek #:poke #:allocate #:release #:libc-free
           #:memory-crc32 #:queue-free-address #:queue-take #:unblock-signal #:sleep-us
           #:set-unblocking-function #:set-unblocking-free
           #:unblocking-function-address #:unblocking-free-address #:kept-errno))

(defpackage #:zmqmatrix.library
  (:documentation "libzmq itself, beside any binding.")
  (:use #:common-lisp)
  (:export #:open-library #:version #:message-octets #:message-octets-touched))

(defpackage #:zmqmatrix.binding
  (:documentation "What the probe needs of ZeroMQ. bindings/<binding>.lisp
defines it.")
  (:use #:common-lisp #:zmqmatrix.protocol)
  (:export #:binding-name #:binding-version #:libzmq-version #:open-binding
           #:require-memory-interface #:believed-message-octets
           #:open-context #:shut-down-context #:terminate-context
           #:open-socket #:close-socket #:connect-socket #:bind-socket #:set-option
           #:send-octets #:receive-octets
           #:send-memory #:send-message-copy #:send-in-place
           #:receive-message #:message-address #:message-size #:close-message
           #:error-number #:timed-out-p #:unreported-failure #:check-result
           #:zmq-error #:zmq-error-number))

(defpackage #:zmqmatrix.features
  (:documentation "The features, one file per group.")
  (:use #:common-lisp #:zmqmatrix.protocol #:zmqmatrix.report #:zmqmatrix.payload)
  (:export #:find-feature #:feature-techniques #:run-feature #:feature-names
           #:lookup-variable))

(defpackage #:zmqmatrix.probe
  (:documentation "The program: one task from the environment, one report.")
  (:use #:common-lisp #:zmqmatrix.protocol)
  (:export #:main #:open-libraries))
