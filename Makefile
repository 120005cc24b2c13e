# One word each; `make help` prints them.
PYTHON ?= python3
BIN := .venv/bin

help:           ## what can be made
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed 's/:.*##/  /'

run: .venv/runtime      ## emulator + service, three tenants, a first burst; Ctrl-C ends. ONCE=1 stops after the burst
	@$(BIN)/python -m emulator.demo $(if $(ONCE),--once)

test: .venv/development ## every test, in two processes; with CI=true a missing tool fails
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

journeys: .venv/development     ## the journeys alone; FULL=1 at full size
	@FULL=$(FULL) $(BIN)/python -m pytest -m journey $(ARGS)

bench: .venv/development        ## all benchmarks, one JSON object per line
	@command -v wrk cc >/dev/null || { apt-get -q update && apt-get -qy install wrk gcc libc6-dev; }
	@$(BIN)/python -m bench

prove: .venv/development ## the promises, tried hard; writes docs/proof.md. QUICK=1: a small part of it
	@command -v wrk cc >/dev/null || { apt-get -q update && apt-get -qy install wrk gcc libc6-dev; }
	@$(BIN)/python -m proof $(if $(QUICK),--quick)

lint: .venv/development ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# Bare Debian has python3 without ensurepip: as root its package is installed, else the text says what is missing.
.venv/runtime: requirements.txt
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { rm -rf .venv; apt-get -q update && \
	  apt-get -qy install python3-venv && $(PYTHON) -m venv .venv; } || \
	  { echo 'cannot make .venv: install the python3-venv package' >&2; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/development: .venv/runtime tests/requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

.PHONY: help run test journeys bench prove lint
