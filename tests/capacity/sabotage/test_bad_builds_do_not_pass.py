"""What each seeded bad build does to the figures of a good run keeps it from passing, for its own reason.

Builds that lie about money are told by the oracle; here stands what the gate makes of its report.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from tests.proof_table import caught_by

from moneypath.capacity.client import ClientRequest
from moneypath.capacity.figures import Audit, Comparison, Cost, Figures
from moneypath.capacity.gate_file import Gate, Measure
from moneypath.capacity.permutation import compare_windows
from moneypath.capacity.verdict import GateOutcome, decide

from ..changed_figures import MEBIBYTE, PROMISES, with_counted, with_requests, with_resources


def _broken(figures: Figures, gate: Gate) -> set[str]:
    """Return what keeps the build from passing; it has to fail."""
    verdict = decide(figures, gate, PROMISES, build="bad")
    caught_by(f"{result.measure}: {result.seen}, allowed {result.allowed}" for result in verdict.broken)
    assert verdict.outcome is GateOutcome.FAILED, verdict.summary
    assert verdict.exit_code == 1
    return {result.measure for result in verdict.broken}


def test_ten_percent_slower(good: Figures, gate: Gate) -> None:
    """Every limit is kept; the windows of the baseline tell."""
    draw = Random(5)  # noqa: S311 - windows, not a secret
    fast = [{"latency_median": draw.gauss(0.030, 0.0010)} for _ in range(12)]
    slow = [{"latency_median": 1.1 * draw.gauss(0.030, 0.0010)} for _ in range(12)]
    differences = compare_windows(slow, fast, margin=float(gate.baseline.worse_at_most_ratio))
    comparison = Comparison("HEAD", tuple(slow), tuple(fast), differences)
    assert _broken(replace(good, comparison=comparison), gate) == {Measure.BASELINE}


def test_half_a_percent_hangs_for_five_seconds(good: Figures, gate: Gate) -> None:
    """99.5 % within a second keep the objective of 99 %, and the service's own timer may begin after it."""
    assert _broken(with_requests(good, _answered_after(5.0), every=200), gate) == {Measure.ANSWERS}


def test_hangs_without_an_answer_until_the_end(good: Figures, gate: Gate) -> None:
    """A request that is never answered has the age that it has."""

    def never(request: ClientRequest) -> ClientRequest:
        return replace(request, answered=None, outcome="", status_codes=())

    assert _broken(with_requests(good, never, every=200), gate) == {Measure.ANSWERS}


def test_refuses_five_percent_of_valid_customers(good: Figures, gate: Gate) -> None:
    """With 422, which no objective of the service counts."""
    refused = with_requests(good, _refused(422), every=20)
    assert _broken(refused, gate) == {Measure.REFUSALS}


def test_refuses_first_and_accepts_when_asked_again(good: Figures, gate: Gate) -> None:
    """A refusal is one even if a second attempt is served."""

    def twice(request: ClientRequest) -> ClientRequest:
        return replace(request, status_codes=(409, 201))

    assert _broken(with_requests(good, twice, every=20), gate) == {Measure.REFUSALS}


def test_leaks_memory_from_106_to_355_mebibytes(good: Figures, gate: Gate) -> None:
    """Nothing else shows it before the process is killed."""
    leaking = with_resources(
        good, lambda sample, passed: replace(sample, pss_bytes=round((106 + 249 * passed) * MEBIBYTE))
    )
    assert _broken(leaking, gate) == {Measure.MEMORY}


def test_leaks_connections(good: Figures, gate: Gate) -> None:
    """One for every hundred requests, and they stay when nobody needs them."""
    assert _broken(replace(good, connections=(80, 300)), gate) == {Measure.CONNECTIONS}


def test_never_drains(good: Figures, gate: Gate) -> None:
    """Operations stay without an outcome."""
    stuck = replace(good, drain_seconds=None, undrained="11 operations unresolved")
    assert _broken(stuck, gate) == {Measure.DRAIN}


