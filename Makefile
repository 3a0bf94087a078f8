# Two targets do everything on a fresh machine, set-up included: `make demo` and `make test`.
# Needed: git, make, curl, Go 1.21 or newer, and either Docker or root on Debian 12.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test bench soak unit fuzz e2e lab down lint format packages

# $(call step,NAME,COMMAND) prints the name before the command, and the time it took after it.
step = @begin=$$SECONDS; echo "==> $(1)"; $(2); echo "==> $(1): done in $$((SECONDS - begin)) s"

# The lab is a module of its own, so that the product's go.mod has only what the product needs.
lab = go run -C internal/lab .
testlog = go run -C internal/lab ./testlog

# $(call tool,NAME) is the path of a program whose version is in the lab's go.mod.
tool = $$(go tool -C internal/lab -n $(1))

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: lab ## set up everything and run the main job as a runner would: 6 images, 2 workers
	$(call step,demo,$(lab) demo)

# The lab's images are downloaded and compiled beside the unit tests. Both may install packages, and apt takes one at a time.
test: packages ## set up everything and run every test
	$(call step,make test,$(MAKE) --no-print-directory --jobs 2 unit lab; $(MAKE) --no-print-directory e2e; \
		echo "==> the ten slowest tests"; cat dist/unit.json dist/e2e.json | $(testlog) -slowest 10)

bench: lab ## measure the main job, built natively and rebased: ratios of one run, under 50 minutes
	$(call step,bench,$(lab) bench)

time = 26m
soak: lab ## make 1,000 images while requests fail, runs are killed and disks are full: half an hour, with time=40m on a busy machine
	$(call step,soak,$(lab) soak -time $(time); go test -C internal/lab -count=1 -timeout 40m -v -run TestRebase ./e2e -more)
	@$(MAKE) --no-print-directory fuzz FUZZTIME=20s

# Go's cache of test results does not see that the lab's tests read the Dockerfile and the workflows: -count=1.
unit: packages lint ## unit and contract tests, with the race detector; no Docker
	@mkdir -p dist
	$(call step,unit and contract tests,{ go test -json -race -short ./...; go test -C internal/lab -json -race -short -count=1 ./...; } \
		| tee dist/unit.json | $(testlog))
	$(call step,distribution 2 and 3,go test -C internal/lab/registries ./...)

# go test runs one target of one package at a time. `make unit` runs the inputs in testdata/fuzz, which were found so.
FUZZTIME = 10s
fuzz: ## try random input on every parser of outside data, each for FUZZTIME (10s)
	$(call step,fuzz,for package in $$(grep -rl --include=*_test.go '^func Fuzz' internal | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -rhoE '^func Fuzz[A-Za-z]*' $$package/*_test.go | cut -c6-); do \
			echo "$$package $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s "./$$package"; done; done)

# The browser's tests need no lab, and run with the unit tests.
e2e: lab ## the action on the lab, as a runner runs it
	@mkdir -p dist
	$(call step,end-to-end tests,go test -C internal/lab -json -count=1 -p 1 -timeout 75m $$(go list -C internal/lab ./... | grep -v '/browser$$') | tee dist/e2e.json | $(testlog) -v)

lab: ## bring up the real parts on loopback
	$(call step,lab up,$(lab) up)

down: ## stop the lab; its cache stays
	$(call step,lab down,$(lab) down)

# actionlint would also run shellcheck and pyflakes, which only some machines have.
lint: ## formatting, go vet, staticcheck, go.mod and the workflows
	$(call step,lint,unformatted=$$($(call tool,gofumpt) -l .); [ -z "$$unformatted" ] || { echo "$$unformatted"; echo "hint: make format"; exit 1; }; \
		staticcheck=$(call tool,staticcheck); \
		for module in . internal/lab internal/lab/registries; do (cd $$module; go mod tidy -diff; go vet ./...; "$$staticcheck" ./...); done; \
		$(call tool,actionlint) -shellcheck= -pyflakes=)

format: ## format the code
	$(call tool,gofumpt) -w .

# A fresh machine may lack these: the race detector needs a C compiler, the worker's tests need Python, docker top needs ps, and
# the tests of report.html need a Chromium and a font.
packages:
	@missing=; command -v cc >/dev/null || missing="gcc libc6-dev"; command -v python3 >/dev/null || missing="$$missing python3"; \
	command -v ps >/dev/null || missing="$$missing procps"; \
	command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	missing="$$missing chromium-headless-shell fonts-dejavu-core"; \
	[ -n "$$missing" ] || exit 0; echo "==> installing $$missing"; \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || { echo "hint: install $$missing"; exit 1; }; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $$missing >/dev/null
