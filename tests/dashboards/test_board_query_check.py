"""Every query of the board on a real Prometheus: a healthy path fills it, and what is missing is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from moneypath.dashboards.model import Board, Panel, PanelKind, Query, Row
from moneypath.dashboards.query_check import BoardQueryCheck, check_queries
from moneypath.errors import MoneypathError
from moneypath.path.model import MoneyPath
from moneypath.prometheus import PrometheusUnreachable
from moneypath.workflows.board import BoardResult, BoardUnproven, check_board, require

from .conftest import END, ROOT, Serve, openmetrics

QUIET = "nothing is wrong"


def of(*queries: Query) -> Board:
    """Return a board of one panel."""
    panel = Panel("Panel", PanelKind.STAT, "meaning", queries, width=4)
    rows = (Row("Row", (panel,)),)
    return Board("uid", "Title", "text", (), Query("vector(1)"), rows, {})


async def proven(board: Board, url: str) -> BoardQueryCheck:
    """Prove a board at the end of the history."""
    return await check_queries(board, url, now=lambda: END)


async def test_a_healthy_path_fills_every_panel(board: Board, healthy: str, serve: Serve) -> None:
    """Every query returns data but those that say why they may be empty, and these all run."""
    async with serve(healthy) as url:
        proof = await proven(board, url)
    assert proof.findings == ()
    marked = sum(bool(query.empty_when) for panel in board.panels() for query in panel.queries)
    assert proof.quiet == marked + 1, "the marked queries and the annotation are empty when all is well"
    assert proof.panels == sum(1 for _ in board.panels())
    assert proof.with_data == proof.asked - proof.quiet


async def test_what_is_quiet_when_all_is_well_shows_trouble(
    board: Board, money_path: MoneyPath, serve: Serve
) -> None:
    """The marked queries are not empty for good: trouble of each kind fills every one of them."""
    trouble = (
        'ALERTS{alertname="MoneyPathDoubleCharge",alertstate="firing",severity="critical"}',
        'moneypath_money_at_risk_minor_units{reason="duplicate_charge",currency="JPY"}',
        'moneypath_indeterminate_oldest_timestamp_seconds{provider="north"}',
        'moneypath_reconciliation_oldest_break_timestamp_seconds{provider="north",class="amount"}',
        'moneypath_reconciliation_break_minor_units{provider="north",class="amount",currency="KWD"}',
        'moneypath_queue_oldest_timestamp_seconds{queue="outbox"}',
        'moneypath_integrity_alert_silence_end_timestamp_seconds{alert="MoneyPathDoubleCharge"}',
        "path:settlement_accuracy:ratio_rate5m",
    )
    gauges = ("moneypath_money_at_risk_minor_units", "moneypath_reconciliation_break_minor_units")
    async with serve(openmetrics(money_path, without=gauges, also=trouble)) as url:
        proof = await proven(board, url)
    assert proof.quiet == 0
    # The other currencies' amounts are gone with the gauges that were replaced, and that is found.
    assert {finding.where.split(",")[0] for finding in proof.findings} == {"panel 201 Money at risk"}


@pytest.mark.parametrize(
    ("missing", "panels"),
    [
        ("provider:reconciliation_lag:seconds", {105, 401}),
        ("moneypath_cost_micro_units_total", {601}),
        ("moneypath_duplicate_charges", {203}),
        ("ALERTS", {108}),
        # The panel says `down` for a target that nobody scrapes: that is data.
        ("up", set()),
    ],
)
async def test_a_series_that_is_gone_is_found(
    missing: str, panels: set[int], board: Board, money_path: MoneyPath, serve: Serve
) -> None:
    """A panel that went blank is named with its query; the others are not."""
    async with serve(openmetrics(money_path, without=(missing,))) as url:
        found = (await proven(board, url)).findings
    assert {int(finding.where.split()[1]) for finding in found} == panels
    assert all(missing in finding.expr and finding.problem == "no data" for finding in found)


async def test_each_way_to_fail_is_told_apart(healthy: str, serve: Serve) -> None:
    """Refused, no number, nothing: findings; where it is marked, nothing is none, but an error is."""
    queries = (
        Query("up", instant=True),
        Query("sum by (", instant=True),
        Query("sum by (", instant=True, empty_when=QUIET),
        Query("0 * up / 0", instant=True),
        Query("absent(up)", instant=True),
        Query("absent(up)", instant=True, empty_when=QUIET),
        Query("up[5m]", instant=False),
        Query("absent(up)[1m:]", instant=True),
    )
    async with serve(healthy) as url:
        proof = await proven(of(*queries), url)
    problems = {finding.where[-1]: finding.problem.split(":")[0] for finding in proof.findings}
    assert problems == {
        "B": "Prometheus refused the query",
        "C": "Prometheus refused the query",
        "D": "no data",
        "E": "no data",
        "G": "Prometheus refused the query",
        "H": "Query returns a matrix, not an instant vector",
    }
    assert proof.quiet == 1


async def test_a_prometheus_that_does_not_answer_is_a_sentence(board: Board) -> None:
    """Nothing listens there; and what listens there may be something else."""
    with pytest.raises(PrometheusUnreachable, match="does not answer"):
        await check_queries(board, "http://127.0.0.1:1")


async def test_the_command_fails_with_the_panels_that_are_blank(
    board: Board, healthy: str, serve: Serve
) -> None:
    """The sentence counts, the error lists; a proof without findings raises nothing."""
    async with serve(healthy) as url:
        # The clock is the real one here, so the history is over and every panel is blank.
        result = await check_board(ROOT, url)
        good = BoardResult(await proven(board, url))
    require(good)
    assert good.sentence.endswith("0 fail")
    assert not result.passed
    with pytest.raises(BoardUnproven) as caught:
        require(result)
    assert "panel 101 Authorization latency p95, query A: no data" in caught.value.what


async def test_a_folder_without_a_declaration_is_a_sentence(tmp_path: Path) -> None:
    """The board follows from the declaration; without one there is none."""
    with pytest.raises(MoneypathError):
        await check_board(tmp_path, "http://127.0.0.1:1")


async def test_an_answer_of_something_else_is_a_finding(
    healthy: str, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is too large, or no answer of Prometheus, is no data either."""
    monkeypatch.setattr("moneypath.dashboards.query_check.MOST_ANSWER_BYTES", 10)
    async with serve(healthy) as url:
        (finding,) = (
            await proven(replace(of(Query("up", instant=True)), annotation=Query("vector(0)")), url)
        ).findings[:1]
    assert "more than 10 bytes" in finding.problem
