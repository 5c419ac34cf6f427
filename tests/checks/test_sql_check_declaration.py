"""A declared SQL check: what it may say, what is refused with line and key, and what it becomes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moneypath.checks.errors import ChecksUndeclared, QueryUnusable
from moneypath.checks.gauges import RUNS
from moneypath.checks.plan import plan
from moneypath.path.loader import load
from moneypath.path.model import MoneyPath
from moneypath.path.problems import DeclarationInvalid
from moneypath.path.sql_checks import VIOLATIONS, VIOLATIONS_MONEY
from moneypath.telemetry.catalogue.vocabulary import CheckRunOutcome
from moneypath.telemetry.setup import setup

from .declared import DECLARATION, declare
from .foreign import BALANCE_IS_SUM, CAPTURE_WITHOUT_POSTING, STUCK, ZERO_SUM

Refused = Callable[[dict[str, Any]], str]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Return what is said of a check that is refused."""

    def load_refused(sql: dict[str, Any]) -> str:
        with pytest.raises(DeclarationInvalid) as problem:
            load(declare(tmp_path, {"wallet": sql}))
        return str(problem.value).replace(str(tmp_path), "")

    return load_refused


def test_a_check_of_each_kind_becomes_a_plan(tmp_path: Path) -> None:
    """Files are relative to the declaration; checks of one secret share a source, and so a lock."""
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "own.sql").write_text("SELECT 1;\n", encoding="utf-8")
    checks: dict[str, dict[str, Any]] = {
        "entries": {"ready": ZERO_SUM, "rows_max": 5},
        "own": {"query_file": "sql/own.sql", "amount": "none", "dsn_file": "secrets/other"},
        "stuck": {"ready": STUCK, "every_seconds": 30},
    }
    file = declare(tmp_path, checks)
    path = load(file)
    planned = plan(path, file)
    assert [check.series for check in path.checks[-3:]] == [(VIOLATIONS,)] * 3
    first, second = planned.sources
    assert [check.id for check in first.checks] == ["entries", "stuck"]
    assert (second.dsn_file, second.checks[0].statement) == (tmp_path / "secrets/other", "SELECT 1")
    assert first.lock_name != second.lock_name
    assert (first.checks[0].rows_max, first.checks[1].every_seconds) == (5, 30)
    assert planned.exponents == {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "neither query nor ready": (
        {},
        "checks[9].sql: has neither query_file nor ready; allowed: one of query_file, ready",
    ),
    "both": (
        {"query_file": "a.sql", "ready": ZERO_SUM},
        "checks[9].sql: has both query_file and ready; allowed: one of query_file, ready",
    ),
    "stale before it is due": (
        {"ready": ZERO_SUM, "every_seconds": 479, "time_limit_seconds": 1},
        "checks[9].stale_after_seconds: 480 s are not more than every_seconds and time_limit_seconds together"
        "; allowed: more than 480",
    ),
    "nothing in flight": (
        {"ready": {**STUCK, "where": {}}},
        "checks[9].sql.ready.where: does not say which rows are in flight; allowed: a column and values",
    ),
    "no account": (
        {"ready": {**BALANCE_IS_SUM, "movements": {"table": "a", "amount": "b", "currency": "c"}}},
        "checks[9].sql.ready.movements: does not say whose movement a row is; "
        "allowed: account, or source and destination",
    ),
    "half a pair": (
        {"ready": {**BALANCE_IS_SUM, "movements": {"table": "a", "amount": "b", "source": "c"}}},
        "checks[9].sql.ready.movements: does not say whose movement a row is",
    ),
    "account and pair": (
        {
            "ready": {
                **BALANCE_IS_SUM,
                "movements": {"table": "a", "amount": "b", "source": "c", "destination": "d", "account": "e"},
            }
        },
        "checks[9].sql.ready.movements: does not say whose movement a row is",
    ),
    "no currency": (
        {
            "ready": {
                "kind": "balance_is_sum",
                "balances": {"table": "a", "account": "b", "balance": "c"},
                "movements": {"table": "a", "account": "b", "amount": "c"},
            }
        },
        "checks[9].sql.ready: no column holds the currency",
    ),
    "references of other lengths": (
        {
            "ready": {
                **CAPTURE_WITHOUT_POSTING,
                "postings": {"table": "a", "reference": ["b", "c"]},
            }
        },
        "checks[9].sql.ready: the references of captures and postings have not the same number of columns",
    ),
    "another gauge": (
        {"ready": ZERO_SUM, "amount": "cents"},
        'checks[9].sql.amount: "cents": is not an allowed',
    ),
    "an unknown ready check": (
        {"ready": {"kind": "zero_sums"}},
        'checks[9].sql.ready.kind: "zero_sums": is not an allowed value, did you mean "zero_sum"?',
    ),
    "an unknown column": (
        {"ready": {**ZERO_SUM, "amounts": "x"}},
        '"amounts" is an unknown key, did you mean "amount"?',
    ),
    "a missing column": (
        {"ready": {key: value for key, value in ZERO_SUM.items() if key != "amount"}},
        "checks[9].sql.ready.amount: missing key; allowed: the name of a column as the database spells it",
    ),
    "three parts of a table": (
        {"ready": {**ZERO_SUM, "table": ["a", "b", "c"]}},
        "checks[9].sql.ready.table: ",
    ),
    "a password in the declaration": (
        {"dsn": "postgresql://a:open-sesame@b/c", "ready": ZERO_SUM},
        '"dsn" is an unknown key; allowed: amount, dsn_file',
    ),
    "no limit of rows": ({"ready": ZERO_SUM, "rows_max": 0}, "checks[9].sql.rows_max: 0: should be greater"),
    "no time": (
        {"ready": ZERO_SUM, "time_limit_seconds": 0},
        "checks[9].sql.time_limit_seconds: 0: should be",
    ),
}


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_a_contradiction_is_refused_at_its_key(refused: Refused, kind: str) -> None:
    """With the line, what is wrong and what is allowed, and nothing of a secret."""
    sql, said = CONTRADICTIONS[kind]
    found = refused(sql)
    assert said in found
    assert "sesame" not in found


