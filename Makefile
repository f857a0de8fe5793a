# Two commands are enough on a machine with Rust and Python: `make run` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find src python -name '*.rs' -o -name '*.py' -o -name '*.pyi' -o -name '*.txt') \
	Cargo.toml Cargo.lock pyproject.toml README.md LICENSE
NATIVE := target/release/network-connections
SHARE := target/share
BASH := $(SHARE)/bash-completion/completions
ZSH := $(SHARE)/zsh/site-functions
FISH := $(SHARE)/fish/vendor_completions.d

# What is not there is installed when it is needed.
TOOLS := target/tools/bin
export PATH := $(CURDIR)/$(TOOLS):$(PATH)

# What tools/toolchain.sh sets up, and where: outside target/ it outlives a clone.
export TOOLCHAINS ?= target/toolchains
GLIBC := x86_64-unknown-linux-gnu.2.17
WINDOWS := x86_64-pc-windows-gnu
MUSL := x86_64-unknown-linux-musl
STATIC := target/$(MUSL)/release/network-connections

# bindgen, which netstat2 builds with, needs libclang: the one from PyPI will do where the system
# has none, with the compiler's own headers. Looked for when it is needed: .venv may be new.
export LIBCLANG_PATH ?= $(shell ls -d /usr/lib/llvm-*/lib/libclang.so* \
	$(CURDIR)/$(VENV)/lib/python3*/site-packages/clang/native 2>/dev/null | head -n 1)
export BINDGEN_EXTRA_CLANG_ARGS ?= -I$(shell $(CC) -print-file-name=include)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z -]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 19

.PHONY: run
run: $(VENV)/.installed ## Build into .venv and run the check on this host
	$(BIN)/network-connections

# Many tests wait: three processes keep two cores busy.
WORKERS ?= 3
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --ignore=tests/integrations
# The tests share the processes, cgroups and mounts of the host: failed tests are run again without
# others beside them, and must pass then. The log has both runs.
ALONE = $(BIN)/python -m pytest --ignore=tests/integrations --last-failed --last-failed-no-failures=none

.PHONY: test
test: $(VENV)/.dev $(VENV)/.installed $(NATIVE) ## Run the tests, each promise once, in two minutes
	PROPTEST_CASES=64 cargo test --quiet
	$(PYTEST) -m 'not slow'

.PHONY: test-all
test-all: $(VENV)/.dev $(VENV)/.installed $(NATIVE) ## Run the slow tests too, as CI does
	cargo test --quiet
	$(PYTEST) || { [ $$? = 1 ] && $(ALONE); }

.PHONY: test-integrations
test-integrations: $(VENV)/.dev $(VENV)/.installed $(NATIVE) $(STATIC) ## Run the tests against real Icinga, Nagios, Prometheus ...
	$(BIN)/python -m pytest tests/integrations

# Boots a machine that apt fills with 66 programs: ten minutes the first time, and half an hour. Needs root.
.PHONY: hunt
hunt: $(VENV)/.dev $(VENV)/.installed $(NATIVE) ## Look for false alarms of --measure=exhaustion, and for faults that it misses
	$(BIN)/python tests/integrations/hunt.py

.PHONY: bench
bench: $(VENV)/.dev $(VENV)/.installed $(NATIVE) $(STATIC) ## Measure against peers up to 1M sockets; QUICK=1 stops at 10k
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python benches/run.py $(if $(QUICK),--quick)

# Cargo-fuzz needs switches of the nightly compiler, which the stable one takes if it must.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS := $(patsubst fuzz/fuzz_targets/%.rs,%,$(wildcard fuzz/fuzz_targets/*.rs))

.PHONY: fuzz
fuzz: $(FUZZ_TARGETS:%=fuzz-%) ## Fuzz every parser for FUZZ_SECONDS (60)

# What is new goes to fuzz/target/corpus; what breaks to fuzz/artifacts: once it is fixed, keep it in
# fuzz/corpus, which `make test` runs.
fuzz-%: $(TOOLS)/cargo-fuzz
	mkdir -p fuzz/target/corpus/$*
	RUSTC_BOOTSTRAP=1 \
		cargo fuzz run $* fuzz/target/corpus/$* fuzz/corpus/$* -- -dict=fuzz/dictionaries/$* \
		-max_len=4096 -max_total_time=$(FUZZ_SECONDS) -timeout=20 -print_final_stats=1

$(TOOLS)/%:
	cargo install --quiet --locked --root target/tools $*

