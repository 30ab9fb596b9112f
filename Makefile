# A short front for the npm scripts; `make help` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help demo test quick check mesh bench build clean

node_modules: package-lock.json
	npm ci
	@touch node_modules

help: ## This list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: node_modules ## Two sidecars side by side on real Envoy; needs Node and Python 3 only; ARGS=--once
	npm run -s demo -- $(ARGS)

build: node_modules ## The Wasm filter and the companion, into build/
	npm run -s build

test: node_modules ## Everything, on a fresh machine too; what cannot run here is said; ARGS="unit wasm" for some
	npm run -s test -- $(ARGS)

quick: node_modules ## Types, units, the filter and a real Envoy, in a minute and a half; no root, no Go
	npm run -s test:quick

check: node_modules ## Types, lint, format, unused code
	npm run -s check

mesh: node_modules ## A cluster with Istio and a small shop on this machine (root); prints what to try
	npm run -s mesh -- up --shop

bench: node_modules ## All benchmarks (root; an hour); one: `npm run -s bench -- NAME`
	npm run -s bench -- all

clean: ## What was built; the cache outside the repository stays
	rm -rf build node_modules
