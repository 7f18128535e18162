# The two commands of the README are `make matrix` and `make test`. Both first
# install what is missing (Debian and Ubuntu; `go run . doctor` only tells).

GO ?= go

# go run stamps no revision into the program unless it is told to, and fails if
# it is told to where git can't tell it one.
STAMP := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo -buildvcs=true)

SOAK ?= 2m

# What check has vetted is not vetted again. A test's last result is none: it depends
# on an engine, on images and on installed programs, of which go test knows nothing.
TEST := $(GO) test -count 1 -vet off -tags integration -timeout 60m

.PHONY: matrix test test-engine test-rest test-results test-hangs bench soak check setup setup-test

# Measures every client and publishes the table: results/published and README.md.
matrix: setup
	$(GO) run $(STAMP) . run --publish

setup:
	$(GO) run . doctor --fix

# All tests, those with Docker and the Lisps included. What is published is measured
# first, beside nothing: that makes the images, two at once, which others find then.
# The rest goes three at a time, each about as long, since a test waits now and then:
# it looks for nothing but what it has made itself, and has verdicts of few clients,
# which hold on a busy machine. Beside it what is published as a hang sleeps through
# its limits.
test: setup-test check
	$(TEST) -skip '^TestPublishedHangsHold$$' .
	$(MAKE) --no-print-directory --jobs 4 test-engine test-rest test-results test-hangs

test-engine:
	$(TEST) ./ci
	$(TEST) ./containers/docker

test-hangs:
	$(TEST) -run '^TestPublishedHangsHold$$' .

test-rest:
	others=$$($(GO) list ./... | grep -vxF "$$($(GO) list . ./ci ./containers/docker ./results/...)") && $(TEST) -p 1 $$others

test-results:
	$(TEST) -p 1 ./results/...
	sh targets/lisp/test.sh

setup-test:
	$(GO) run . doctor --fix --for-tests

# The program is used without cgo as well. It builds so if it is the same files: to
# compile all of it a second time is a minute's work.
FILES := -deps -f '{{if not .Standard}}{{.ImportPath}} {{.GoFiles}} {{.CgoFiles}}{{end}}' .

check:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-clean: $$unformatted"; exit 1; }
	@with=$$(CGO_ENABLED=1 $(GO) list $(FILES)) && without=$$(CGO_ENABLED=0 $(GO) list $(FILES)) && \
		test "$$with" = "$$without" || { echo "the program is not made of the same files with and without cgo"; exit 1; }
	$(GO) vet -tags integration ./...

# Ratios in one run: harness cost per attempt, the endpoint's sink against C's,
# and 100 000 cells on the fake runtime.
bench:
	$(GO) test -tags integration -run '^$$' -bench . -skip Sink -benchtime 1x -timeout 30m ./...
	$(GO) test -run '^$$' -bench Sink -benchtime 20x ./matrix/endpoint/peer

# The long forms: the default variants' published verdicts by as many attempts as a
# run makes, a hundred kills of runners, endpoints and wardens on the host, a
# hundred of runners, containers and the way to the engine in docker, and fuzzing of
# everything that is read of a client, a warden, an endpoint, a target or a
# stranger's results, one fuzz target after the other, each for SOAK; make test
# runs them on their seeds alone. What one finds is left in its testdata/fuzz, for
# the next make test, and the others still get their turn.
soak: setup-test
	ZMQMATRIX_SOAK=1 $(GO) test -tags integration -run 'Published.*Hold' -timeout 120m .
	ZMQMATRIX_SOAK=1 $(GO) test -tags integration -run Chaos -timeout 120m ./ci
	@failed=; for found in $$(grep -o '^func Fuzz[A-Za-z]*' $$(git ls-files '*_test.go') | sed 's/:func /:/'); do \
		package=./$$(dirname $${found%%:*}) target=$${found##*:}; echo "$$package $$target"; \
		$(GO) test $$package -run '^$$' -fuzz "^$$target\$$" -fuzztime $(SOAK) -fuzzminimizetime 10x || failed="$$failed $$target"; \
	done; test -z "$$failed" || { echo "found something:$$failed"; exit 1; }
