# What people type here: make demo, make test. The environment in .venv is built on first use and
# again when pyproject.toml or constraints.txt change.

PYTHON ?= python3
PHOTO  ?= examples/astronaut.jpg

BIN      := .venv/bin
INSTALL  := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
RESTORED := out/$(basename $(notdir $(PHOTO))).png
COMPARED := out/$(basename $(notdir $(PHOTO))).before-after.png

# Each pytest worker is a process with its own torch: more than a few cost more memory than they save time, and one
# thread each keeps them from competing for cores.
WORKERS := -n auto --maxprocesses 4 --dist worksteal
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: demo test lint format docs clean help
.DEFAULT_GOAL := help

demo: .venv/program ## restore the example photo and show it before and after (PHOTO=... for another one)
	@mkdir -p out
	$(BIN)/deblur $(PHOTO) -o $(RESTORED) --compare --overwrite
	@echo "restored photo:   $(RESTORED)"
	@echo "before and after: $(COMPARED)"

test: lint ## check everything: style, types, tests
	$(THREADS) $(BIN)/pytest $(WORKERS)

lint: .venv/development ## check style and types only
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python

format: .venv/development ## put the source into the house style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/development ## write what is generated in README.md and docs/
	$(BIN)/python docs/generate.py

clean: ## remove the environment and everything made here
	rm -rf .venv out build dist

help: ## list what can be made
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

# Stamps: these files only say when the environment was last brought up to date.
.venv/program: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("deblur needs Python 3.10 or newer: make PYTHON=python3.x" if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv .venv
	$(INSTALL) -e '.[cpu]'
	@touch $@

.venv/development: .venv/program
	$(INSTALL) -e '.[dev]'
	@touch $@
