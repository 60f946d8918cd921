# For a new user: `make demo` and `make test`. CMake with presets does the work (`cmake --preset dev`, …);
# this file only puts the steps in order. `make` alone installs nothing; demo and test install the
# distribution's packages that are missing.

JOBS ?= $(shell nproc 2>/dev/null || echo 2)
SOURCES = git ls-files '*.cpp' '*.h' '*.inl' '*.cu' '*.cuh'

.DEFAULT_GOAL := halftone
.PHONY: halftone demo test bundle format clean help

halftone:
	@scripts/configure.sh release
	@cmake --build build/release --target halftone --parallel $(JOBS)
	@echo "Built build/release/halftone. Next: make demo, or build/release/halftone --help"

demo:
	@echo "[1/4] Packages of the distribution"
	@scripts/install_packages.sh --with-fetch --yes
	@echo "[2/4] Build"
	@scripts/configure.sh release
	@cmake --build build/release --target halftone --parallel $(JOBS)
	@echo "[3/4] A small real model, and texts to calibrate and to measure on"
	@scripts/fetch.sh smollm2 texts
	@echo "[4/4] halftone demo"
	@build/release/halftone demo $(DEMO_OPTIONS)

test:
	@scripts/install_packages.sh --with-tests --yes
	@scripts/configure.sh ci
	@cmake --build build/ci --parallel $(JOBS)
	@ctest --test-dir build/ci --output-on-failure --parallel $(JOBS) $(CTEST_OPTIONS)

bundle:
	@scripts/bundle.sh

format:
	@$(SOURCES) | xargs clang-format -i

clean:
	rm -rf build

help:
	@echo "make          build build/release/halftone; installs nothing"
	@echo "make demo     install what is missing, build, fetch a small model, quantize and measure it"
	@echo "make test     install what is missing, build everything with warnings as errors, run all tests"
	@echo "make bundle   one tarball of program, CUDA plug-in and libraries that runs elsewhere"
	@echo "make format   clang-format every source file in place"
	@echo "make clean    remove build/ (fetched models stay in ~/.cache/halftone)"
	@echo "Variables: JOBS=2 (parallel compilers), DEMO_OPTIONS=…, CTEST_OPTIONS='-R gptq'"
	@echo "Presets:   cmake --preset release | dev (address, undefined) | tsan | ci; then cmake --build --preset …"
