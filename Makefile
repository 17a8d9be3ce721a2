# make demo: a study on synthetic speech. make test: every check, as CI runs it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test install install-dev clean

demo: install
	$(BIN)/smart-tuner optimize --trials 10

test: install-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

install: .venv/installed-demo
install-dev: .venv/installed-dev

.venv/installed-%: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, but this is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

clean:
	rm -rf .venv workspace
