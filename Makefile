# `make` alone tells what there is. Everything happens in .venv; nothing is installed elsewhere.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# wheels only: a machine without a compiler is a machine like any other
INSTALL := $(PIP) install --only-binary :all: --require-hashes --no-deps

IS_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'

# the first Python that is new enough; PYTHON=/path/to/python chooses another
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python $(IS_ENOUGH) 2>/dev/null && echo $$python && break; done)

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.setup-run ## the virtual environment, from pinned requirements

.PHONY: setup-dev
setup-dev: $(VENV)/.setup-dev ## the same with what tests and checks need

.PHONY: run
run: setup ## everything on this machine: KOKINO_DATA=DIR tails that, else the demo (REPLAY=1: old data)
	@exec $(BIN)/burnrate up $(if $(KOKINO_DATA),--data "$(KOKINO_DATA)" $(if $(filter 1,$(REPLAY)),--replay),--demo)

# most tests wait for Kafka and for processes, so more of them than cores run side by side
JOBS ?= 3
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

.PHONY: test
test: setup-dev ## every test, real Kafka included, JOBS=3 at once
	@$(PYTEST)

.PHONY: faults
faults: setup-dev ## the tests that break things: kills, stalls, zombies, Kafka away
	@$(PYTEST) -m fault

# a seed drawn here is printed with each round, which can be played again alone
SEED ?= $(shell od -An -N3 -tu4 /dev/urandom | tr -d ' ')
MINUTES ?= 30

.PHONY: chaos
chaos: setup-dev ## break things for MINUTES=30 by a SEED; then the property tests, 10 000 cases each
	@CHAOS_SEED=$(SEED) CHAOS_MINUTES=$(MINUTES) $(BIN)/python -m pytest -s --show-capture=no \
		tests/e2e/test_chaos.py
	@$(if $(filter-out 0,$(MINUTES)),HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest \
		--timeout 3600 tests/core/test_rows.py tests/core/test_chunks.py tests/core/test_figures.py)

.PHONY: soak
soak: setup-dev ## steady traffic for MINUTES=60: exact counts, one page, memory that stays
	@SOAK_MINUTES=$(if $(filter command line,$(origin MINUTES)),$(MINUTES),60) \
		$(BIN)/python -m pytest -s --show-capture=no tests/e2e/test_soak.py

.PHONY: check
check: setup-dev ## format, lint, types, import contracts
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: bench-quick
bench-quick: setup-dev ## how much of Kafka's own speed is left, on one core; under two minutes
	@PYTHONPATH=. $(BIN)/python benchmarks/quick.py $(if $(FLOOR),--floor)

.PHONY: setup-bench
setup-bench: setup-dev .venv-bench/.setup ## what `make bench` compares with, in .venv-bench

.PHONY: bench
bench: setup-bench ## beside aiokafka, confluent-kafka, Faust, Quix Streams and Bytewax, one core each
	@PYTHONPATH=. $(BIN)/python benchmarks/compare.py

.PHONY: bench-detection
bench-detection: setup-dev ## event to webhook at three rates, beside Prometheus and Alertmanager
	@PYTHONPATH=. $(BIN)/python benchmarks/detection.py

.PHONY: format
format: setup-dev ## put the code into shape
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

COMPILE := CUSTOM_COMPILE_COMMAND='make pins' $(BIN)/pip-compile --quiet --generate-hashes \
	--allow-unsafe --strip-extras --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.PHONY: pins
pins: setup-dev ## requirements/*.txt anew from requirements/*.in (UPGRADE=1: newest versions)
	@$(COMPILE) $(if $(UPGRADE),--upgrade) requirements/run.in -o requirements/run.txt
	@$(COMPILE) $(if $(UPGRADE),--upgrade) requirements/dev.in -o requirements/dev.txt
	@$(COMPILE) $(if $(UPGRADE),--upgrade) requirements/bench.in -o requirements/bench.txt

.PHONY: clean
clean: ## remove the environment and what tools left; the state in .burnrate stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info

# An environment whose Python is gone (an upgrade, a moved folder) is made anew.
.PHONY: python
python:
	@$(BIN)/python $(IS_ENOUGH) 2>/dev/null || { \
		python="$(PYTHON)"; \
		$${python:-false} $(IS_ENOUGH) 2>/dev/null || { \
			echo "error: Python 3.11 or newer is needed; here is $$($${python:-python3} --version \
				2>/dev/null || echo none). Install one, or name it: make PYTHON=/path/to/python3" >&2; \
			exit 1; }; \
		$$python -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "error: $$python has no venv module. On Debian and Ubuntu: apt install python3-venv" >&2; \
			exit 1; }; \
		echo "Setting up $(VENV) with $$($$python --version) (once)" >&2; \
		rm -rf $(VENV); \
		$$python -m venv $(VENV); }

$(VENV)/.setup-run: requirements/run.txt pyproject.toml | python
	@echo "Installing requirements/run.txt" >&2
	@$(INSTALL) -r requirements/run.txt
	@PYTHONWARNINGS=ignore $(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.setup-dev: requirements/dev.txt $(VENV)/.setup-run
	@echo "Installing requirements/dev.txt" >&2
	@$(INSTALL) -r requirements/dev.txt
	@touch $@

.venv-bench/.setup: requirements/bench.txt | python
	@echo "Installing requirements/bench.txt" >&2
	@$(BIN)/python -m venv .venv-bench
	@.venv-bench/bin/python -m pip --disable-pip-version-check --quiet install \
		--only-binary :all: --require-hashes --no-deps -r requirements/bench.txt
	@touch $@
