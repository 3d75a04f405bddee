# Two commands do everything on a fresh machine: `make train SCENARIO=jw` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SCENARIO ?= jw
ARGS ?=
# Triton's kernels run in its interpreter here, which needs a process of its own; then they are a backend like any other.
INTERPRETED := tests/test_twins.py tests/test_swap.py --kernels triton
CXX ?= g++
CXXFLAGS := -std=c++17 -O1 -g -Wall -Wextra -Icsrc -pthread
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

.SECONDARY:
.PHONY: help setup train test test-slow lint type bench bench-setup report sanitize clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(VENV)/.stamp: pyproject.toml setup.py constraints.txt $(wildcard csrc/*.hpp csrc/*/*.hpp csrc/*/*.cpp)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev,kernels]'
	touch $@

setup: $(VENV)/.stamp ## virtual environment, tested versions, C++ extension

train: setup ## train: SCENARIO=jw|hb|hw, ARGS='--agent sac --seed 1'
	$(BIN)/python -m semore_fast.train --scenario $(SCENARIO) $(ARGS)

test: setup ## tests; ARGS='-k replay' runs some of the first suite alone
	$(BIN)/python -m pytest -q -m 'not slow' $(ARGS)
	$(if $(ARGS),,$(BIN)/python -m pytest -q -m 'not slow' tests/interpreted $(INTERPRETED))

test-slow: setup ## the tests too long for every commit, those on Ray included
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[ray]'
	$(BIN)/python -m pytest -q -m slow $(ARGS)
	$(if $(ARGS),,$(BIN)/python -m pytest -q -m slow tests/interpreted $(INTERPRETED))

lint: setup ## ruff
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

type: setup ## mypy, strict
	$(BIN)/mypy

bench-setup: setup
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[bench]'

bench: bench-setup ## benchmarks against other libraries; RESULT=bench/results/NAME.json keeps the figures
	@mkdir -p build
	$(BIN)/python -m pytest bench/ --benchmark-only --benchmark-json=build/bench.json $(ARGS)
	$(if $(RESULT),$(BIN)/python bench/save.py build/bench.json $(RESULT))

KEPT_SWEEP := bench/results/sweep-jw
report: setup ## the report of the kept sweep again, from its logs
	$(BIN)/python -m semore_fast.report $(KEPT_SWEEP) --out $(KEPT_SWEEP)/report --title 'JayWalk: ten methods, three seeds'

SANITIZED := $(patsubst csrc/driving/%.cpp,build/sanitize/%.o,$(wildcard csrc/driving/*.cpp))
CPP_TESTS := $(patsubst csrc/tests/%.cpp,build/sanitize/%,$(wildcard csrc/tests/test_*.cpp))
HEADERS := $(wildcard csrc/*.hpp csrc/*/*.hpp)

build/sanitize/%.o: csrc/driving/%.cpp $(HEADERS)
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) $(SANITIZE) -c $< -o $@

build/sanitize/%: csrc/tests/%.cpp $(SANITIZED)
	$(CXX) $(CXXFLAGS) $(SANITIZE) $< $(SANITIZED) -o $@

sanitize: ## C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) --no-print-directory -s -j$$(nproc) $(CPP_TESTS)
	@set -e; for t in $(CPP_TESTS); do echo "== $$t"; $$t; done

clean: ## remove build products, keep runs
	rm -rf build *.egg-info semore_fast/*.so $(VENV)/.stamp
