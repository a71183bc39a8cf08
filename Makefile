# Every target makes what it needs: Debian packages (scripts/need), .venv, the extension. `make` shows the targets.
# PYTHON=python3.12 chooses the interpreter, J=0 runs the tests in one process, T="-k reflink" adds pytest arguments.

PYTHON ?= python3
VENV ?= .venv
J ?= 2
T ?=
export PYTHON

PY := $(VENV)/bin/python
PYTEST := $(PY) -m pytest$(if $(filter-out 0,$(J)), -n $(J))
NATIVE := setup.py $(wildcard src/blockdiff/*.pyx src/blockdiff/*.pxd src/blockdiff/native/*)
PIP := $(PY) -m pip --disable-pip-version-check install -q

# The benchmark suite: the full one, and the subset whose ratios every CI run prints.
# An editable install starts 30 ms later than a real one, so the benches race a wheel in a .venv of its own.
BENCH_VENV := build/bench-venv
BENCH := BLOCKDIFF_BENCH_COMMAND=$(CURDIR)/$(BENCH_VENV)/bin/blockdiff $(PY) -m bench
BENCH_CI := $(BENCH) --quick

# What drives the extension; under sanitizers, without the tests that measure memory.
# Of the backend for Ceph those that work in the process of the tests.
ASAN_RBD := checksum conformance layout source source_bindings vanishing
ASAN_TESTS ?= $(wildcard tests/native tests/engine/*.py tests/engine/manifest tests/emitters tests/backends/*.py) \
	$(ASAN_RBD:%=tests/backends/rbd/test_%.py) $(wildcard tests/backends/nbd/test_wrong_*.py) \
	tests/report/test_reading.py tests/report/test_packing.py tests/report/test_fuzz.py

.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test test-quick test-slow soak-rbd bench bench-ci lint docs man asan build clean need-%

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s%s\n", $$1, $$2 }' Makefile

demo: need-demo $(VENV)/.native ## find every difference between two disk images and repair the replica
	@$(PY) scripts/demo.py

test: need-test $(VENV)/.native $(VENV)/.test ## all tests; says what was skipped and why
	$(PYTEST) -m "not benchmark" --junitxml=build/test.xml $(T)

test-quick: need-test $(VENV)/.native $(VENV)/.test ## the tests that take seconds
	$(PYTEST) $(T)

test-slow: need-test $(VENV)/.native $(VENV)/.test ## the tests that take minutes
	$(PYTEST) -m "slow and not benchmark" $(T)

bench: need-bench $(VENV)/.native $(VENV)/.bench $(BENCH_VENV)/.installed ## every workload against every peer found; prints ratios
	$(BENCH) $(T)

bench-ci: need-bench $(VENV)/.native $(VENV)/.bench $(BENCH_VENV)/.installed ## the small subset of it
	$(BENCH_CI) $(T)

soak-rbd: need-test $(VENV)/.native $(VENV)/.test ## random histories of RBD images, every diff checked; T="--diffs 10000 --seconds 600 --seed 7"
	$(PY) -m tests.soak $(T)

lint: $(VENV)/.native $(VENV)/.lint $(VENV)/.test ## ruff, mypy and shellcheck
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/shellcheck scripts/need scripts/venv tests/fixtures/ceph-cluster .ci/run

docs: $(VENV)/.native $(VENV)/.docs ## the documentation as a site in site/; links are checked
	@# no --quiet: it silences the warnings that --strict counts
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict
	@echo "the site is in site/index.html"

man: $(VENV)/.native ## manual pages in build/man/
	$(PY) scripts/gen_man.py build/man

asan: need-test $(VENV)/.native $(VENV)/.test ## tests of the native core under AddressSanitizer and UBSan
	BLOCKDIFF_SANITIZE=1 $(PY) setup.py -q build --build-base build/asan --build-lib build/asan/lib
	PYTHONPATH=$(CURDIR)/build/asan/lib PYTHONMALLOC=malloc \
	LD_PRELOAD="$$(cc -print-file-name=libasan.so) libstdc++.so.6" \
	ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1:strict_string_checks=1 \
	UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	$(PYTEST) -m "not slow and not benchmark and not unsanitized" $(ASAN_TESTS) $(T)

build: $(VENV)/.native $(VENV)/.test ## sdist and wheel in dist/
	$(PY) -m build --no-isolation

clean: ## remove all that make made
	rm -rf .venv* build dist site .hypothesis .benchmarks .mypy_cache .ruff_cache .pytest_cache src/*.egg-info
	rm -f src/blockdiff/_fast.c src/blockdiff/_rbd.c src/blockdiff/_nbd.c src/blockdiff/_hash.c src/blockdiff/_fast.html src/blockdiff/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- what the targets stand on; a stamp file says that a step is done ----

need-%:
	@scripts/need build $*

need-test need-bench: need-%:
	@scripts/need build $*
	@scripts/need --optional test-ceph

$(VENV)/.base: scripts/venv
	@scripts/need build
	@scripts/venv $(VENV)
	@touch $@

$(VENV)/.native: $(VENV)/.base pyproject.toml $(NATIVE)
	@echo "building blockdiff in $(VENV)"
	@if [ ! -e $(VENV)/.installed ] || [ pyproject.toml -nt $(VENV)/.installed ]; then \
	    $(PIP) --no-build-isolation -e . && touch $(VENV)/.installed; \
	else \
	    $(PY) setup.py -q build_ext --inplace; \
	fi
	@touch $@

$(BENCH_VENV)/.installed: $(VENV)/.native $(shell find src -name '*.py')
	@echo "installing blockdiff in $(BENCH_VENV)"
	@rm -rf $(BENCH_VENV) build/bench-wheel
	@$(PY) -m venv $(BENCH_VENV)
	@$(PY) -m pip --disable-pip-version-check wheel -q --no-build-isolation --no-deps -w build/bench-wheel .
	@$(BENCH_VENV)/bin/python -m pip --disable-pip-version-check install -q build/bench-wheel/*.whl
	@touch $@

$(VENV)/.test $(VENV)/.bench $(VENV)/.lint $(VENV)/.docs: $(VENV)/.%: $(VENV)/.base pyproject.toml
	@echo "installing what $* needs in $(VENV)"
	@$(PY) scripts/extra.py $* | xargs -d '\n' $(PIP)
	@touch $@