def test_a_check_with_sql_has_the_gauge_of_the_exporter_alone(tmp_path: Path) -> None:
    """Its alert reads what the exporter shows; another series would never be violated."""
    file = declare(tmp_path, {"wallet": {"ready": ZERO_SUM}})
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(VIOLATIONS, "moneypath_duplicate_charges"), encoding="utf-8")
    with pytest.raises(
        DeclarationInvalid, match=rf"checks\[9\].series: is not the gauge .* \[{VIOLATIONS}\]"
    ):
        load(file)


def test_what_cannot_be_planned_is_said(tmp_path: Path) -> None:
    """No check with sql, a query file that is missing, a name that PostgreSQL would cut."""
    with pytest.raises(ChecksUndeclared, match=r"No check in .* has sql"):
        plan(load(DECLARATION), DECLARATION)
    for sql, said in (
        ({"query_file": "missing.sql"}, "cannot be read"),
        ({"ready": {**ZERO_SUM, "amount": "ü" * 40}}, "mapping of the check wallet cannot be written as SQL"),
    ):
        file = declare(tmp_path, {"wallet": sql})
        path: MoneyPath = load(file)
        with pytest.raises(QueryUnusable, match=said):
            plan(path, file)


def test_only_checks_with_sql_have_the_series_of_sql_checks(tmp_path: Path) -> None:
    """A service without any adds none to its scrape; the exporter has every outcome from the first."""
    without, declared = load(DECLARATION), load(declare(tmp_path, {"wallet": {"ready": ZERO_SUM}}))
    for path, checks in ((without, ()), (declared, ("wallet",))):
        catalogue = path.catalogue()
        assert catalogue[VIOLATIONS_MONEY].labels["check"] == checks
        scrape = setup(catalogue, service="shop", shared=False).render().decode()
        lines = [line for line in scrape.splitlines() if line.startswith(f"{RUNS}{{")]
        assert len(lines) == len(checks) * len(CheckRunOutcome)
    assert set(lines) == {f'{RUNS}{{check="wallet",outcome="{outcome}"}} 0.0' for outcome in CheckRunOutcome}
