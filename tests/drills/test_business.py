"""The business metrics keep the worst of a fault, and never make a number of what is not known."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promql_parser import parse

from moneypath.drills.business import MEASURES, BusinessWatcher, Measure, Phase, read, rows
from moneypath.incidents.events import EventLog
from moneypath.runbooks import Sample

KNOWN = st.floats(min_value=0, max_value=1e9)


class Answers:
    """Answers every query with the values that a test sets."""

    def __init__(self) -> None:
        self.values: dict[str, float | None] = dict.fromkeys((measure.query for measure in MEASURES), 1.0)

    async def __call__(self, promql: str, /) -> Sequence[Sample]:
        value = self.values[promql]
        return [] if value is None else [Sample({}, value)]


def _measure(name: str) -> Measure:
    return next(measure for measure in MEASURES if measure.id == name)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.id)
def test_each_query_is_promql(measure: Measure) -> None:
    """A misspelt query would read as unknown for ever."""
    parse(measure.query)


async def test_what_prometheus_does_not_know_is_none() -> None:
    """No sample and NaN are both unknown; zero is a number."""
    answers = Answers()
    answers.values[_measure("ledger_durability").query] = None
    answers.values[_measure("latency_p99").query] = math.nan
    answers.values[_measure("reconciliation_breaks").query] = 0.0
    values = await read(answers)
    assert values["ledger_durability"] is None
    assert values["latency_p99"] is None
    assert values["reconciliation_breaks"] == 0.0


async def test_during_keeps_the_worst_and_forgets_it_afterwards(tmp_path: Path) -> None:
    """Latency: the highest; write success: the lowest; the next phase begins anew."""
    answers, log = Answers(), EventLog(tmp_path / "events.jsonl")
    watcher = BusinessWatcher(answers, log, currency="EUR")
    await watcher.record(Phase.BEFORE)
    for latency, success in ((3.0, 0.5), (2.0, 0.9)):
        answers.values[_measure("latency_p99").query] = latency
        answers.values[_measure("ledger_write_success").query] = success
        await watcher.look()
    await watcher.record(Phase.DURING)
    await watcher.record(Phase.AFTER)
    log.close()
    found = {row.id: (row.before, row.during, row.after) for row in rows(log.events)}
    assert found["latency_p99"] == (1.0, 3.0, 2.0)
    assert found["ledger_write_success"] == (1.0, 0.5, 0.9)
    assert {row.id: row.currency for row in rows(log.events) if row.currency} == {
        "cost_per_transaction": "EUR"
    }


@given(one=st.none() | KNOWN, other=st.none() | KNOWN)
def test_worse_is_one_of_the_two_and_unknown_only_when_both_are(
    one: float | None, other: float | None
) -> None:
    """For either direction, in either order."""
    for measure in MEASURES:
        worse = measure.worse(one, other)
        assert worse == measure.worse(other, one)
        assert worse in (one, other)
        assert (worse is None) == (one is None and other is None)
