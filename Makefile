# "make" lists what there is. HOLLOW=1 simulates the containers of cells and needs no root; REPLICAS=2 runs two operators;
# KEEP=1 leaves the demo up.

BIN := $(CURDIR)/bin
DEV := $(BIN)/dev $(if $(HOLLOW),--hollow) $(if $(REPLICAS),--replicas=$(REPLICAS))
# "make test" takes longer than go test's own limit where little is cached.
TEST_TIMEOUT ?= 30m
PACKAGES ?= ./...
FLAGS := -trimpath -buildvcs=false
# What the programs of a release call themselves; "dev" where there is no git or no repository.
VERSION ?= $(or $(shell git describe --always --dirty --tags 2>/dev/null),dev)
GO := CGO_ENABLED=0 hack/dev/go.sh
IMG ?= kip:$(VERSION)

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help generate fmt vet lint build test test-assets test-modules verify tidy-check up roll down demo bench bench-selection bench-limits bench-streams chaos stories docker-build clean dev-tool containerd2

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Tools, at the versions that their own module files pin. Go knows whether there is anything to do.

.PHONY: $(BIN)/controller-gen $(BIN)/kustomize $(BIN)/golangci-lint bin/kustomize
bin/kustomize: $(BIN)/kustomize
$(BIN)/controller-gen:
	@$(GO) "building $(@F)" build -C hack/tools $(FLAGS) -o $@ sigs.k8s.io/controller-tools/cmd/controller-gen
$(BIN)/kustomize:
	@$(GO) "building $(@F)" build -C hack/tools $(FLAGS) -o $@ sigs.k8s.io/kustomize/kustomize/v5
$(BIN)/golangci-lint:
	@$(GO) "building $(@F)" build -C hack/tools/lint $(FLAGS) -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
dev-tool:
	@$(GO) "building the tool for the rest" build $(FLAGS) -o $(BIN)/dev ./hack/dev/cmd/dev

generate: $(BIN)/controller-gen ## Generate deepcopy functions, CRDs, RBAC and the page on pods
	@$(BIN)/controller-gen object paths=./api/...
	@$(BIN)/controller-gen crd paths=./api/... output:crd:artifacts:config=config/crd/bases
	@$(BIN)/controller-gen rbac:roleName=kip paths=./controllers/... paths=./internal/... paths=. output:rbac:artifacts:config=config/rbac
	@$(GO) "finding what pods may ask" run ./hack/podsupport docs/pod-support.md

fmt: ## Format the code
	@gofmt -w $$(git ls-files '*.go')

vet: ## Run go vet
	@hack/dev/go.sh "vetting" vet ./...

lint: $(BIN)/golangci-lint ## Run the linters, import rules included
	@$(BIN)/golangci-lint run ./...

build: ## Build the operator, the agent and the kubectl plugin into bin/
	@$(GO) "building the operator" build $(FLAGS) -ldflags="-s -w -X main.version=$(VERSION)" -o $(BIN)/kip .
	@$(GO) "building the agent" build $(FLAGS) -tags=grpcnotrace -ldflags="-s -w -X main.version=$(VERSION)" -o $(BIN)/ ./cmd/itzo ./cmd/pause
	@$(GO) "building the kubectl plugin" build $(FLAGS) -ldflags="-s -w -X main.version=$(VERSION)" -o $(BIN)/ ./cmd/kubectl-kip

docker-build: ## Build the operator's image, IMG=<registry>/<name>:<tag>
	docker build --build-arg VERSION=$(VERSION) --tag $(IMG) .

# Some cells have it in place of the machine's own.
containerd2:
	@$(GO) "building containerd 2" build -C hack/containerd $(FLAGS) -tags=no_btrfs,no_devmapper,no_zfs -ldflags="-s -w" -o $(BIN)/containerd2/ tool

test-assets: dev-tool
	@if [ "$$(id -u)" = 0 ]; then $(DEV) packages && $(MAKE) containerd2 && hack/cloudinit/fetch.sh $(BIN)/cloud-init; else echo "not root: tests that need root will be skipped"; fi
	@$(BIN)/dev build

test: test-assets test-modules ## Run all tests: unit, envtest, and end to end with real cells
	@KUBEBUILDER_ASSETS=$(BIN) go test -race -timeout $(TEST_TIMEOUT) $(PACKAGES)

# Fetches what only tests need, so that go test does not list it.
test-modules:
	@hack/dev/go.sh "finding what the tests need" list -test -deps $(PACKAGES) >/dev/null

bench-selection: ## Measure the choice of offerings (KIP_EC2_TYPES: among EC2's own types)
	@go test -run '^$$' -bench . ./internal/selection | awk -f internal/selection/bench.awk

chaos: dev-tool ## Kill the operator at every crash point under every fault (SEED, as root also with real cells)
	@$(BIN)/dev build
	@go build $(FLAGS) -o $(BIN)/chaos ./test/chaos
	@$(BIN)/chaos --seed=$(or $(SEED),1)
	@if [ "$$(id -u)" = 0 ]; then $(BIN)/chaos --seed=$(or $(SEED),1) --real --name=chaosr --pods=6 --together=2 \
		--faults=normal,lost-reply --points=launch.after,dispatch.after,pod-status.before,terminate.after; \
	else echo "not root: no real cells"; fi

stories: dev-tool ## See many pods through kills, hand-overs, an outage of the API server and a bad cloud (SEED)
	@$(BIN)/dev build
	@go build $(FLAGS) -o $(BIN)/chaos ./test/chaos
	@$(BIN)/chaos story --seed=$(or $(SEED),1)

verify: generate vet lint tidy-check ## Check that generated files, modules and style are in order
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	@dirty=$$(git status --porcelain); test -z "$$dirty" || { echo "the tree is dirty:"; echo "$$dirty"; exit 1; }

tidy-check:
	@for module in . hack/tools hack/tools/lint hack/devcluster/controlplane hack/containerd hack/metricsserver; do \
		go -C $$module mod tidy -diff || exit 1; \
	done

up: dev-tool ## Start the local environment, or what of it does not run
	@$(DEV) up

roll: dev-tool ## Start the operator's replicas anew, one after the other
	@$(DEV) roll

down: dev-tool ## End the local environment
	@$(DEV) down

demo: dev-tool ## Show a pod and a Job go through (KEEP=1 leaves the environment up)
	@HOLLOW=$(HOLLOW) KEEP=$(KEEP) hack/dev/demo.sh

bench: dev-tool ## Measure with hollow cells, beside the figures of the first Kip
	@$(BIN)/dev build
	@go run $(FLAGS) ./test/bench

bench-streams: dev-tool ## Measure exec, logs and port-forward beside a plain TLS copy (as root)
	@$(BIN)/dev build
	@go run $(FLAGS) ./test/bench streams

bench-limits: dev-tool ## Measure 500 launches under EC2's published rate limits, and under half of them
	@$(BIN)/dev build
	@go run $(FLAGS) ./test/bench limits
	@go run $(FLAGS) ./test/bench limits --halve

clean: down ## End the local environment and remove what was built
	@rm -rf $(BIN) .dev
