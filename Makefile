# make help lists what can be done.
SHELL := /bin/bash
GO    ?= go
TOOLS := $(CURDIR)/bin
# The race detector needs a C compiler; without one the tests run without it, and say so.
RACE  := $(if $(shell command -v $${CC:-gcc} || command -v clang),-race,)
VERSION ?= $(shell git describe --tags --always 2>/dev/null || echo dev)

# Without inlining in the SDK and the YAML reader the bootstrap is 0.5 MB smaller, and no call to SQS measurably slower.
LAMBDA  := -trimpath -buildvcs=false -tags lambda.norpc -gcflags=github.com/aws/...=-l -gcflags=github.com/goccy/...=-l

.PHONY: help test lint fuzz bench bench-peers bench-rules bench-lambda bench-waf build lambda waf sbom snapshot clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

test: ## run every test, with the race detector
	$(GO) vet ./...
	@test -n "$(RACE)" || echo "no C compiler here: the tests run without the race detector"
	$(GO) test $(RACE) -timeout 15m ./...
	cd contrib/waf && $(GO) vet ./... && $(GO) test $(RACE) -timeout 5m ./...
	cd deploy/kubernetes && $(GO) vet ./... && $(GO) test -timeout 5m ./...

lint: ## gofmt, staticcheck and govulncheck (where its database can be reached)
	@test -z "$$(gofmt -l .)" || { echo "not gofmt-ed:"; gofmt -l .; exit 1; }
	@test -x $(TOOLS)/staticcheck || GOBIN=$(TOOLS) $(GO) install honnef.co/go/tools/cmd/staticcheck@v0.8.2
	$(TOOLS)/staticcheck ./...
	cd contrib/waf && $(TOOLS)/staticcheck ./...
	cd deploy/kubernetes && $(TOOLS)/staticcheck ./...
	@test -x $(TOOLS)/govulncheck || GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@v1.8.0
	@if out=$$($(TOOLS)/govulncheck ./... 2>&1); then echo "govulncheck: nothing known"; \
	elif grep -q 'fetching vulnerabilities\|no such host\|connection refused\|403\|404' <<<"$$out"; then echo "govulncheck: skipped, its database cannot be reached from here"; \
	else echo "$$out"; exit 1; fi

fuzz: ## run every fuzz target for FUZZTIME (default 10s each)
	@.ci/fuzz $${FUZZTIME:-10s}

bench: ## measure tapway against its yardsticks and print the table
	$(GO) run ./bench

# Where bench-peers puts the peers; nothing goes into the system. PEER_FLAGS=-quick takes ten minutes instead of more than an hour.
PEERS ?= $(HOME)/.cache/tapway-peers
bench-peers: ## measure tapway beside its peers (Debian): brings them, then writes docs/benchmarks-peers.md
	bench/peers/get $(PEERS)
	$(GO) build -o $(PEERS)/bin/tapway ./cmd/tapway
	$(GO) run ./bench -peers $(PEERS) -seconds 1 $(PEER_FLAGS) -out docs/benchmarks-peers.md

bench-rules: ## measure the access rules and refused calls alone, without a network: a minute
	$(GO) test -run '^$$' -bench 'AllRules|JWTCached|Refused' -benchtime 0.5s -count 3 ./internal/access ./internal/app

bench-lambda: lambda ## measure the Lambda functions (Linux, and python3 with urllib3): some six minutes
	$(GO) run ./bench -lambda -build "$(LAMBDA)"

bench-waf: ## measure what the firewall adds to a call
	cd contrib/waf && $(GO) test -run '^$$' -bench Price -benchtime 3s .

build: ## build bin/tapway
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/tapway ./cmd/tapway

waf: ## build bin/tapway-waf, tapway with a web application firewall
	cd contrib/waf && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(CURDIR)/bin/tapway-waf ./cmd/tapway-waf

lambda: ## build the Lambda functions: bin/tapway-lambda-arm64.zip and -amd64.zip, the same bytes every time
	@for arch in arm64 amd64; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build $(LAMBDA) -ldflags '-s -w -buildid= -X main.version=$(VERSION)' \
			-o bin/lambda-$$arch/bootstrap ./cmd/tapway-lambda && \
		$(GO) run ./.ci/zip bin/tapway-lambda-$$arch.zip bin/lambda-$$arch/bootstrap && \
		ls -l bin/lambda-$$arch/bootstrap bin/tapway-lambda-$$arch.zip || exit 1; \
	done

sbom: build ## write bin/tapway.cdx.json, what bin/tapway is made of (CycloneDX)
	$(GO) run ./.ci/sbom bin/tapway bin/tapway.cdx.json

snapshot: ## build everything of a release into dist/ without publishing it (GoReleaser; takes minutes)
	@test -x $(TOOLS)/goreleaser || GOBIN=$(TOOLS) $(GO) install github.com/goreleaser/goreleaser/v2@v2.15.0
	$(TOOLS)/goreleaser check
	$(TOOLS)/goreleaser release --snapshot --clean --skip=sign

clean: ## remove what was built
	rm -rf bin dist
