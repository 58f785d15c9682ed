# Only make and Python 3.11 or newer are taken for granted; the rest is fetched once.
# Choose another Python with `make clean` and `make PYTHON=python3.13 test`.

PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,\
	$(shell $(python) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $(python))))
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready

comma := ,
# The parts are on this machine, whatever proxy leads out of it.
export NO_PROXY := $(if $(NO_PROXY),$(NO_PROXY)$(comma))127.0.0.1
export no_proxy := $(NO_PROXY)

.PHONY: demo test crashes start parts bench lint clean azurite chromium

demo: $(READY)  ## Export a generated segment end to end: `make demo`, `ROWS=1000000 make demo`
	@$(RUN) -m local.demo

start: $(READY)  ## Keep everything up and print the console's address; ARGS="--port 8080"
	@$(RUN) -m local.start $(ARGS)

parts: $(READY)  ## The same without the app, and a local.settings.json: for `func start`
	@$(RUN) -m local.start --parts-only $(ARGS)

test: lint azurite $(if $(TESTS),$(if $(findstring browser,$(TESTS)),chromium),chromium)  ## All checks and tests; `make test TESTS=tests/unit` for some of them
	@$(RUN) -m pytest -q -n auto --dist loadfile --no-loadscope-reorder $(TESTS)

crashes: $(READY) azurite  ## Kill runs at every outgoing call; `make test` takes a sample
	@EVERY_POINT=1 $(RUN) -m pytest -q tests/crashes tests/runs/test_faults.py

lint: $(READY)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

bench: $(READY) azurite
	@$(RUN) -m bench

azurite: $(READY)
	@$(RUN) -m local.azurite

chromium: $(READY)
	@$(RUN) -m local.chromium

clean:  ## Remove everything that was fetched or built
	@rm -rf $(VENV) .local .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Debian ships Python without ensurepip unless python3-venv is there, so say what to install.
$(READY): requirements.txt requirements-dev.txt
	@if [ -z "$(PYTHON)" ]; then \
	    echo "Python 3.11 or newer is needed and was not found; name it with PYTHON=..." >&2; \
	    exit 1; fi
	@[ -x $(RUN) ] && $(RUN) -m pip --version >/dev/null 2>&1 \
	    || $(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 \
	    || { rm -rf $(VENV); \
	         echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu:" \
	              "apt install python3-venv" >&2; \
	         exit 1; }
	@echo "Installing the requirements into $(VENV), once." >&2
	@$(RUN) -m pip install -qq --disable-pip-version-check --no-warn-script-location \
	    --root-user-action ignore -r requirements.txt -r requirements-dev.txt
	@touch $@
