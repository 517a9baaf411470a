# Needs git, make and any python3. The first target that is made builds .venv (scripts/environment.py), the others use it.
.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-faults test-all lint bench lock clean
BIN := .venv/bin
READY := .venv/.ready
# Images of containers often set it. Without cached byte code each process that a test starts compiles torch anew: 3 s.
unexport PYTHONDONTWRITEBYTECODE

help: ## list the targets
	@awk -F ': .*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## map a real scene and its buildings into demo/
	$(BIN)/geoseg demo -o demo --overwrite

# Three processes share the tests, and who is done takes from the others: on two cores they fill what waits. Runs that are
# killed wait more than they compute: they go beside.
test: ## lint and all tests that a change must pass, side by side
	$(MAKE) --jobs=3 lint test-fast test-faults

test-fast: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal -m "not faults and not nightly"

test-faults: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not nightly" tests/faults

test-all: lint ## lint and all tests, with many examples and a kill before every file operation
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --hypothesis-profile nightly -m "not faults"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal tests/faults

lint: $(READY) ## ruff, mypy, and the licences of what is installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/licences.py

bench: $(READY) ## all benchmarks of accuracy, speed and memory, into benchmarks/results/RESULTS.md
	$(BIN)/python benchmarks/run_all.py

lock: $(READY) ## resolve the dependencies anew into requirements.lock
	$(BIN)/python scripts/environment.py lock

clean: ## remove everything that make, the tools and the tests have built
	rm -rf .venv .venv-uv demo build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# A python3 counts when it runs: pyenv leaves shims on PATH whose version is not there. The demo shows that the new
# environment works, and leaves the polygon code compiled: a minute and a half of one core, of which a second takes a part.
$(READY): pyproject.toml requirements.lock scripts/environment.py
	@for python in python3 python3.13 python3.12 /usr/bin/python3 python; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 7))' 2>/dev/null; then \
	        exec $$python scripts/environment.py; \
	    fi; \
	done; \
	echo "make: no python3 >= 3.7 was found on PATH" >&2; exit 1
	@$(BIN)/python -c 'from geoseg.vector.tiles.warmup import compile_short_walls as walk; walk()' & \
	$(BIN)/geoseg demo -o .venv/demo --overwrite -q && wait $$!
	$(BIN)/geoseg vectorize .venv/demo/classes.tif --kind coverage -o .venv/demo/coverage.gpkg --overwrite -q
	@touch $@
