# Two commands do everything on a fresh Debian or Ubuntu: `make demo` and `make test`. Each step runs only when what it
# depends on has changed. Needed beforehand: apt install python3 python3-venv python3-dev gcc make

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check
EVENTS ?= 1000000
SANITIZED := build/sanitize
FAST := setup.py $(wildcard frmcore/_fast.pyx frmcore/_fast/*)

.PHONY: demo test lint soak faults serve-faults sanitize bench bench-peers bench-baseline bench-hashes instructions serve-bench go clean
.PHONY: store-times store-soak help $(VENV)
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

help: ## says what there is
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/built ## decides a made-up million of events with fraud in it
	@$(BIN)/frmcore demo --events $(EVENTS)

test: $(VENV)/built ## runs the test suite
	@echo "running the test suite"
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/built ## ruff and mypy
	@echo "ruff and mypy"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

DECISIONS ?= 100000000
FOLDER ?=
soak: $(VENV)/built ## long runs: hours
	@echo "long runs: some hours"
	@$(BIN)/python -m pytest -m soak -s
	@cd tests && for part in "kill 5000" "power 200000" "soak $(DECISIONS)"; do \
		PYTHONPATH=.. FOLDER=$(FOLDER) ../$(BIN)/python -m faults $$part || exit 1; done

# A line a minute; what a FOLDER holds by then is where the next run goes on.
store-soak: $(VENV)/built ## 100,000,000 decisions in one store: hours
	@cd tests && PYTHONPATH=.. FOLDER=$(FOLDER) ../$(BIN)/python -m faults soak $(DECISIONS)

faults: $(VENV)/built ## kills, power cuts, failing disks, rot, sprayed keys: hours
	@echo "kills, power cuts, failing disks, rot, mutants, sprayed keys: some hours"
	@cd tests && for part in "kill 500" "power 20000" "disk 0" "stall 40" "rot 10000" "snapshots 100000" \
		"spray 10000000"; do \
		PYTHONPATH=.. ../$(BIN)/python -m faults $$part || exit 1; done

serve-faults: $(VENV)/built ## kills of owners and clients, broken frames: minutes
	@echo "owners and clients killed 200 times, 1,000,000 frames that are none: some minutes"
	@cd tests && for part in "owner 200" "frames 1000000"; do \
		PYTHONPATH=.. ../$(BIN)/python -m faults $$part || exit 1; done

serve-bench: $(VENV)/built ## round trips to an owner, and its throughput
	@$(BIN)/python bench/serve_times.py

# The Go client against a real owner, where Go is installed.
go: $(VENV)/built ## tests the Go client
	@if command -v go >/dev/null; then \
		echo "testing the Go client" && cd clients/go && go vet ./... && FRMCORE="$(CURDIR)/$(BIN)/frmcore" go test -count=1 ./...; \
	else echo "the Go client is not tested: go is not installed"; fi

# What measuring takes, then every budget beside what was measured. The tables of docs/performance.md follow.
bench: $(VENV)/built ## measures everything beside its budget
	@$(BIN)/python -m pytest bench -p no:cacheprovider -s
	@echo "percentiles, growth, memory: some minutes"
	@for part in percentiles parts growth memory history imports; do $(BIN)/python -m bench.$$part || exit 1; done
	@$(BIN)/python -m bench.instructions --keep
	@$(BIN)/python -m bench.plots
	@$(BIN)/python -m bench.page
	@$(BIN)/python -m bench.budget

bench-peers: $(VENV)/built ## what others take for the same work
	@echo "installing what frmcore is measured against"
	@$(PIP) install $$($(BIN)/python -c 'import tomllib; \
		print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["peers"])')
	@$(BIN)/python -m bench.peers
	@$(BIN)/python -m bench.page

bench-baseline: $(VENV)/built ## measures anew what `make bench` compares with
	@$(BIN)/python -m pytest bench -p no:cacheprovider -s --rebase

bench-hashes: $(VENV)/built ## writes anew what each benchmark decides, which `make test` compares
	@$(BIN)/python -m bench.hashes

instructions: $(VENV)/built ## counts instructions of a decision, beside their ceiling
	@$(BIN)/python -m bench.instructions

ENTITIES ?= 1000000
store-times: $(VENV)/built ## what a store costs, and how long recovery takes
	@$(BIN)/python -m bench.store_times --events $(EVENTS) --entities $(ENTITIES)

# The suite under ASAN and UBSAN, in a copy: its extension must not replace the fast one.
sanitize: $(VENV)/built ## the test suite under ASAN and UBSAN
	@echo "building the extension with sanitizers, some minutes"
	@mkdir -p $(SANITIZED)
	@git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --update -t $(SANITIZED)
	@ln -sfn ../../shared build/shared
	@cd $(SANITIZED) && FRMCORE_SANITIZE=1 ../../$(BIN)/python setup.py --quiet build_ext --inplace
	@echo "running the test suite under the sanitizers"
	@cd $(SANITIZED) && LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so.6)" PYTHONMALLOC=malloc PYTHONPATH="$$PWD" \
		ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
		../../$(BIN)/python -m pytest -p no:cacheprovider

$(VENV): $(VENV)/built

# Installing has built the extension already, of the sources as they were when it began.
$(VENV)/built: $(VENV)/installed $(FAST)
	@if [ -n "$$(find $(FAST) -newer $(VENV)/installed)" ]; then \
		echo "building the extension, one to four minutes" && $(BIN)/python setup.py --quiet build_ext --inplace; fi
	@touch $@

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "needs python3 >= 3.11 with venv: apt install python3 python3-venv python3-dev gcc make"; exit 1; }
	@echo "making $(VENV) and installing what frmcore needs"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install "setuptools>=77" "Cython>=3.1"
	@echo "installing frmcore from this checkout, which builds its extension: one to four minutes"
	@touch $(VENV)/begun
	@$(PIP) install --no-build-isolation --editable ".[dev]"
	@mv $(VENV)/begun $@

clean: ## removes all that was built
	@rm -rf $(VENV) build dist frmcore.egg-info frmcore/_fast.c frmcore/_fast*.so bench/_kernel*.so
