# make run    the main job, on an empty machine too: installs and measures the ready models, then trains and compresses
# make test   all tests        make lint   format, lint, types, imports        make bench   benchmarks
# make docs   the documentation site, in build/site
# make dist   wheel and sdist in dist/, checked
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# The first Python of 3.11 to 3.13 that can make environments.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& { echo $$p; break; }; done)
# uv takes a third of pip's time. Where it cannot, as with an index that only pip's configuration names, pip does.
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
install = $(UV) --editable $(1) || $(PIP) --editable $(1)
# By a name, since $(call) would part it at the comma.
everything := '.[all,dev]'

.PHONY: help run test lint format bench docs dist clean

help:
	@sed -n 's/^# make/make/p' Makefile

run: $(VENV)/.run
	$(BIN)/mlbench run --variant two_pool --compress svd

test: $(VENV)/.dev
	$(BIN)/pytest --benchmark-disable --numprocesses 2 --dist loadfile

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	$(BIN)/pytest tests/benchmarks --benchmark-enable --benchmark-only

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

dist: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 with venv is missing: apt install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) uv

$(VENV)/.run: $(BIN)/uv pyproject.toml constraints.txt
	$(call install,.)
	$(BIN)/mlbench measure models/*.tflite --no-pipeline --min-count 100 --min-seconds 0.5
	@touch $@

$(VENV)/.dev: $(BIN)/uv pyproject.toml constraints.txt
	$(call install,$(everything))
	@touch $@
