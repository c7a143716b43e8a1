# One command a task; CI calls the same ones.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UNIT_TESTS := tests --ignore=tests/browser --ignore=tests/demo --ignore=tests/backends
CORE_TESTS := $(addprefix tests/,calls recording otlp export metrics transport patching)
BENCH := $(VENV)-bench
PROGRAMS := span_cost export_cpu thread_latency throughput_and_loss spool_throughput propagation import_time \
	serve_ingest

.DEFAULT_GOAL := help

help:  ## list the tasks
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "mmtrace needs Python 3.10 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --prerelease=if-necessary-or-explicit --editable '.[all]' --group dev
	@touch $@

setup: $(STAMP)  ## make the virtual environment

demo: $(STAMP)  ## set up and run the main job: the demo pipeline with its viewer
	$(BIN)/mmtrace demo $(ARGS)

check: $(STAMP)  ## lint, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(STAMP)  ## format and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

system-packages:  ## the programs that the tests run: Chromium and a Redis server
	@bash tests/install_system_packages.sh

test: $(STAMP) system-packages  ## set up and run the tests
	$(BIN)/python -m pytest --ignore=tests/backends $(ARGS)

backends:  ## get the real Collector, Jaeger, Prometheus, Alertmanager and Loki, whatever of them is missing (needs Go)
	$(PYTHON) tests/backends/programs.py $(ARGS)

test-backends: $(STAMP)  ## get the real backends, and run the tests on them
	$(PYTHON) tests/backends/programs.py
	$(BIN)/python -m pytest tests/backends $(ARGS)

test-pythons: $(STAMP) system-packages  ## the unit tests on every supported Python, with the newest libraries and the oldest
	bash tests/pythons.sh $(UNIT_TESTS)

test-core: $(STAMP)  ## the core's tests on the newest Python, and on the oldest with the oldest libraries
	RUNS="3.13 3.10-oldest" bash tests/pythons.sh $(CORE_TESTS)

$(BENCH)/.installed: pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet uv
	VIRTUAL_ENV=$(abspath $(BENCH)) $(BENCH)/bin/uv pip install --quiet --prerelease=if-necessary-or-explicit --editable '.[server]' --group bench
	@touch $@

bench: $(BENCH)/.installed  ## the benchmarks, against the stock SDK and peers, in an environment of their own
	@mkdir -p benchmarks/results
	for program in $(PROGRAMS); do \
		$(BENCH)/bin/python benchmarks/$$program.py --json benchmarks/results/$$program.json || exit 1; \
	done

.PHONY: help setup demo check format system-packages test backends test-backends test-pythons test-core bench