def test_costs_twenty_percent_more(good: Figures, gate: Gate) -> None:
    """Below the limit of a payment, above what any declared provider takes."""
    cost, tariff = good.counted.cost, good.tariff_micro_units
    assert cost is not None
    assert tariff is not None
    # At the mean of two providers, one of which takes 16 % more.
    dearer = with_counted(good, cost=Cost(0.93 * tariff * 1.2, cost.captured))
    assert _broken(dearer, gate) == {Measure.COST_PER_TRANSACTION}
    assert (
        decide(
            with_counted(good, cost=Cost(0.93 * tariff, cost.captured)), gate, PROMISES, build="b"
        ).exit_code
        == 0
    )


@pytest.mark.parametrize(
    "kind", ["capture_without_posting", "reference_charged_twice", "refused_but_charged", "any_other_kind"]
)
def test_moves_money_that_the_witnesses_do_not_agree_on(good: Figures, gate: Gate, kind: str) -> None:
    """Loses a posting in 10,000, charges twice under retry, says no after charging, pays another merchant."""
    lying = replace(good, audit=Audit(10_000, {kind: 1}, (f"{kind}: x",), ()))
    assert _broken(lying, gate) == {Measure.ORACLE}


def test_says_no_after_charging(good: Figures, gate: Gate) -> None:
    """The refusals alone keep it back, whatever the oracle makes of the money."""
    assert _broken(with_requests(good, _refused(409), every=50), gate) == {Measure.REFUSALS}


def test_counts_failures_as_declines(good: Figures, gate: Gate) -> None:
    """The service's metrics are all fine; its clients know better."""

    def fail(request: ClientRequest) -> ClientRequest:
        return replace(request, outcome="failed", status_codes=(502,))

    assert _broken(with_requests(good, fail, every=50), gate) == {Measure.ANSWERS}


def test_counts_too_few_failures_to_be_noticed_otherwise(good: Figures, gate: Gate) -> None:
    """Three in ten thousand break no limit; that the metrics do not show them does."""
    lie = "metrics lie: payments live authorize declined: 3 too many"
    assert _broken(replace(good, metric_lies=(lie,)), gate) == {Measure.METRICS}


def test_declines_one_more_in_a_hundred(good: Figures, gate: Gate) -> None:
    """Valid cards, and an answer that the card holder takes for its own issuer's."""

    def decline(request: ClientRequest) -> ClientRequest:
        return replace(request, outcome="declined")

    assert _broken(with_requests(good, decline, every=60), gate) == {Measure.APPROVALS}


def test_approves_every_card(good: Figures, gate: Gate) -> None:
    """More than the issuers approve is as wrong as less."""
    assert _broken(with_requests(good, lambda each: replace(each, outcome="succeeded")), gate) == {
        Measure.APPROVALS
    }


def test_stops_the_alerts(good: Figures, gate: Gate) -> None:
    """Without the watchdog's beat "no alert" says nothing."""
    assert _broken(with_counted(good, alerts=None), gate) == {Measure.ALERTS}


def test_waits_before_its_own_timer_begins(good: Figures, gate: Gate) -> None:
    """The service's histogram is as fast as ever."""
    assert _broken(with_requests(good, _answered_after(1.5), every=20), gate) == {Measure.CLIENT_LATENCY}


def test_burns_processor_and_disk(good: Figures, gate: Gate) -> None:
    """Ten times what a checkout takes."""
    assert _broken(
        with_resources(
            good,
            lambda sample, _: replace(
                sample, cpu_seconds=10 * sample.cpu_seconds, written_bytes=100 * sample.written_bytes
            ),
        ),
        gate,
    ) == {Measure.PROCESSOR_TIME, Measure.BYTES_WRITTEN}


def _answered_after(seconds: float) -> Callable[[ClientRequest], ClientRequest]:
    return lambda request: replace(request, answered=request.sent + seconds)


def _refused(status: int) -> Callable[[ClientRequest], ClientRequest]:
    return lambda request: replace(request, outcome="rejected", status_codes=(status,))
