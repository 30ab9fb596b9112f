# A short front for the npm scripts; `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help demo test quick check mesh bench build clean

node_modules: package-lock.json
	npm ci
	@touch node_modules

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: node_modules ## Run two sidecars side by side on real Envoy; needs only Node and Python 3; ARGS=--once
	npm run -s demo -- $(ARGS)

build: node_modules ## Build the Wasm filter and the companion into build/
	npm run -s build

test: node_modules ## Run all tests; lists those that cannot run here; ARGS="unit wasm" for some groups
	npm run -s test -- $(ARGS)

quick: node_modules ## Test types, units, the filter and a real Envoy in a minute and a half; no root, no Go
	npm run -s test:quick

check: node_modules ## Check types, lint, format and unused code
	npm run -s check

mesh: node_modules ## Start a cluster with Istio and a small shop here (root); prints commands to try
	npm run -s mesh -- up --shop

bench: node_modules ## Run all benchmarks (root; an hour); one: `npm run -s bench -- NAME`
	npm run -s bench -- all

clean: ## Remove built files; the cache outside the repository stays
	rm -rf build node_modules
