"""Metrics that lie fail the drill, whatever else went well: each sentence names series, witness and count."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from moneypath.drills.scoring import score
from moneypath.incidents.timeline import Kind

from ..compared import altered, compared
from ..story import Story

ALTERED: Final[dict[str, tuple[Mapping[str, Any], str]]] = {
    "failed_payments_dropped": (
        compared(altered("payments live authorize failed or shed", seen=42.0)),
        "metrics lie: payments live authorize failed or shed: 42 counted, expected 60 to 62 by clients",
    ),
    "captures_counted_twice": (
        compared(altered("payments live capture succeeded", seen=1760.0)),
        "metrics lie: payments live capture succeeded: 1760 counted, expected 880 to 890 by ledger",
    ),
    "amounts_times_100": (
        compared(altered("captured EUR", seen=450_000_000.0)),
        "metrics lie: captured EUR: 450000000 counted, expected 4500000 by ledger",
    ),
    "fees_not_counted": (
        compared(altered("fees north", seen=None)),
        "metrics lie: fees north: no series at all, expected 99000000 by ledger",
    ),
    "more_lost_than_a_death_can_lose": (
        compared(altered("attempts north authorize", seen=1_000.0, lost_at_most=10), deaths=1),
        "metrics lie: attempts north authorize: 1000 counted, expected 1020 to 1040 by providers"
        " (10 may be lost with processes that died)",
    ),
    "nothing_compared": (
        compared(reason="not every process answered a scrape"),
        "metrics were not compared: not every process answered a scrape",
    ),
    "fees_left_out": (
        compared() | {"rows": [row for row in compared()["rows"] if row[0] != "fees north"]},
        "metrics were not compared: no witness saw fees",
    ),
}


@pytest.mark.parametrize("name", ALTERED)
def test_metrics_that_lie_fail_the_drill(name: str) -> None:
    """The reason is the lie alone."""
    payload, sentence = ALTERED[name]
    story = Story()
    card = score(story.changed(lambda event: event.kind == Kind.METRICS_COMPARED, lambda _: dict(payload)))
    assert not card.passed
    assert card.score < story.scenario.scoring.pass_at
    assert card.failures == (sentence,)


def test_a_log_without_the_comparison_fails() -> None:
    """Whoever drops the comparison from the log drops the pass."""
    card = score(Story().without(lambda event: event.kind == Kind.METRICS_COMPARED))
    assert card.failures == ("metrics were never compared with clients and books",)


def test_many_lies_are_counted() -> None:
    """Eight are shown and the others counted."""
    row = ["payments live authorize declined", "clients", 1, 1, 0.0, 0]
    payload = compared() | {"rows": [*compared()["rows"], *([row] * 11)]}
    card = score(Story().changed(lambda e: e.kind == Kind.METRICS_COMPARED, lambda _: payload))
    assert len(card.failures) == 9
    assert card.failures[-1] == "metrics lie: 3 more series"


def test_a_loss_within_the_tolerance_is_no_lie() -> None:
    """What a killed process counted after its last scrape is lost with it."""
    lost = altered("attempts north authorize", seen=1_012.0, lost_at_most=10)
    payload = compared(lost, deaths=1)
    assert score(Story().changed(lambda e: e.kind == Kind.METRICS_COMPARED, lambda _: payload)).passed
