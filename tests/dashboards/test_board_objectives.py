"""Panels follow the objectives that are declared: a second, a renamed and a removed one."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from moneypath.alerting import rule_groups
from moneypath.alerting.analysis import known_series, selectors
from moneypath.alerting.business_metrics import business_metrics
from moneypath.dashboards.board import money_path_board
from moneypath.dashboards.model import Board, Panel
from moneypath.dashboards.queries import TimeRange, queries
from moneypath.dashboards.render import lines
from moneypath.path.model import MoneyPath
from moneypath.path.source import parse_yaml

from .conftest import ROOT

CAPTURES: dict[str, Any] = {
    "kind": "latency",
    "id": "capture-latency",
    "title": "Captures are done within five seconds",
    "stage": "capture",
    "histogram": {
        "series": "moneypath_payment_duration_seconds",
        "select": [{"label": "operation", "values": ["capture"]}],
    },
    "threshold_seconds": "5",
    "objective": "0.95",
    "window_days": 30,
    "roles": ["ops"],
    "runbook": "slow-authorizations",
    "dashboard": "money-path",
    "burn": None,
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Return the repository's declaration as plain values."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "moneypath.yaml").read_text(encoding="utf-8"))
    return loaded


def declared(document: dict[str, Any]) -> MoneyPath:
    """Return the declaration of plain values."""
    return parse_yaml(yaml.safe_dump(document, sort_keys=False), MoneyPath, file=Path("moneypath.yaml"))


def changed(document: dict[str, Any], slo: str, **keys: Any) -> MoneyPath:
    """Return the declaration with keys of one objective exchanged."""
    other = copy.deepcopy(document)
    next(each for each in other["slos"] if each["id"] == slo).update(keys)
    return declared(other)


def without(document: dict[str, Any], *slos: str) -> MoneyPath:
    """Return the declaration without some objectives."""
    other = copy.deepcopy(document)
    other["slos"] = [each for each in other["slos"] if each["id"] not in slos]
    return declared(other)


def titled(board: Board, title: str) -> list[Panel]:
    """Return the panels of a title."""
    return [panel for panel in board.panels() if panel.title == title]


def dead_queries(path: MoneyPath) -> list[str]:
    """Return what the board or the business metrics ask that nobody records or exports."""
    known = known_series(path, rule_groups.build(path))
    asked = [query.expr for query in queries(money_path_board(path), TimeRange())]
    asked += [metric.query for metric in business_metrics(path)]
    return [expr for expr in asked for series, _ in selectors(expr) if series not in known]


def test_a_second_latency_objective_has_panels_and_leaves_the_first_alone(document: dict[str, Any]) -> None:
    """Whichever stands first in the file: each has its numbers, its curve and its own limit."""
    for at in (0, len(document["slos"])):
        other = copy.deepcopy(document)
        other["slos"].insert(at, CAPTURES)
        # The first availability objective says which job counts payments: it stays in front of its kind.
        path = declared(other)
        board = money_path_board(path)
        for title, series, limit in (
            ("Authorization latency p95", "path:authorization_latency:p95_5m", 1.0),
            ("Capture latency p95", "path:capture_latency:p95_5m", 5.0),
            ("Capture latency p99", "path:capture_latency:p99_5m", 5.0),
        ):
            (number,) = titled(board, title)
            assert [query.expr for query in number.queries] == [series]
            assert number.steps[-1].value == limit
        (curve,) = titled(board, "Authorization latency")
        assert curve.steps[-1].value == 1.0
        assert 'operation="authorize"' in curve.queries[-1].expr
        (curve,) = titled(board, "Capture latency")
        assert curve.steps[-1].value == 5.0
        assert 'operation="capture"' in curve.queries[-1].expr
        assert dead_queries(path) == []
        assert {"capture_latency_p95", "authorization_latency_p99"} <= {
            each.id for each in business_metrics(path)
        }


@pytest.mark.parametrize(
    ("slo", "name", "title", "metric"),
    [
        ("authorization-latency", "checkout-speed", "Checkout speed p99", "checkout_speed_p99"),
        ("ledger-write-success", "book-keeping", "Book keeping", "book_keeping"),
        ("ledger-durability", "nothing-lost", "Nothing lost", "nothing_lost"),
        ("settlement-accuracy", "reports-agree", "Reports agree", None),
        ("authorization-availability", "auth", "Bad authorizations by provider", None),
    ],
)
def test_a_renamed_objective_takes_its_panels_along(
    document: dict[str, Any], slo: str, name: str, title: str, metric: str | None
) -> None:
    """No panel and no business metric asks for what is recorded no longer."""
    path = changed(document, slo, id=name)
    assert titled(money_path_board(path), title)
    assert dead_queries(path) == []
    if metric:
        assert metric in {each.id for each in business_metrics(path)}


@pytest.mark.parametrize(
    "slos",
    [
        ("authorization-latency",),
        ("ledger-write-success",),
        ("ledger-durability", "settlement-accuracy"),
        ("authorization-latency", "ledger-write-success", "ledger-durability", "settlement-accuracy"),
    ],
)
def test_a_removed_objective_has_no_panel(document: dict[str, Any], slos: tuple[str, ...]) -> None:
    """Nothing is asked that nobody records, and the other panels stay."""
    path = without(document, *slos)
    assert dead_queries(path) == []
    titles = {panel.title for panel in money_path_board(path).panels()}
    assert not titles & {slo.replace("-", " ").capitalize() for slo in slos}
    assert {"Money at risk", "Bad authorizations by provider"} <= titles


def test_a_renamed_guard_takes_its_panels_along(document: dict[str, Any]) -> None:
    """The lag, the cost, the approval and the webhooks are found by what they watch, not by their id."""
    other = copy.deepcopy(document)
    for guard in other["guards"]:
        guard["id"] = f"my_{guard['id']}"
    assert dead_queries(declared(other)) == []


def test_every_objective_of_the_repository_has_a_panel(document: dict[str, Any]) -> None:
    """An objective that nobody sees is not kept."""
    path = declared(document)
    asked = " ".join(query.expr for query in queries(money_path_board(path), TimeRange()))
    for slo in path.slos:
        stem = "authorization_bad" if slo.kind == "availability" else slo.id.replace("-", "_")
        assert f":{stem}:" in asked, slo.id


def test_the_business_metrics_of_the_repository(document: dict[str, Any]) -> None:
    """The queries that drills record."""
    assert {metric.id: metric.query for metric in business_metrics(declared(document))} == {
        "authorization_availability": "1 - max(path:authorization_bad:ratio_rate5m)",
        "authorization_latency_p95": "max(path:authorization_latency:p95_5m)",
        "authorization_latency_p99": "max(path:authorization_latency:p99_5m)",
        "ledger_write_success": "min(path:ledger_write_success:ratio_rate5m)",
        "ledger_durability": "min(path:ledger_durability:ratio_rate5m)",
        "reconciliation_lag": "max(provider:reconciliation_lag:seconds)",
        "reconciliation_breaks": "sum(max by (provider, class) (moneypath_reconciliation_breaks))",
        "cost_per_transaction": "max(path:cost_per_transaction:micro_units_rate5m)",
    }


def test_a_line_of_panels_is_filled_however_many_there_are(document: dict[str, Any]) -> None:
    """The last panel of a line takes what is left."""
    for row in money_path_board(without(document, "ledger-durability")).rows:
        for line in lines(row.panels):
            assert sum(width for _, width in line) == 24