# The files that decide; MUTANTS=src/range.rs is one of them.
MUTANTS ?= src/address.rs src/ephemeral.rs src/range.rs src/judge.rs src/judge/*.rs src/plan.rs \
	src/report.rs src/run.rs src/cli/reader.rs src/group.rs src/measure.rs src/measure/share.rs \
	src/named_group.rs src/collect/breakdown.rs src/collect/counts.rs src/collect/limits.rs src/collect/ports.rs \
	src/namespaces/linux/identity.rs src/namespaces/linux/reach.rs src/namespaces/linux/text.rs \
	src/selection.rs src/selection/*.rs src/source/summary.rs src/source/linux/inet_diag.rs \
	src/source/linux/proc_table.rs src/source/linux/limit_text.rs src/source/linux/port_text.rs \
	src/source/windows/port_text.rs \
	src/owner/process.rs src/linux/mount_text.rs src/linux/proc_text.rs src/linux/units.rs

.PHONY: mutants
mutants: $(TOOLS)/cargo-mutants $(VENV)/.created ## Change what decides, one thing at a time: a test must fail
	# 2: some survive, which the page explains or nothing does. 3: some do not end.
	CARGO_PROFILE_TEST_DEBUG=0 PROPTEST_CASES=64 \
		cargo mutants $(foreach file,$(MUTANTS),-f '$(file)') --timeout=300 --output target/mutants \
		--cargo-arg=--lib --cargo-arg=--test=crate --cargo-arg=--test=wire || case $$? in 2 | 3) ;; *) exit 1 ;; esac
	$(BIN)/python tools/mutants.py target/mutants/mutants.out

.PHONY: lint
lint: $(VENV)/.dev $(VENV)/.installed ## Check format, lints, types, documentation, and what is generated
	$(MAKE) --no-print-directory generate-check
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo fmt --check --manifest-path benches/peers/Cargo.toml
	cargo clippy --all-targets -- -D warnings
	cargo clippy --features python --lib -- -D warnings
	cargo clippy --quiet --manifest-path benches/peers/Cargo.toml --target-dir target -- -D warnings
	$(MAKE) --no-print-directory lint-windows
	RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps --lib
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	cd $(VENV) && bin/python -m mypy.stubtest network_connections
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

# By the installed Rust if it knows the target, else by what `make test-windows` has set up.
.PHONY: lint-windows
lint-windows:
	@if [ -d "$$(rustc --print target-libdir --target $(WINDOWS))" ]; then \
		cargo clippy --all-targets --target $(WINDOWS) -- -D warnings && \
		cargo clippy --features python --lib --target $(WINDOWS) -- -D warnings; \
	elif [ -n "$$NETWORK_CONNECTIONS_NO_SKIP" ] || \
		[ -n "$(wildcard $(TOOLCHAINS)/rustc-*/usr/lib/rustlib/$(WINDOWS))" ]; then \
		tools/toolchain.sh $(WINDOWS) && \
		$(TOOLCHAINS)/cargo clippy --all-targets --target $(WINDOWS) && \
		$(TOOLCHAINS)/cargo clippy --features python --lib --target $(WINDOWS); \
	else \
		echo 'skipped: lints for Windows (no std for it here; make test-windows sets one up)'; \
	fi

GENERATE := cargo run --quiet --example generate --

.PHONY: generate
generate: $(VENV)/.dev ## Write every copy of the option table: stub, signatures, integrations, docs
	$(GENERATE) write
	$(BIN)/python tools/basket.py
	$(BIN)/python tools/address.py
	$(BIN)/python benches/readme.py
	$(BIN)/python tools/picture.py
	$(BIN)/python tools/architecture.py

.PHONY: generate-check
generate-check: $(VENV)/.dev
	$(GENERATE) check
	$(BIN)/python tools/basket.py --check
	$(BIN)/python tools/address.py --check
	$(BIN)/python benches/readme.py --check
	$(BIN)/python tools/picture.py --check
	$(BIN)/python tools/architecture.py --check

# Boots a machine that apt fills: minutes the first time, ten seconds then. Needs root.
.PHONY: screenshot
screenshot: $(VENV)/.dev $(VENV)/.installed $(NATIVE) ## Take the picture of an alert in a real Icinga Web for the docs
	$(BIN)/python tools/screenshot.py

.PHONY: audit
audit: $(TOOLS)/cargo-deny ## Download advisories and say which dependencies they are about
	cargo deny --workspace check advisories

.PHONY: format
format: $(VENV)/.dev ## Format everything
	cargo fmt
	cargo fmt --manifest-path fuzz/Cargo.toml
	cargo fmt --manifest-path benches/peers/Cargo.toml
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

.PHONY: wheel
wheel: $(VENV)/.wheel ## Build the wheel for this host into target/wheel/

