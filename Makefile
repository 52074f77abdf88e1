# Every target sets itself up in .venv from a fresh clone. Another interpreter: make PYTHON=python3.12 test
PYTHON ?= python3
BIN := .venv/bin
USABLE := .venv/.usable
READY := .venv/.ready
MUTANTS := .venv/.mutants

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check bench mutants media clean

help:
	@echo "make demo      see a generation from request to video, offline"
	@echo "make test      run the tests (under 3 minutes on two cores)"
	@echo "make test-all  run the tests and those that install or start other programs, and measure the coverage"
	@echo "make check     lint, formatting and types"
	@echo "make bench     measure the speed"
	@echo "make mutants   break the code in hundreds of places, and see the tests notice"
	@echo "make media     draw fixtures/media again (needs ffmpeg and the DejaVu fonts)"
	@echo "make clean     remove what the others made"

# $(call install,EXTRA): put the project into .venv, with uv where it is
define install
	@if command -v uv >/dev/null; then \
	  { [ -x $(BIN)/python ] || uv venv --quiet --python $(PYTHON) .venv; } && \
	  uv pip install --quiet --python $(BIN)/python -e '.$(1)'; \
	else \
	  { [ -x $(BIN)/pip ] || $(PYTHON) -m venv .venv; } && \
	  $(BIN)/python -m pip install --quiet -e '.$(1)'; \
	fi
	@touch $@
endef

$(USABLE): pyproject.toml
	$(call install,)

$(READY): pyproject.toml
	$(call install,[dev])

$(MUTANTS): pyproject.toml
	$(call install,[mutants])

demo: $(USABLE)
	@$(BIN)/kling-contract demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 -m "not other_programs"

# Coverage starts before pytest: it would miss what a pytest plugin imports.
test-all: $(READY)
	@rm -f .coverage .coverage.*
	$(BIN)/python -m coverage run -m pytest -n 2
	@$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright

bench: $(READY)
	$(BIN)/python -m pytest tests/benchmarks

mutants: $(MUTANTS)
	$(BIN)/python tests/mutants/run.py

media:
	fixtures/media/make.sh

clean:
	rm -rf .venv build dist .benchmarks .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache htmlcov
