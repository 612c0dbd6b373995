# Two commands do everything: `make demo` and `make test`. Each creates .venv first if needed.
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test lint bench notebooks check-report mutate lock clean

demo: $(VENV)/.installed  ## train, score and sample the digits model; a few minutes on two cores
	$(BIN)/python demo.py

# The two workers share what they compile, in a folder that is removed at the end. OpenBLAS would
# give each of them both cores, and its threads wait for one another by spinning.
test: lint  ## lint, types and the whole test suite
	@cache=$$(mktemp -d) && trap 'rm -rf "$$cache"' EXIT && \
	SCORESDE_TEST_CACHE=$$cache OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --project pyproject.toml

bench: $(VENV)/.installed  ## times per step and evaluation, into runs/bench.json
	$(BIN)/python -m benchmarks.bench

notebooks: $(VENV)/.installed  ## run notebooks/*.py into the .ipynb that are committed; minutes each
	$(BIN)/python -m notebooks.run

check-report: $(VENV)/.installed  ## open the demo's report.html in headless Chromium
	$(BIN)/python -m tests.check_report $(or $(REPORT),runs/demo/report.html)

mutate: $(VENV)/.installed  ## break each formula on purpose and see the tests fail
	$(BIN)/python -m tests.mutate --write

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock setup.cfg pyproject.toml
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; choose one with: make PY=python3.11 ...")'
	$(PY) -m venv $(VENV)
	@echo "installing the locked packages into $(VENV) (about a minute)"
	@$(BIN)/python -m pip install -q -r requirements.lock > $(VENV)/pip.log 2>&1 || { cat $(VENV)/pip.log; exit 1; }
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e . >> $(VENV)/pip.log 2>&1 || { cat $(VENV)/pip.log; exit 1; }
	@touch $@

lock:  ## resolve requirements.lock anew (needs uv)
	uv pip compile -q --universal --python-version 3.11 --extra dev --extra notebooks --no-annotate --no-header --no-emit-index-url setup.cfg -o requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info
