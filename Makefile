# `make help` lists what can be made. Whatever is fetched is pinned, and lands in .cache and beside the clients in gen.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules --no-print-directory

MODULE_NAME := sonde.example
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
SAMPLE := internal/cli/sample/sample.pcapng
SCRIPTS := internal/tools/scripts

BUF := go tool -modfile=internal/tools/buf/go.mod buf
GOLANGCI_LINT := go tool -modfile=internal/tools/golangci-lint/go.mod golangci-lint
GRPCURL := .cache/bin/grpcurl
ETCD := .cache/bin/etcd
VENV := .cache/python
CLIENTS := .cache/clients
MVN := mvn --quiet --batch-mode -Dstyle.color=never --file
# Maven's name for this machine.
PLATFORM := $(shell uname -s | sed 's/Darwin/osx/' | tr A-Z a-z)-$(shell uname -m | sed 's/aarch64\|arm64/aarch_64/')

# The oldest version that onnxruntime_go's API needs is 1.24. Who has the library names it by SONDE_ONNXRUNTIME.
ONNXRUNTIME_VERSION := 1.24.3
ONNXRUNTIME := .cache/onnxruntime/$(ONNXRUNTIME_VERSION)/libonnxruntime.so
SONDE_ONNXRUNTIME ?= $(abspath $(ONNXRUNTIME))
export SONDE_ONNXRUNTIME

.PHONY: all
all: lint test build ## lint, test and build

##@ Use

.PHONY: run
run: build ## the quick start: install what is missing, build, and analyze the sample capture
	./bin/sonde analyze $(SAMPLE)
	echo
	echo 'Next: ./bin/sonde analyze YOUR.pcap    (--json: one result a line; --help: more)'

.PHONY: build
build: deps ## bin/sonde, and the static bin/sonde-agent
	go build -ldflags '-X $(MODULE_NAME)/internal/cli.version=$(VERSION)' -o bin/sonde .
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/sonde-agent ./agent/cmd/sonde-agent
	ln -sf '$(SONDE_ONNXRUNTIME)' bin/libonnxruntime.so

.PHONY: deps
deps: $(SONDE_ONNXRUNTIME) ## install what the build needs: C compiler, libpcap's headers, ONNX Runtime

.PHONY: system
system:
	$(SCRIPTS)/system.sh '$(SONDE_ONNXRUNTIME)'

$(SONDE_ONNXRUNTIME): | system
	$(SCRIPTS)/onnxruntime.sh $(ONNXRUNTIME_VERSION) $@

##@ Check

TESTFLAGS ?= -race -shuffle=on
.PHONY: test
test: deps ## everything that needs no outside server, with the race detector
	go test $(TESTFLAGS) ./...
	go test -C internal/tools $(TESTFLAGS) ./...

.PHONY: test-clients
test-clients: clients ## the example programs in Python, TypeScript and Java
	SONDE_TEST_CLIENTS='$(CURDIR)/gen' go test -count=1 ./gen

.PHONY: test-inference
test-inference: deps inference-clients grpcurl ## the clients of Triton and KServe, grpcurl, and a collector that moves to Triton
	SONDE_TEST_REQUIRE=kserve_clients,triton,grpcurl SONDE_TEST_KSERVE_CLIENTS='$(CURDIR)/$(CLIENTS)/bin/python' \
		SONDE_TEST_TRITON='$(CURDIR)/$(CLIENTS)/bin/python' SONDE_TEST_GRPCURL='$(CURDIR)/$(GRPCURL)' \
		go test -count=1 -run='StockClients|Grpcurl|Triton|InferencePage' ./inference ./internal/cli

.PHONY: test-docs
test-docs: deps grpcurl ## what docs/operations.md and docs/own-model.md tell to type; needs curl, jq, sqlite3, tshark, Debian's python3-torch and python3-onnx
	SONDE_TEST_REQUIRE=grpcurl,tshark,torch SONDE_TEST_GRPCURL='$(CURDIR)/$(GRPCURL)' SONDE_TEST_TSHARK="$$(command -v tshark)" \
		SONDE_TEST_TORCH=/usr/bin/python3 go test -count=1 -run='^TestO(perations|wnModel)' ./internal/cli

