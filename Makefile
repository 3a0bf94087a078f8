# Two targets do everything on a fresh machine, set-up included: `make demo` and `make test`.
# Needed: git, make, curl, Go 1.21 or newer, and either Docker or root on Debian 12.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test bench soak unit e2e lab down lint packages

# $(call step,NAME,COMMAND) says what it does and how long it took.
step = @begin=$$SECONDS; echo "==> $(1)"; $(2); echo "==> $(1): done in $$((SECONDS - begin)) s"

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: lab ## set up everything and run the main job as a runner would: 6 images, 2 workers
	$(call step,demo,go run ./internal/lab demo)

test: ## set up everything and run every test
	$(call step,make test,$(MAKE) --no-print-directory unit lab e2e)

bench: lab ## measure the main job, built natively and rebased: ratios of one run, under 50 minutes
	$(call step,bench,go run ./internal/lab bench)

soak: lab ## kill runs at 20 random moments: half an hour
	$(call step,soak,go test -count=1 -timeout 90m -v -run TestRebase ./internal/lab/e2e -soak)

# The cache of test results does not see the workflows: they are outside of that module.
unit: packages lint ## unit and contract tests, with the race detector; no Docker
	$(call step,unit and contract tests,go test -race -short ./...; go test -C internal/lab/act/tools -count=1 ./...)

e2e: lab ## the action on the lab, as a runner runs it
	$(call step,end-to-end tests,go test -count=1 -p 1 -timeout 75m -v ./internal/lab/...)

lab: ## bring up the real parts on loopback
	$(call step,lab up,go run ./internal/lab up)

down: ## stop the lab; its cache stays
	$(call step,lab down,go run ./internal/lab down)

# actionlint's version is in its module, and it is compiled when that has changed. What it would hand to other programs
# is left out: they are on some machines only.
lint: ## formatting, go vet and actionlint
	$(call step,lint,test -z "$$(gofmt -l .)" || { gofmt -l .; echo "hint: gofmt -w ."; exit 1; }; go vet ./...; \
		go tool -modfile=internal/lab/act/tools/go.mod actionlint -shellcheck= -pyflakes=)

# The race detector needs a C compiler, the worker's tests a Python, and an engine's list of a container's processes ps; a
# fresh machine may have none of them.
packages:
	@missing=; command -v cc >/dev/null || missing="gcc libc6-dev"; command -v python3 >/dev/null || missing="$$missing python3"; \
	command -v ps >/dev/null || missing="$$missing procps"; \
	[ -n "$$missing" ] || exit 0; echo "==> installing $$missing"; \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || { echo "hint: install $$missing"; exit 1; }; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $$missing >/dev/null
