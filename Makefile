# `make help` lists what can be made. Everything that is fetched lands in .cache, pinned by version.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules --no-print-directory

BUF := go tool -modfile=internal/tools/buf/go.mod buf
VENV := .cache/python
# Maven's name for this machine.
PLATFORM := $(shell uname -s | sed 's/Darwin/osx/' | tr A-Z a-z)-$(shell uname -m | sed 's/aarch64\|arm64/aarch_64/')

##@ Contracts

# Where generated code lives; nothing else is in these folders.
GENERATED := gen/go gen/python/inference gen/python/sonde gen/typescript/src gen/java/src/main/java
STAGE := .cache/generated

.PHONY: generate
generate: codegen ## generate the clients and servers of all four languages from proto/
	for folder in $(GENERATED); do rm -rf "$$folder"; mkdir -p "$$(dirname "$$folder")"; mv $(STAGE)/$$folder "$$folder"; done

.PHONY: check-generated
check-generated: codegen ## generate anew beside the tree, and fail on a difference
	for folder in $(GENERATED); do diff -r -x __pycache__ $(STAGE)/$$folder "$$folder"; done
	go mod tidy -diff

.PHONY: codegen
codegen: $(VENV)/pyvenv.cfg gen/typescript/node_modules/.package-lock.json gen/java/target/plugins/protoc
	rm -rf $(STAGE); mkdir -p $(addprefix $(STAGE)/,$(GENERATED))
	$(BUF) generate -o $(STAGE)
	$(VENV)/bin/python -m grpc_tools.protoc --proto_path=proto --python_out=$(STAGE)/gen/python --pyi_out=$(STAGE)/gen/python \
		--grpc_python_out=$(STAGE)/gen/python $$(cd proto && find * -name '*.proto' | sort)

$(VENV)/pyvenv.cfg: gen/python/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement $<
	touch $@

gen/typescript/node_modules/.package-lock.json: gen/typescript/package-lock.json gen/typescript/package.json
	npm ci --prefix gen/typescript --ignore-scripts --no-audit --no-fund
	touch $@

gen/java/target/plugins/protoc: gen/java/pom.xml
	mvn --quiet --batch-mode --file $< dependency:copy@generators -Dplatform=$(PLATFORM)
	chmod +x $(@D)/*
	touch $@
