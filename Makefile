# Two commands do all set-up: `make demo` and `make test`. Each makes .venv first if it is absent.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types imports format bench lock clean .venv

help:  ## what can be made
	@grep -hE '^[.a-z-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  make %-10s %s\n", $$1, $$2}'

.venv: $(STAMP)  ## the environment with Beamhall and its development tools

# uv installs quickly and compiles once; it is itself pinned with a hash in the requirements.
$(STAMP): requirements/dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	grep -A60 '^uv==' requirements/dev.txt | awk 'NR == 1 || /^ / {print; next} {exit}' > $(VENV)/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements/dev.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --no-deps --no-build-isolation --editable .
	touch $@

demo: $(STAMP)  ## the whole service and a pipeline that trains on real data (ARGS=--exit ends it)
	$(BIN)/beamhall demo $(ARGS)

test: check  ## every check and every test
	$(BIN)/pytest -n auto $(ARGS)

check: lint types imports  ## style, types and who imports whom

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports --cache-dir .cache/import-linter

format: $(STAMP)  ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## measure; prints JSON lines
	$(BIN)/python -m benchmarks $(ARGS)

lock: $(STAMP)  ## pin the newest versions that fit pyproject.toml, with hashes
	$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-annotate --no-header --no-emit-index-url \
		pyproject.toml --output-file requirements/core.txt
	$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--group dev pyproject.toml --output-file requirements/dev.txt

clean:  ## remove what was made here, the environment too
	rm -rf $(VENV) .cache .hypothesis dist
