# The front door of trine. `make help` lists what it does; CMake does the work, one folder build/PRESET a build.
# JOBS=n builds and tests with n processors instead of all. Ninja is used where it is, unless CMAKE_GENERATOR is set.
.DEFAULT_GOAL := build
.PHONY: build setup demo check asan tsan faults layouts fuzz bench peers golden fit fit-stacks published validate install clean help

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 20
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
export DESTDIR FUZZ_SECONDS FUZZ_SAVE FUZZ_PAGE JOBS TABLES TEXT

build: ## build build/trine (the default)
	@scripts/build.sh release trine
	@ln -sf release/trine build/trine

setup: ## install what the program and its demo need (Debian, Ubuntu; elsewhere: say what to install)
	@scripts/setup.sh demo

demo: ## set up, build; calibrate, predict, train a small GPT, compare, plan big ones, in about three minutes, told on one page; TEXT=file: your own text
	@scripts/setup.sh demo
	@scripts/build.sh release trine
	@ln -sf release/trine build/trine
	@scripts/demo.sh

check: ## set up, build without warnings with GCC and Clang, run all tests
	@scripts/setup.sh check
	@scripts/build.sh clang
	@scripts/build.sh gcc
	@TRINE_OTHER_BUILD=$(CURDIR)/build/clang/trine scripts/ctest.sh build/gcc

asan: ## run the tests under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer
	@scripts/setup.sh check
	@scripts/build.sh asan
	@# These take minutes here, and other tests go through the same code: lab_train, lab_train_ranks, lab_exec, silicon_ops, lab_token,
	@# fault_faults, mpi_coll, plan_run, app_bad_input.
	@# But for app_calibrate: plan_calibrate has its fits, not its measuring, which `scripts/ctest.sh build/asan -R app_calibrate` looks at.
	@scripts/ctest.sh build/asan --exclude-regex 'app_(calibrate|one_hash|plan|ranks|signals|slurm.*)|mpi_(calibrate|faults|hosts|train)|lab_token_golden|lab_train_(bits|kill)|silicon_truth|fault_signals_at_random'

tsan: ## run the tests under ThreadSanitizer
	@scripts/setup.sh check
	@scripts/build.sh tsan
	@scripts/ctest.sh build/tsan --label-exclude house --exclude-regex app_one_hash

faults: ## inject faults in full and write docs/faults.md; goes on where it was stopped
	@scripts/setup.sh check
	@scripts/build.sh gcc
	@scripts/faults.sh build/gcc

layouts: ## train two models under many layouts (eight minutes) and write their hashes to docs/layouts.md
	@scripts/setup.sh check
	@scripts/build.sh gcc trine
	@scripts/layouts.sh build/gcc/trine >docs/layouts.md.tmp && mv docs/layouts.md.tmp docs/layouts.md

fuzz: ## look for new faults, FUZZ_SECONDS=20 a target; FUZZ_SAVE=1 keeps finds in fuzz/corpus, FUZZ_PAGE=FILE a table
	@scripts/setup.sh check
	@scripts/build.sh fuzz fuzzers
	@scripts/fuzz.sh build/fuzz/fuzz

bench: ## measure kernels and whole jobs, beside PyTorch, llama.cpp and tokenizers out of PyPI (NO_PEERS=1: without); writes build/bench/bench.html
	@scripts/setup.sh bench
	@[ -n "$(NO_PEERS)" ] || scripts/setup.sh peers
	@scripts/bench/run.sh

peers: ## hold trine to torch, transformers, llama.cpp and others out of PyPI: writes docs/peers.md (20 minutes)
	@scripts/setup.sh check
	@scripts/setup.sh peers
	@scripts/peers/run.sh

golden: build ## write the golden files of the command line anew: read the diff before you commit it
	@for file in tests/golden/*.cmd; do \
		[ ! -e "$$file" ] || TRINE_BIN=$(CURDIR)/build/trine GOLDEN_UPDATE=1 sh tests/golden/run.sh "$$file" || exit; done

fit: ## fit what chips reach to the tables of measurements in TABLES=DIR: writes catalog/fits/measured.yaml
	@scripts/build.sh release tool_fit
	@scripts/fit.sh "$(TABLES)"

fit-stacks: ## fit what software makes of chips to the training runs in TABLES=DIR: writes catalog/stacks/fits.yaml, docs/validation/stacks.md
	@scripts/build.sh release tool_fit_stacks
	@scripts/fit_stacks.sh "$(TABLES)"

validate: build ## hold predictions against the tables in TABLES=DIR: writes docs/validation/, and what README.md shows of operations
	@scripts/validate.sh "$(TABLES)"

published: build ## predict the runs of tests/validate/published.csv: writes docs/published.md, and what README.md and docs/plan.md show
	@scripts/published.sh build/trine

install: build ## install the program, its completion and its pages under PREFIX=/usr/local (DESTDIR for packagers)
	@cmake --install build/release --prefix $(PREFIX)

clean: ## remove every build
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
