# Commands for people, CI and the README. Every target but `clean` creates the environment if it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
export PATH := $(abspath $(BIN)):$(PATH)

# Caches of Snakemake, pip, Matplotlib and PyTorch where the home folder cannot be written.
ifneq ($(shell test -w "$$HOME" && echo writable),writable)
export XDG_CACHE_HOME ?= $(CURDIR)/.cache
export MPLCONFIGDIR ?= $(CURDIR)/.cache/matplotlib
export TORCH_HOME ?= $(CURDIR)/.cache/torch
export HF_HOME ?= $(CURDIR)/.cache/huggingface
endif

.DEFAULT_GOAL := install
.PHONY: help install run report test check check-style check-types check-graph check-pages package check-data matrix preset estimate schema dvc.yaml record adopt experiments plots generality variants campaign bench tables docs format clean

help: ## list all targets
	@grep -hE '^[a-z.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(READY) ## the environment

run: $(READY) ## the experiment of params.yaml, then its table
	snakemake --cores all
	@echo && cat results/summary.md

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11, 4) <= sys.version_info < (3, 14) else "Python 3.11.4 to 3.13 is needed, this is " + sys.version.split()[0] + "; run `make run PYTHON=python3.12`, say")'
	$(PYTHON) -m venv $(VENV)
ifdef TORCH
	pip install --quiet uv
	VIRTUAL_ENV=$(VENV) uv pip install --torch-backend $(TORCH) --constraint constraints.txt --editable '.[dev]'
else
	pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
endif
	touch $@

report: $(READY) ## one page of all results: results/report.html
	python workflow/report.py

test: $(READY) ## all tests
	pytest --numprocesses auto --maxprocesses 4 --dist worksteal

check: check-style check-types check-graph check-pages ## style, types, layers, the graph, pages

check-style: $(READY)
	ruff format --check .
	ruff check .
	lint-imports --no-logo
	snakefmt --check Snakefile workflow/rules

check-types: $(READY)
	pyright

check-graph: $(READY)
	! snakemake --lint 2>&1 | grep '^ *\* ' | grep -v 'Specify a conda environment' # one environment serves all
	@plan=$$(snakemake --dry-run 2>&1) || { echo "$$plan"; exit 1; }
	python workflow/engines.py check
	python workflow/params.py check

check-pages: $(READY)
	python docs/tables.py --check
	$(MAKE) --no-print-directory docs

package: $(READY) ## wheel and source archive in dist/, checked
	rm -rf dist
	python -m build --no-isolation
	twine check --strict dist/*

DATA ?= data

check-data: $(READY) ## statistics, warnings and errors of a data set: make check-data DATA=folder
	python workflow/scripts/check_data.py --data $(DATA) --report logs/check-data --params params.yaml

PRESET ?= voc12

preset: $(READY) ## write a preset into params.yaml: make preset PRESET=voc12
	python workflow/params.py preset presets/$(PRESET).yaml

estimate: $(READY) ## minutes of a run: make estimate, make estimate PRESET=voc12; FLOPS=1 counts
	python workflow/estimate.py $(if $(FLOPS),--flops) $(if $(filter file,$(origin PRESET)),,presets/$(PRESET).yaml)

schema: $(READY) ## write the schema of params.yaml, for editors
	python workflow/params.py schema

dvc.yaml: $(READY) ## write dvc.yaml from the Snakefile
	python workflow/engines.py write

record: $(READY) ## record Snakemake's results in DVC, if the end of a run could not
	python workflow/engines.py record

adopt: $(READY) ## make Snakemake accept results that DVC made or restored
	python workflow/engines.py adopt

experiments: $(READY) ## table of DVC's experiments: mIoU, changed parameters, stale numbers
	@python workflow/experiments.py

plots: $(READY) ## DVC's plots without network: make plots, or make plots REVS=half-weight
	@python workflow/plots.py $(REVS)

generality: $(READY) ## one recipe on shapes, stamps and street: make generality STREET=folder
	python workflow/generality.py $(if $(STREET),--source 'street=$(STREET)')

variants: $(READY) ## CAM variants alone and with ReCAM: make variants STREET=folder, UNTIL=pseudo
	python workflow/variants.py $(if $(STREET),--source 'street=$(STREET)') $(if $(UNTIL),--until $(UNTIL))

matrix: $(READY) ## table of the steps that each engine runs after every possible change
	python workflow/matrix.py

PART ?= all

campaign: $(READY) ## seeded bad inputs, kills and faults: make campaign, or make campaign PART=quarter
	python tests/campaign/run.py --part $(PART)

bench: $(READY) ## benchmarks: ratios of times measured side by side
	python benchmarks/run.py training segmenters maps precision gradcam loops refinement images

tables: $(READY) ## the tables and drawings of README and docs/, from docs/results
	python docs/tables.py

docs: $(READY) ## the pages as HTML: docs/_build/html/index.html
	sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html

format: $(READY)
	ruff format .
	ruff check --fix .
	snakefmt Snakefile workflow/rules

clean: ## delete the outputs of all steps, but not the downloads in data/originals
	rm -rf results logs .snakemake
	find data -mindepth 1 -maxdepth 1 ! -name originals -exec rm -rf {} +
