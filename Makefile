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
# Bytecode is written when a module is first imported: most of what is installed here never is.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
# What measuring needs: all but TensorFlow, which is three quarters of the download.
MEASURING = import tomllib; print(*(one for one in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] \
	if not one.startswith(("tensorflow", "tf_keras"))))

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

$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 with venv is missing: apt install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/pip pyproject.toml constraints.txt
	$(INSTALL) $$($(BIN)/python -c '$(MEASURING)')
	$(INSTALL) --no-deps --editable .
	$(BIN)/mlbench measure models/*.tflite --no-pipeline --min-count 100 --min-seconds 0.5
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.dev: $(BIN)/pip pyproject.toml constraints.txt
	$(INSTALL) --editable '.[all,dev]'
	@touch $@
