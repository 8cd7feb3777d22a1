# Two commands on a fresh machine with Python 3.11+: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Workers for the test run: the number of cores, two at least.
JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 2 ] && echo $$n || echo 2)

# Tests start hundreds of processes, and each would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-deep bench lint format dashboard screenshots browser engine network placing collected clean

run: $(STAMP)
	$(BIN)/rackplan run scenarios/quickstart.yaml

# What comes before the tests runs side by side, for each takes one core only; the longest first.
test: $(STAMP)
	$(MAKE) --no-print-directory -j3 engine browser lint network placing collected
	$(BIN)/python -m pytest -n $(JOBS) -m "not deep and not bench"

test-deep: $(STAMP) browser
	$(BIN)/python -m pytest -n $(JOBS) -m "not bench"

# Prints every figure and writes them to build/bench.json, or where RACKPLAN_BENCH_JSON says.
bench: $(STAMP) browser
	$(BIN)/python -m pytest -m bench -s tests/bench

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dashboard: $(STAMP)
	$(BIN)/rackplan dashboard

# The pictures of the README, from runs that it makes itself.
screenshots: $(STAMP) browser
	$(BIN)/python -m tools.screenshots

# Chromium by apt, which needs root; without, tests that drive it are skipped (in CI they fail).
browser: $(STAMP)
	$(BIN)/python tools/browser.py

# Machine code that the first runs on a machine wait for, and many tests at once would: of the
# engine with power, network and control; of what the reference has of it too, sooner; of placing.
engine: $(STAMP)
	@mkdir -p build
	$(BIN)/rackplan run scenarios/lost-feed.yaml --out build/compiled > build/engine.log

network: $(STAMP)
	@mkdir -p build
	$(BIN)/rackplan run scenarios/lost-feed.yaml --engine reference --set duration=40s \
	  --set warm_up=10s --set drain=10s --set 'events=[]' --set 'expect=[]' \
	  --out build/compiled > build/network.log

placing: $(STAMP)
	@mkdir -p build
	$(BIN)/rackplan run scenarios/gpu-cluster.yaml --out build/compiled > build/placing.log

# pytest rewrites the assertions of every test: once, and not in each worker.
collected: $(STAMP)
	@mkdir -p build
	$(BIN)/python -m pytest --collect-only > build/collected.log || { tail -60 build/collected.log; exit 1; }

clean:
	rm -rf $(VENV) build dist *.egg-info

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rackplan needs Python 3.11 or later; $(PYTHON) is older. Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e '.[dev]'
	-@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib  # on all cores; a few hold templates
	touch $@
