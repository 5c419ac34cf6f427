"""The queries of the pages on the real promtool: they say what their titles claim."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from moneypath.runbooks import load
from moneypath.runbooks.placeholders import fill
from moneypath.stack.binaries import find

FOLDER = Path(__file__).parents[2] / "runbooks"
PAGES = sorted(FOLDER.glob("*.md"))
RATIO = 'provider:authorization_bad:ratio_rate5m{{provider="{}"}}'
VALID = 'provider:authorization_valid:increase5m{provider="north"}'
UNPOSTED = 'moneypath_captures_without_posting{provider="north"}'
UNBALANCED = 'moneypath_ledger_unbalanced_entries{{currency="{}"}}'
CHECKED = 'moneypath_check_last_success_timestamp_seconds{check="ledger_balance"}'
FIRING = 'ALERTS{{alertname="MoneyPathAuthorizationHardDown",alertstate="firing",provider="{}"}}'
ROUTED = 'moneypath_provider_routing_active{{provider="{}"}}'

# North is sick, south is well, both are routed, the ledger is whole and was checked this second.
STATE = {
    RATIO.format("north"): "0.2",
    RATIO.format("south"): "0",
    VALID: "50",
    ROUTED.format("north"): "1",
    ROUTED.format("south"): "1",
    UNBALANCED.format("EUR"): "0",
    UNBALANCED.format("JPY"): "0",
    UNPOSTED: "0",
    CHECKED: "0+1",
}

# Step, what is different, and the one value that its query then has; None is no sample.
CASES: dict[str, tuple[str, dict[str, str], float | None]] = {
    "south can take over": ("another-provider-is-healthy", {}, 1),
    "south is sick too": ("another-provider-is-healthy", {RATIO.format("south"): "0.5"}, None),
    "south is drained": ("another-provider-is-healthy", {ROUTED.format("south"): "0"}, None),
    "south has no traffic": ("another-provider-is-healthy", {RATIO.format("south"): ""}, None),
    "evidence of health": ("alert-resolved-with-traffic", {RATIO.format("north"): "0"}, 0),
    "alert of another provider": ("alert-resolved-with-traffic", {FIRING.format("south"): "1"}, 0.2),
    "alert still fires": ("alert-resolved-with-traffic", {FIRING.format("north"): "1"}, None),
    "too little traffic": ("alert-resolved-with-traffic", {VALID: "4"}, None),
    "whole": ("ledger-is-whole", {}, 0),
    "one entry in one currency": ("ledger-is-whole", {UNBALANCED.format("JPY"): "1"}, 1),
    "a capture without posting": ("ledger-is-whole", {UNPOSTED: "1"}, 1),
    "the check is old": ("ledger-is-whole", {CHECKED: "0"}, None),
    "the gauge is gone": ("ledger-is-whole", {UNPOSTED: ""}, None),
}


VALUES = {"provider": "north", "queue": "outbox", "currency": "EUR", "alert": "MoneyPathDoubleCharge"}


def queries(file: Path) -> dict[str, str]:
    """Return each query of a page by step, filled in for provider north."""
    return {step.id: fill(step.instruction[0], VALUES) for step in load(file).steps if not step.is_action}


def promtool(folder: Path, document: dict[str, Any], *command: str) -> subprocess.CompletedProcess[str]:
    """Write the document (JSON is YAML) and run promtool on it."""
    file = folder / "document.yml"
    file.write_text(json.dumps(document), encoding="utf-8")
    arguments = [str(find("promtool").path), *command, str(file)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)


def unit_test(query: str, state: dict[str, str], value: float | None, labels: str) -> dict[str, Any]:
    """Return one test of promtool: the state for ten minutes, the query asked after five."""
    series = [{"series": name, "values": f"{values}x600"} for name, values in state.items() if values]
    expected = [] if value is None else [{"labels": labels, "value": value}]
    asked = [{"expr": query, "eval_time": "5m", "exp_samples": expected}]
    return {"interval": "1s", "input_series": series, "promql_expr_test": asked}


@pytest.mark.parametrize("file", PAGES, ids=[file.stem for file in PAGES])
def test_every_query_is_valid_for_the_real_promtool(file: Path, tmp_path: Path) -> None:
    """The parser that the linter uses is not the one that answers at night."""
    rules = [{"record": f"step{n}", "expr": text} for n, text in enumerate(queries(file).values())]
    result = promtool(tmp_path, {"groups": [{"name": "page", "rules": rules}]}, "check", "rules")
    assert result.returncode == 0, result.stderr
    assert f"{len(rules)} rules found" in result.stdout


def test_each_query_answers_as_its_title_says(tmp_path: Path) -> None:
    """Evidence gives a value, and its absence gives none rather than zero."""
    asked = queries(next(file for file in PAGES if file.stem == "partial-provider-outage"))
    tests = []
    for step, change, value in CASES.values():
        labels = RATIO.format("north") if step == "alert-resolved-with-traffic" else "{}"
        tests.append(unit_test(asked[step], {**STATE, **change}, value, labels))
    result = promtool(tmp_path, {"evaluation_interval": "1s", "tests": tests}, "test", "rules")
    assert result.returncode == 0, result.stdout + result.stderr


BREAKS = 'moneypath_reconciliation_breaks{{provider="{}", class="{}"}}'
LAG = 'provider:reconciliation_lag:seconds{{provider="{}"}}'
TIMED = 'moneypath_provider_request_duration_seconds_{}{{provider="{}", operation="authorize"{}}}'
COST = 'moneypath_cost_micro_units_total{{component="provider_fee", provider="{}"}}'
CAPTURED = 'moneypath_payments_total{{operation="capture", outcome="succeeded", provider="{}"}}'
QUIET = {BREAKS.format(name, "amount"): "0+0" for name in ("north", "south")}
LAGS = {LAG.format("north"): "20+0", LAG.format("south"): "2000+0"}
SLOW_NORTH = {
    TIMED.format("bucket", "north", ', le="1.0"'): "0+1",
    TIMED.format("count", "north", ""): "0+4",
    TIMED.format("bucket", "south", ', le="1"'): "0+4",
    TIMED.format("count", "south", ""): "0+4",
}
DEAR_SOUTH = {
    COST.format("north"): "0+3000",
    COST.format("south"): "0+8000",
    CAPTURED.format("north"): "0+1",
    CAPTURED.format("south"): "0+2",
}
# Which provider a page learns: page, what is there, and the one that it has to name, with its value.
LEARNED: dict[str, tuple[str, dict[str, str], tuple[str, float] | None]] = {
    "differences before lateness": (
        "settlement-mismatch",
        {**QUIET, **LAGS, BREAKS.format("north", "amount"): "1+0"},
        ("north", 1000020),
    ),
    "lateness without differences": ("settlement-mismatch", {**QUIET, **LAGS}, ("south", 2000)),
    "lateness without gauges": ("settlement-mismatch", LAGS, None),
    "duplicates": ("double-charge", {**QUIET, BREAKS.format("south", "duplicate"): "2+0"}, ("south", 2)),
    "no duplicates": ("double-charge", {**QUIET, BREAKS.format("south", "amount"): "2+0"}, None),
    "the slow one": ("slow-authorizations", SLOW_NORTH, ("north", 0.75)),
    "the dear one": ("cost-spike", DEAR_SOUTH, ("south", 4000)),
}


def test_a_page_learns_the_right_provider(tmp_path: Path) -> None:
    """The one that is at fault, in a sample that carries its name."""
    tests = []
    for page, state, named in LEARNED.values():
        (step,) = (step for step in load(FOLDER / f"{page}.md").steps if step.bind)
        value = None if named is None else named[1]
        labels = "{}" if named is None else f'{{{step.bind}="{named[0]}"}}'
        tests.append(unit_test(f"round({step.instruction[0]}, 0.01)", state, value, labels))
    result = promtool(tmp_path, {"evaluation_interval": "1s", "tests": tests}, "test", "rules")
    assert result.returncode == 0, result.stdout + result.stderr


VIOLATED = 'moneypath_check_violations{{check="{}"}}'
STAMP = 'moneypath_check_last_success_timestamp_seconds{{check="{}"}}'
CHECKS = ("captures_posted", "ledger_balance", "ledger_durability", "settlement_matched", "single_charge")
# North's reports have twelve differences; our books are whole, and every check was done this second.
DISPUTED = {
    BREAKS.format("north", "amount"): "9+0",
    BREAKS.format("north", "fee"): "3+0",
    BREAKS.format("south", "amount"): "0+0",
    ROUTED.format("south"): "1+0",
    RATIO.format("south"): "0+0",
    **{VIOLATED.format(check): "0+0" for check in CHECKS},
    VIOLATED.format("settlement_matched"): "12+0",
    **{STAMP.format(check): "0+1" for check in CHECKS},
    LAG.format("north"): "20+0",
}
MISMATCH: dict[str, tuple[str, dict[str, str], float | None]] = {
    "it is their report": ("our-books-are-whole", {}, 0),
    "it is ours": ("our-books-are-whole", {VIOLATED.format("captures_posted"): "1+0"}, 1),
    "a lost write is ours": ("our-books-are-whole", {VIOLATED.format("ledger_durability"): "2+0"}, 2),
    "nobody compares": ("our-books-are-whole", {STAMP.format("settlement_matched"): "0+0"}, None),
    "nobody looks at the ledger": ("our-books-are-whole", {STAMP.format("ledger_balance"): "0+0"}, None),
    "twelve, and south is there": ("worth-draining", {}, 12),
    "south is drained": ("worth-draining", {ROUTED.format("south"): "0+0"}, None),
    "south is sick": ("worth-draining", {RATIO.format("south"): "0.2+0"}, None),
    "reconciled": ("reconciled-lately", {}, 20),
    "reconciled, says an old check": ("reconciled-lately", {STAMP.format("settlement_matched"): "0+0"}, None),
}


def test_the_mismatch_page_tells_the_cases_apart(tmp_path: Path) -> None:
    """Theirs, ours or nobody's; and no drain without another provider to go to."""
    asked = queries(next(file for file in PAGES if file.stem == "settlement-mismatch"))
    tests = []
    for step, change, value in MISMATCH.values():
        labels = LAG.format("north") if step == "reconciled-lately" else "{}"
        tests.append(unit_test(asked[step], {**DISPUTED, **change}, value, labels))
    result = promtool(tmp_path, {"evaluation_interval": "1s", "tests": tests}, "test", "rules")
    assert result.returncode == 0, result.stdout + result.stderr


def test_promtool_would_say_so(tmp_path: Path) -> None:
    """The negative twin: a wrong expectation fails, so the test above can."""
    query = queries(next(file for file in PAGES if file.stem == "partial-provider-outage"))["ledger-is-whole"]
    document = {"evaluation_interval": "1s", "tests": [unit_test(query, STATE, 1, "{}")]}
    assert promtool(tmp_path, document, "test", "rules").returncode != 0
