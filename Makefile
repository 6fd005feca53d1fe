# Everything a person or CI does with this repository. `make` alone lists the targets.
#
# Stamp files inside .venv and .clients remember what is installed, so a second run costs nothing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := .clients
FUZZ := .fuzz
AUDIT := .audit
PEERS := .peers
FUZZ_S ?= 60
OSV_URL ?=
TARGETS ?= $(patsubst fuzz/targets/%.py,%,$(filter-out %/__init__.py,$(wildcard fuzz/targets/*.py)))
CHROMIUM ?= /usr/bin/chromium
# setuptools warns about every editable installation; the first run should say what matters only
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip --quiet --disable-pip-version-check
ARGS ?=
PYTEST_ARGS ?=
MINUTES ?= 30

.DEFAULT_GOAL := help
.PHONY: help setup demo run test lint types check audit clients browser deploy bench peers soak fuzz corpus image lock sbom clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z-]*:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## make .venv and install kiroproxy into it

demo: $(VENV)/.installed ## start on http://127.0.0.1:8080 in front of a simulated Kiro, no account needed
	@$(BIN)/kiroproxy server --demo $(ARGS)

run: $(VENV)/.installed ## start on your own Kiro sign-in
	@$(BIN)/kiroproxy server $(ARGS)

test: $(VENV)/.developing ## every test but those that need the real clients, a browser, nginx or HAProxy
	$(BIN)/pytest -m "not clients and not browser and not deploy" $(PYTEST_ARGS)

lint: $(VENV)/.developing ## ruff
	$(BIN)/ruff check .

types: $(VENV)/.developing ## mypy --strict
	$(BIN)/mypy

check: lint types test ## lint, types and tests

clients: $(VENV)/.developing $(CLIENTS)/.installed $(CLIENTS)/python/.installed ## Claude Code, Codex, SDKs and others against a real server
	$(BIN)/pytest -m clients $(PYTEST_ARGS)

browser: $(VENV)/.developing ## the dashboard in Chromium (CHROMIUM=path; KIROPROXY_SCREENSHOTS=folder keeps pictures)
	@command -v "$(CHROMIUM)" >/dev/null 2>&1 || { \
	  echo "make: '$(CHROMIUM)' was not found. On Debian or Ubuntu: apt-get install chromium; elsewhere: make browser CHROMIUM=path" >&2; exit 1; }
	CHROMIUM="$(CHROMIUM)" $(BIN)/pytest -m browser $(PYTEST_ARGS)

deploy: $(VENV)/.developing ## the files in deploy/ with the real nginx, HAProxy, promtool and systemd-analyze
	@for tool in nginx haproxy promtool systemd-analyze; do PATH="$$PATH:/usr/sbin:/sbin" command -v $$tool >/dev/null || { \
	  echo "make: '$$tool' was not found. On Debian or Ubuntu: apt-get install nginx-light haproxy prometheus systemd" >&2; exit 1; }; done
	$(BIN)/pytest -m deploy $(PYTEST_ARGS)

bench: $(VENV)/.developing ## microbenchmarks; bench/README.md says how to read them
	$(BIN)/pytest bench --benchmark-only $(PYTEST_ARGS)

peers: $(VENV)/.developing $(PEERS)/.installed ## kiroproxy beside kiro-openai-gateway: speed, size, what clients are told
	$(BIN)/python -m bench.peers --python $(CURDIR)/$(PEERS)/bin/python $(ARGS)

fuzz: $(FUZZ)/.installed ## atheris on every target for FUZZ_S=60 seconds each; TARGETS="frames chat" for some
	@for target in $(TARGETS); do echo "== $$target"; \
	  $(FUZZ)/bin/python -m fuzz.run $$target -max_total_time=$(FUZZ_S) -timeout=20 || exit 1; done

corpus: $(FUZZ)/.installed ## what fuzzing has found and nothing else reaches goes into fuzz/corpus
	$(FUZZ)/bin/python -m fuzz.keep $(TARGETS)

soak: $(VENV)/.developing ## 500 mixed clients with faults for MINUTES=30: nothing lost, memory flat, nothing left open
	$(BIN)/python -m bench.soak --minutes $(MINUTES) $(ARGS)

# OSV_URL: where PyPI cannot be asked, a mirror of the OSV database (https://osv.example.com/v1/query). It knows
# no hashes; pip compares those at each installation.
audit: $(VENV)/.made ## known vulnerabilities of what the image installs (asks PyPI or OSV_URL; fails if it cannot)
	@$(PYTHON) -m venv $(AUDIT)
	@$(BIN)/python -m pip --quiet --disable-pip-version-check --python $(AUDIT)/bin/python install --group audit
	$(AUDIT)/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
	  $(if $(OSV_URL),--vulnerability-service osv --osv-url "$(OSV_URL)") -r requirements.lock -r requirements-build.lock

image: ## build the container image (needs Docker)
	docker build --tag kiroproxy:$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' kiroproxy/__init__.py) --tag kiroproxy:latest .

lock: $(VENV)/.developing ## make requirements.lock anew: the newest packages that pyproject.toml allows
	$(VENV)/bin/python tests/deploy/lock.py

sbom: $(VENV)/.developing ## dist/sbom.cdx.json: what the image installs, as CycloneDX
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.cdx.json requirements.lock

clean: ## remove everything that the targets above made
	rm -rf $(VENV) $(CLIENTS) $(FUZZ) $(AUDIT) $(PEERS) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .coverage
	find kiroproxy tests bench fuzz -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# --- what the targets stand on ------------------------------------------------------------------

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	  echo "make: '$(PYTHON)' was not found. Install Python 3.11 or newer, or name one: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: kiroproxy needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1 | head -n 1). Name another one: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) cannot make virtual environments (ensurepip is missing). On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "making $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@# dependency groups need pip 25.1
	@$(PIP) install --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml
	@echo "installing kiroproxy into $(VENV) …"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.developing: $(VENV)/.installed
	@echo "installing the tools for tests and checks into $(VENV) …"
	@$(PIP) install --editable ".[uvloop]" --group dev
	@touch $@

# Install scripts stay off, but for the one that puts Claude Code's binary in its place.
$(CLIENTS)/.installed: tests/clients/package.json tests/clients/package-lock.json
	@command -v npm >/dev/null 2>&1 || { \
	  echo "make: npm was not found. Install Node.js 20 or newer with npm; a Node 22 for the tests comes with it." >&2; exit 1; }
	mkdir -p $(CLIENTS)
	cp tests/clients/package.json tests/clients/package-lock.json $(CLIENTS)/
	npm ci --prefix $(CLIENTS) --ignore-scripts --no-audit --no-fund --loglevel=error
	node $(CLIENTS)/node_modules/@anthropic-ai/claude-code/install.cjs
	$(CLIENTS)/node_modules/.bin/claude --version
	@touch $@

# LangChain and litellm; the environment is made anew whenever the list changes.
$(CLIENTS)/python/.installed: $(VENV)/.made pyproject.toml
	@echo "installing the Python clients into $(CLIENTS)/python …"
	@$(PYTHON) -m venv --clear $(CLIENTS)/python
	@$(BIN)/python -m pip --quiet --disable-pip-version-check --python $(CLIENTS)/python/bin/python install --group clients
	@touch $@

$(PEERS)/.installed: $(VENV)/.made pyproject.toml
	@echo "installing a peer into $(PEERS) …"
	@$(PYTHON) -m venv --clear $(PEERS)
	@$(BIN)/python -m pip --quiet --disable-pip-version-check --python $(PEERS)/bin/python install --group peers
	@touch $@

$(FUZZ)/.installed: $(VENV)/.made pyproject.toml
	@echo "installing atheris into $(FUZZ) …"
	@$(PYTHON) -m venv --clear $(FUZZ)
	@$(BIN)/python -m pip --quiet --disable-pip-version-check --python $(FUZZ)/bin/python install --editable . --group fuzz
	@touch $@
