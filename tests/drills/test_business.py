"""The business metrics keep the worst of a fault, and never make a number of what is not known."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promql_parser import parse

from moneypath.alerting.business_metrics import BusinessMetric, business_metrics
from moneypath.drills.business import LISTED_AS, BusinessWatcher, Phase, failures, listed, read, rows, worse
from moneypath.incidents.events import EventLog
from moneypath.incidents.timeline import Kind
from moneypath.path.loader import FILE_NAME, load
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import LatencySlo
from moneypath.prometheus import Sample

PATH = load(Path(__file__).parents[2] / FILE_NAME)
METRICS = business_metrics(PATH)
KNOWN = st.floats(min_value=0, max_value=1e9)


class Answers:
    """Answers every query with the values that a test sets."""

    def __init__(self) -> None:
        self.values: dict[str, float | None] = dict.fromkeys((metric.query for metric in METRICS), 1.0)

    async def __call__(self, promql: str, /) -> Sequence[Sample]:
        value = self.values[promql]
        return [] if value is None else [Sample({}, value)]


def _metric(name: str) -> BusinessMetric:
    return next(metric for metric in METRICS if metric.id == name)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.id)
def test_each_query_is_promql(metric: BusinessMetric) -> None:
    """A misspelt query would read as unknown for ever."""
    parse(metric.query)


async def test_what_prometheus_does_not_know_is_none() -> None:
    """No sample and NaN are both unknown; zero is a number."""
    answers = Answers()
    answers.values[_metric("ledger_durability").query] = None
    answers.values[_metric("authorization_latency_p99").query] = math.nan
    answers.values[_metric("reconciliation_breaks").query] = 0.0
    values = await read(METRICS, answers)
    assert values["ledger_durability"] is None
    assert values["authorization_latency_p99"] is None
    assert values["reconciliation_breaks"] == 0.0


async def test_during_keeps_the_worst_and_forgets_it_afterwards(tmp_path: Path) -> None:
    """Latency: the highest; write success: the lowest; the next phase begins anew."""
    answers, log = Answers(), EventLog(tmp_path / "events.jsonl")
    log.append(Kind.DRILL_STARTED, "a drill", {LISTED_AS: listed(METRICS)})
    watcher = BusinessWatcher(METRICS, answers, log, currency="EUR")
    await watcher.record(Phase.BEFORE)
    for latency, success in ((3.0, 0.5), (2.0, 0.9)):
        answers.values[_metric("authorization_latency_p99").query] = latency
        answers.values[_metric("ledger_write_success").query] = success
        await watcher.sample()
    await watcher.record(Phase.DURING)
    await watcher.record(Phase.AFTER)
    log.close()
    found = {row.id: (row.before, row.during, row.after) for row in rows(log.events)}
    assert found["authorization_latency_p99"] == (1.0, 3.0, 2.0)
    assert found["ledger_write_success"] == (1.0, 0.5, 0.9)
    assert {row.id: row.currency for row in rows(log.events) if row.currency} == {
        "cost_per_transaction": "EUR"
    }


@given(one=st.none() | KNOWN, other=st.none() | KNOWN)
def test_worse_is_one_of_the_two_and_unknown_only_when_both_are(
    one: float | None, other: float | None
) -> None:
    """For either direction, in either order."""
    for metric in METRICS:
        the_worse = worse(metric, one, other)
        assert the_worse == worse(metric, other, one)
        assert the_worse in (one, other)
        assert (the_worse is None) == (one is None and other is None)


def renamed(path: MoneyPath, objective: str, name: str) -> MoneyPath:
    """Return the declaration with one objective under another name."""
    slos = tuple(slo.model_copy(update={"id": name}) if slo.id == objective else slo for slo in path.slos)
    return path.model_copy(update={"slos": slos})


def test_a_renamed_objective_takes_its_metrics_along() -> None:
    """No query is left that reads a series which no rule records any more."""
    metrics = business_metrics(renamed(PATH, "authorization-latency", "checkout-speed"))
    assert {"checkout_speed_p95", "checkout_speed_p99"} <= {metric.id for metric in metrics}
    assert not [metric for metric in metrics if "authorization_latency" in metric.query]
    assert any(isinstance(slo, LatencySlo) for slo in PATH.slos)


def test_a_log_without_metrics_fails_its_drill(tmp_path: Path) -> None:
    """A drill that measured nothing did not show that the business is well."""
    log = EventLog(tmp_path / "events.jsonl")
    log.append(Kind.DRILL_STARTED, "a drill", {LISTED_AS: []})
    log.close()
    assert list(failures(log.events)) == ["the log lists no business metric"]
