# `make demo` and `make test` do all of their own set-up: they need Python 3.11 or later, make, and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo
# Half the width and batch, and a loss that learns fast: the most readable digits that two cores make in two minutes.
DEMO_FLAGS := --width 0.5 --batch-size 32 --latent-dim 24 --loss relativistic-average --lr 1e-3 --schedule linear \
              --ema 0.99 --steps 2500

.PHONY: demo test oracle lint pictures clean help

help:
	@echo "make demo    train a GAN on real handwritten digits and draw what it learned (about four minutes)"
	@echo "make test    run the whole test suite"
	@echo "make oracle  compare with PyTorch (installs the extra: peers)"
	@echo "make lint    ruff and mypy"
	@echo "make clean   remove the virtual environment and build leftovers"

# The stamps say which extra is installed; a change of pyproject.toml installs again.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "minigan needs Python 3.11 or later, $(PYTHON) is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(VENV)/installed-peers: $(VENV)/installed-test
	$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[peers]'
	@touch $@

demo: $(VENV)/installed
	@$(BIN)/minigan train dcgan $(DEMO_FLAGS) --out $(DEMO) --overwrite

test: $(VENV)/installed-test
	$(BIN)/python -m pytest

oracle: $(VENV)/installed-peers
	$(BIN)/python -m pytest tests/oracle

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info
