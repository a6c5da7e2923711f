# Every command people need, one target each. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint format bench bench-doctor docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(VENV)/.ready ## make .venv with lowres and everything its tests need

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lowres needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup ## set up, then train on the embedded handwritten digits
	$(BIN)/lowres train digits
	$(BIN)/lowres compare runs/digits-*

test: setup ## set up, then run every test; LOWRES_DATA_DIR=FOLDER adds those on real CIFAR-10
	$(BIN)/python -m pytest -n auto --dist worksteal

test-fast: setup ## the tests that take no more than a few seconds each
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

lint: setup ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## measure speed here; LOWRES_DATA_DIR=FOLDER must hold CIFAR-10
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/input_pipeline.py

bench-doctor: setup ## score the doctor on programs with known faults; LOWRES_DATA_DIR=FOLDER must hold CIFAR-10
	$(BIN)/python benchmarks/doctor/run.py --out benchmarks/results/doctor-bench.json

docs: setup ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean: ## remove what was made here, the runs excepted
	rm -rf $(VENV) dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
