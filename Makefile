# The one entry point for chores. `make help` lists the targets.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help build cross images lint deny unit test test-long fuzz bench power-cuts demo

DENY := 0.20.2
# The agent that devices of this machine's kind get.
STATIC := $(shell uname -m)-unknown-linux-musl

help: ## say what each target does
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

build: ## build the agent and the accelerator (target/release)
	cargo build --release --locked

cross: ## build the agent for ARM and x86-64, static, and check it (target/cross/TRIPLE/skiff; TRIPLES="..." for some)
	@cross/build.sh $(TRIPLES)
	@cross/build.sh --small --output target/cross/small aarch64-unknown-linux-musl
	@cross/check.sh $(TRIPLES)

images: ## build the image pairs of the tests (as root; a pair that is built already is kept)
	@tests/install.sh
	@tests/images/build.sh

lint: ## rustfmt and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings

# Its unoptimised build runs for two seconds; an optimised one takes minutes more to make.
deny: ## licences, bans and sources of all dependencies (installs cargo-deny, if it is not there)
	@cargo deny --version 2>/dev/null | grep -qxF 'cargo-deny $(DENY)' || \
		cargo install cargo-deny --version $(DENY) --locked --quiet --debug
	cargo deny --locked check bans licenses sources

unit: ## the tests of the parts
	cargo test --release --locked

test: ## all tests (as root; installs what they need; prints the seconds of each part)
	@tests/run.sh

test-long: ## all tests, with 20 power cuts (SKIFF_SEED=N repeats them), pulls killed at all steps, and the agent for ARMv6
	@SKIFF_CUTS=20 SKIFF_KILLS=all SKIFF_TRIPLES= tests/run.sh

fuzz: ## the fuzz targets under libFuzzer, with cargo-fuzz (SECONDS=600 each; TARGETS="frames apply")
	@tests/fuzz/fuzz.sh $(or $(SECONDS),600) $(TARGETS)

bench: ## numbers on real images, as tables (as root; PARTS="updates ingest" for some of them, PARTS=all for more)
	@tests/run.sh install build images programs qemu
	@cross/build.sh $(STATIC)
	@SKIFF_BIN=$(CURDIR)/target/cross/$(STATIC)/skiff \
		cargo test --release --locked --workspace -q --test bench -- $(PARTS)

power-cuts: ## 200 power cuts, which takes hours (as root)
	@SKIFF_CUTS=200 tests/run.sh install build images cross programs qemu power-cut

demo: ## pull a real image, run it, update it, beside stock containerd (as root)
	@tests/install.sh --demo
	@tests/images/build.sh nginx
	cargo build --release --locked
	@cargo test --release --locked -q -p skiff-tests --test demo
