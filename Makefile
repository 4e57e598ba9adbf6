# Every verb of the project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The files of a run; without RATINGS a sample is generated.
RATINGS ?=
MOVIES ?=
REGISTRY ?= registry
ARGS ?=

VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' components/__init__.py)
IMAGE ?= twotower:$(VERSION)
BASE_IMAGE ?= python:3.11-slim-bookworm
GPU ?= 0

.PHONY: help
help: ## list the verbs
	@awk -F ':.*## ' '/^# ---- / {printf "\n%s\n", substr($$0, 8)} \
		/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# ---- the pipeline on this machine

.PHONY: run
run: setup ## from ratings to a published recommender (RATINGS= MOVIES= REGISTRY= ARGS='--preset notebook …')
ifeq ($(RATINGS),)
	@[ -f data/sample/ratings.csv ] || $(BIN)/twotower sample --output data/sample
	@$(BIN)/twotower run --ratings data/sample/ratings.csv --movies data/sample/movies.csv --registry "$(REGISTRY)" $(ARGS)
else
	@$(BIN)/twotower run --ratings "$(RATINGS)" --movies "$(MOVIES)" --registry "$(REGISTRY)" $(ARGS)
endif

.PHONY: pipeline
pipeline: setup ## write the checked-in pipelines/training.yaml anew
	@$(BIN)/twotower compile --output pipelines/training.yaml

.PHONY: docs
docs: setup ## write docs/cli.md and docs/settings.md anew
	@$(BIN)/python docs/cli.py
	@$(BIN)/python docs/settings.py

# ---- set up

.PHONY: setup
setup: $(VENV)/.installed ## create .venv from the lock file

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; \
		sys.exit(None if (3, 11) <= v <= (3, 13) else \
		f"error: $(PYTHON) is Python {v[0]}.{v[1]}; name a Python 3.11 to 3.13: make PYTHON=python3.12 …")'
	@echo "Installing into $(VENV) (a few minutes, 3 GB) …"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test-installed: $(VENV)/.installed requirements-test.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	@touch $@

.PHONY: lock
lock: ## resolve the dependencies again and rewrite the lock files (needs uv; UPDATE='--upgrade-package NAME')
	uv pip compile pyproject.toml $(LOCK_FLAGS) -o requirements.lock
	uv pip compile pyproject.toml $(LOCK_FLAGS) --extra test -o requirements-test.lock
	uv pip compile pyproject.toml $(LOCK_FLAGS) --extra gpu -o requirements-gpu.lock
	@# Every line carries the two platforms of pyproject.toml; without them the files can be read.
	sed -Ei -f requirements.sed requirements.lock requirements-test.lock requirements-gpu.lock
UPDATE ?=
LOCK_FLAGS := $(UPDATE) --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

# ---- tests

# One process more than there are processors: some of the tests wait for servers.
WORKERS ?= $(shell echo $$(( $$(nproc) + 1 )))

.PHONY: test
test: lint $(VENV)/.test-installed ## set up, check the code and pass the tests
	@$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: test-fast
test-fast: $(VENV)/.test-installed ## the tests without TensorFlow and subprocesses (a minute)
	@$(BIN)/pytest --fast --numprocesses $(WORKERS) --dist worksteal

.PHONY: lint
lint: $(VENV)/.test-installed ## ruff, mypy and the import contract
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: test-slow
test-slow: $(VENV)/.test-installed ## kills, races and other long tests
	@$(BIN)/pytest -m slow

.PHONY: test-kills
test-kills: $(VENV)/.test-installed ## kill publishers, rollbacks and prunings at 500 random moments each (KILLS=)
	@TWOTOWER_KILLS=$(KILLS) $(BIN)/pytest -m slow tests/publish/test_kills.py
KILLS ?= 500

.PHONY: test-soak
test-soak: $(VENV)/.test-installed ## 100,000 requests to a server that is killed, stopped and swapped meanwhile (REQUESTS=)
	@TWOTOWER_REQUESTS=$(REQUESTS) $(BIN)/pytest -s -m slow tests/serve/test_soak.py
