# `make` prints its targets. Every target sets itself up in .venv; nothing else is needed but python3, pip, venv and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help run check test test-long test-pythons mutation lint types imports fast format docs lock bench clean

help:  ## print the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# The locked versions with their checksums first; then the project, which finds everything installed.
$(VENV)/.runtime: pyproject.toml requirements/run.txt | $(BIN)/python
	$(PIP) --require-hashes -r requirements/run.txt
	$(PIP) -e .
	@touch $@

$(STAMP): pyproject.toml requirements/dev.txt | $(BIN)/python
	$(PIP) --require-hashes -r requirements/dev.txt
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.runtime

run: $(VENV)/.runtime  ## start the router with a small generated centre and show what happens
	$(BIN)/router demo $(ARGS)

check: lint types imports fast  ## format, lint, types, imports, fast tests: under a minute

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy
	$(BIN)/python -m tests.support.node

imports: $(STAMP)
	$(BIN)/lint-imports --no-cache

fast: $(STAMP)
	$(BIN)/pytest -q -n 2 -m 'not slow' --ignore tests/acceptance --ignore tests/benchmarks --ignore tests/integration --ignore tests/properties --ignore tests/validation tests

test: $(STAMP)  ## all tests
	$(BIN)/pytest -q -n 2

# The version beside which the present one runs in a rolling upgrade: the last tag, or a hundred commits ago.
UPGRADE_FROM ?= $(shell git describe --tags --abbrev=0 2>/dev/null || git rev-parse HEAD~100 2>/dev/null)

test-long: $(STAMP)  ## property tests with thousands of new random examples, power failures at every cut, mutation; hours
	HYPOTHESIS_PROFILE=thorough $(BIN)/pytest -q -n 2 --timeout 3600 tests/properties
	POWER_LOSS=all $(BIN)/pytest -q -n 2 --timeout 3600 -s tests/integration/test_power_loss.py tests/integration/test_context_power_loss.py
	JOURNAL_SCHEDULES=4000 $(BIN)/pytest -q --timeout 1800 tests/journal/redis/test_schedules.py
	MONDAY=whole $(BIN)/pytest -q --timeout 3600 -s tests/acceptance/stories/test_monday.py
	ROLLING_DESKTOPS=300 $(BIN)/pytest -q --timeout 900 -s tests/acceptance/cluster/test_rolling_restart.py
	RECORDED_STATISTICS=whole $(BIN)/pytest -q --timeout 900 tests/validation/test_call_log_statistics.py
	UPGRADE_FROM=$(UPGRADE_FROM) $(BIN)/pytest -q --timeout 900 -s -rs tests/acceptance/cluster/test_rolling_upgrade.py
	$(MAKE) test-pythons
	$(MAKE) mutation

PYTHONS ?= python3.12 python3.13 python3.14

test-pythons:  ## fast tests and figures of the engine with each of PYTHONS that is installed, each in a .venv of its own
	@for python in $(PYTHONS); do \
		command -v $$python > /dev/null || { echo "$$python is not installed: skipped"; continue; }; \
		venv=.venv-$$(basename $$python); \
		$(MAKE) PYTHON=$$python VENV=$$venv fast && $$venv/bin/python benchmarks/engine/bench_engine.py --quick || exit 1; \
	done

mutation: $(STAMP)  ## 150 single changes to the code, drawn at random: which do the tests notice?
	nice $(BIN)/python -m tests.mutation.run --count 150 --seed 1 $(ARGS)

format: $(STAMP)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP)  ## write the generated pages of docs/
	$(BIN)/python docs/generate.py

COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

lock: $(BIN)/python  ## write requirements/: the newest versions that pyproject.toml allows, with checksums, and the SBOM
	$(PIP) '.[lock]'
	$(BIN)/$(COMPILE) pyproject.toml -o requirements/run.txt $(ARGS)
	$(BIN)/$(COMPILE) pyproject.toml --extra dev -c requirements/run.txt -o requirements/dev.txt $(ARGS)
	$(BIN)/python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires']))" | \
		$(BIN)/$(COMPILE) - -o requirements/build.txt $(ARGS)
	$(BIN)/python requirements/write_sbom.py

bench: $(STAMP)  ## run all benchmarks in their short form; figures and report in benchmarks/results
	$(BIN)/python benchmarks/run.py $(ARGS)

clean:  ## remove what the other targets made
	rm -rf $(VENV) .rivals .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
