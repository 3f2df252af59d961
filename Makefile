# make demo | test | test-full | check | bench | answers      (PYTHON=python3.12 chooses the interpreter of a new .venv)
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2
SHELL  := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

.PHONY: demo test test-full check lint bench answers clean
demo: $(VENV)/.installed
	$(BIN)/unrolled demo

test: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow"

test-full: $(VENV)/.installed-dev
	$(PYTEST)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks

# An hour or two: every row of the table trains three models.
answers: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.answers

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

# What stops an install on a bare machine, each in one line; then a .venv that sees the system's torch >= 2.10.
$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: no '$(PYTHON)' here. Install Python >= 3.11, or name one: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: Unrolled needs Python >= 3.11, '$(PYTHON)' is older. Name a newer one: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "make: '$(PYTHON)' lacks venv. On Debian or Ubuntu: apt install python3-venv; then make again"; exit 2; }
	@if $(PYTHON) -c '$(OUTSIDE); $(HAS_TORCH)' 2>/dev/null; then \
	  echo "make: using the torch that '$(PYTHON)' already has"; $(PYTHON) -m venv --system-site-packages $(VENV); \
	else $(PYTHON) -m venv $(VENV); fi

OUTSIDE := import sys; sys.prefix == sys.base_prefix or sys.exit(1)
HAS_TORCH := from importlib.metadata import version; import sys; v = version("torch").split("."); sys.exit((int(v[0]), int(v[1])) < (2, 10))

IS_CUDA := import json, sys; needs = json.load(sys.stdin)["install"][0]["metadata"].get("requires_dist", []); sys.exit(not (sys.platform == "linux" and any(n.startswith(("nvidia", "cuda")) for n in needs)))

# torch first, since it is what can surprise; our pin only where none is installed yet.
$(VENV)/.torch: | $(BIN)/python
	@if ! $(BIN)/python -c '$(HAS_TORCH)' 2>/dev/null; then \
	  if $(PIP) install -q --dry-run --no-deps --report - -c constraints.txt torch 2>/dev/null | $(BIN)/python -c '$(IS_CUDA)' 2>/dev/null; then \
	    echo "make: pip chose the CUDA build of torch: about 3 GB to download, 7 GB on disk. Without an NVIDIA GPU stop here (Ctrl-C),"; \
	    echo "make: put the CPU build (0.2 GB) into $(VENV) with the pip command that PyTorch's 'Get Started' page shows for CPU, then make again."; \
	  fi; \
	  echo "make: installing torch into $(VENV)"; $(PIP) install -q -c constraints.txt torch; \
	fi
	@touch $@

$(VENV)/constraints.txt: constraints.txt | $(VENV)/.torch
	@{ grep -v '^torch==' constraints.txt; $(BIN)/python -c 'from importlib.metadata import version; print("torch==" + version("torch"))'; } > $@

$(VENV)/.installed: pyproject.toml $(VENV)/constraints.txt
	@echo "make: installing into $(VENV)"
	$(PIP) install -q -c $(VENV)/constraints.txt -e ".[all]"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/constraints.txt
	@echo "make: installing into $(VENV), with the tools for tests"
	$(PIP) install -q -c $(VENV)/constraints.txt -e ".[all,dev]"
	@touch $@ $(VENV)/.installed
