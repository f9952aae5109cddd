# Few commands, permanent names. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA := .data
# A test that fails is run again, twice at most; what failed and then passed is named as RERUN at the end.
PYTEST := $(BIN)/python -m pytest --reruns 2 -rR

.DEFAULT_GOAL := help
.PHONY: help install run push-images test test-matrix test-kubernetes test-frameworks chaos fuzz lint format bench bench-idle bench-start bench-deploy bench-build bench-edge bench-activation bench-queue bench-logs docs clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The virtual environment: what users get (`install`), and what tests need on top of it (`.dev`).
$(BIN)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Scale Mesh needs Python 3.11 or newer: make PYTHON=python3.12 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(BIN)/.dev: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt --group dev
	@$(BIN)/python tests/browser.py
	@touch $@

install: $(BIN)/.installed ## set up .venv with the platform in it

run: install ## start the platform, deploy the demo app, stay running (Ctrl-C stops it)
	@$(BIN)/scalemesh up --demo --data-dir $(DATA)

push-images: install ## build the images and push them: REGISTRY=ghcr.io/acme, or ECR's (ENGINE=docker, podman, buildah)
	@ENGINE='$(ENGINE)' $(BIN)/python deploy/images/push.py '$(REGISTRY)'

test: $(BIN)/.dev ## everything on the default engines, and one smoke per other engine
	$(PYTEST) -m "not (matrix or frameworks or kubernetes)"

test-matrix: $(BIN)/.dev ## all engines, hostile builds, the long runs
	$(PYTEST) -m "matrix and not frameworks"

test-kubernetes: $(BIN)/.dev ## on a real cluster: KUBECONFIG, and SCALEMESH_BUILD_IMAGE, which its nodes have or can pull
	$(PYTEST) -m kubernetes tests/kubernetes

test-frameworks: $(BIN)/.dev ## real scaffolds of every framework, into docs/frameworks.md (FRAMEWORK=name for one)
	$(PYTEST) -m frameworks tests/frameworks

chaos: export DEPLOYMENTS ?= 200
chaos: $(BIN)/.dev ## kill everything at random while sites are built (SEED=n, DEPLOYMENTS=n)
	$(PYTEST) --reruns 0 -m matrix tests/acceptance/test_chaos.py

fuzz: $(BIN)/.dev ## atheris on requests, rule files and the matcher (SECONDS=n for each, 60 otherwise)
	$(BIN)/python -m pip install --quiet -c constraints.txt --group fuzz
	@for target in request rules matcher; do \
	  mkdir -p .fuzz/$$target; \
	  $(BIN)/python -m tests.fuzz.run $$target -max_total_time=$(or $(SECONDS),60) \
	    -artifact_prefix=.fuzz/$$target- .fuzz/$$target || exit 1; \
	done

lint: $(BIN)/.dev ## formatting, ruff, mypy, the layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(BIN)/.dev ## let the formatter decide
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: bench-idle bench-start bench-deploy bench-build bench-edge bench-activation bench-queue bench-logs ## every benchmark; each ends with one line of JSON

bench-idle: $(BIN)/.dev ## memory of the idle platform
	$(BIN)/python -m benchmarks.bench_idle

bench-start: $(BIN)/.dev ## second start to the first byte of a site
	$(BIN)/python -m benchmarks.bench_start

bench-deploy: $(BIN)/.dev ## a cold deploy over the same by hand
	$(BIN)/python -m benchmarks.bench_deploy

bench-build: $(BIN)/.dev ## cold, one file changed and identical deploys beside the same by hand
	$(BIN)/python -m benchmarks.bench_build

bench-activation: $(BIN)/.dev ## a promotion to its first byte at the edge
	$(BIN)/python -m benchmarks.bench_activation

bench-edge: $(BIN)/.dev ## the edge beside nginx, Caddy, and Traefik before nginx (QUICK=1: four minutes)
	$(BIN)/python -m pip install --quiet -c constraints.txt --group bench-edge
	$(BIN)/python -m benchmarks.bench_edge $(if $(QUICK),--quick)

bench-logs: $(BIN)/.dev ## log lines per second, to a WebSocket client, and search over ten million
	$(BIN)/python -m benchmarks.bench_logs
	$(BIN)/python -m benchmarks.bench_log_search

bench-queue: $(BIN)/.dev ## claims a second, fairness and waiting beside Procrastinate and SAQ
	$(BIN)/python -m pip install --quiet -c constraints.txt --group bench
	$(BIN)/python -m benchmarks.bench_queue

docs: $(BIN)/.dev ## write docs/configuration.md anew from the settings
	$(BIN)/python docs/make_configuration.py

clean: ## remove what make made, data included
	rm -rf $(VENV) $(DATA) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz
