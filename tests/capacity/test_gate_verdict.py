"""One verdict: every criterion can fail a build, the unknown never passes, worse is never better."""

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moneypath.capacity.figures import Audit, Cost, Figures, Reconciliation, Tally, WindowCounts
from moneypath.capacity.gate_file import GATE_PRECONDITIONS, Gate, Measure
from moneypath.capacity.histogram import Histogram
from moneypath.capacity.observation import CriterionStatus
from moneypath.capacity.verdict import LOAD_SENSITIVE, GateOutcome, ReleaseVerdict, certain_failure, decide

from .changed_figures import PROMISES, with_counted, with_requests
from .spoiled_figures import BURN, TICKET, UNPOSTED, broken, refuse, slower, take, unread

# More is worse.
ORDER = {GateOutcome.PASSED: 0, GateOutcome.INCONCLUSIVE: 1, GateOutcome.FAILED: 2}


def _judge(figures: Figures, gate: Gate) -> ReleaseVerdict:
    return decide(figures, gate, PROMISES, build="refpay.app")


def test_a_good_run_passes(good: Figures, gate: Gate) -> None:
    """Every measure is met, and the exit code is 0."""
    verdict = _judge(good, gate)
    assert verdict.outcome is GateOutcome.PASSED, verdict.summary
    assert verdict.exit_code == 0
    assert {result.status for result in verdict.results} == {CriterionStatus.MET}
    assert [result.measure for result in verdict.results] == list(Measure)


@pytest.mark.parametrize("measure", list(Measure))
def test_each_broken_measure_keeps_the_build_from_passing(
    good: Figures, gate: Gate, measure: Measure
) -> None:
    """Just over its limit, and it alone is named; what is of the gate itself is inconclusive."""
    verdict = _judge(broken(good)[measure], gate)
    expected = [measure, Measure.RATE] if measure is Measure.MACHINE else [measure]
    assert [result.measure for result in verdict.broken] == expected
    of_the_gate = measure in GATE_PRECONDITIONS
    assert verdict.outcome is (GateOutcome.INCONCLUSIVE if of_the_gate else GateOutcome.FAILED)
    assert verdict.exit_code == (3 if of_the_gate else 1)
    assert measure in verdict.summary


@pytest.mark.parametrize("measure", list(Measure))
def test_the_unknown_never_passes(good: Figures, gate: Gate, measure: Measure) -> None:
    """What could not be read, or was never counted, fails by its name."""
    for figures in unread(good)[measure]:
        verdict = _judge(figures, gate)
        assert verdict.outcome is GateOutcome.FAILED, figures
        assert measure in [result.measure for result in verdict.broken]


@pytest.mark.parametrize("measure", list(Measure))
def test_an_optional_measure_is_reported_when_unknown_and_fails_when_broken(
    good: Figures, lenient: Gate, measure: Measure
) -> None:
    """Optional says that it may be missing, not that it may be bad."""
    status = {f.measure: f.status for f in _judge(unread(good)[measure][0], lenient).results}[measure]
    assert status is (CriterionStatus.UNMEASURED if measure in lenient.optional else CriterionStatus.UNKNOWN)
    assert _judge(broken(good)[measure], lenient).outcome is not GateOutcome.PASSED


def test_a_drain_that_took_too_long_is_broken(good: Figures, gate: Gate) -> None:
    """However it ended."""
    verdict = _judge(replace(good, drain_seconds=gate.drain + 0.1), gate)
    assert [result.measure for result in verdict.broken] == [Measure.DRAIN]


def test_a_broken_promise_outranks_a_rate_that_was_not_reached(good: Figures, gate: Gate) -> None:
    """A lost posting is lost at any rate."""
    figures = replace(broken(good)[Measure.ORACLE], checkouts=1)
    assert _judge(figures, gate).outcome is GateOutcome.FAILED


def test_a_warning_is_listed_and_does_not_fail(good: Figures, gate: Gate) -> None:
    """Only what pages at once keeps a build back."""
    verdict = _judge(with_counted(good, alerts=(TICKET,)), gate)
    assert verdict.outcome is GateOutcome.PASSED
    assert any(TICKET.name in detail for result in verdict.results for detail in result.details)


