# The commands of this project; `make help` lists them.
#
# Everything is installed into .venv from a lock file with hashes. A stamp that carries the lock's
# checksum says that it was, so nothing is installed twice and later runs need no network.
# Commands go through `python -m`, so that a folder that was moved or has spaces still works.

.DEFAULT_GOAL := help
.PHONY: help run test lint faults sdk browser screenshots chromium bench lock clean

# The first of these that is new enough.
PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
  "$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && { echo "$$each"; break; }; done)
# One more than there are processors: many tests wait for a time that is promised.
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )))

python := .venv/bin/python
axe := tests/browser/node_modules/.package-lock.json
run_stamp := .venv/.run-$(shell cksum < requirements-local.lock | cut -d ' ' -f 1)
test_stamp := .venv/.test-$(shell cksum < requirements-dev.lock | cut -d ' ' -f 1)
# Errors only: pip warns a hundred times about the index folders of a machine that lack a package.
install := $(python) -m pip install -qq --disable-pip-version-check --no-input --require-hashes
compile := .venv/lock/bin/python -m uv pip compile --quiet --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-header

help: ## List these commands.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run: $(run_stamp) ## Start everything on http://localhost:8000 (see docs/SETTINGS.md for PORT and others).
	@exec $(python) -m local

test: lint ## Check style, types and imports, and run the tests that take seconds.
	$(python) -m pytest -n $(WORKERS) --dist worksteal -m "not slow" --ignore=tests/browser --ignore=tests/sdk

lint: $(test_stamp) ## Check style, types and the direction of imports.
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy
	$(python) -c "from importlinter.cli import lint_imports_command as check; check()"

faults: $(test_stamp) ## Run the long tests: kills, stops and floods.
	@# Two files at a time, each with servers of its own: most of these tests wait.
	$(python) -m pytest -n 2 --dist loadfile -m slow --ignore=tests/browser --ignore=tests/sdk --ignore=tests/api
	@# Made-up requests share names, which a file at a time would take for one test.
	$(python) -m pytest -n 2 -m slow tests/api

sdk: $(test_stamp) tests/sdk/js/node_modules/.package-lock.json ## Run the journeys of the vendors' own SDKs (needs Node.js 20).
	$(python) -m pytest tests/sdk

browser: $(test_stamp) $(axe) chromium ## Run the journeys through a real browser (needs Chromium and npm).
	$(python) -m pytest tests/browser

screenshots: $(test_stamp) chromium ## Picture every page, light and dark, wide and narrow, in screenshots/.
	$(python) -m tests.browser.screenshots

chromium:
	@for each in chromium chromium-browser google-chrome; do command -v $$each >/dev/null && exit 0; done; { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing Chromium from Debian's packages; this happens once."; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	  else echo "The browser journeys need Chromium: install the package chromium, or run this as root." >&2; exit 1; fi; }

bench: $(test_stamp) ## Measure, side by side with a bare pass-through.
	$(python) -m bench

lock: .venv/lock/bin/python ## Choose versions anew from pyproject.toml and write the lock files.
	$(compile) --upgrade --group dev pyproject.toml -o requirements-dev.lock
	@# What an output holds already is kept, so the three agree on every version.
	cp requirements-dev.lock requirements-local.lock && cp requirements-dev.lock requirements.lock
	$(compile) --extra otel --group local pyproject.toml -o requirements-local.lock
	$(compile) --extra otel pyproject.toml -o requirements.lock

clean: ## Remove .venv and the tools' caches; the data folder stays.
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(run_stamp): | .venv/bin/python
	@echo "Installing the pinned packages into .venv; this happens once and takes a minute or two."
	@$(install) -r requirements-local.lock
	@rm -f .venv/.run-* && touch $@

$(test_stamp): | .venv/bin/python
	@echo "Installing the pinned packages for tests into .venv; this happens once and takes a minute or two."
	@$(install) -r requirements-dev.lock
	@rm -f .venv/.test-* && touch $@

$(axe): tests/browser/package-lock.json
	@command -v npm >/dev/null || { echo "The check of accessibility needs Node.js with npm." >&2; exit 1; }
	@cd tests/browser && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

tests/sdk/js/node_modules/.package-lock.json: tests/sdk/js/package-lock.json
	@command -v npm >/dev/null || { echo "The JavaScript SDKs need Node.js 20 or newer with npm." >&2; exit 1; }
	@cd tests/sdk/js && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Tollgate needs Python 3.11 or newer: install it, or name it with" \
	  "make PYTHON=/path/to/python3." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "Tollgate needs Python 3.11 or newer, and $(PYTHON) is not." >&2; exit 1; }
	@# Half a .venv, as where ensurepip is missing, would look whole to the next start.
	@"$(PYTHON)" -m venv --clear .venv || { rm -rf .venv; exit 1; }

.venv/lock/bin/python: | .venv/bin/python
	@.venv/bin/python -m venv .venv/lock
	@.venv/lock/bin/python -m pip install --quiet --disable-pip-version-check uv
