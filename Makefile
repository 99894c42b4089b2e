# make run: set up and train a first network. make test: set up and run the whole test suite.
# Needs Python 3.11 to 3.13 and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
# Test processes side by side, one thread each: as many as there are cores to spare
WORKERS ?= 2
# Further arguments of test-zoo
ZOO ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests are compiled once, whatever the user's shell says: each process would take some 6 s for it
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test test-light test-gpu test-zoo test-slurm test-browser setup lint bench clean

run: setup
	$(BIN)/python -m transferlab +split=random transfer.n=3

test: setup lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The tests that need no torch and draw nothing, in a minute
test-light: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --light

# On a real SLURM, which is started on this machine: Debian 12 and root (see slurm/README.md)
test-slurm: setup
	$(BIN)/python -m pytest -m slurm tests/slurm

# On a CUDA device: skipped where there is none
test-gpu: setup
	$(BIN)/python -m pytest -m gpu tests/gpu

# Every network operation by operation, and a transfer study of every family: some minutes
test-zoo: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m zoo $(ZOO)

# In a headless Chromium, which is installed if it is not there: Debian 12 and root
test-browser: setup
	tests/browser/install
	$(BIN)/python -m pytest -m browser tests/browser

setup: .venv/ready

# The newest of these decides whether the set-up is done again
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,timm]'
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python tests/benchmarks/plan.py --check
	$(BIN)/python tests/benchmarks/results.py
	$(BIN)/python -m transferlab bench trainer

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
