# The one entry point for chores. `make help` lists the targets.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help images test

help: ## say what each target does
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

images: ## build the image pairs of the tests (as root; a pair that is built already is kept)
	@tests/install.sh
	@tests/images/build.sh

test: ## run the tests (as root; installs what they need)
	@tests/install.sh
	cargo test --locked -p skiff-protocol -p skiff-accelerator -p skiff
