# make demo: a study on synthetic speech. make test: every check, as CI runs it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test install install-dev clean

# Ends a recipe that Ctrl-C has stopped without make's "Error 130": make has heard of it, too, and ends after it.
CALMLY = || { code=$$?; [ $$code -eq 130 ] || exit $$code; echo "'make $(MAKECMDGOALS)' goes on from here."; kill -INT $$PPID; }

demo: install
	@echo "Tuning a tiny voice on speech that it makes itself: ten trials, about 5 minutes"
	@trap : INT; $(BIN)/smart-tuner optimize --trials 10 $(CALMLY)

test: install-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

install: .venv/installed-demo
install-dev: .venv/installed-dev

.venv/installed-%: pyproject.toml
	@trap : INT; { $(PYTHON) scripts/install $* && touch $@; } $(CALMLY)

clean:
	rm -rf .venv workspace
