# Every target does all of its steps, in any order, on a machine that has only make and Python 3.11 or later.
# Another interpreter: make PYTHON=python3.12 (after `make clean` if .venv exists).

PYTHON ?= python3
BIN := .venv/bin

# One file pins every package, those that build this one included. pip reads a build's constraints from
# PIP_BUILD_CONSTRAINT since 25.3 and from PIP_CONSTRAINT before.
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=requirements.lock PIP_BUILD_CONSTRAINT=requirements.lock \
	$(BIN)/python -m pip install --quiet -c requirements.lock

CHECK_PYTHON = @$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
	"$(PYTHON) is not Python 3.11 or later: install one and name it, as in make PYTHON=python3.12" >&2; exit 1; }

.PHONY: help demo test lint benchmark peers examples pictures descriptors pool response-model lock clean

help:
	@echo "make demo       a virtual patient and its plan, into out/demo"
	@echo "make test       all tests"
	@echo "make lint       style and types"
	@echo "make benchmark  timings on this machine, and models on real beats (takes hours)"
	@echo "make peers      other eikonal solvers beside ours (takes half an hour)"
	@echo "make examples   run every script of examples/"
	@echo "make pictures   draw the README's pictures anew (needs OpenGL libraries)"
	@echo "make descriptors, pool, response-model"
	@echo "                make the shipped models and the pool of virtual patients anew, in this order (takes hours)"
	@echo "make lock       renew requirements.lock"
	@echo "make clean      remove .venv and what the targets above made"

demo: .venv/.plan
	$(BIN)/crt-twin demo --out out/demo
	@echo "The virtual patient lies in out/demo/patient, its plan in out/demo/plan: open report.html there in a browser."

test: .venv/.all
	$(BIN)/python -m pytest

lint: .venv/.all
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

benchmark: .venv/.all
	$(BIN)/python -m pytest -m benchmark -s

# The solvers of others are no dependencies of ours: they get an environment of their own.
peers: .venv/.all
	$(PYTHON) -m venv out/peers
	out/peers/bin/python -m pip install --quiet -r tests/benchmarks/peers.txt
	CRT_TWIN_PEERS_PYTHON=out/peers/bin/python CRT_TWIN_BENCHMARK_LONG=1 \
		$(BIN)/python -m pytest -m benchmark -s tests/benchmarks/test_eikonal_rate.py

# Networks this small lose time in a second thread.
examples: .venv/.all
	@set -e; export OMP_NUM_THREADS=1; for script in $(sort $(wildcard examples/*.py)); do echo "$$script"; $(BIN)/python $$script; done

pictures: .venv/.plan
	$(BIN)/python examples/plan_virtual_patient.py out/pictures 1.5
	cp out/pictures/activation_intrinsic.png docs/activation.png
	cp out/pictures/veins.png out/pictures/ecg.png docs/

# What is shipped with the package and was made by it.
SHIPPED := twin/planning/data

descriptors: .venv/.all
	OMP_NUM_THREADS=1 $(BIN)/python -c "from pathlib import Path; \
	from twin.planning.ecg_descriptors import build_descriptors; print(build_descriptors(Path('$(SHIPPED)')))"

# Goes on where it was interrupted; 1,000 patients a piece, half an hour of two cores.
PIECES ?= 3
pool: .venv/.all
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -c "from pathlib import Path; \
	from twin.planning.pool import build_pool; \
	build_pool(Path('out/pool'), Path('$(SHIPPED)/pool.parquet'), pieces=$(PIECES), size=1000, seed=2026, jobs=$$(nproc), progress=print)"

response-model: .venv/.plan
	$(BIN)/crt-twin train --out $(SHIPPED)/response.model

# A fresh environment without constraints, then what it holds. Local labels (+cpu) are dropped, and so is CUDA, which
# torch brings along on some machines only. `--all` keeps setuptools, which torch needs.
lock:
	$(CHECK_PYTHON)
	rm -rf out/lock
	$(PYTHON) -m venv out/lock
	out/lock/bin/python -m pip install --quiet hatchling editables -e '.[deep,formats,test]'
	@{ echo "# Every package of a plan, of the extras [deep], [formats] and [test] and of the build, as constraints for pip (-c)."; \
	echo "# Written by \`make lock\`; do not edit."; \
	out/lock/bin/python -m pip freeze --all --exclude pip --exclude-editable \
	| sed -E '/^(cuda|nvidia|triton)/d; s/\+[A-Za-z0-9.]+$$//'; } > out/lock/requirements.lock
	mv out/lock/requirements.lock requirements.lock
	rm -rf out/lock

clean:
	rm -rf .venv dist out/demo out/lock out/peers examples/out .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# Stamps: an install runs once, and again when what it depends on has changed.

.venv/.made:
	$(CHECK_PYTHON)
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.plan: .venv/.made pyproject.toml requirements.lock
	@echo "Installing what a plan needs into .venv (once, a few minutes)"
	$(PIP) -e .
	@touch $@

.venv/.all: .venv/.plan
	@echo "Installing the extras [deep], [formats] and [test] into .venv (once, a few minutes)"
	$(PIP) -e '.[deep,formats,test]'
	@touch $@
