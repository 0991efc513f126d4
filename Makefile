# The front door of trine. `make help` lists what it does; CMake does the work, one folder build/PRESET a build.
.DEFAULT_GOAL := build
.PHONY: build setup demo check asan tsan fuzz bench golden install clean help

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 20
export DESTDIR FUZZ_SECONDS FUZZ_SAVE TEXT

# Ninja where it is, unless CMAKE_GENERATOR says otherwise; as many jobs as there are processors, unless JOBS says so.
ifneq ($(shell command -v ninja 2>/dev/null),)
export CMAKE_GENERATOR ?= Ninja
endif
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
export JOBS

# $(call build,PRESET,TARGETS...): configures and builds. The jobs are named, so make's own jobserver is left out of it.
build = cmake --preset $(1) --log-level=NOTICE && MAKEFLAGS= cmake --build --preset $(1) --parallel $(JOBS) $(if $(2),--target $(2))

build: ## build build/trine (the default)
	@command -v cmake >/dev/null || { echo "cmake is missing: run 'make setup' first" >&2; exit 2; }
	@$(call build,release,trine)
	@ln -sf release/trine build/trine

setup: ## install what the program and its demo need (Debian, Ubuntu; elsewhere: say what to install)
	@scripts/setup.sh demo

# The recipes below call $(MAKE) so that what setup has just installed (Ninja) is seen by the build.
demo: ## set up, build, train a small GPT for about two minutes, write a paragraph; TEXT=file for a text of your own
	@scripts/setup.sh demo
	@$(MAKE) --no-print-directory build
	@scripts/demo.sh

check: ## set up, build without warnings with GCC and Clang, run all tests
	@scripts/setup.sh check
	@$(MAKE) --no-print-directory check-built
asan: ## run all tests under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer
	@scripts/setup.sh check
	@$(MAKE) --no-print-directory asan-built
tsan: ## run the tests of what computes or serves under ThreadSanitizer
	@scripts/setup.sh check
	@$(MAKE) --no-print-directory tsan-built
fuzz: ## look for new faults, FUZZ_SECONDS=20 a target; FUZZ_SAVE=1 keeps the finds in fuzz/corpus
	@scripts/setup.sh check
	@$(MAKE) --no-print-directory fuzz-built

.PHONY: check-built asan-built tsan-built fuzz-built
check-built:
	@$(call build,clang)
	@$(call build,gcc)
	@TRINE_OTHER_BUILD=$(CURDIR)/build/clang/trine scripts/ctest.sh build/gcc
asan-built:
	@$(call build,asan)
	@scripts/ctest.sh build/asan
tsan-built:
	@$(call build,tsan)
	@scripts/ctest.sh build/tsan --label-exclude house
fuzz-built:
	@$(call build,fuzz,fuzzers)
	@scripts/fuzz.sh build/fuzz/fuzz

bench: build ## run the programs of bench/, which measure
	@$(call build,release,benches)
	@for program in build/release/bench/bench_*; do \
		if [ -x "$$program" ]; then echo "== $${program##*/}"; "$$program" || exit; fi; done

golden: build ## write the golden files of the command line anew: read the diff before you commit it
	@for file in tests/golden/*.cmd; do [ ! -e "$$file" ] || TRINE_BIN=$(CURDIR)/build/trine GOLDEN_UPDATE=1 sh tests/golden/run.sh "$$file" || exit; done

install: build ## install the program, its completion and its pages under PREFIX=/usr/local (DESTDIR for packagers)
	@cmake --install build/release --prefix $(PREFIX)

clean: ## remove every build
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
