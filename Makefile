# "make" lists what there is. HOLLOW=1 simulates the containers of cells and needs no root; KEEP=1 leaves the demo up.

BIN := $(CURDIR)/bin
DEV := $(BIN)/dev $(if $(HOLLOW),--hollow)
# "make test" takes longer than go test's own limit where little is cached.
TEST_TIMEOUT ?= 30m
PACKAGES ?= ./...
FLAGS := -trimpath -buildvcs=false

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help generate fmt vet lint build test test-assets verify tidy-check up down demo bench clean dev-tool containerd2

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Tools, at the versions that their own module files pin. Go knows whether there is anything to do.

.PHONY: $(BIN)/controller-gen $(BIN)/kustomize $(BIN)/golangci-lint
$(BIN)/controller-gen:
	@CGO_ENABLED=0 go build -C hack/tools $(FLAGS) -o $@ sigs.k8s.io/controller-tools/cmd/controller-gen
$(BIN)/kustomize:
	@CGO_ENABLED=0 go build -C hack/tools $(FLAGS) -o $@ sigs.k8s.io/kustomize/kustomize/v5
$(BIN)/golangci-lint:
	@CGO_ENABLED=0 go build -C hack/tools/lint $(FLAGS) -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
dev-tool:
	@CGO_ENABLED=0 go build $(FLAGS) -o $(BIN)/dev ./hack/dev/cmd/dev

generate: $(BIN)/controller-gen ## Generate deepcopy functions, CRDs and RBAC
	@$(BIN)/controller-gen object paths=./api/...
	@$(BIN)/controller-gen crd paths=./api/... output:crd:artifacts:config=config/crd/bases
	@$(BIN)/controller-gen rbac:roleName=kip paths=./controllers/... paths=./internal/... paths=. output:rbac:artifacts:config=config/rbac

fmt: ## Format the code
	@gofmt -w $$(git ls-files '*.go')

vet: ## Run go vet
	@go vet ./...

lint: $(BIN)/golangci-lint ## Run the linters, import rules included
	@$(BIN)/golangci-lint run ./...

build: ## Build the operator and the agent into bin/
	@CGO_ENABLED=0 go build $(FLAGS) -o $(BIN)/kip .
	@CGO_ENABLED=0 go build $(FLAGS) -o $(BIN)/itzo ./cmd/itzo
	@CGO_ENABLED=0 go build $(FLAGS) -o $(BIN)/pause ./cmd/pause

# Some cells have it in place of the machine's own.
containerd2:
	@test -x $(BIN)/containerd2/containerd || echo "building containerd 2, some minutes where nothing is cached"
	@CGO_ENABLED=0 go build -C hack/containerd $(FLAGS) -tags=no_btrfs,no_devmapper,no_zfs -ldflags="-s -w" -o $(BIN)/containerd2/ tool

test-assets: dev-tool
	@if [ "$$(id -u)" = 0 ]; then $(DEV) packages && $(MAKE) containerd2; else echo "not root: tests that need root will be skipped"; fi
	@$(BIN)/dev build

test: test-assets ## Run all tests: unit, envtest, and end to end with real cells
	@KUBEBUILDER_ASSETS=$(BIN) go test -race -timeout $(TEST_TIMEOUT) $(PACKAGES)

verify: generate vet lint tidy-check ## Check that generated files, modules and style are in order
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	@dirty=$$(git status --porcelain); test -z "$$dirty" || { echo "the tree is dirty:"; echo "$$dirty"; exit 1; }

tidy-check:
	@for module in . hack/tools hack/tools/lint hack/devcluster/controlplane hack/containerd; do \
		go -C $$module mod tidy -diff || exit 1; \
	done

up: dev-tool ## Start the local environment, or what of it does not run
	@$(DEV) up

down: dev-tool ## End the local environment
	@$(DEV) down

demo: dev-tool ## Show a pod and a Job go through (KEEP=1 leaves the environment up)
	@HOLLOW=$(HOLLOW) KEEP=$(KEEP) hack/dev/demo.sh

bench: dev-tool ## Measure with hollow cells, beside the figures of the first Kip
	@$(BIN)/dev build
	@go run ./test/bench

clean: down ## End the local environment and remove what was built
	@rm -rf $(BIN) .dev
