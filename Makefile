# Two commands: `make up` runs the whole loop on real recorded markets, live round included; `make test` checks everything.
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev up live test lint types arch unit unit-native sanitize bench fuzz mutants clean

PYTHON ?= python3
UV_VERSION := 0.13.8
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := .venv/bin
NODE := $(if $(shell command -v npm 2>/dev/null),,--group node)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.tools/bin/uv:
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

setup: $(filter .tools/bin/uv,$(UV)) ## create .venv with everything pinned by uv.lock
	$(UV) sync --frozen --no-dev --inexact --quiet $(NODE)

setup-dev: $(filter .tools/bin/uv,$(UV)) ## the same, with what the tests need
	$(UV) sync --frozen --quiet

up: setup ## run the main job: a validator, four miners, two real markets on devnets, a live round on a third (ARGS="--rounds 3 --speed max")
	$(RUN)/tideline up $(ARGS)

live: setup ## show the live round on chain alone, then end: a devnet, a vault, an executor with its own key
	$(RUN)/tideline up --live $(ARGS)

test: setup-dev lint types arch unit ## set up and run every check

lint:
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

types:
	$(RUN)/mypy

arch:
	$(RUN)/lint-imports

unit:
	$(RUN)/pytest -n auto

unit-native: setup-dev ## every test of pools, rounds and the bytecode again, on the native engine
	$(RUN)/pytest -n auto --engine native tests/simulator tests/attacks tests/validator tests/fuzz/test_pool_bytecode.py \
		tests/fuzz/test_pancake_bytecode.py::test_engine_and_bytecode_agree_on_every_operation

sanitize: setup-dev ## the native engine's tests under the address and undefined-behaviour sanitizers
	$(RUN)/python scripts/sanitize.py --fuzz-operations 6000

bench: setup-dev ## measure the engines beside their peers and update the README (ARGS="--quick --json" only shows)
	$(RUN)/python -m benchmarks $(or $(ARGS),--write)

fuzz: setup-dev ## a long differential fuzz of the engine against the contract's bytecode
	$(RUN)/pytest -n auto --hypothesis-profile drawn tests/fuzz --fuzz-operations 200000

mutants: setup-dev ## plant small bugs in the scoring core, one at a time; its tests must notice each
	$(RUN)/pytest -n 2 tests/mutation

clean: ## remove everything that setup made
	rm -rf .venv .tools .cache build *.egg-info