LIVE := Live|LoseNothing|FollowTheirRows|SecondInstance|OwnUplink|Install
.PHONY: test-live
test-live: deps etcd ## live capture and docs/install.md, on networks of their own; needs root
	SONDE_TEST_REQUIRE=netns,etcd SONDE_TEST_NETNS=1 SONDE_TEST_ETCD='$(CURDIR)/$(ETCD)' go test -count=1 -run='$(LIVE)' ./internal/cli

.PHONY: test-loop
test-loop: deps ## ten minutes of an agent that captures the device of its own uplink; needs root
	SONDE_TEST_REQUIRE=netns SONDE_TEST_NETNS=1 SONDE_TEST_LOOP_SECONDS=600 go test -count=1 -timeout=20m -v -run=OwnUplink ./internal/cli

.PHONY: lint
lint: deps ## buf, go vet, golangci-lint, import rules, shell scripts, known vulnerabilities
	$(BUF) lint
	$(BUF) format --diff --exit-code
	go vet ./...
	$(GOLANGCI_LINT) run
	go test -count=1 ./internal/archtest
	if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS)/*.sh .ci/run; else echo 'shellcheck: not run (not installed)'; fi
	$(SCRIPTS)/govulncheck.sh

.PHONY: breaking
breaking: ## fail on an incompatible change of the contracts since the last tag
	if tag=$$(git describe --tags --abbrev=0 2>/dev/null); then \
		$(BUF) breaking --against ".git#tag=$$tag"; \
	else \
		echo 'breaking: no tag to compare with yet'; \
	fi

.PHONY: cover
cover: deps ## how much the tests cover, by function
	mkdir -p .cache
	go test -coverprofile=.cache/cover.out ./...
	go tool cover -func=.cache/cover.out

FUZZTIME ?= 10s
.PHONY: fuzz
fuzz: deps ## each fuzz target for FUZZTIME
	$(SCRIPTS)/fuzz.sh $(FUZZTIME)

##@ Measure

BENCHTIME ?= 1s
.PHONY: bench
bench: deps ## every Go benchmark for BENCHTIME
	go test -run='^$$' -bench=. -benchmem -benchtime=$(BENCHTIME) -p=1 ./...

CAPTURE ?= $(SAMPLE)
COPIES ?= 50
.PHONY: bench-e2e
bench-e2e: build ## CAPTURE COPIES times through the whole way, beside ndpiReader and tshark
	$(SCRIPTS)/bench-e2e.py '$(CAPTURE)' $(COPIES)

BENCH_VENV := .cache/bench/venv
.PHONY: bench-inference
bench-inference: build $(BENCH_VENV)/pyvenv.cfg ## inference under load, beside a gRPC echo, ONNX Runtime alone, and Flask with PyTorch; five minutes
	go build -o .cache/bin/bench-inference ./internal/cli/benchinference
	./.cache/bin/bench-inference

# PyTorch is Debian's python3-torch: PyPI has none for the CPU alone.
$(BENCH_VENV)/pyvenv.cfg: internal/cli/benchinference/flask/requirements.txt
	/usr/bin/python3 -c 'import torch' || echo 'bench-inference: no PyTorch (apt-get install python3-torch), Flask will be left out'
	/usr/bin/python3 -m venv --system-site-packages $(BENCH_VENV)
	$(BENCH_VENV)/bin/pip install --quiet --requirement $<
	touch $@

##@ Contracts

# Where generated code lives; nothing else is in these folders.
GENERATED := gen/go gen/python/inference gen/python/sonde gen/typescript/src gen/java/src/main/java
STAGE := .cache/generated

.PHONY: generate
generate: deps codegen ## generate clients and servers of all four languages from proto, and docs/metrics.md; tidy go.mod
	for folder in $(GENERATED); do rm -rf "$$folder"; mkdir -p "$$(dirname "$$folder")"; mv $(STAGE)/$$folder "$$folder"; done
	go run ./internal/cli/metricsdoc >$(STAGE)/metrics.md && mv $(STAGE)/metrics.md docs/metrics.md
	go mod tidy

.PHONY: check-generated
check-generated: deps codegen ## generate anew beside the tree, and fail on a difference
	for folder in $(GENERATED); do diff -r -x __pycache__ $(STAGE)/$$folder "$$folder"; done
	go run ./internal/cli/metricsdoc | diff - docs/metrics.md
	go mod tidy -diff

.PHONY: codegen
codegen: $(VENV)/pyvenv.cfg gen/typescript/node_modules/.package-lock.json gen/java/target/plugins/protoc
	rm -rf $(STAGE); mkdir -p $(addprefix $(STAGE)/,$(GENERATED))
	$(BUF) generate -o $(STAGE)
	$(VENV)/bin/python -m grpc_tools.protoc --proto_path=proto --python_out=$(STAGE)/gen/python --pyi_out=$(STAGE)/gen/python \
		--grpc_python_out=$(STAGE)/gen/python $$(cd proto && find * -name '*.proto' | sort)

.PHONY: clients
clients: $(VENV)/pyvenv.cfg gen/typescript/node_modules/.package-lock.json ## build the clients in Python, TypeScript and Java
	npm run --silent --prefix gen/typescript build
	$(MVN) gen/java/pom.xml compile

$(VENV)/pyvenv.cfg: gen/python/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement $<
	touch $@

gen/typescript/node_modules/.package-lock.json: gen/typescript/package-lock.json gen/typescript/package.json
	npm ci --prefix gen/typescript --ignore-scripts --no-audit --no-fund
	touch $@

gen/java/target/plugins/protoc: gen/java/pom.xml
	$(MVN) $< dependency:copy@generators -Dplatform=$(PLATFORM)
	chmod +x $(@D)/*
	touch $@

.PHONY: inference-clients
inference-clients: $(CLIENTS)/pyvenv.cfg ## install the clients of Triton and KServe, and a Triton, for tests

$(CLIENTS)/pyvenv.cfg: inference/kserve/testdata/clients/requirements.txt
	python3 -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-compile --requirement $<
	touch $@

.PHONY: grpcurl
grpcurl: $(GRPCURL) ## build grpcurl, which docs/operations.md speaks gRPC with

$(GRPCURL): internal/tools/grpcurl/go.mod internal/tools/grpcurl/go.sum
	go build -C internal/tools/grpcurl -o '$(CURDIR)/$@' github.com/fullstorydev/grpcurl/cmd/grpcurl
	touch $@

.PHONY: etcd
etcd: $(ETCD) ## build an etcd server and etcdctl, for docs/install.md and the tests of the configuration store

$(ETCD): internal/tools/etcd/go.mod internal/tools/etcd/go.sum
	go build -C internal/tools/etcd -o '$(CURDIR)/$@ctl' go.etcd.io/etcd/etcdctl/v3
	go build -C internal/tools/etcd -o '$(CURDIR)/$@' go.etcd.io/etcd/server/v3
	touch $@

##@ Model

# Without MODELS the model that ships is made anew; with it, the next version in a folder of models.
MODELS ?=
CORRECTIONS ?=
# Where training keeps its figures: those of the model that ships are worth a page, those of an own one are not.
TRAIN_RESULTS := .cache/training-results$(if $(MODELS),-own)
# Heads as other networks would have shown them, beside those that were captured: docs/model.md has what each is worth.
TRAIN_AUGMENT := --augment loss,oneway,midstream,truncate
TRAIN := OMP_NUM_THREADS=1 PYTHONHASHSEED=0 .cache/training/bin/python inference/training

.PHONY: training-tools
training-tools: ## make the Python that trains, on Debian's PyTorch (python3-torch)
	/usr/bin/python3 -c 'import torch' || { echo 'apt-get install python3-torch python3-venv' >&2; exit 1; }
	/usr/bin/python3 -m venv --system-site-packages .cache/training
	.cache/training/bin/pip install --quiet --requirement inference/training/requirements.txt

.PHONY: train
train: build training-tools ## train on CORPUS (labels.csv, captures/), write model, card and docs/model.md; LAB=FOLDER, CORRECTIONS=FILE, MODELS=FOLDER for a model of one's own
	test -n '$(CORPUS)' || { echo 'make train CORPUS=path/to/data/train [LAB=path/to/lab] [CORRECTIONS=corrections.jsonl] [MODELS=path/to/models]' >&2; exit 1; }
	./bin/sonde dataset --corpus '$(CORPUS)' --out .cache/dataset $(TRAIN_AUGMENT) $(if $(CORRECTIONS),--corrections '$(CORRECTIONS)')
ifneq ($(MODELS),)
	out=$$($(SCRIPTS)/next-version.sh '$(MODELS)/sonde' inference/models/sonde); \
		$(TRAIN)/train.py --quick --features .cache/dataset --corpus '$(CORPUS)' --results $(TRAIN_RESULTS) --out "$$out"
else
	./bin/sonde dataset --corpus '$(CORPUS)' --out .cache/dataset-names $(TRAIN_AUGMENT) --names
	./bin/sonde dataset --corpus '$(CORPUS)' --out .cache/dataset-payload $(TRAIN_AUGMENT) --payload-packets
	./bin/sonde dataset --corpus '$(CORPUS)' --out .cache/dataset-augment --augment loss,reorder,mtu,oneway,midstream,truncate,nat
	$(TRAIN)/train.py --features .cache/dataset --names .cache/dataset-names --payload-packets .cache/dataset-payload --corpus '$(CORPUS)' \
		--results $(TRAIN_RESULTS) --out inference/models/sonde/1
	! command -v ndpiReader >/dev/null || $(TRAIN)/ndpi.py --features .cache/dataset --corpus '$(CORPUS)' --results $(TRAIN_RESULTS) >/dev/null
	$(TRAIN)/threat.py --features .cache/dataset --results $(TRAIN_RESULTS) >/dev/null
	$(TRAIN)/augmented.py --features .cache/dataset-augment --corpus '$(CORPUS)' --results $(TRAIN_RESULTS) >/dev/null
	$(TRAIN)/corrections_experiment.py --features .cache/dataset --corpus '$(CORPUS)' --results $(TRAIN_RESULTS) >/dev/null
ifneq ($(LAB),)
	./bin/sonde dataset --corpus '$(LAB)' --out .cache/dataset-lab
	$(TRAIN)/ndpi_lab.py --model inference/models/sonde/1/model.onnx --features .cache/dataset-lab --lab '$(LAB)' --corpus '$(CORPUS)' \
		--corpus-features .cache/dataset --results $(TRAIN_RESULTS) >/dev/null
endif
	$(TRAIN)/report.py --results $(TRAIN_RESULTS) --out docs
endif

LAB ?= .cache/lab-out
.PHONY: lab
lab: ## real programs on networks of their own, captured and labelled into LAB; ONLY=ssh,curl for a few; needs root
	python3 inference/lab/lab.py --install --tools .cache/lab --out '$(LAB)' $(if $(ONLY),--only '$(ONLY)')

##@ House

.PHONY: rename
rename: ## give the module its real name: make rename MODULE=example.org/team/sonde
	$(SCRIPTS)/rename.sh '$(MODULE_NAME)' '$(MODULE)'
	$(MAKE) generate

.PHONY: clean
clean: ## remove all that was built or fetched
	rm -rf bin .cache gen/typescript/dist gen/typescript/node_modules gen/java/target

.PHONY: help
help: ## this list
	awk 'BEGIN {FS = ":.*## "} /^##@/ {print "\n" substr($$0, 5)} /^[a-z][a-z0-9-]*:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

# Recipes are shown where they take long or are worth copying.
.SILENT: run system breaking fuzz help rename
