# make demo: a study on synthetic speech. make test: the checks of each change, as CI runs them (CONTRIBUTING.md has the
# longest tests, too). make audit: what packages bring along.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test audit install install-dev clean

# Ends a recipe after Ctrl-C without make's "Error 130": the signal to make itself ends it.
CALMLY = || { code=$$?; [ $$code -eq 130 ] || exit $$code; echo 'Run `make $(MAKECMDGOALS)` again to continue.'; kill -INT $$PPID; }

demo: install
	@echo "Tuning a tiny voice on synthetic speech: ten trials, about 3 minutes from here"
	@trap : INT; $(BIN)/smart-tuner optimize --trials 10 $(CALMLY)

test: install-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

audit: install-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/audit

install: .venv/installed-demo
install-dev: .venv/installed-dev

.venv/installed-%: pyproject.toml
	@trap : INT; { $(PYTHON) scripts/install $* && touch $@; } $(CALMLY)

clean:
	rm -rf .venv build workspace
