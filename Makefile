# Everything that a contributor or a build server runs. `make` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# zrpc's Kubernetes resolver is not used; without it the binary is half the size.
TAGS := no_k8s
CACHE := $(CURDIR)/.cache

# Tools are built once for each state of their sources and pins, so that they never need a version
# check or an update by hand. The linter is a module of its own: it takes minutes to build, and no
# test needs it.
TOOLS := $(CACHE)/tools/$(shell cat tools/go.mod tools/go.sum tools/*/*.go | sha256sum | cut -c1-16)
LINT := $(CACHE)/tools/lint-$(shell cat tools/lint/go.mod tools/lint/go.sum | sha256sum | cut -c1-16)

SUMMARY := $(CACHE)/test-summary
TESTSUM = $(TOOLS)/testsum -summary $(SUMMARY)
# A cold run is mostly compiling and linking: no debugging symbols, and go vet is lint's.
# Four packages at a time: what waits for a server lets others compile.
GOTEST := -p 4 -tags $(TAGS) -vet=off -ldflags=-w
# What is done within a quarter of an hour on two cores with nothing built before. Deploy, stack, chaos
# and preflight have their own targets; .ci/run runs those too.
TIERS := drift test-tools test-unit test-proof test-embedded test-servers
FUZZTIME ?= 20s
# The whole of it: make test-chaos CHAOS_ROUNDS=20 CHAOS_OUTAGE=60s
CHAOS_ROUNDS ?= 3
CHAOS_OUTAGE ?= 15s

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: build
build: ## bin/seckill and the four services
	go build -trimpath -tags $(TAGS) -ldflags "-X github.com/seckill-go/seckill/internal/buildinfo.version=$(VERSION)" -o bin/ ./cmd/... ./api ./rpc/...

# The services and the all-in-one; each is a target of the Dockerfile.
IMAGES := api user product order seckill
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
# docker, podman or buildah.
DOCKER ?= docker
# Host and path before seckill/SERVICE; none as docker-compose.yml has the images.
REGISTRY ?= -

.PHONY: images
images: ## the images seckill/SERVICE:VERSION (VERSION=v1.2.3, REGISTRY=registry.example.com, DOCKER=podman)
	@REGISTRY=$(REGISTRY) BUILDER=$(DOCKER) COMMIT=$(COMMIT) deploy/ci/images.sh $(VERSION) $(IMAGES)

.PHONY: push
push: ## push them (REGISTRY=registry.example.com VERSION=v1.2.3); docs/delivery.md
	@[ "$(REGISTRY)" != - ] || { echo "where to? make push REGISTRY=registry.example.com"; exit 2; }
	@REGISTRY=$(REGISTRY) BUILDER=$(DOCKER) deploy/ci/push.sh $(VERSION) $(IMAGES)

.PHONY: compose-check
compose-check: $(TOOLS)/.built ## docker-compose.yml against the specification and its own rules
	$(TESTSUM) -tier compose -dir test/compose -- -run 'File|Outside|EnvExample|Scrapes|Monitoring|Expected' ./...

.PHONY: generate
generate: $(TOOLS)/.built ## write the code that the contracts (.api, .proto) generate
	PATH="$(TOOLS):$$PATH" generate

.PHONY: drift
drift: $(TOOLS)/.built ## compare the generated code with the contracts
	PATH="$(TOOLS):$$PATH" generate -check

.PHONY: fmt
fmt: ## format the Go code
	gofmt -w $$(git ls-files -co --exclude-standard '*.go')

.PHONY: lint
lint: $(LINT)/golangci-lint ## gofmt, go vet, golangci-lint with the import table
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go' | while read -r f; do [ ! -e "$$f" ] || echo "$$f"; done)); \
	if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi
	go vet -tags $(TAGS) ./...
	go -C tools vet ./...
	go -C test/compose vet ./...
	go -C test/kube vet ./...
	$(LINT)/golangci-lint run ./...

# The tiers run one after another, a failed one does not hide the next, and the last lines say what
# came of each.
.PHONY: test
test: ## drift, tools, unit, proof, embedded, servers; the rest is test-deploy, test-stack, test-chaos, test-preflight
	@mkdir -p $(CACHE); rm -f $(SUMMARY); failed=; \
	if scripts/servers; then export SECKILL_REQUIRE_SERVERS=1; elif [ "$${CI:-}" = true ]; then exit 1; fi; \
	for tier in $(TIERS); do \
	  echo "== $$tier"; began=$$SECONDS; \
	  if $(MAKE) $$tier; then result=ok; else result=FAILED; failed="$$failed $$tier"; fi; \
	  echo "$$tier $$result after $$((SECONDS - began)) s" >>$(SUMMARY); \
	done; \
	echo; echo "== summary"; cat $(SUMMARY); \
	if [ -n "$$failed" ]; then echo "FAILED:$$failed"; exit 1; fi

.PHONY: test-tools
test-tools: $(TOOLS)/.built ## tests of the tools in tools/
	$(TESTSUM) -tier tools -dir tools -- ./...

# Without promtool the rest still runs; on a build server that is not enough.
.PHONY: test-deploy
test-deploy: $(TOOLS)/.built ## docker-compose.yml, the Dockerfile, what Prometheus scrapes, alerts, dashboards, runbook
	@if scripts/deploy-tools; then export SECKILL_REQUIRE_DEPLOY_TOOLS=1; elif [ "$${CI:-}" = true ]; then exit 1; fi; \
	$(TESTSUM) -tier deploy -dir test/compose -- ./...

# Without the control plane the rest still runs; on a build server that is not enough. Building it takes some
# 12 CPU minutes, once for each version (scripts/kube).
.PHONY: test-kube
test-kube: $(TOOLS)/.built ## deploy/k8s: kustomize, strict decoding, its rules, a control plane with simulated nodes
	@if scripts/deploy-tools; then export SECKILL_REQUIRE_DEPLOY_TOOLS=1; elif [ "$${CI:-}" = true ]; then exit 1; fi; \
	if scripts/kube build; then export SECKILL_REQUIRE_KUBE=1; elif [ "$${CI:-}" = true ]; then exit 1; fi; \
	$(TESTSUM) -tier kube -dir test/kube -- -vet=off -timeout 40m ./...

.PHONY: kube-rules
kube-rules: ## write the PrometheusRules of deploy/k8s from the rules
	go -C test/kube test -run PrometheusRulesAreCurrent -count 1 . -update

# What tools/ci pins is fetched once, into .cache/ci-tools.
CI_TOOLS := $(CACHE)/ci-tools/node_modules/.bin

.PHONY: lint-delivery
lint-delivery: ## every shell script, the Dockerfile, the Jenkinsfile
	@scripts/delivery-tools
	shellcheck -x -P SCRIPTDIR $$(git grep -lE '^#!.*[/ ](ba)?sh$$')
	$(CI_TOOLS)/dockerfile-utils lint deploy/docker/Dockerfile
	$(CI_TOOLS)/dockerfilelint deploy/docker/Dockerfile
	$(CI_TOOLS)/npm-groovy-lint --noserver --failon info --config .groovylintrc.json Jenkinsfile

.PHONY: test-ci
test-ci: $(TOOLS)/.built ## the scripts of deploy/ci against programs that are not there
	$(TESTSUM) -tier ci -- $(GOTEST) ./test/ci

.PHONY: test-jenkins
test-jenkins: $(TOOLS)/.built ## the Jenkinsfile stage by stage, and what a broken one would do
	@if scripts/delivery-tools; then export SECKILL_REQUIRE_DELIVERY_TOOLS=1; elif [ "$${CI:-}" = true ]; then exit 1; fi; \
	$(TESTSUM) -tier jenkins -- $(GOTEST) ./test/jenkins

.PHONY: test-images
test-images: $(TOOLS)/.built ## build the images with buildah on stand-in bases, run them read-only, buy from them
	@if scripts/servers && scripts/delivery-tools; then export SECKILL_REQUIRE_DELIVERY_TOOLS=1 SECKILL_REQUIRE_SERVERS=1; \
	elif [ "$${CI:-}" = true ]; then exit 1; fi; \
	$(TESTSUM) -tier images -- $(GOTEST) -timeout 40m ./test/images

# A chroot takes root, so that not everybody can run it.
.PHONY: test-ansible
test-ansible: $(TOOLS)/.built ## every playbook against small Debian roots, twice, and in check mode; Ansible's linters
	@if scripts/ansible-tools; then \
	  SECKILL_REQUIRE_ANSIBLE=1 $(TESTSUM) -tier ansible -- $(GOTEST) -count 1 -parallel 2 -timeout 40m ./test/ansible && \
	  cat $(CACHE)/ansible/proved; \
	elif [ "$${CI:-}" = true ]; then exit 1; \
	else echo "ansible: 0 passed, 0 failed, 1 skipped (the whole tier: no Ansible)" | tee -a $(SUMMARY); fi

.PHONY: test-unit
test-unit: $(TOOLS)/.built ## every package but the end-to-end tests, with the race detector (COVERPROFILE=FILE)
	$(TESTSUM) -tier unit -- -race $(GOTEST) $(if $(COVERPROFILE),-coverprofile=$(COVERPROFILE)) $$(go list -tags $(TAGS) ./... | grep -Ev '/test/(ansible$$|bench$$|e2e|chaos|stack|ci$$|images$$|jenkins$$|preflight)|/orderproof|/internal/(registry|testservers)$$')

# Walks of tens of thousands of Lua scripts on an interpreter in Go: twenty times slower with the race
# detector, which the domain's and the adapters' own tests have.
.PHONY: test-proof
test-proof: $(TOOLS)/.built ## random walks and races of the order service on its real adapters (SECKILL_TEST_LONG=1 for the whole)
	$(TESTSUM) -tier proof -- $(GOTEST) -timeout 80m ./rpc/order/internal/orderproof

.PHONY: test-embedded
test-embedded: $(TOOLS)/.built ## end to end on the embedded engines
	SECKILL_TEST_ENGINES=embedded $(TESTSUM) -tier embedded -- $(GOTEST) -timeout 20m ./test/e2e/...

# Without the servers this tier cannot say anything: scripts/servers says loudly what is missing, and
# fails on a build server.
.PHONY: test-servers
test-servers: $(TOOLS)/.built ## end to end on real Redis, Kafka and MariaDB servers, started by the tests
	@if scripts/servers; then \
	  SECKILL_TEST_ENGINES=servers SECKILL_REQUIRE_SERVERS=1 \
	  $(TESTSUM) -tier servers -- $(GOTEST) -timeout 20m ./test/e2e/...; \
	elif [ "$${CI:-}" = true ]; then exit 1; \
	else echo "servers: 0 passed, 0 failed, 1 skipped (the whole tier: no servers)" | tee -a $(SUMMARY); fi

# As test-servers, with every service a process of its own and Nacos and Zipkin beside them. One package
# after the other: each measures how soon calls succeed again.
.PHONY: test-stack
test-stack: $(TOOLS)/.built ## end to end on the topology of production: crashes, rolling restarts, Nacos away (SECKILL_TEST_LONG=1)
	@if scripts/servers && scripts/deploy-tools; then \
	  export SECKILL_TEST_ENGINES=stack SECKILL_REQUIRE_SERVERS=1; \
	  $(TESTSUM) -tier registry -- -race $(GOTEST) -p 1 ./internal/registry ./internal/testservers && \
	  $(TESTSUM) -tier stack -- $(GOTEST) -p 1 -timeout 20m ./test/e2e/... ./test/stack/... && \
	  SECKILL_TEST_ENGINES=cluster $(TESTSUM) -tier cluster -- $(GOTEST) -timeout 20m ./test/e2e/...; \
	elif [ "$${CI:-}" = true ]; then exit 1; \
	else echo "stack: 0 passed, 0 failed, 1 skipped (the whole tier: no servers)" | tee -a $(SUMMARY); fi

# Five nodes as network namespaces: root on Linux, and programs that scripts/netns-tools looks for.
# The whole of it: SECKILL_TEST_PREFLIGHT_ROUNDS=20 make test-preflight
.PHONY: test-preflight
test-preflight: $(TOOLS)/.built ## seckill preflight on five nodes with faults made one by one (root, Linux; SECKILL_TEST_PREFLIGHT_ROUNDS)
	@if scripts/netns-tools; then \
	  SECKILL_TEST_PREFLIGHT_ROUNDS=$${SECKILL_TEST_PREFLIGHT_ROUNDS:-3} $(TESTSUM) -tier preflight -- $(GOTEST) -count 1 -timeout 60m ./test/preflight; \
	elif [ "$${CI:-}" = true ]; then exit 1; \
	else echo "preflight: 0 passed, 0 failed, 1 skipped (the whole tier: no network namespaces)" | tee -a $(SUMMARY); fi

# What is measured fails when it misses its mark, so it belongs on a machine that does nothing else.
BENCH ?= .
.PHONY: bench
bench: ## measure the platform on real servers beside an empty go-zero project (BENCH=Purchase, SECKILL_BENCH_ROUNDS=5)
	@scripts/servers
	SECKILL_REQUIRE_SERVERS=1 go test -tags $(TAGS) -run '^$$' -bench '$(BENCH)' -benchtime 1x -timeout 3h -p 1 ./test/bench ./rpc/order/internal/redisstock

# Each mutant is a build and a run of the tests that must notice it: no part of `test`.
.PHONY: test-mutants
test-mutants: ## break the order service and preflight in a copy, one way after another, and demand red tests
	SECKILL_REQUIRE_SERVERS=1 go test -tags $(TAGS),mutants -count=1 -timeout 90m -v ./test/mutants

# As test-servers, on a program with fail points in it.
.PHONY: test-chaos
test-chaos: $(TOOLS)/.built ## crashes of the platform, losses of Redis, Kafka and MariaDB (CHAOS_ROUNDS, CHAOS_OUTAGE)
	@if scripts/servers; then \
	  CHAOS_ROUNDS=$(CHAOS_ROUNDS) CHAOS_OUTAGE=$(CHAOS_OUTAGE) SECKILL_REQUIRE_SERVERS=1 \
	  $(TESTSUM) -tier chaos -- -tags $(TAGS),failpoint -count 1 -timeout 90m ./internal/failpoint/... ./test/chaos/...; \
	elif [ "$${CI:-}" = true ]; then exit 1; \
	else echo "chaos: 0 passed, 0 failed, 1 skipped (the whole tier: no servers)" | tee -a $(SUMMARY); fi

.PHONY: stack
stack: ## start MariaDB, Redis, Kafka, Nacos and Zipkin without Docker (deploy/stack/stack.env)
	@scripts/stack up

.PHONY: stack-down
stack-down: ## end them; the data stays (scripts/stack down --wipe removes it)
	@scripts/stack down

.PHONY: stack-status
stack-status: ## which of them run
	@scripts/stack status

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (20s)
	@for package in $$(go list -tags $(TAGS) ./...); do \
	  for target in $$(go test -tags $(TAGS) -run '^$$' -list '^Fuzz' $$package | grep ^Fuzz || true); do \
	    echo "== $$package $$target"; \
	    go test -tags $(TAGS) -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package; \
	  done; \
	done

.PHONY: clean
clean: ## remove what was built; tools stay in .cache
	rm -rf bin $(SUMMARY)

$(TOOLS)/.built:
	@echo "building the tools (once)"
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) GOFLAGS= go -C tools install -ldflags=-w tool ./...
	@touch $@

$(LINT)/golangci-lint:
	@echo "building golangci-lint (once; some minutes)"
	@mkdir -p $(LINT)
	GOBIN=$(LINT) GOFLAGS= go -C tools/lint install -trimpath tool
