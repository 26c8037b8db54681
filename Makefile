# Every target sets up what it needs: `make test` and `make run` work in a fresh clone.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?=
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate
# Parallel test processes.
WORKERS ?= 2

.PHONY: help setup run test unit check format bench quality realday month chaos browser lock secrets clean

help:  ## List what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## Build .venv from the hashed lock (done by the others when needed)

$(READY): requirements/dev.txt requirements/pip.txt pyproject.toml deploy/make_venv.sh
	@echo "Building $(VENV) (a minute or two the first time) ..."
	@deploy/make_venv.sh $(VENV) $(PYTHON)
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/pip.txt
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: $(READY)  ## Start everything on this machine with a sample company; FRESH=1 begins anew
	@exec $(BIN)/python -m deploy.demo $(if $(FRESH),--fresh)

test: $(READY)  ## Run the tests, except those that take minutes
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not slow" --ignore=tests/browser tests

unit: $(READY)  ## Run the tests that need no server: seconds
	@$(BIN)/pytest tests/unit tests/contracts

check: $(READY)  ## Lint, format check, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Not formatted: make format" >&2; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY)  ## Format the code and fix what can be fixed safely
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

bench: $(READY)  ## Measure, beside peers in the same run; writes docs/benchmarks.md. QUICK=1: a short trial
	@$(BIN)/python -m bench $(if $(QUICK),--quick)

quality: $(READY)  ## Judge the signals on real orders; writes docs/signal-quality.md. PART=drift: one part; QUICK=1: a short trial; needs the reference data
	@$(BIN)/python -m bench.quality $(PART) $(if $(QUICK),--quick)

realday: $(READY)  ## Play one real day from import to mail; needs the reference data (TIPOFF_REFERENCE)
	@$(BIN)/python -m bench.real_day

month: $(READY)  ## Play a real month, nights and mornings too; writes docs/the-month.md; needs the reference data
	@$(BIN)/python -m bench.month

chaos: $(READY)  ## What takes minutes: kill workers, wipe Redis, crash PostgreSQL; five mornings of the sample company
	@$(BIN)/pytest -s tests/chaos tests/journeys/test_sample_week.py

browser: $(READY)  ## Drive the pages in a real browser
	@$(BIN)/pytest tests/browser

lock: $(READY)  ## Compile requirements/ again; UPGRADE=1 takes newer versions
	@echo pip | $(UV_COMPILE) - --output-file requirements/pip.txt $(if $(UPGRADE),--upgrade)
	@$(UV_COMPILE) pyproject.toml --all-extras --group dev --output-file requirements/dev.txt $(if $(UPGRADE),--upgrade)
	@$(UV_COMPILE) pyproject.toml --extra web --constraint requirements/dev.txt --output-file requirements/web.txt
	@$(UV_COMPILE) pyproject.toml --extra worker --constraint requirements/dev.txt --output-file requirements/worker.txt
	@echo hatchling | $(UV_COMPILE) - --constraint requirements/dev.txt --output-file requirements/build.txt
	@echo aiosmtpd | $(UV_COMPILE) - --constraint requirements/dev.txt --output-file requirements/mails.txt

secrets:  ## Make the secrets of docker-compose.yml, once, in the folder secrets
	@deploy/make_secrets.sh

clean:  ## Remove the environment and caches; keeps the data in .data
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist *.egg-info
