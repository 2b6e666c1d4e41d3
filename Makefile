# ferrio's commands; `make help` lists them. `make demo` and `make test` need nothing done before: whatever they
# need, they make, and a second run does only what has changed.
#
# One virtual environment and one Rust target directory per Python version, because PyO3 is built for one version at a
# time and would otherwise be built anew at every change of Python. The extension itself lands in python/ferrio/ under
# a name that carries the version, so that all of them can stand side by side.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two cores are the size this is planned for, and cargo takes them both.
.NOTPARALLEL:

# The interpreter: `make PYTHON=python3.11 test`. Otherwise the newest of 3.13, 3.12 and 3.11 on this machine.
ifndef PYTHON
PYTHON := $(lastword $(shell sh .ci/pythons --default))
endif
VERSION := $(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV := .venv-$(VERSION)
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps

# Rust that does not go into the extension (tests, clippy) shares target/; see above for the other.
export PYO3_PYTHON := $(abspath $(BIN))/python
MATURIN := VIRTUAL_ENV="$(abspath $(VENV))" CARGO_TARGET_DIR=target/python-$(VERSION) $(BIN)/maturin
# Release builds are made for what programs do most (pgo/README.md). Line numbers are kept by a flag, not by
# CARGO_PROFILE_RELEASE_STRIP: cargo hashes its profile's settings into the name of every function, and the record goes by
# these names.
RELEASE = RUSTFLAGS="-Cstrip=none $$RUSTFLAGS" sh pgo/with-profile env $(MATURIN)
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# `pip` calls packages/ferrio_build.py; maturin, called by itself, would warn that it is another.
export MATURIN_NO_MISSING_BUILD_BACKEND_WARNING := 1

RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock

comma := ,
say = @printf '==> %s\n' "$(1)"

.PHONY: help
help:  ## list the commands
	@printf 'ferrio: asyncio, written in Rust.   Python here: %s\n\n' "$(if $(VERSION),$(VERSION) ($(PYTHON)),none found)"
	@awk -F ':.*##' '/^[a-z][a-z-]*:.*##/ { printf "  make %-20s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\n  make PYTHON=python3.NN ...   another Python than the newest of 3.13, 3.12, 3.11\n'

# ---------------------------------------------------------------------------------------------- building

.PHONY: prerequisites
prerequisites:
	@sh .ci/prerequisites "$(PYTHON)"

$(STAMPS)/venv:
	@sh .ci/prerequisites "$(PYTHON)"
	$(call say,making $(VENV) with $(PYTHON))
	@rm -rf $(VENV)
	@"$(PYTHON)" -m venv $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

# What each requirements file asks for is installed when the file changes.
$(STAMPS)/%.installed: requirements/%.txt $(STAMPS)/venv
	$(call say,installing $< into $(VENV))
	@$(PIP) install -r $<
	@touch $@

$(STAMPS)/bench.installed: bench/requirements.txt $(STAMPS)/venv
	$(call say,installing $< into $(VENV))
	@$(PIP) install -r $<
	@touch $@

$(STAMPS)/release: $(RUST_SOURCES) pyproject.toml pgo/ferrio.profdata pgo/rustc $(STAMPS)/test.installed
	@sh .ci/prerequisites "$(PYTHON)"
	$(call say,building ferrio for Python $(VERSION) (release; the first time takes some minutes))
	@$(RELEASE) develop --release --quiet
	-@$(BIN)/python pgo/fits.py python/ferrio/_ferrio.cpython-$(subst .,,$(VERSION))-*.so
	@rm -f $(STAMPS)/debug
	@touch $@

$(STAMPS)/debug: $(RUST_SOURCES) pyproject.toml $(STAMPS)/test.installed
	@sh .ci/prerequisites "$(PYTHON)"
	$(call say,building ferrio for Python $(VERSION) (debug: with assertions and reference count checks))
	@$(MATURIN) develop --quiet
	@rm -f $(STAMPS)/release
	@touch $@

.PHONY: build
build: $(STAMPS)/release  ## build the extension in release mode, into a virtual environment
	$(call say,ferrio is built in $(VENV))

.PHONY: develop
develop: $(STAMPS)/debug  ## build it in debug mode instead: quick, checks reference counts, slow at run time

# Wheels ask for this glibc or a newer one, whatever the machine has that builds them (packages/README.md). The machine's
# architecture is in the name of cargo's variable for the linker.
GLIBC := 2.28
STUBS := target/glibc-$(GLIBC)
OLD_GLIBC = FERRIO_GLIBC="$(abspath $(STUBS))" \
	CARGO_TARGET_$(shell uname -m | tr a-z A-Z)_UNKNOWN_LINUX_GNU_LINKER="$(abspath .ci/old-glibc-linker)"
WHEELS := target/wheels
TAG = cp$(subst .,,$(VERSION))

$(STUBS)/libc.so:
	@$(MAKE) $(STAMPS)/packages.installed
	$(call say,writing the symbols of glibc $(GLIBC) into $(STUBS))
	@sh .ci/glibc_symbols "$(abspath $(BIN))/python" $(GLIBC) $(STUBS)

.PHONY: wheel
wheel: $(STAMPS)/test.installed $(STUBS)/libc.so  ## build a release wheel into target/wheels/, its debug symbols beside it
	$(call say,building a wheel for Python $(VERSION) into $(WHEELS)/)
	@rm -f $(WHEELS)/*-$(TAG)-*.whl
	@$(OLD_GLIBC) $(RELEASE) build --release --quiet --compatibility manylinux_$(subst .,_,$(GLIBC)) --out $(WHEELS)
	@$(BIN)/python .ci/finish_wheel.py $(WHEELS)/*-$(TAG)-*.whl

.PHONY: wheels
wheels:  ## the wheels of every Python from 3.11 to 3.15: this machine's, and Debian forky's
	@sh .ci/each_python wheel

.PHONY: sdist
sdist: $(STAMPS)/test.installed  ## make the source distribution, into target/wheels/ too
	@rm -f $(WHEELS)/*.tar.gz
	@$(MATURIN) sdist --out $(WHEELS) 2>/dev/null
	@ls $(WHEELS)/*.tar.gz

# What is looked at, and by what, is in packages/README.md. IMPORTS=20 times imports too.
.PHONY: check-wheels
check-wheels: $(STAMPS)/packages.installed  ## look at the packages in target/wheels/, and try each wheel
	$(call say,what is in the packages)
	@$(BIN)/python -m twine check --strict $(WHEELS)/ferrio-*
	@$(BIN)/check-wheel-contents $(WHEELS)
	@for wheel in $(WHEELS)/*.whl; do $(BIN)/auditwheel show "$$wheel" || exit 1; done
	@$(BIN)/python .ci/check_wheel.py $(WHEELS)/*.whl
	$(call say,the wheels in clean environments)
	@for wheel in $(WHEELS)/*.whl; do sh .ci/with_python_of "$$wheel" .ci/try_wheel.py --imports $(or $(IMPORTS),0) "$$wheel" || exit 1; done

# `pip` builds as it does for a user, out of an empty folder.
.PHONY: check-sdist
check-sdist: sdist  ## install the source distribution into a clean environment, and use it
	@"$(PYTHON)" .ci/try_wheel.py $(WHEELS)/*.tar.gz

.PHONY: licences
licences: $(STAMPS)/venv  ## write down the licences of what is linked in, which packages carry
	@$(BIN)/python .ci/licences.py

.PHONY: profile
profile: $(STAMPS)/test.installed  ## record anew what release builds are made for (pgo/README.md)
	@MATURIN='VIRTUAL_ENV="$(abspath $(VENV))" CARGO_TARGET_DIR=target/profile-$(VERSION) $(BIN)/maturin' \
		sh pgo/record "$(abspath $(BIN))/python"

# ---------------------------------------------------------------------------------------------- using

.PHONY: demo
demo: build $(STAMPS)/ecosystem.installed  ## build, then run unmodified asyncio programs and a small comparison
	@$(BIN)/python examples/demo.py

RESULTS = bench/results/$(VERSION)
.PHONY: bench
bench: build $(STAMPS)/bench.installed  ## measure against stock asyncio, uvloop and rloop; results in bench/results/
	$(call say,measuring on Python $(VERSION) (leave the machine alone meanwhile))
	@$(BIN)/python bench/run.py $(BENCH) --json $(RESULTS).json --table $(RESULTS).md --plot $(RESULTS).svg

.PHONY: bench-net
bench-net:  ## the network part of bench alone: servers under load
	@$(MAKE) bench BENCH="$(BENCH) --network" RESULTS=bench/results/net-$(VERSION)

# Needs OpenSSL's headers (libssl-dev) for the load generator.
.PHONY: bench-tls
bench-tls:  ## the servers over TLS: also against aiofastnet, and a bare epoll and OpenSSL server
	@$(MAKE) bench BENCH="$(BENCH) --tls" RESULTS=bench/results/tls-$(VERSION)

# Needs valgrind, but no quiet machine.
.PHONY: bench-instructions
bench-instructions: build  ## count instructions per operation, compared with bench/instructions-3.NN.json
	$(call say,counting instructions on Python $(VERSION))
	@$(BIN)/python -m bench.instructions $(BENCH)

# zuvloop and rsloop want 3.14, which this machine's Debian may not have.
.PHONY: bench-3.14
bench-3.14:  ## measure the network part on 3.14 (Debian forky), against zuvloop and rsloop as well
	@sh tests/forky.sh make PYTHON=python3.14 BENCH="$(BENCH)" bench-net

# What the page of measurements and the README's table are made from (docs/_build).
KEEP = $(wildcard bench/results/*.json)
.PHONY: figures
figures: $(STAMPS)/venv  ## keep the runs in bench/results/, and write the README's table and picture from what is kept
	@$(BIN)/python -m bench.keep $(KEEP)
	@$(BIN)/python docs/_build/front.py

# Files in docs/_build make the reference from the package that is built, and the figures from the runs that are kept.
.PHONY: docs
docs: $(STAMPS)/docs.installed  ## build the documents into .work/site, with warnings as errors
	@test -e $(STAMPS)/release -o -e $(STAMPS)/debug || $(MAKE) build
	$(call say,building the documents into .work/site)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# ---------------------------------------------------------------------------------------------- testing

.PHONY: test
test: build  ## build, then all tests but the ecosystem's; the last line is the sum
	$(call say,testing on Python $(VERSION))
	@$(BIN)/python tests/run_all.py

# The servers and load generators; they are started and stopped by the tests.
.PHONY: peers
peers:
	@sh .ci/peers

.PHONY: ecosystem
ecosystem: build $(STAMPS)/ecosystem.installed peers  ## run real programs unmodified on ferrio, with real peers
	$(call say,running real programs on Python $(VERSION))
	@$(BIN)/python tests/run_all.py ecosystem

# In environments of their own, in .work/suites; PyPI and a Debian mirror have to be reached the first time.
.PHONY: suites
suites: build peers  ## run other projects' own tests, on stock asyncio and then on ferrio
	$(call say,running other projects' tests on Python $(VERSION))
	@$(BIN)/python tests/suites/run.py $(SUITES)

.PHONY: conformance
conformance: build  ## run all of CPython's own asyncio tests against ferrio
	$(call say,running CPython $(VERSION)'s test.test_asyncio against ferrio)
	@$(BIN)/python tests/conformance/run.py --package ferrio $(CONFORMANCE)

.PHONY: leaks
leaks: build  ## create and drop a million of everything; memory has to stay flat
	$(call say,looking for leaks on Python $(VERSION): a million of each kind$(comma) this takes a while)
	@FERRIO_LEAK_SCALE=1 $(BIN)/python -m pytest --timeout 1800 tests/gc

# What has destructors, collections, forks and buffers in it.
CHECKED = tests/gc tests/dev_mode tests/hostile tests/net tests/coroutines tests/streams tests/locks tests/queues
.PHONY: check-debug
check-debug: develop  ## a debug build with reference count checks, under a checking malloc and -X dev
	$(call say,tests of memory on a debug build$(comma) PYTHONMALLOC=debug and -X dev$(comma) Python $(VERSION))
	@PYTHONMALLOC=debug PYTHONDEVMODE=1 $(BIN)/python -m pytest --timeout 1800 $(CHECKED)
	@PYTHONMALLOC=debug $(BIN)/python tests/conformance/run.py --package ferrio \
		--modules test_futures,test_tasks,test_streams,test_locks,test_queues

# Without `--undef-value-errors`: the interpreter compares bytes that it has not written, and knows why it may.
MEMORY_CHECKER = valgrind --quiet --undef-value-errors=no --leak-check=no --error-exitcode=99 --main-stacksize=8388608
.PHONY: check-memory
check-memory: build  ## programs that have crashed loops, under valgrind: no invalid read, write or free
	$(call say,hostile programs under valgrind on Python $(VERSION)$(comma) this takes a while)
	@PYTHONMALLOC=malloc FERRIO_TEST_UNDER="$(MEMORY_CHECKER)" FERRIO_EXIT_RUNS=1 \
		$(BIN)/python -m pytest --timeout 7200 tests/hostile $(MEMORY)

# Random scripts against locks, queues, files and TLS, that no earlier run has played. A finding stays in .hypothesis/.
EXAMPLES := 1000
.PHONY: fuzz
fuzz: build  ## play new random scripts, EXAMPLES of each kind, beside a model of what asyncio does
	$(call say,$(EXAMPLES) new random scripts of each kind on Python $(VERSION))
	@FERRIO_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -q --timeout 7200 tests/locks tests/queues tests/files tests/tls

# Both need a nightly Rust. What has no Python in it: the interpreter is not built for them.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
.PHONY: check-sanitized
check-sanitized:  ## the tests of the crates without Python under AddressSanitizer
	$(call say,ferrio-core and ferrio-openssl under AddressSanitizer)
	@RUSTFLAGS="-Zsanitizer=address" RUSTDOCFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=target/sanitized \
		cargo +nightly test --quiet --target $(HOST) -p ferrio-core -p ferrio-openssl

# What has no system call in it: Miri knows none of epoll.
MIRI = timers write_queue write_timing read_buffer registry turn_queue
.PHONY: check-miri
check-miri:  ## the state machines under Miri
	$(call say,state machines of ferrio-core under Miri: $(MIRI))
	@MIRIFLAGS="-Zmiri-disable-isolation" PROPTEST_CASES=8 CARGO_TARGET_DIR=target/miri \
		cargo +nightly miri test --quiet -p ferrio-core -- $(MIRI)

.PHONY: matrix
matrix:  ## make test on every Python from 3.11 to 3.15: this machine's, and Debian forky's where that can be had
	@sh .ci/each_python test

# ---------------------------------------------------------------------------------------------- checking

# The benchmark's load generator is a workspace of its own: nothing of it goes into ferrio.
LOADGEN := cd bench/loadgen && cargo

.PHONY: format
format: $(STAMPS)/lint.installed  ## format Rust and Python
	@cargo fmt --all
	@$(LOADGEN) fmt
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

.PHONY: lint
lint: prerequisites lint-rust lint-python lint-workflows lint-dependencies  ## formatting, lints, types, boundaries, licences

.PHONY: lint-rust
lint-rust: $(STAMPS)/venv
	$(call say,cargo fmt and clippy)
	@cargo fmt --all -- --check -l && $(LOADGEN) fmt -- --check -l || { echo "\`make format\` formats these" >&2; exit 1; }
	@cargo clippy --quiet --workspace --all-targets -- -D warnings
	@$(LOADGEN) clippy --quiet --all-targets -- -D warnings
	$(call say,cargo doc)
	@RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps --document-private-items
	$(call say,no crate has a dependency that it does not use)
	@$(BIN)/python .ci/unused_dependencies.py
	@$(BIN)/python .ci/unused_dependencies.py bench/loadgen
	$(call say,ferrio-core and ferrio-openssl have no Python in them)
	@for crate in ferrio-core ferrio-openssl; do \
		tree=$$(cargo tree --package $$crate --edges normal,build,dev --prefix none) || exit 1; \
		if echo "$$tree" | grep -E '^(pyo3[^ ]*|ferrio-object|ferrio) v'; then \
			echo "$$crate may not depend on the crates above" >&2; exit 1; \
		fi; \
	done
	$(call say,no file of crates/ferrio imports from a floor above its own)
	@"$(PYTHON)" .ci/floors.py

.PHONY: lint-python
lint-python: $(STAMPS)/lint.installed
	$(call say,ruff and mypy)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy

.PHONY: lint-workflows
lint-workflows: $(STAMPS)/lint.installed
	$(call say,actionlint of .github/workflows)
	@$(BIN)/actionlint

# cargo-deny is a few minutes' build of its own: where it is missing, CI makes it and a developer is told how.
# Without the network its database of advisories cannot be had, so it is not asked for that.
CARGO_DENY := $(firstword $(wildcard .work/tools/bin/cargo-deny) $(shell command -v cargo-deny))
.PHONY: lint-dependencies
lint-dependencies: $(STAMPS)/venv
	$(call say,the licences that packages carry are of what is linked in)
	@$(BIN)/python .ci/licences.py --check
ifneq ($(CARGO_DENY)$(CI),)
	@if [ -z "$(CARGO_DENY)" ]; then \
		echo "==> building cargo-deny into .work/tools (some minutes)"; $(MAKE) cargo-deny; fi
	$(call say,cargo deny: licences and sources of what is linked in)
	@PATH="$(abspath .work/tools/bin):$$PATH" cargo-deny --log-level error check --hide-inclusion-graph \
		licenses bans sources
else
	@echo "==> licences of dependencies not checked: cargo-deny is missing (\`make cargo-deny\` builds it)"
endif

.PHONY: cargo-deny
cargo-deny:  ## build the checker of dependencies' licences into .work/tools
	@cargo install --quiet --locked --root .work/tools cargo-deny

# Beside each other, because the one spends minutes in linking, on one core, and the other in compiling cargo-deny.
.PHONY: lint-and-build
lint-and-build: prerequisites lint-rust lint-python lint-workflows
	@$(MAKE) lint-dependencies & lint=$$!; $(MAKE) build; built=$$?; wait $$lint && exit $$built

.PHONY: check
check: lint-and-build docs $(STAMPS)/ecosystem.installed peers  ## everything that CI does: lint, docs, test, ecosystem
	$(call say,testing on Python $(VERSION))
	@$(BIN)/python tests/run_all.py --all

.PHONY: clean
clean:  ## remove everything that was made here: environments, builds, caches
	rm -rf .venv-* target .work .pytest_cache .mypy_cache .ruff_cache bench/loadgen/target
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f python/ferrio/_ferrio*.so
