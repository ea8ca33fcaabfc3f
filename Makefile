# make help lists what can be done.
SHELL := /bin/bash
GO    ?= go
TOOLS := $(CURDIR)/bin
# The race detector needs a C compiler; without one the tests run without it, and say so.
RACE  := $(if $(shell command -v $${CC:-gcc} || command -v clang),-race,)
VERSION ?= $(shell git describe --tags --always 2>/dev/null || echo dev)

# Without inlining in the SDK and the YAML reader the bootstrap is 0.5 MB smaller, and no call to SQS measurably slower.
LAMBDA  := -trimpath -buildvcs=false -tags lambda.norpc -gcflags=github.com/aws/...=-l -gcflags=github.com/goccy/...=-l

# What gosec is not asked. G103: strings read as bytes, each place says why it may. G104: errors of a Close, or of a
# write to somebody who is gone; staticcheck and review look after the rest. G115: conversions of integers, which it
# cannot prove: lengths from outside are compared with what is there before, and fuzz targets try it. G304: files
# that the configuration or the command line names; strangers name none.
# G407, G602: nonces that are not random and indexes out of range, which it mostly guesses, and for which it takes minutes.
# A single place is excused where it stands: #nosec, the rule, and the reason.
GOSEC := -quiet -tests=false -exclude=G103,G104,G115,G304,G407,G602

.PHONY: help test lint fuzz bench bench-peers bench-rules bench-lambda bench-waf torture soak build lambda waf sbom pictures snapshot clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

test: ## run every test, with the race detector
	$(GO) vet ./...
	@test -n "$(RACE)" || echo "no C compiler here: the tests run without the race detector"
	$(GO) test $(RACE) -timeout 15m ./...
	cd contrib/waf && $(GO) vet ./... && $(GO) test $(RACE) -timeout 5m ./...
	cd deploy/kubernetes && $(GO) vet ./... && $(GO) test -timeout 5m ./...

lint: ## gofmt, staticcheck, actionlint, gosec and govulncheck (where they can be had)
	@test -z "$$(gofmt -l .)" || { echo "not gofmt-ed:"; gofmt -l .; exit 1; }
	@test -x $(TOOLS)/staticcheck || GOBIN=$(TOOLS) $(GO) install honnef.co/go/tools/cmd/staticcheck@v0.8.2
	$(TOOLS)/staticcheck ./...
	$(TOOLS)/staticcheck -tags torture,mandoc ./cmd/tapway
	cd contrib/waf && $(TOOLS)/staticcheck ./...
	cd deploy/kubernetes && $(TOOLS)/staticcheck ./...
	@test -x $(TOOLS)/actionlint || GOBIN=$(TOOLS) $(GO) install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 || \
		echo "actionlint: skipped, it cannot be installed from here"
	@test ! -x $(TOOLS)/actionlint || $(TOOLS)/actionlint .github/workflows/*.yml
	@! grep -rnE '^ *(- )?uses: +[^. ]' .github/workflows | grep -vE '@[0-9a-f]{40} # v[0-9]' || { echo "an action is not pinned by its commit, with the version behind it"; exit 1; }
	@test -x $(TOOLS)/gosec || GOBIN=$(TOOLS) $(GO) install github.com/securego/gosec/v2/cmd/gosec@v2.22.11 || \
		echo "gosec: skipped, it cannot be installed from here"
	@test ! -x $(TOOLS)/gosec || $(TOOLS)/gosec $(GOSEC) -exclude-dir=bench -exclude-dir=contrib -exclude-dir=deploy/kubernetes -exclude-dir=internal/torture ./...
	@test ! -x $(TOOLS)/gosec || { cd contrib/waf && $(TOOLS)/gosec $(GOSEC) ./...; }
	@test -x $(TOOLS)/govulncheck || GOBIN=$(TOOLS) $(GO) install golang.org/x/vuln/cmd/govulncheck@v1.8.0
	@if out=$$($(TOOLS)/govulncheck ./... 2>&1); then echo "govulncheck: nothing known"; \
	elif grep -q 'fetching vulnerabilities\|no such host\|connection refused\|403\|404' <<<"$$out"; then echo "govulncheck: skipped, its database cannot be reached from here"; \
	else echo "$$out"; exit 1; fi

fuzz: ## run every fuzz target for FUZZTIME: 10s (the default) or a number of inputs, 1000x
	@.ci/fuzz $${FUZZTIME:-10s}

bench: ## measure tapway against its yardsticks and print the table
	$(GO) run ./bench

# Where bench-peers puts the peers; nothing goes into the system. PEER_FLAGS='-form quick' takes at most 12 minutes and
# '-form middle' at most 30 instead of more than an hour; -resume goes on after a break.
PEERS ?= $(HOME)/.cache/tapway-peers
bench-peers: ## measure tapway beside its peers (Debian): brings them, then writes docs/benchmarks-peers.md
	bench/peers/get $(PEERS)
	$(GO) build -o $(PEERS)/bin/tapway ./cmd/tapway
	$(GO) run ./bench -peers $(PEERS) -seconds 1 $(PEER_FLAGS) -out docs/benchmarks-peers.md

bench-rules: ## measure the access rules and refused calls alone, without a network: a minute
	$(GO) test -run '^$$' -bench 'AllRules|JWTCached|Refused' -benchtime 0.5s -count 3 ./internal/access ./internal/app

bench-lambda: lambda ## measure the Lambda functions (Linux, and python3 with urllib3): some eight minutes
	$(GO) run ./bench -lambda -build "$(LAMBDA)"

bench-waf: ## measure what the firewall adds to a call
	cd contrib/waf && $(GO) test -run '^$$' -bench Price -benchtime 3s .

pictures: ## draw docs/images anew, by Chromium and moto
	$(GO) test ./internal/console -count=1 -run '^(TestAWS|TestPictures)$$' -pictures

# The clock jumps in a program built with a standard library of its own, which takes minutes the first time.
TORTURE_CLOCK ?= jumps
torture: ## TORTURE_TIME (default 13m) of random traffic, kills, damage and faults; TORTURE_SEED repeats a plan
	@test "$(TORTURE_CLOCK)" != jumps || $(GO) run ./.ci/clock bin/clock
	TORTURE_TIME=$${TORTURE_TIME:-13m} TORTURE_CLOCK=$(TORTURE_CLOCK) $(GO) test $(RACE) -count=1 -timeout 40m -v -tags torture \
		$(if $(filter jumps,$(TORTURE_CLOCK)),-overlay bin/clock/overlay.json) -run '^TestTorture' ./cmd/tapway

soak: build ## SOAK_TIME (default 1h) at half load or SOAK_RATE calls a second: does anything grow? (Linux)
	$(GO) run ./bench/soak -time $${SOAK_TIME:-1h} -rate $${SOAK_RATE:-0}

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
