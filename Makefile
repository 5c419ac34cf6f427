# Every target does its own set-up. `make` alone says what there is.
PYTHON ?= python3
RUN := .venv/bin/python -m
DRILL ?= drills/drill-002-partial-provider-outage.yaml
BUILD ?= refpay.app
SEEDS ?= 10000
RUNS ?= 1
KILLS ?= 100
HELPERS := $(addprefix benchmarks/,measuring.py fastapi_candidates.py telemetry_%.py refpay_authorize_%.py)
SCRIPTS := $(filter-out $(HELPERS),$(wildcard benchmarks/*.py))
.DEFAULT_GOAL := help
.PHONY: simulate help setup demo drill gate prove-gate torture test collector prove explore check generate format bench picture lock

help:  ## Say what there is
	@echo "moneypath: is every unit of money accounted for, and would the right person know?"
	@echo
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup:
	@$(PYTHON) tools/bootstrap.py

demo: setup  ## Start everything, break a provider, watch the page, the runbook and the score (KEEP=1 leaves it running)
	@$(RUN) moneypath demo $(if $(KEEP),--keep)

drill: setup  ## Run one drill on a stack of its own (DRILL=drills/...yaml)
	@$(RUN) moneypath drill run "$(DRILL)"

gate: setup  ## May this build be released? One verdict (BUILD=module that replaces refpay.app, JUNIT=file)
	@$(RUN) moneypath gate --build "$(BUILD)" $(if $(JUNIT),--junit "$(JUNIT)")

prove-gate: setup  ## The good build passes and each bad build fails for its reason, RUNS times
	@.venv/bin/python tools/prove_gate.py --runs "$(RUNS)"

torture: setup  ## SIGKILL API, worker, PostgreSQL and NATS under load, KILLS times; is any money lost or doubled? (SEED=n)
	@$(RUN) torture --kills "$(KILLS)" $(if $(SEED),--seed "$(SEED)")

test: setup  ## Run every test, those against real servers included; the whole stacks one after the other
	@$(RUN) pytest -m "not live and not proof" -n auto --maxprocesses 4
	@$(RUN) pytest -m "live and not proof"

collector: setup  ## Build the real OpenTelemetry Collector (needs Go; minutes, once), check its configuration, test it end to end
	@.venv/bin/python tools/build_collector.py
	@$(RUN) pytest tests/collector

prove: setup  ## Run the slow proofs: every drill must fail when its alert, route, mitigation or ledger is spoilt
	@$(RUN) pytest -m proof

explore: setup  ## Run the property tests with new random examples, five times as many
	@MONEYPATH_EXAMPLES=explore $(RUN) pytest -m "not live and not proof" --hypothesis-show-statistics -q

simulate: setup  ## Seeded histories of crashes and faults on a real PostgreSQL, then every planted bug (SEEDS=n)
	@$(RUN) simulation run --seeds "$(SEEDS)"
	@$(RUN) simulation bugs

check: setup  ## Lint, types, import contracts, dead code, generated files, runbooks
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@.venv/bin/python -c "from importlinter.cli import lint_imports_command as lint; lint()" --no-cache
	@$(RUN) vulture
	@$(RUN) moneypath generate --check
	@.venv/bin/python tools/describe_api.py --check
	@$(RUN) moneypath runbook lint

generate: setup  ## Write what is generated from moneypath.yaml, and docs/api.md from refpay's endpoints
	@$(RUN) moneypath generate
	@.venv/bin/python tools/describe_api.py

format: setup  ## Format and fix what can be fixed by machine
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

bench: setup  ## Measure side by side; prints ratios
	@for script in $(SCRIPTS) benchmarks/telemetry_table.py; do .venv/bin/python "$$script" || exit 1; done

picture: setup  ## Run the demo and save what it showed for the README
	@$(RUN) moneypath demo --svg docs/images/demo.svg

lock: setup  ## Pin what is installed now into constraints.txt; what builds the wheel is never installed, its pins stay
	@kept=$$(grep -E '^(editables|hatchling|trove-classifiers)==' constraints.txt); \
	{ $(RUN) pip freeze --exclude-editable && echo "$$kept"; } | LC_ALL=C sort -fu > constraints.new && \
	mv constraints.new constraints.txt
