# make demo   sets everything up and runs the whole pipeline on the starter data
# make test   sets everything up and runs the tests
# make setup  the part they share; CI adds lint, docs, notebooks, package and slow; see CONTRIBUTING.md
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo

LIBRARIES := libusb-1.0-0 libegl1 libgl1 libgomp1 libx11-6 libvulkan1 mesa-vulkan-drivers
TEST_PROGRAMS := xvfb xdotool imagemagick chromium

.PHONY: demo test slow docs notebooks wheel package coverage lint compat pytorch3d three seats setup setup-dev libraries test-programs clean

demo: setup
	@echo "== the whole pipeline: about eight minutes on two cores, then see $(OUT)/gallery/index.html"
	$(BIN)/pcgen demo --out $(OUT)

test: setup-dev
	@echo "== tests"
	$(BIN)/python -m pytest --durations=15 -n 2 --dist loadfile

# In two processes, as most of these tests start others and wait.
slow: setup-dev test-programs
	@echo "== slow tests"
	$(BIN)/python -m pytest -m "slow and not gpu and not pytorch3d" --durations=15 -n 2 --dist loadfile

docs: $(VENV)/docs
	@echo "== documentation, in build/site/index.html"
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The kernel is the environment's own, whatever the user has installed.
notebooks: setup-dev $(VENV)/notebooks
	@echo "== notebooks"
	JUPYTER_PATH=$(CURDIR)/$(VENV)/share/jupyter $(BIN)/python -m pytest --nbmake notebooks --durations=4

# One file for every machine: nothing in it is compiled.
wheel: $(VENV)/core
	$(BIN)/python -m pip install --quiet -c constraints.txt build
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

package: wheel
	@echo "== wheel and sdist in an empty environment"
	$(PYTHON) tests/environments.py wheel --python $(PYTHON)

# The default tests again, with the lines of pcgen that they run.
coverage: setup-dev
	$(BIN)/python -m pip install --quiet -c constraints.txt pytest-cov
	$(BIN)/python -m pytest --durations=15 --cov=pcgen --cov-report=term:skip-covered

lint: setup-dev
	@echo "== style, types, layers"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Environments of their own, downloads of gigabytes: see tests/environments.py.
compat: libraries
	$(PYTHON) tests/environments.py lowest --python $(PYTHON)
	$(PYTHON) tests/environments.py newest --python $(PYTHON)

pytorch3d: libraries
	$(PYTHON) tests/environments.py pytorch3d --python $(PYTHON)

# What the gallery draws with, bundled from its npm package; needed only for another version of it.
STATIC := pcgen/gallery/static
three:
	npm install --prefix build/three --no-save --silent three@0.187.0 esbuild@0.28.2
	cp pcgen/gallery/three.entry.js build/three/
	cd build/three && node_modules/.bin/esbuild three.entry.js --bundle --minify --format=iife --global-name=THREE --legal-comments=inline --outfile=three.min.js
	cp build/three/three.min.js $(STATIC)/three.min.js
	cp build/three/node_modules/three/LICENSE $(STATIC)/three.LICENSE

# The run that comes with the package; needed only where the recipe changes.
seats: setup
	$(BIN)/pcgen prepare starter --out build/starter
	$(BIN)/pcgen train build/starter --out build/seats --categories seat --budget-minutes 9 --threads 1
	rm -rf pcgen/trained/seats
	$(BIN)/pcgen pack build/seats --out pcgen/trained/seats

setup: libraries $(VENV)/core
setup-dev: setup $(VENV)/dev

$(BIN)/python:
	@echo "== environment in $(VENV)"
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"pcgen needs Python 3.11 or newer, $(PYTHON) is {v.major}.{v.minor}; try: make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "could not make $(VENV); on Debian: apt install python3-venv" >&2; exit 1; }

$(VENV)/core: pyproject.toml constraints.txt | $(BIN)/python
	@echo "== packages: a download of about 1 GB the first time"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/dev: $(VENV)/core
	@echo "== packages for the tests"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/docs: $(VENV)/core
	@echo "== packages for the documentation"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	@touch $@

$(VENV)/notebooks: $(VENV)/core
	@echo "== packages for the notebooks"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[notebooks]'
	@touch $@

# Open3D loads these when imported. Without apt, or without the right to use it, say so and go on.
libraries:
	@$(call install,$(LIBRARIES),system libraries of Open3D,ldconfig -p | grep -q libGL.so.1 && ldconfig -p | grep -q libEGL.so.1 && ldconfig -p | grep -q libusb-1.0.so.0 && ldconfig -p | grep -q libvulkan.so.1 && ldconfig -p | grep -q libgomp.so.1)
	@$(call install,g++,a C++ compiler for KeOps,command -v g++ >/dev/null)

test-programs:
	@$(call install,$(TEST_PROGRAMS),programs that the slow tests drive,command -v Xvfb >/dev/null && command -v chromium >/dev/null && command -v xdotool >/dev/null && command -v import >/dev/null)

define install
if ! { $(3); }; then \
	sudo=; [ $$(id -u) = 0 ] || sudo="sudo -n"; \
	echo "== $(2): $(1)"; \
	{ command -v apt-get >/dev/null && $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -qq -y --no-install-recommends $(1) >/dev/null; } \
	|| echo "   not installed; ask an administrator for: apt install $(1)" >&2; \
fi
endef

clean:
	rm -rf $(VENV) .environments demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage
