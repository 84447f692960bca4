.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

## Use
run: .venv/ready  ## The service on an embedded PostgreSQL, with a demo organisation
	@exec $(BIN)/identity serve --demo $(ARGS)

reset: .venv/ready  ## Throw the embedded data away, after asking
	@$(BIN)/identity reset $(ARGS)

## Develop
test: .venv/ready  ## All tests, in parallel, on an embedded PostgreSQL of their own
	$(BIN)/pytest --cov --cov-report=term-missing:skip-covered $(ARGS)

fuzz: .venv/ready  ## Longer than the tests do: as the OpenAPI document says, and as it does not
	IDENTITY_FUZZ_EXAMPLES=$${IDENTITY_FUZZ_EXAMPLES:-300} $(BIN)/pytest tests/fuzz tests/security/test_rank_machine.py -n 2 $(ARGS)

prove: .venv/ready  ## 10,000 revocations under load, with all that may befall the service
	$(BIN)/python -m tests.prove $(ARGS)

bench: .venv/ready  ## How fast keys are verified, beside a bare route (PLOT=1: as bars too)
	$(BIN)/python -m tests.benchmarks $(if $(PLOT),--plot build/bench.svg) $(ARGS)

lint: .venv/ready  ## Format, style, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/ready  ## Put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: .venv/ready  ## Pin what pyproject.toml allows anew
	$(BIN)/pip install --quiet 'uv>=0.13,<1'
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --upgrade --quiet --output-file requirements.lock

.venv/ready: requirements.lock pyproject.toml
	@test -d .venv || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

help:  ## Show this
	@awk '/^## /{printf "\n%s\n", substr($$0, 4)} /^[a-z]+:.*## /{split($$0, part, ":.*## "); printf "  make %-8s %s\n", part[1], part[2]}' Makefile

.PHONY: run reset test fuzz prove bench lint format lock help
