# Short verbs, the same on a developer's machine and in CI. Everything is installed inside this checkout.
PYTHON ?= python3
BIN := .venv/bin
# Test processes side by side. Much of the time a test waits, so one more than two cores do no harm.
WORKERS ?= 3
NPM := $(shell command -v npm 2>/dev/null)

# Each of the hundreds of processes that the tests start would compile the sources again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test bench check format clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

install: .venv/.server  ## .venv with the server

# The server alone: what the demo needs. The stamp of the development tools stands for it as well.
.venv/.server: pyproject.toml
	@echo 'Installing the server into .venv (once; it takes a minute or two)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[server]'
	@touch $@

# Brings the rest into the same .venv.
.venv/.development: pyproject.toml
	@echo 'Installing the development tools into .venv (once; it takes some minutes)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[server,postgres,dev]'
	@touch .venv/.server $@

# The JavaScript SDK is only needed by the tests that drive it; without Node they are skipped.
tests/js/node_modules/.installed: tests/js/package.json tests/js/package-lock.json
ifeq ($(NPM),)
	@echo 'npm is not installed: the tests with the JavaScript SDK will be skipped'
else
	@cd tests/js && npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@
endif

demo: install  ## the server with a demo application and users, and what to connect with
	@$(BIN)/voxcube demo

test: .venv/.development tests/js/node_modules/.installed  ## every test that can run here; says what was skipped and why
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

bench: .venv/.development  ## the performance table, on throw-away servers (ARGS=--quick: shorter)
	@$(BIN)/voxcube bench suite $(ARGS)

check: .venv/.development  ## lint, format check, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/.development  ## repair what ruff can repair
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

clean:  ## remove what install made
	rm -rf .venv tests/js/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
