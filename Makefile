# Everything happens in .venv, which `make setup` makes; every target makes it if needed.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
FILES ?=

# Hundreds of processes are started: none has to compile what another has compiled.
unexport PYTHONDONTWRITEBYTECODE

# Four at a time, for two cores: two always wait; a file in one of them, for what they share.
PYTEST := $(BIN)/python -m pytest -q
PARALLEL := -n 4 --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo up fmt lint types imports test test-fast test-slow tour pictures check faults soak bench migrate lock docs clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## Make the virtual environment with the locked packages

$(STAMP): requirements.lock Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Assay needs Python 3.11 or newer; set PYTHON=/path/to/it"; exit 2; }
	@echo "setting up .venv (once; a minute or two)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@# No build: the folders are imported from here, and the command is two lines.
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/assay.pth"
	@printf '#!%s\nfrom orchestrator.cli import main\nmain()\n' "$(CURDIR)/$(BIN)/python" > $(BIN)/assay
	@chmod +x $(BIN)/assay
	@touch $@

demo: setup ## Run the main job on FILES=… (default: a bundled set), show it, stop everything
	@$(BIN)/assay demo $(FILES)

up: setup ## Start the whole stack on this machine and leave it running
	@$(BIN)/assay up

fmt: setup ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lint: setup ## Check format and style
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .

types: setup ## Check the types
	@$(BIN)/mypy

imports: setup ## Check the direction of imports
	@$(BIN)/lint-imports > .import_linter_cache.log 2>&1 || { cat .import_linter_cache.log; rm .import_linter_cache.log; exit 1; }
	@rm .import_linter_cache.log

test-fast: setup ## Run the tests that need no process: seconds
	@$(PYTEST) $(PARALLEL) tests/unit tests/architecture tests/contracts/messages

test: test-fast test-slow ## Run every test; of each kind of fault a short round

test-slow: setup ## Run the tests that start processes: minutes
	@$(PYTEST) $(PARALLEL) -m "not alone" tests --ignore=tests/unit --ignore=tests/architecture --ignore=tests/contracts/messages
	@$(PYTEST) -m alone tests/faults

faults: setup ## Kill and cut things, many times over: long rounds
	@ASSAY_TEST_LONG=1 $(PYTEST) -s tests/faults tests/broker/test_killed_readers.py tests/broker/test_accounts.py tests/broker/test_hostile_messages.py tests/integration/test_check.py tests/integration/test_check_node.py tests/integration/test_search.py tests/integration/test_sandbox_ordinary_user.py tests/contracts/test_openapi.py tests/e2e/test_bench.py tests/e2e/test_demo.py tests/console/test_pages.py

tour: setup ## Take a newcomer's first ten minutes on a fresh clone, by the README's words, set up three machines by their page; and pictures of every page
	@$(PYTHON) -m tests.tour
	@$(BIN)/python -m tests.console.pictures .pictures
	@echo "every page, light, dark and narrow: .pictures"

pictures: setup ## Take the pictures of docs/console.md, with Chromium
	@$(BIN)/python -m tests.console.pictures

check: setup ## What CI runs
	@# What uses one core beside what waits now and then; each says all of its own at once.
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target types test-fast lint imports
	@$(MAKE) --no-print-directory test-slow

soak: setup ## Have the bundled workers look at thousands of clean files: half an hour
	@$(BIN)/python -m tests.soak

bench: setup ## Measure, as ratios of one run
	@$(BIN)/python -m tests.benchmarks

migrate: setup ## Bring the database of ASSAY_DATABASE_URL up to date
	@$(BIN)/assay db upgrade

docs: setup ## Write what is generated: the diagram of states, the schemas of messages, what commands say
	@$(BIN)/python -m tests.contracts.messages.generate
	@$(BIN)/python -m tests.golden

lock: ## Pin the newest versions that pyproject.toml allows
	@$(PYTHON) -m venv .venv/lock
	@.venv/lock/bin/pip install --quiet uv
	@.venv/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --all-extras --no-header --no-annotate pyproject.toml -o requirements.lock
	@.venv/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate tests/benchmarks/requirements.in -o tests/benchmarks/requirements.lock

clean: ## Remove what was made here
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