.PHONY: wheels
wheels: $(VENV)/.release $(TOOLS)/cargo-cyclonedx ## Build the wheels for Linux and the source distribution into dist/, and look at them
	tools/wheels.sh
	for wheel in dist/*manylinux*.whl; do $(BIN)/auditwheel show "$$wheel" >/dev/null || exit; done
	$(BIN)/abi3audit --strict dist/*.whl
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/twine check --strict dist/*.whl dist/network_connections-*.tar.gz

.PHONY: packages
packages: $(VENV)/.dev $(STATIC) ## Build deb and rpm for x86_64 and aarch64 into dist/
	@echo 'make: the toolchain for aarch64-unknown-linux-musl ...'
	tools/toolchain.sh aarch64-unknown-linux-musl
	@echo 'make: the command for aarch64-unknown-linux-musl ...'
	$(TOOLCHAINS)/cargo zig build --release --locked --target aarch64-unknown-linux-musl
	$(BIN)/python tools/packages.py

.PHONY: deb rpm
deb rpm: $(VENV)/.dev $(STATIC) ## Build the deb, or the rpm, for x86_64 into dist/
	$(BIN)/python tools/packages.py --only $@ x86_64

.PHONY: archive
archive: $(VENV)/.dev ## Build the zip for Windows into dist/
	tools/toolchain.sh $(WINDOWS)
	$(TOOLCHAINS)/cargo build --release --locked --target $(WINDOWS)
	$(BIN)/python tools/archive.py

.PHONY: release-check
release-check: $(VENV)/.dev $(TOOLS)/cargo-deny ## Say what keeps this commit from being released
	$(BIN)/python tools/release.py check
	# Elsewhere: cargo would take what it verifies for what is built here.
	cargo publish --dry-run --quiet --target-dir target/publish

.PHONY: release
release: $(VENV)/.dev $(VENV)/.release $(TOOLS)/cargo-cyclonedx ## Build all that is released into dist/, from a clean tag
	$(BIN)/python tools/release.py build

.PHONY: test-release
test-release: $(VENV)/.dev $(VENV)/.installed ## Install what `make release` has made, also for ARM, and use it
	$(BIN)/python tests/platforms/installed.py

.PHONY: man
man: $(VENV)/.dev ## Write the manual page to target/share
	@mkdir -p $(SHARE)/man/man1
	$(GENERATE) man "$$(git log -1 --format=%cs 2>/dev/null || date +%F)" \
		> $(SHARE)/man/man1/network-connections.1

.PHONY: completions
completions: $(VENV)/.dev ## Write completions for bash, zsh and fish to target/share
	@mkdir -p $(BASH) $(ZSH) $(FISH)
	$(GENERATE) bash > $(BASH)/network-connections
	$(GENERATE) zsh > $(ZSH)/_network-connections
	$(GENERATE) fish > $(FISH)/network-connections.fish

PLATFORMS = $(BIN)/python tests/platforms/run.py

.PHONY: binaries
binaries: $(STATIC) ## Build for hosts without Python: Linux, static or for glibc 2.17, and Windows
	tools/toolchain.sh
	$(TOOLCHAINS)/cargo build --release --locked --target $(WINDOWS)
	for target in aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf s390x-unknown-linux-musl; do \
		$(TOOLCHAINS)/cargo zig build --release --locked --target "$$target" || exit; done
	PATH="$(abspath $(TOOLCHAINS))/zig/bin:$$PATH" RUSTFLAGS="$$($(TOOLCHAINS)/cargo --remap)" \
		cargo-zigbuild build --release --locked --target $(GLIBC)

target/%/release/network-connections: $(SOURCES) tools/toolchain.sh
	@echo 'make: the toolchain for $* (the first time takes minutes) ...'
	tools/toolchain.sh $*
	@echo 'make: the command for $* ...'
	$(TOOLCHAINS)/cargo zig build --release --locked --target $*
	@touch $@

.PHONY: test-platforms
test-platforms: $(VENV)/.dev $(VENV)/.installed $(NATIVE) ## Build for every platform, run the tests there
	$(PLATFORMS)

.PHONY: test-static
test-static: $(VENV)/.dev $(VENV)/.installed $(NATIVE) ## Build the static command, run the tests with it
	$(PLATFORMS) $(MUSL)

.PHONY: test-windows
test-windows: $(VENV)/.dev $(VENV)/.installed $(NATIVE) ## Build for Windows, run the tests under Wine
	$(PLATFORMS) $(WINDOWS)

# Boots machines that QEMU emulates. Needs root, a mirror of Debian, and Debian's cpio, kmod,
# mmdebstrap and qemu-system-x86; for other processors qemu-system-arm and qemu-system-misc.
.PHONY: test-kernels
test-kernels: $(VENV)/.dev $(VENV)/.installed ## Boot real kernels, run the tests there; KERNELS="5.10 ..." chooses
	$(BIN)/python tests/kernels/run.py $(KERNELS)

.PHONY: clean
clean: ## Remove what was built
	rm -rf target fuzz/target dist $(VENV)

$(NATIVE): $(SOURCES)
	cargo build --release --locked
	@touch $@

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	# Up to 25.0 the commands that pip installs import `re`, which costs a check half its start.
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.dev: $(VENV)/.created pyproject.toml
	@echo 'make: the tools of $(VENV) ...'
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

$(VENV)/.release: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --group release
	@touch $@

$(VENV)/.wheel: $(VENV)/.created $(SOURCES)
	@echo 'make: the wheel (takes some minutes the first time) ...'
	rm -rf target/wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir target/wheel .
	@touch $@

$(VENV)/.installed: $(VENV)/.wheel
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps --no-index target/wheel/*.whl
	@touch $@
