# Every target sets up what it needs. `make` alone lists the targets.
PYTHON ?= python3
RUN := .venv/bin/python -m
DRILL ?= drills/drill-002-partial-provider-outage.yaml
BUILD ?= refpay.app
SEEDS ?= 10000
RUNS ?= 1
KILLS ?= 100
HELPERS := $(addprefix benchmarks/,measuring.py loop_clock.py fastapi_candidates.py telemetry_%.py refpay_authorize_%.py)
WORKERS ?= -n auto --maxprocesses 4
PARALLEL := -m "not live and not proof" $(WORKERS)
ONE_BY_ONE := -m "live and not proof"
# Processes that tests start would compile the sources anew each time.
unexport PYTHONDONTWRITEBYTECODE
SCRIPTS := $(filter-out $(HELPERS),$(wildcard benchmarks/*.py))
.DEFAULT_GOAL := help
.PHONY: sbom wheels wallet newest simulate crash-test torture help setup demo drill gate prove-gate prove-long mutation test collector prove attack outages explore check generate format bench picture lines lock test-quick coverage test-live test-parallel test-matrix

help:  ## List the targets
	@echo "moneypath: is every unit of money accounted for, and would the right person know?"
	@echo
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup:
	@$(PYTHON) tools/bootstrap.py

demo: setup  ## Start everything, break a provider, watch the page, the runbook and the score (KEEP=1 leaves it running)
	@$(RUN) moneypath demo $(if $(KEEP),--keep)

drill: setup  ## Run one drill on a stack of its own (DRILL=drills/...yaml; SCALE=1 runs it in production time)
	@$(RUN) moneypath drill run "$(DRILL)" $(if $(SCALE),--scale "$(SCALE)")

gate: setup  ## May this build be released? One verdict (BUILD=module that replaces refpay.app, BASELINE=revision, JUNIT=file)
	@$(RUN) moneypath gate --build "$(BUILD)" $(if $(BASELINE),--baseline "$(BASELINE)") $(if $(JUNIT),--junit "$(JUNIT)")

prove-gate: setup  ## The good build passes and each bad build fails for its reason, RUNS times (ONLY=part of a name)
	@.venv/bin/python tools/prove_gate.py --runs "$(RUNS)" $(if $(ONLY),--only "$(ONLY)") $(if $(CONTINUE),--continue)

crash-test: setup  ## SIGKILL API, worker, PostgreSQL and NATS under load, KILLS times; is any money lost or doubled? (SEED=n)
	@$(RUN) proofs.crash_test --kills "$(KILLS)" $(if $(SEED),--seed "$(SEED)")

torture:
	@echo "make torture is now make crash-test." >&2; exit 2

test: test-parallel test-live  ## Run every test, those against real servers included; the whole stacks one after the other

test-quick: setup  ## Run the tests that start no process and are not heavy, with fewer random examples; two minutes at most
	@MONEYPATH_EXAMPLES=quick $(RUN) pytest -p tests.quick -m "not live and not proof and not heavy" $(WORKERS) -rfE

coverage: setup  ## Run the tests but those of whole stacks, and print the share of src that they ran, processes included
	@$(RUN) coverage erase
	@$(RUN) coverage run -m pytest $(PARALLEL)
	@$(RUN) coverage combine --quiet
	@for package in src/moneypath src/refpay src/acquirers src/refstack; do \
		echo "$$package: $$($(RUN) coverage report --include="$$package/*" --format=total) % of its lines were run"; \
	done
	@echo "All files: $$($(RUN) coverage report --format=total) %; .venv/bin/coverage report --show-missing lists them."

test-live: setup
	@$(RUN) pytest $(ONE_BY_ONE)

test-parallel: setup
	@$(RUN) pytest $(PARALLEL)

test-matrix: setup  ## Run the tests on each of Python 3.11 to 3.14 that is installed, and say which is not
	@.venv/bin/python tools/test_matrix.py

collector: setup  ## Build the real OpenTelemetry Collector (needs Go; minutes, once), check its configuration, test it end to end
	@.venv/bin/python tools/build_collector.py
	@$(RUN) pytest tests/collector

prove: setup  ## Each sabotage of oracle, drills and evidence is caught: a table of what said so; live, within an hour
	@$(RUN) pytest -p tests.proof_table $(WORKERS) $(wildcard tests/*/sabotage)
	@$(RUN) pytest -p tests.proof_table -m "proof and not attack and not outage and not wheels"

attack: setup  ## Attack a real payment service on loopback, within bounds: what it refused, and how payments fared meanwhile
	@$(RUN) pytest -p tests.proof_table -m attack

outages: setup  ## Take each server of a stack away under load, fill its disk too: money, healing, and every page in a table (ONLY=nats)
	@$(RUN) pytest -p tests.outage_table -m outage $(if $(ONLY),-k "$(ONLY)")

prove-long: setup  ## What chance could hide, again and again: drills two at a time, dead actions, the gate (RUNS=20, CONTINUE=1)
	@.venv/bin/python tools/prove_drills.py --runs "$(RUNS)" $(if $(CONTINUE),--continue)
	@for run in $$(seq "$(RUNS)"); do $(RUN) pytest -p tests.proof_table -m proof tests/live -k action_dead || exit 1; done
	@.venv/bin/python tools/prove_gate.py --runs "$(RUNS)" $(if $(CONTINUE),--continue)
	@.venv/bin/python tools/false_verdicts.py

mutation: setup  ## Mutate oracle, fail conditions and verdict; list which mutations no test notices, and why they may (over an hour; ONLY='moneypath.oracle.claims.*' a part)
	@.venv/bin/python tools/mutation.py $(if $(ONLY),--only '$(ONLY)')

explore: setup  ## Run the property tests with new random examples, five times as many
	@MONEYPATH_EXAMPLES=explore $(RUN) pytest -m "not live and not proof" --hypothesis-show-statistics -q

simulate: setup  ## Seeded histories of crashes and faults on a real PostgreSQL, then every planted bug (SEEDS=n)
	@$(RUN) proofs.simulation run --seeds "$(SEEDS)"
	@$(RUN) proofs.simulation bugs

check: setup  ## Lint, types, import contracts, words, dead code, generated files, runbooks
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@.venv/bin/python -c "from importlinter.cli import lint_imports_command as lint; lint()" --no-cache
	@$(RUN) vulture
	@$(RUN) moneypath generate --check
	@.venv/bin/python tools/describe_api.py --check
	@$(RUN) moneypath runbook lint
	@.venv/bin/python tools/check_words.py
	@.venv/bin/codespell
	@.venv/bin/python tools/check_prose.py

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

sbom: setup  ## Write the software bill of materials, sbom.cdx.json: packages with hashes and licences, and the servers
	@.venv/bin/python tools/sbom.py

wallet: setup  ## Install the wheels and the wallet of examples/ outside the repository, and run the wallet's first drill there
	@.venv/bin/python tools/wallet_drill.py $(if $(ONLY),--drill "$(ONLY)")

wheels: setup  ## Build both wheels into dist/, and try them outside the repository: pip, uvx, pipx, the whole demo (some ten minutes)
	@.venv/bin/python tools/wheels.py build
	@$(RUN) pytest -m "wheels or live" tests/wheels

newest: setup  ## Build compose's Prometheus and Alertmanager (needs Go; once, long) and run the tests of monitoring on them
	@.venv/bin/python tools/test_newest.py

lines:  ## Report the lines of each package (SINCE=revision compares)
	@$(PYTHON) tools/count_lines.py $(SINCE)

lock: setup  ## Pin what pyproject.toml and the reference's ask for, with hashes for every supported machine (UPGRADE=all, or a package's name)
	@.venv/bin/python tools/lock.py $(if $(UPGRADE),$(if $(filter all,$(UPGRADE)),--upgrade,--upgrade-package "$(UPGRADE)"))
