# Yurt: everything a person types here. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.set-up

.PHONY: help setup demo demo-nomad test check bench images lock clean toolchains variants

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: toolchains $(STAMP) variants ## what Yurt needs, in .venv, from the lock file; toolchains and variants where they can be had

demo: setup ## start the network, run programs in all six languages, show what they did, stop
	@$(BIN)/python -m yurt.demo

demo-nomad: setup ## the same on a real Nomad, where one is on PATH: burst, a killed allocation, a new version
	@$(BIN)/python -m yurt.demo.nomad

test: setup ## every test, the ones with the whole network too
	@.ci/consul
	@.ci/infrastructure
	@.ci/docker
	@.ci/test $(BIN)/python

check: setup ## format, lint, types, import contracts and the fast tests, in under 90 seconds
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile -m "not network and not thorough"

bench: setup ## measure what SPEC.md promises, beside the bare tools
	@$(BIN)/python -m bench

images: setup ## images of the languages and of our processes, in .images, and a table of their sizes (as root; images/README.md)
	@.ci/docker
	@$(BIN)/python images/make_images.py $(NAMES) $(if $(BASE),--base $(BASE)) $(if $(LOAD),--load) $(if $(ANEW),--anew) \
		$(if $(RENEW),--renew) $(if $(UNPINNED),--unpinned) $(if $(TWICE),--twice)

lock: setup ## resolve the dependencies of pyproject.toml anew, into requirements.lock (needs uv)
	@printf 'hatchling>=1.27\neditables\n' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --group dev pyproject.toml - --output-file requirements.lock
	@for asked in .ci/infrastructure.in runner/languages/python/sets/*/requirements.in; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
			--no-annotate $$asked --output-file $${asked%.in}.lock; \
	done

clean: ## remove what was built, measured and set up here
	@rm -rf .venv .yurt .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache bench/out
	@find . -name __pycache__ -prune -exec rm -rf {} +

toolchains:
	@.ci/toolchains

variants: $(STAMP)
	@$(BIN)/python -m runner.languages.python.provide || true

$(STAMP): requirements.lock pyproject.toml
	@.ci/environment $(PYTHON) $(STAMP)
