# Scrim. `make help` lists the targets.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export CGO_ENABLED ?= 0

# The same line as in the Dockerfile: no paths of the building machine, no symbols.
RELEASE := -trimpath -buildvcs=false -ldflags='-s -w'

# Runs a command with DATABASE_URL set: as it is, or else to a private Postgres cluster from the installed server programs,
# which are installed with apt-get if they are missing and we are root. The cluster is gone when the command ends.
WITHPG := go run ./internal/pgcluster/withpg --

# What starts goroutines is tested under the race detector (which needs cgo and a C compiler), everything else without.
RACE := ./httpapi/... ./internal/child ./internal/node ./internal/pg/... ./internal/pgcluster/... ./internal/wallet ./ordering/abci

# The golangci-lint whose rules the code keeps; another one may see more or less. Nowhere else is it named.
GOLANGCI_LINT := 2.13.2

# Real node processes: tested last and alone, so that nothing else takes their time.
E2E := ./internal/e2e/...

.PHONY: help build release demo test interop check lint bench fuzz clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  \1\t/'

build: ## bin/scrimd and bin/scrim
	mkdir -p bin
	go build -o bin/ ./cmd/scrimd ./cmd/scrim

release: ## the same in bin/release, exactly as the container image has them
	mkdir -p bin/release
	go build $(RELEASE) -o bin/release/ ./cmd/scrimd ./cmd/scrim

demo: build ## four nodes, a ceremony, 100 real transactions, one member killed, the audit (ARGS="--keep" leaves it running)
	./bin/scrimd demo $(ARGS)

test: check ## everything, with a real Postgres and real node processes
	$(WITHPG) .ci/test '$(RACE)' '$(E2E)'

interop: ## public tools on the log of a running committee: a module of its own, for their dependencies
	$(WITHPG) go -C internal/interop test -v .

check: ## go vet and gofmt
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not in gofmt's form:"; echo "$$unformatted"; exit 1; }
	go vet ./...

lint: check ## check, and golangci-lint if it is installed
	@if ! command -v golangci-lint >/dev/null; then \
		echo 'golangci-lint is not installed: only vet and gofmt were run (go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_LINT))'; \
	else \
		have=$$(golangci-lint version --short); \
		test "$$have" = $(GOLANGCI_LINT) || echo "golangci-lint is $$have; the code is kept clean under $(GOLANGCI_LINT)"; \
		golangci-lint run ./...; \
	fi

bench: ## benchmarks of the cryptography (several minutes)
	go test -run '^$$' -bench . -benchtime $(or $(BENCHTIME),1s) -timeout 60m ./threshold ./keygen ./commitreveal/... ./ordering

fuzz: ## every fuzz target for FUZZTIME (default 5s)
	.ci/fuzz $(or $(FUZZTIME),5s)

clean: ## remove what build and demo made
	rm -rf bin demo devnet
