# `make help` lists the commands.
.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-matrix lint wheel clean install

VENV ?= .venv
# Of the demo: as many seeds as take some 4 minutes on two cores.
SEEDS ?= 12
# How many trainings run at a time (default: as the cores allow), and how many
# threads each of them has.
JOBS ?=
THREADS ?= 1
# The versions that a new environment takes.
CONSTRAINTS ?= requirements/constraints.txt
# Files of requirements/ for what is optional
EXTRAS ?= optional networks deploy
# Of requirements/stacks.cfg (default: all), and where each is built.
STACKS ?=
ENVS ?= work_dirs/stacks
# Test processes; each computes on one core.
WORKERS ?= auto
PYTHON ?= python3.12 python3.13 python3.14 python3.11 python3.10 python3.9 python3 python
# openmmlab or onedl: whose MMEngine, MMPretrain and MMCV a new environment
# has. One that has them keeps them.
LINE ?=

ifeq ($(VENV),active)
  PY := $(shell command -v python || command -v python3)
  ENV := $(shell $(PY) -c 'import sys; print(sys.prefix)')
else
  PY := $(VENV)/bin/python
  ENV := $(VENV)
endif
PIP := $(PY) -m pip --quiet --disable-pip-version-check
# One stamp per clone and line: an environment may serve several clones.
STAMP := $(ENV)/.mmdskd-$(shell pwd | cksum | cut -d ' ' -f 1)$(LINE)

help:
	@echo 'make demo            train teacher, student, KD and DSKD, compare'
	@echo 'make test            run the quick tests'
	@echo 'make test-all        run all tests'
	@echo 'make test-matrix     test each stack of requirements/stacks.cfg'
	@echo 'make lint            run ruff and mypy'
	@echo 'make wheel           build the wheel and the source archive'
	@echo 'make clean           remove what was built, but no run'
	@echo
	@echo 'The first one installs what is needed into .venv. To choose:'
	@echo '  VENV=/path    another folder'
	@echo '  VENV=active   the environment that is active, as it is'
	@echo '  SEEDS=20      how often the demo trains each (default: $(SEEDS))'
	@echo '  JOBS=2        how many trainings of the demo run at a time'
	@echo '                (default: as the cores allow)'
	@echo '  THREADS=2     threads of each of these trainings (default: 1)'
	@echo '  WORKERS=2     how many processes run tests (default: cores)'
	@echo "  STACKS='oldest onedl' which stacks are tested (default: all);"
	@echo '                KEEP=1 keeps their environments and uses them again,'
	@echo '                AGAIN=1 also tests those that have passed'
	@echo '  PYTHON=/path  the interpreter for a new environment (3.9-3.14)'
	@echo '  LINE=onedl    with the packages of OneDL (default: of OpenMMLab)'

demo: install
	@$(PY) tools/demo.py --one-teacher --seeds $(SEEDS) \
		$(if $(JOBS),--jobs $(JOBS)) --threads $(THREADS) \
		--work-dir work_dirs/demo

PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(WORKERS) --dist worksteal

test: install
	@$(PYTEST) -m 'not slow' tests

test-all: install
	@$(PYTEST) tests

# With any Python: each stack has an environment of its own.
test-matrix:
	@for python in $(PYTHON); do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 9))' \
				2> /dev/null; then \
			exec $$python -m tools.stacks $(STACKS) --envs '$(ENVS)' \
				$(if $(KEEP),--keep) $(if $(AGAIN),--again) \
				$(if $(filter-out auto,$(WORKERS)),--workers $(WORKERS)); \
		fi; \
	done; \
	echo 'Needs Python 3.9 or newer, but none of these is: $(PYTHON).'; \
	exit 1

lint: install
	@$(PIP) install -r requirements/lint.txt
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

wheel: install
	@$(PIP) install build twine
	@$(PY) -m build --outdir dist .
	@$(PY) -m twine check --strict dist/*

clean:
	@rm -rf build dist *.egg-info mmdskd/.mim .pytest_cache .mypy_cache .ruff_cache \
		$(STAMP)*
	@find mmdskd configs tools tests -name __pycache__ -prune \
		-exec rm -rf {} +

install: $(STAMP)

$(STAMP): $(wildcard requirements/*.txt) setup.py pyproject.toml | $(PY)
	@echo 'Installing into $(ENV). A new environment takes several GB, most'
	@echo 'of it PyTorch, and some minutes.'
	@$(PIP) install 'pip>=21.3' 'setuptools>=64' wheel
	@has() { $(PIP) show $$1 > /dev/null 2>&1; }; \
	if has onedl-mmengine; then line=onedl; \
	elif has mmengine; then line=openmmlab; fi; \
	wanted=$(or $(LINE),$${line:-openmmlab}); \
	if [ $${line:-$$wanted} != $$wanted ]; then \
		echo "$(ENV) has the packages of $$line, which those of $$wanted" \
			'would overwrite: choose another folder by VENV=/path.'; \
		exit 1; \
	fi; \
	mmcv=''; \
	if [ $$wanted = openmmlab ] && ! has mmcv && ! has mmcv-lite; then \
		mmcv='-r requirements/mminstall.txt'; \
	fi; \
	$(PIP) install -r requirements/$$wanted.txt $$mmcv -c $(CONSTRAINTS) \
		-r requirements/runtime.txt $(EXTRAS:%=-r requirements/%.txt) \
		-r requirements/tests.txt
	@$(PY) -c 'import cv2' 2> /dev/null || { \
		echo 'Replacing opencv-python: it needs libGL, which is missing.'; \
		$(PIP) uninstall --yes opencv-python; \
		$(PIP) install --no-deps opencv-python-headless; \
	}
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(PY) -m mmdskd.doctor
	@touch $@

ifneq ($(VENV),active)
$(PY):
	@for python in $(PYTHON); do \
		if $$python -c 'import ensurepip, sys, venv; sys.exit(not \
				(3, 9) <= sys.version_info[:2] <= (3, 14))' \
				2> /dev/null; then \
			echo "Creating $(VENV) with $$python"; \
			exec $$python -m venv $(VENV); \
		fi; \
	done; \
	echo 'Needs Python 3.9 to 3.14 with its venv module, but none of these' \
		'is: $(PYTHON).'; \
	echo 'On Debian and Ubuntu: apt install python3-venv. Elsewhere, name' \
		'it: make PYTHON=/path/to/python3.12'; \
	exit 1
endif