REQUESTS ?= 100000

.PHONY: fuzz
fuzz: $(VENV)/.test-installed ## 2,000 damaged ratings files, movie tables and times for ingest, and fuzz-registry
	@TWOTOWER_REGISTRIES=$(REGISTRIES) $(BIN)/pytest --numprocesses auto -m campaign

.PHONY: fuzz-registry
fuzz-registry: $(VENV)/.test-installed ## 2,000 damaged registries for every command that reads or writes one (REGISTRIES=)
	@TWOTOWER_REGISTRIES=$(REGISTRIES) $(BIN)/pytest --numprocesses auto -m campaign tests/registry
REGISTRIES ?= 2000

.PHONY: coverage
coverage: $(VENV)/.test-installed ## the tests with line coverage of components and pipelines
	@$(BIN)/coverage erase
	@$(BIN)/pytest --numprocesses auto --dist loadfile --cov=components --cov=pipelines --cov-report=term

.PHONY: mutation
mutation: $(VENV)/.test-installed ## mutate the gate, the metrics and the champion log (ten minutes; installs mutmut)
	@$(BIN)/pip install --quiet mutmut==3.8.1
	@$(BIN)/mutmut run
	@$(BIN)/mutmut results

.PHONY: test-vertex
test-vertex: $(VENV)/.test-installed ## hold the pipeline for Vertex AI to google-cloud-aiplatform's loader (installs it apart)
	@$(PYTHON) -m venv .venv-vertex
	@.venv-vertex/bin/pip install --quiet google-cloud-aiplatform==2.7.0 PyYAML==6.0.4
	@TWOTOWER_VERTEX_PYTHON=$(CURDIR)/.venv-vertex/bin/python $(BIN)/pytest -rs tests/kubeflow/test_vertex.py

.PHONY: test-kserve
test-kserve: $(VENV)/.test-installed ## let KServe's own copier read registries in gs:// and s3:// (installs it apart)
	@$(PYTHON) -m venv --clear .venv-kserve
	@.venv-kserve/bin/pip install --quiet kserve-storage==0.20.0
	@TWOTOWER_KSERVE_PYTHON=$(CURDIR)/.venv-kserve/bin/python $(BIN)/pytest -rs tests/publish/test_kserve.py

.PHONY: test-store
test-store: $(VENV)/.test-installed ## races, kills and storage on a real S3: S3=http://HOST:PORT, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
	@TWOTOWER_TEST_S3=$(S3) TWOTOWER_KILLS=$(KILLS) $(BIN)/pytest -k s3 -m 'slow or not slow' tests/storage tests/publish tests/registry
S3 ?=

# ---- the image

.PHONY: image
image: ## build the image (IMAGE= BASE_IMAGE= GPU=1)
	@docker build --build-arg BASE_IMAGE=$(BASE_IMAGE) --build-arg VERSION=$(VERSION) --build-arg GPU=$(GPU) \
		--build-arg REVISION=$$(git rev-parse --short HEAD) --tag $(IMAGE) .

.PHONY: test-image
test-image: $(VENV)/.test-installed ## build the image and run the components in it (needs a Docker engine)
	@docker image inspect $(BASE_IMAGE) >/dev/null 2>&1 || docker pull --quiet $(BASE_IMAGE)
	@$(MAKE) --no-print-directory image
	@TWOTOWER_TEST_IMAGE=$(IMAGE) $(BIN)/pytest -m image

.PHONY: test-cluster
test-cluster: $(VENV)/.test-installed ## runs, schedules and workers on the Kubeflow of KUBECONFIG and TWOTOWER_HOST
	@TWOTOWER_IMAGE=$${TWOTOWER_IMAGE:-$(IMAGE)} $(BIN)/pytest -m cluster -rs --verbose tests/cluster

# ---- tidy

.PHONY: clean
clean: ## delete what the verbs made here, but not the registry
	rm -rf $(VENV) .venv-vertex .venv-kserve .twotower data/sample build dist *.egg-info