def test_a_run_that_ended_early_failed_and_is_not_held_against_the_rate(good: Figures, gate: Gate) -> None:
    """Even if the figures recovered meanwhile: a certain failure stays one."""
    verdict = decide(replace(good, checkouts=1), gate, PROMISES, build="b", ended_early="alert")
    assert verdict.outcome is GateOutcome.FAILED
    assert Measure.RATE not in [result.measure for result in verdict.results]
    assert (verdict.title, verdict.build, verdict.ended_early) == (gate.title, "b", "alert")


@pytest.mark.parametrize("measure", sorted({*Measure} - GATE_PRECONDITIONS))
def test_other_work_on_the_machine_excuses_speed_and_never_integrity(
    good: Figures, gate: Gate, measure: Measure
) -> None:
    """Never a pass; but slow is inconclusive then, and lost is lost."""
    verdict = _judge(replace(broken(good)[measure], others_share=0.5), gate)
    excused = measure in LOAD_SENSITIVE or measure is Measure.ALERTS
    assert verdict.outcome is (GateOutcome.INCONCLUSIVE if excused else GateOutcome.FAILED)


def test_promises_kept_on_a_busy_machine_are_kept(good: Figures, gate: Gate) -> None:
    """It would have been easier on a quiet one."""
    verdict = _judge(replace(good, others_share=0.9), gate)
    assert verdict.outcome is GateOutcome.PASSED
    assert verdict.results[0].seen == "90% used by others, and every objective was kept"
    assert {result.status for result in verdict.results} == {CriterionStatus.MET}
    assert verdict.results[1:] == _judge(good, gate).results[1:]


def test_an_alert_of_a_check_fails_on_a_busy_machine_too(good: Figures, gate: Gate) -> None:
    """Its series has to be 0 however slow the machine is."""
    figures = replace(with_counted(good, alerts=(BURN, UNPOSTED)), others_share=0.5)
    assert _judge(figures, gate).outcome is GateOutcome.FAILED
    assert UNPOSTED.name in certain_failure(figures.counted, gate, PROMISES, disturbed=True)
    for changes in ({"alerts": (BURN,)}, {"latency": slower(good, 0.5)}):
        only_slow = with_counted(good, **changes).counted
        assert certain_failure(only_slow, gate, PROMISES, disturbed=True) == ""
        assert certain_failure(only_slow, gate, PROMISES) != ""


COUNTS = st.floats(0, 20_000)


@given(bad=COUNTS, more=COUNTS, field=st.sampled_from(("authorizations", "ledger_writes", "probe")))
def test_more_bad_events_never_turn_a_failure_into_a_pass(
    good: Figures, gate: Gate, bad: float, more: float, field: str
) -> None:
    """At the same number of events."""
    verdicts = [
        _judge(with_counted(good, **{field: Tally(20_000, min(20_000, each))}), gate)
        for each in (bad, bad + more)
    ]
    assert ORDER[verdicts[0].outcome] <= ORDER[verdicts[1].outcome]


@given(slow=st.floats(0, 1), more=st.floats(0, 1))
def test_slower_never_turns_a_failure_into_a_pass(
    good: Figures, gate: Gate, slow: float, more: float
) -> None:
    """A larger share beyond the limit is worse or the same."""
    verdicts = [
        _judge(with_counted(good, latency=slower(good, min(1.0, each))), gate) for each in (slow, slow + more)
    ]
    assert ORDER[verdicts[0].outcome] <= ORDER[verdicts[1].outcome]


@given(
    lag=st.floats(0, 100),
    breaks=st.integers(0, 3),
    cost=st.floats(1, 2e7),
    drain=st.floats(0, 90),
    alerts=st.integers(0, 2),
    lost=st.integers(0, 2),
    more=st.floats(1, 3),
)
def test_worse_numbers_never_turn_a_failure_into_a_pass(
    good: Figures,
    gate: Gate,
    lag: float,
    breaks: int,
    cost: float,
    drain: float,
    alerts: int,
    lost: int,
    more: float,
) -> None:
    """All other measures at a time, each the same or worse."""

    def at(factor: float) -> ReleaseVerdict:
        kinds = {"acknowledged_lost": math.ceil(lost * factor)} if lost else {}
        figures = with_counted(
            good, cost=Cost(cost * factor, 1.0), alerts=(BURN,) * math.ceil(alerts * factor)
        )
        return _judge(
            replace(
                figures,
                reconciliation=Reconciliation(lag * factor, breaks * factor),
                drain_seconds=drain * factor,
                audit=Audit(10_000, kinds, (), ()),
            ),
            gate,
        )

    assert ORDER[at(1.0).outcome] <= ORDER[at(more).outcome]


