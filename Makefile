# Everything a developer does here. `make demo` and `make test` need nothing prepared, root or not: on a fresh
# Debian 12 or 13 they make .venv and unpack a fail2ban (and a redis) into it, and touch nothing else.
# The demo's ledger stays in .cache/demo.

BIN := .venv/bin
JOBS ?= 2
ARGS ?=
# Lines that the tests run: from Python 3.12 on that costs little. Not where ARGS chooses tests.
COVERAGE = $(if $(ARGS),,$(shell $(BIN)/python -c 'import sys; print(sys.version_info >= (3, 12) and "--cov --cov-fail-under=95" or "")'))
SCRIPTS := tools/bootstrap tools/fetch-package tools/unpack-fail2ban tools/unpack-redis \
	tools/debian-root tools/in-root tools/test-elsewhere tools/commit-msg .ci/run \
	tools/debian/postinst tools/debian/prerm tools/debian/postrm
BENCHES ?= $(sort $(wildcard bench/[a-z]*.py))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo install test coverage test-debian13 lint types bench dist deb docs long clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a real fail2ban, a real auth.log, and the ledger of it (ARGS= for options)
	@mkdir -p .cache
	@flock .cache/lock tools/bootstrap run
	@flock .cache/lock tools/unpack-fail2ban
	@$(BIN)/banledger demo --keep .cache/demo $(ARGS)

install: ## put banledger on this machine, as root (ARGS=--dry-run makes .venv and shows the rest, ARGS=--undo removes it)
	@tools/bootstrap run
	@$(BIN)/banledger setup $(ARGS)

test: lint types ## lint, types and all tests (JOBS=2, ARGS= for pytest)
	@tools/unpack-fail2ban
	@tools/unpack-redis
	$(BIN)/python -m pytest -n $(JOBS) -m "not long" $(COVERAGE) $(ARGS)

coverage: ## lines that unit and contract tests run, and the floor of that (92 %)
	@tools/bootstrap dev
	@tools/unpack-fail2ban
	@tools/unpack-redis
	$(BIN)/python -m pytest -n $(JOBS) -m "not long" tests/unit tests/contract --cov --cov-report=term --cov-fail-under=92

test-debian13: ## the same in a fresh Debian 13, made for it and removed again (needs root)
	@tools/test-elsewhere trixie

lint: ## ruff: rules and format (and shellcheck, where it is installed)
	@tools/bootstrap dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); fi

types: ## mypy, strict, over everything
	@tools/bootstrap dev
	$(BIN)/mypy

dist: ## the wheel and the source archive, in dist
	@tools/bootstrap dev
	$(BIN)/python -m build --no-isolation --outdir dist

deb: ## the Debian package, in dist (ARGS="--arch arm64" for another machine)
	@tools/bootstrap dev
	@$(BIN)/python tools/make_deb.py $(ARGS)

bench: ## measure (BENCHES="bench/ledger.py" for one, ARGS= for its options)
	@tools/bootstrap dev
	@tools/unpack-fail2ban
	@tools/unpack-redis
	@set -e; for bench in $(BENCHES); do PYTHONPATH=. $(BIN)/python $$bench $(ARGS); done

docs: ## docs/keyspace.md, the man pages, the completions and the example of the settings file, from the code
	@tools/bootstrap dev
	$(BIN)/python tools/keyspace_doc.py > docs/keyspace.md
	$(BIN)/python tools/settings_example.py > src/banledger/packaging/examples/banledger.toml
	$(BIN)/python tools/shell_pages.py

long: ## the tests that take minutes
	@tools/bootstrap dev
	@tools/unpack-fail2ban
	@tools/unpack-redis
	$(BIN)/python -m pytest -m long $(ARGS)

clean: ## remove what was made here, the environment too
	rm -rf .venv .cache .coverage build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
