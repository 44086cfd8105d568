# `make demo` and `make test` do all of their own set-up: they need Python 3.11 or later, make, and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo
GPU_PYTHON ?= $(BIN)/python
# A quarter of the width and half the batch: the most readable digits that we found for two minutes of two cores.
DEMO_FLAGS := --width 0.25 --batch-size 32 --lr 1e-3 --schedule linear --label-smoothing 0.1 --ema 0.99 --steps 3200

# An order of threads, and the side on which arrays are guarded: every test of the operations passes on each.
EMULATED := forward/end reverse/front random:1/end warps/front

.PHONY: demo test oracle lint emulator bench gpu pictures clean help

help:
	@echo "make demo    train a GAN on real handwritten digits and draw what it learned (about two and a half minutes)"
	@echo "make test    run the whole test suite"
	@echo "make oracle  compare with PyTorch (installs the extra: peers)"
	@echo "make lint    ruff and mypy"
	@echo "make emulator  the tests of the operations on CUDA kernels without a GPU, every access checked, threads in four orders"
	@echo "make bench   measure everything, with PyTorch and JAX (an hour), and write the README's tables and plots"
	@echo "make gpu     test and time the CUDA kernels on this machine's GPU, in ten minutes (installs the extra: gpu)"
	@echo "make pictures  the README's pictures from the demo's run"
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

$(VENV)/installed-bench: $(VENV)/installed-peers
	$(BIN)/python -c 'import jax, torch' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[peers]'
	@touch $@

$(VENV)/installed-gpu: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[gpu]'
	@touch $@

demo: $(VENV)/installed
	@$(BIN)/minigan train lucic $(DEMO_FLAGS) --out $(DEMO) --overwrite

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n auto --dist worksteal

oracle: $(VENV)/installed-peers
	$(BIN)/python -m pytest tests/oracle

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

emulator: $(VENV)/installed-test
	@for how in $(EMULATED); do \
	  echo "threads in the order $${how%/*}, arrays guarded at the $${how#*/}"; \
	  MINIGAN_EMULATOR_BUILD=checked MINIGAN_EMULATOR_ORDER=$${how%/*} MINIGAN_EMULATOR_GUARD=$${how#*/} \
	    $(BIN)/python -m pytest tests/kernels -k cuda-emulator -n auto --dist worksteal || exit; \
	done

bench: $(VENV)/installed-bench
	$(BIN)/minigan bench all --out benchmarks/results
	$(BIN)/python -m benchmarks.report

# The hardware's part: its tests of the operations, where pytest is there, then checks and timings, which take place
# whatever has failed before; results are kept, and come into the README, of a run in which nothing has.
# GPU_PYTHON=python3 takes an interpreter that has CuPy already, and installs nothing.
gpu: $(if $(filter $(BIN)/python,$(GPU_PYTHON)),$(VENV)/installed-gpu)
	@$(GPU_PYTHON) -c 'import importlib.util as there, sys; lacking = [name for name in ("numpy", "numba", "matplotlib") if not there.find_spec(name)]; sys.exit("make gpu needs packages that $(GPU_PYTHON) does not have: " + ", ".join(lacking) if lacking else 0)'
	@$(GPU_PYTHON) -c 'import sys; from kernels.cuda import detect; sys.exit(detect.why_not() and "no usable GPU: " + detect.why_not())'
	@failed=; \
	if $(GPU_PYTHON) -c 'import hypothesis, pytest' 2>/dev/null; then \
	  $(GPU_PYTHON) -m pytest tests/kernels -k 'cuda and not emulator' || failed='tests of the operations have failed'; \
	else echo "pytest and hypothesis are not installed: the checks of benchmarks.gpu alone"; fi; \
	$(GPU_PYTHON) -m benchmarks.gpu $${failed:+--unsound "$$failed"} || failed=yes; \
	test -z "$$failed"
	$(GPU_PYTHON) -m benchmarks.report

pictures: $(VENV)/installed
	$(BIN)/python tools/readme_pictures.py $(DEMO) docs/images

clean:
	rm -rf $(VENV) build *.egg-info