def test_nothing_read_at_all_fails(good: Figures, gate: Gate, lenient: Gate) -> None:
    """Whatever is optional."""
    for each in (gate, lenient):
        assert _judge(Figures(good.window, WindowCounts()), each).outcome is GateOutcome.FAILED


def test_a_good_run_is_never_ended_early(good: Figures, gate: Gate) -> None:
    """A warning, and a budget that is not yet spent, are no reason."""
    bad = gate.planned_checkouts * 0.001
    fine = with_counted(good, alerts=(TICKET,), authorizations=Tally(10_000, bad)).counted
    assert certain_failure(fine, gate, PROMISES) == ""
    assert certain_failure(WindowCounts(), gate, PROMISES) == ""


def test_nothing_counted_spends_no_budget_however_small(good: Figures, gate: Gate) -> None:
    """What is not known yet ends no run, and a budget that is spent exactly is kept."""
    limits = gate.limits.model_copy(
        update={"refused_at_most_ratio": Decimal(0), "unanswered_at_most_ratio": Decimal(0)}
    )
    strict = gate.model_copy(update={"limits": limits})
    faultless = replace(
        PROMISES,
        **{
            name: getattr(PROMISES, name).model_copy(update={"objective": Decimal(1)})
            for name in ("availability", "latency", "ledger_writes")
        },
    )
    for counted, client in ((WindowCounts(), None), (good.counted, good.client)):
        assert certain_failure(counted, strict, faultless, client=client) == ""


def test_a_budget_is_that_of_the_whole_window(good: Figures, gate: Gate) -> None:
    """Two ledger writes a checkout, and one request without an answer is no reason to end a run."""
    for bad, ends in ((22, False), (23, True)):
        counted = with_counted(good, ledger_writes=Tally(10_000, bad)).counted
        assert bool(certain_failure(counted, gate, PROMISES)) is ends
    one = with_requests(good, take(3.5), every=2000).client
    assert certain_failure(good.counted, gate, PROMISES, client=one) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alerts": (TICKET, BURN)}, BURN.name),
        ({"probe": Tally(10, 1)}, "missing"),
        ({"authorizations": Tally(10_000, 12)}, "bad authorizations"),
        ({"ledger_writes": Tally(10_000, 23)}, "bad ledger writes"),
        ({"latency": Histogram({1.0: 0.0, math.inf: 120.0})}, "authorizations over 1 s"),
    ],
)
def test_a_certain_failure_ends_the_run_and_is_one(
    good: Figures, gate: Gate, changes: dict[str, object], words: str
) -> None:
    """The reason is named; and judged over the whole planned window, the build could not have passed."""
    counted = with_counted(good, **changes).counted
    assert words in certain_failure(counted, gate, PROMISES)
    assert _judge(replace(good, counted=counted), gate).outcome is GateOutcome.FAILED


def test_clients_end_a_run_when_the_build_can_no_longer_pass(good: Figures, gate: Gate) -> None:
    """Refused customers at any time, hangs and failures only while nothing else disturbs the machine."""
    for change, words, excused in (
        (refuse, "refused requests", False),
        (take(3.5), "requests without a good answer", True),
        (lambda each: replace(each, outcome="failed"), "requests without a good answer", True),
    ):
        client = with_requests(good, change, every=20).client
        assert words in certain_failure(good.counted, gate, PROMISES, client=client)
        disturbed = certain_failure(good.counted, gate, PROMISES, client=client, disturbed=True)
        assert bool(disturbed) is not excused
    few = with_requests(good, refuse, every=60).client
    assert certain_failure(good.counted, gate, PROMISES, client=few) == ""


@given(bad=st.floats(0, 50), rest=st.floats(0, 20_000))
def test_what_ends_a_run_early_could_not_have_passed_later(
    good: Figures, gate: Gate, bad: float, rest: float
) -> None:
    """Whatever else comes, within what the load generator can send at all."""
    so_far = with_counted(good, authorizations=Tally(max(bad, 1000), bad))
    if certain_failure(so_far.counted, gate, PROMISES):
        valid = min(max(bad, 1000) + rest, gate.planned_checkouts)
        assert (
            _judge(with_counted(so_far, authorizations=Tally(valid, bad)), gate).outcome is GateOutcome.FAILED
        )
