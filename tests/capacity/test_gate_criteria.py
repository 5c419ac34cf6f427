"""What each criterion says of a good, a broken and an unread measure, and where exactly its limit lies."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from moneypath.capacity.client import ClientRequest
from moneypath.capacity.counters import Window
from moneypath.capacity.criteria import evaluate_criteria
from moneypath.capacity.figures import (
    MAX_EXAMPLES,
    Comparison,
    Cost,
    Figures,
    FiredAlert,
    Reconciliation,
    Tally,
)
from moneypath.capacity.gate_file import Gate, Measure
from moneypath.capacity.histogram import Histogram
from moneypath.capacity.observation import CriterionResult, CriterionStatus
from moneypath.capacity.permutation import Difference
from moneypath.capacity.resources import ResourceSample

from .changed_figures import (
    MEBIBYTE,
    PROMISES,
    compared,
    one_sample,
    with_counted,
    with_requests,
    with_resources,
)
from .spoiled_figures import BURN, TICKET, broken, grow, refuse, slower, take, unread

MET, BROKEN, UNKNOWN = CriterionStatus.MET, CriterionStatus.BROKEN, CriterionStatus.UNKNOWN
# What is allowed, and what is said when it is kept, when it is broken, and when it is not known.
TOLD: dict[Measure, tuple[str, str, str, tuple[str, ...]]] = {
    Measure.MACHINE: (
        "at most 25% used by others",
        "5% used by others",
        "26% used by others",
        ("could not be read",),
    ),
    Measure.RATE: (
        "at least 95% of 60/s",
        "60.0 checkouts/s = 100.0%",
        "56.4 checkouts/s = 94.0%",
        ("could not be read",),
    ),
    Measure.EVIDENCE: (
        "at least 10000 postings",
        "10000 postings",
        "9999 postings",
        ("could not be read",),
    ),
    Measure.AVAILABILITY: (
        "at least 99.90%",
        "100.000%: 0 bad of 11100 authorizations",
        "99.890%: 11 bad of 10000 authorizations",
        ("could not be read", "nothing was counted"),
    ),
    Measure.AUTHORIZATION_LATENCY: (
        "99% within 1 s",
        "p95 550 ms, p99 910 ms; 100.000% within 1 s",
        "p95 964 ms, p99 1089 ms; 98.990% within 1 s",
        ("could not be read", "nothing was counted", "could not be read"),
    ),
    Measure.CLIENT_LATENCY: (
        "99% within 1 s of when due",
        "p95 40 ms, p99 40 ms; 100.000% within 1 s",
        "p95 40 ms, p99 1010 ms; 98.900% within 1 s",
        ("could not be read", "nothing was counted"),
    ),
    Measure.ANSWERS: (
        "at most 0.10% without a good answer in 3 s",
        "0 took over 3 s, 0 of them unanswered, 0 failed, of 3000 requests",
        "4 took over 3 s, 0 of them unanswered, 0 failed, of 3000 requests",
        ("could not be read", "nothing was counted"),
    ),
    Measure.REFUSALS: (
        "at most 0.10% of valid requests",
        "0 of 3000 refused = 0.00%",
        "4 of 3000 refused = 0.13%",
        ("could not be read", "nothing was counted"),
    ),
    Measure.APPROVALS: (
        "97.0%, give or take 1.25%",
        "2910 of 3000 approved = 97.00%",
        "2850 of 3000 approved = 95.00%",
        ("could not be read", "nothing was counted"),
    ),
    Measure.LEDGER_WRITE_SUCCESS: (
        "at least 99.90%",
        "100.000%: 0 bad of 11100 ledger writes",
        "99.890%: 11 bad of 10000 ledger writes",
        ("could not be read", "nothing was counted"),
    ),
    Measure.LEDGER_DURABILITY: (
        "0 missing",
        "0 of 500 reads found nothing",
        "1 of 500 reads found nothing",
        ("could not be read", "no write was read back"),
    ),
    Measure.ALERTS: (
        "no critical alert, and the watchdog's beat throughout",
        "critical: none; 0 others",
        "critical: MoneyPathAuthorizationBudgetBurn; 1 others",
        ("the watchdog's beat could not be read",),
    ),
    Measure.DRAIN: (
        "within 30 s",
        "0.5 s",
        "1 operation unresolved",
        ("the drain was not awaited",),
    ),
    Measure.ORACLE: (
        "three witnesses agree",
        "whole, over 11100 captures",
        "1 capture_without_posting",
        ("a witness could not be read", "the evidence is incomplete"),
    ),
    Measure.METRICS: (
        "equal to clients, ledger and providers",
        "0 differences",
        "1 differences",
        ("the metrics were not compared",),
    ),
    Measure.RECONCILIATION_LAG: (
        "at most 20 s",
        "4.0 s",
        "20.1 s",
        ("no watermark of every provider",),
    ),
    Measure.RECONCILIATION_BREAKS: (
        "0 open",
        "0 open",
        "1 open",
        ("could not be read", "could not be read"),
    ),
    Measure.COST_PER_TRANSACTION: (
        "at most 4.0000 a captured payment and +2.0%",
        "3.0000 of the reporting currency, +0.0% on the dearest declared fees",
        "4.0000 of the reporting currency, -100.0% on the dearest declared fees",
        (
            "could not be read",
            "nothing was counted",
            "nothing was counted",
            "the fees of what clients captured are not known",
        ),
    ),
    Measure.MEMORY: (
        "at most 48 MiB more over the window",
        "150 to 150 MiB, by its slope +0.0",
        "150 to 199 MiB, by its slope +49.0",
        ("could not be read", "could not be read", "could not be read"),
    ),
    Measure.CONNECTIONS: (
        "at most 30 more after the load than before",
        "80 before, 95 after",
        "80 before, 111 after",
        ("could not be read",),
    ),
    Measure.PROCESSOR_TIME: (
        "at most 40000 us a checkout",
        "10000 us",
        "50000 us",
        ("could not be read", "could not be read", "could not be read"),
    ),
    Measure.BYTES_WRITTEN: (
        "at most 300000 bytes a checkout",
        "10000 bytes",
        "310000 bytes",
        ("could not be read", "could not be read", "could not be read"),
    ),
    Measure.BASELINE: (
        "no measure over 3% worse, at a level of 1.00% for all together",
        "HEAD: not worse, 12 windows of each",
        "HEAD: latency_median +10.0%, 12 windows of each",
        ("no baseline was named",),
    ),
}


def result(measure: Measure, figures: Figures, gate: Gate) -> CriterionResult:
    """Return the result of one measure."""
    (found,) = (each for each in evaluate_criteria(figures, gate, PROMISES) if each.measure is measure)
    return found


@pytest.mark.parametrize("measure", list(Measure))
def test_each_criterion_says_what_was_seen_and_what_is_allowed(
    good: Figures, gate: Gate, measure: Measure
) -> None:
    """In the same words whether it is kept or not; what is unknown is called that, beside what is allowed."""
    allowed, kept, spoiled, unknown = TOLD[measure]
    for figures, status, seen in ((good, MET, kept), (broken(good)[measure], BROKEN, spoiled)):
        found = result(measure, figures, gate)
        assert (found.status, found.seen, found.allowed) == (status, seen, allowed)
    for figures, seen in zip(unread(good)[measure], unknown, strict=True):
        found = result(measure, figures, gate)
        assert (found.status, found.seen) == (UNKNOWN, seen)
        assert allowed.startswith(found.allowed)


def _cost(figures: Figures, micro_units: float, tariff: float) -> Figures:
    captured = figures.checkouts or 0
    counted = with_counted(figures, cost=Cost(micro_units * captured, captured))
    return replace(counted, tariff_micro_units=tariff * captured)


def _approve(figures: Figures, approved: int) -> Figures:
    outcomes = iter(["succeeded"] * approved + ["declined"] * 3000)
    return with_requests(figures, lambda request: replace(request, outcome=next(outcomes)))


@pytest.mark.parametrize(
    ("measure", "change", "status"),
    [
        (Measure.MACHINE, lambda f: replace(f, others_share=0.25), MET),
        (Measure.RATE, lambda f: replace(f, checkouts=10_545), MET),
        (Measure.RATE, lambda f: replace(f, checkouts=10_544), BROKEN),
        (Measure.RATE, lambda f: replace(f, window=Window(1000.0, 1001.0, 1004.0), checkouts=57), MET),
        (Measure.RATE, lambda f: replace(f, window=Window(1000.0, 1000.0, 1003.0)), UNKNOWN),
        (Measure.PROCESSOR_TIME, lambda f: replace(f, window=Window(1000.0, 1000.0, 1003.0)), UNKNOWN),
        (Measure.AVAILABILITY, lambda f: with_counted(f, authorizations=Tally(10_000, 10)), MET),
        (Measure.LEDGER_WRITE_SUCCESS, lambda f: with_counted(f, ledger_writes=Tally(10_000, 10)), MET),
        (Measure.LEDGER_DURABILITY, lambda f: with_counted(f, probe=Tally(1, 0)), MET),
        (Measure.AUTHORIZATION_LATENCY, lambda f: with_counted(f, latency=slower(f, 0.01)), MET),
        (Measure.CLIENT_LATENCY, lambda f: with_requests(f, take(1.01), every=100), MET),
        (Measure.CLIENT_LATENCY, lambda f: with_requests(f, take(1.01), every=99), MET),
        (Measure.CLIENT_LATENCY, lambda f: with_requests(f, take(1.01), every=96), BROKEN),
        (Measure.ANSWERS, lambda f: with_requests(f, take(3.01), every=1000), MET),
        (Measure.ANSWERS, lambda f: with_requests(f, take(3.0), every=10), MET),
        (Measure.REFUSALS, lambda f: with_requests(f, refuse, every=1000), MET),
        (Measure.APPROVALS, lambda f: _approve(f, 2873), MET),
        (Measure.APPROVALS, lambda f: _approve(f, 2872), BROKEN),
        (Measure.APPROVALS, lambda f: _approve(f, 2947), MET),
        (Measure.APPROVALS, lambda f: _approve(f, 2948), BROKEN),
        (Measure.DRAIN, lambda f: replace(f, drain_seconds=30.0), MET),
        (Measure.DRAIN, lambda f: replace(f, drain_seconds=30.1), BROKEN),
        (Measure.RECONCILIATION_LAG, lambda f: replace(f, reconciliation=Reconciliation(20.0, 0.0)), MET),
        (Measure.COST_PER_TRANSACTION, lambda f: _cost(f, 4e6, 4e6), MET),
        (Measure.COST_PER_TRANSACTION, lambda f: _cost(f, 4.01e6, 4.01e6), BROKEN),
        (Measure.COST_PER_TRANSACTION, lambda f: _cost(f, 3.05e6, 3e6), MET),
        (Measure.COST_PER_TRANSACTION, lambda f: _cost(f, 3.07e6, 3e6), BROKEN),
        (Measure.COST_PER_TRANSACTION, lambda f: _cost(f, 3e6, 0.0), UNKNOWN),
        (Measure.COST_PER_TRANSACTION, lambda f: _cost(f, 1e-9, 1e-9), MET),
        (Measure.MEMORY, lambda f: with_resources(f, grow(pss_bytes=47 * MEBIBYTE)), MET),
        (Measure.CONNECTIONS, lambda f: replace(f, connections=(80, 110)), MET),
        (Measure.CONNECTIONS, lambda f: replace(f, connections=(110, 80)), MET),
        (Measure.BYTES_WRITTEN, lambda f: with_resources(f, grow(written_bytes=289_999 * 60 * 185)), MET),
        (Measure.PROCESSOR_TIME, lambda f: with_resources(f, grow(cpu_seconds=0.029_999 * 60 * 185)), MET),
        (Measure.BYTES_WRITTEN, lambda f: with_resources(f, grow(written_bytes=290_000 * 60 * 185)), MET),
        (Measure.PROCESSOR_TIME, lambda f: with_resources(f, grow(cpu_seconds=0.02999997 * 60 * 185)), MET),
        (Measure.PROCESSOR_TIME, lambda f: with_resources(f, grow(cpu_seconds=0.03001 * 60 * 185)), BROKEN),
        (Measure.BASELINE, lambda f: replace(f, comparison=compared(0.0101)), MET),
    ],
)
def test_a_limit_itself_is_allowed_and_what_is_beyond_is_not(
    good: Figures, gate: Gate, measure: Measure, change: Callable[[Figures], Figures], status: CriterionStatus
) -> None:
    """Each limit on both of its sides."""
    assert result(measure, change(good), gate).status is status


def test_a_window_without_length_says_what_would_be_allowed(good: Figures, gate: Gate) -> None:
    """And that nothing could be read, of each measure that is counted by the checkout."""
    figures = replace(good, window=Window(1000.0, 1000.0, 1003.0))
    for measure in (Measure.PROCESSOR_TIME, Measure.BYTES_WRITTEN):
        found = result(measure, figures, gate)
        assert (found.seen, found.allowed) == ("could not be read", TOLD[measure][0])


def test_a_window_of_a_second_is_judged(good: Figures, gate: Gate) -> None:
    """Its samples are what was used, whatever its length."""
    figures = replace(
        good,
        window=Window(1000.0, 1001.0, 1004.0),
        checkouts=60,
        resources=tuple(one_sample(1000.0 + number / 10) for number in range(11)),
    )
    assert result(Measure.PROCESSOR_TIME, figures, gate).seen == "10000 us"


def test_memory_is_told_from_the_first_sample_to_the_last(good: Figures, gate: Gate) -> None:
    """Those at the ends differ from all between them."""

    def at_the_ends(sample: ResourceSample, passed: float) -> ResourceSample:
        return replace(sample, pss_bytes=sample.pss_bytes + {0.0: 10, 1.0: 20}.get(passed, 0) * MEBIBYTE)

    seen = result(Measure.MEMORY, with_resources(good, at_the_ends), gate).seen
    assert seen.startswith("160 to 170 MiB, by its slope ")


def test_a_cost_is_told_in_whole_units_of_the_currency(good: Figures, gate: Gate) -> None:
    """A million micro-units are one, also where there are many."""
    limits = gate.limits.model_copy(update={"cost_per_transaction_micro_units": 5 * 10**12})
    dear = gate.model_copy(update={"limits": limits})
    found = result(Measure.COST_PER_TRANSACTION, _cost(good, 3e12, 3e12), dear)
    assert found.seen.startswith("3000000.0000 of the reporting currency, ")
    assert found.allowed.startswith("at most 5000000.0000 a captured payment ")


@pytest.mark.parametrize(("micro_units", "status"), [(3e12, MET), (3e12 + 1e6, BROKEN)])
def test_a_cost_may_be_as_far_above_the_tariff_as_is_allowed(
    good: Figures, gate: Gate, micro_units: float, status: CriterionStatus
) -> None:
    """And no further."""
    limits = gate.limits.model_copy(
        update={"cost_per_transaction_micro_units": 5 * 10**12, "cost_above_tariff_at_most_ratio": 0.5}
    )
    dear = gate.model_copy(update={"limits": limits})
    assert result(Measure.COST_PER_TRANSACTION, _cost(good, micro_units, 2e12), dear).status == status


def test_a_latency_over_the_last_edge_is_called_so(good: Figures, gate: Gate) -> None:
    """Prometheus knows no number for it."""
    figures = with_counted(good, latency=Histogram({0.1: 94.0, 1.0: 97.0, math.inf: 100.0}))
    assert result(Measure.AUTHORIZATION_LATENCY, figures, gate).seen == (
        "p95 400 ms, p99 over the last edge; 97.000% within 1 s"
    )


@pytest.mark.parametrize(
    ("every", "late", "took", "status"),
    [
        (50, 0.26, 0.04, MET),
        (49, 0.26, 0.04, CriterionStatus.INCONCLUSIVE),
        (2, 0.25, 0.04, MET),
        (2, 0.26, 1.01, BROKEN),
        (2, 1.00, 0.99, CriterionStatus.INCONCLUSIVE),
    ],
)
def test_a_late_schedule_is_inconclusive_unless_answers_were_slow_too(
    good: Figures, gate: Gate, every: int, late: float, took: float, status: CriterionStatus
) -> None:
    """Two in a hundred may be late; what took too long from when it was sent is the build's fault."""

    def sent_late(request: ClientRequest) -> ClientRequest:
        due = float(math.ceil(request.due))
        return replace(request, due=due, sent=due + late, answered=due + late + took)

    figures = with_requests(good, sent_late, every=every)
    found = result(Measure.CLIENT_LATENCY, figures, gate)
    assert found.status is status
    if status is CriterionStatus.INCONCLUSIVE:
        assert found.seen.startswith(
            f"the schedule was not kept, {100 / every:.1f}% were sent over 0.25 s late; "
        )
        assert found.seen.count("from when due: p95") == 1
        assert found.allowed == "99% within 1 s of when due"


def test_alerts_are_named_once_and_listed_with_what_they_are_about(good: Figures, gate: Gate) -> None:
    """Critical ones by name, in order, whatever else fired."""
    down = FiredAlert("MoneyPathAuthorizationHardDown", "critical", "", 3.4)
    found = result(Measure.ALERTS, with_counted(good, alerts=(down, BURN, TICKET, BURN, TICKET)), gate)
    assert found.seen == f"critical: {BURN.name}, {down.name}; 2 others"
    assert found.details[:3] == (
        f"{down.name} (critical) after 3 s",
        f"{BURN.name} (critical, north) after 12 s",
        f"{TICKET.name} (warning) after 12 s",
    )


def test_lies_of_the_metrics_are_counted_and_the_first_are_shown(good: Figures, gate: Gate) -> None:
    """All of them count."""
    lies = tuple(f"lie {number}" for number in range(MAX_EXAMPLES + 2))
    found = result(Measure.METRICS, replace(good, metric_lies=lies), gate)
    assert (found.seen, found.details) == (f"{len(lies)} differences", lies[:MAX_EXAMPLES])


def test_what_the_oracle_found_is_passed_on(good: Figures, gate: Gate) -> None:
    """Kinds with their numbers, examples, and what evidence is missing."""
    assert good.audit is not None
    kinds = {"a_kind": 2, "another_kind": 1}
    spoiled = replace(good.audit, discrepancies=kinds, examples=("a_kind: x", "another_kind: y"))
    found = result(Measure.ORACLE, replace(good, audit=spoiled), gate)
    assert (found.seen, found.details) == ("2 a_kind, 1 another_kind", spoiled.examples)
    missing = replace(good.audit, missing_evidence=("the ledger: 0 captures seen",))
    assert result(Measure.ORACLE, replace(good, audit=missing), gate).details == missing.missing_evidence


def _comparison(build: int, baseline: int, *, found: bool = True) -> Comparison:
    window = {"latency_median": 0.03}
    differences = (Difference("latency_median", 1.1, 0.0001),) if found else ()
    return Comparison("HEAD", (window,) * build, (window,) * baseline, differences)


@pytest.mark.parametrize(
    ("comparison", "status", "seen"),
    [
        (_comparison(0, 0), BROKEN, "HEAD: no window could be compared"),
        (_comparison(0, 12), BROKEN, "HEAD: no window could be compared"),
        (_comparison(12, 12, found=False), BROKEN, "HEAD: no window could be compared"),
        (
            _comparison(1, 12),
            CriterionStatus.INCONCLUSIVE,
            "HEAD: 1 windows of each are too few for any verdict",
        ),
        (
            _comparison(12, 4),
            CriterionStatus.INCONCLUSIVE,
            "HEAD: 4 windows of each are too few for any verdict",
        ),
        (compared(unusable="another machine"), CriterionStatus.INCONCLUSIVE, "HEAD: another machine"),
        (
            compared(sighted=False),
            CriterionStatus.INCONCLUSIVE,
            "HEAD: the windows are too noisy to show 10%",
        ),
        (_comparison(12, 12), BROKEN, "HEAD: latency_median +10.0%, 12 windows of each"),
        (None, CriterionStatus.UNMEASURED, "no baseline was named"),
    ],
)
def test_a_comparison_is_optional_only_where_no_baseline_was_named(
    good: Figures, lenient: Gate, comparison: Comparison | None, status: CriterionStatus, seen: str
) -> None:
    """Whoever names one is told by it, and windows that nobody could compare are no pass."""
    found = result(Measure.BASELINE, replace(good, comparison=comparison), lenient)
    assert (found.status, found.seen, found.allowed) == (status, seen, TOLD[Measure.BASELINE][0])


def test_a_comparison_lists_every_measure(good: Figures, gate: Gate) -> None:
    """With its ratio and its chance; only those that are worse are named in the sentence."""
    differences = (
        Difference("cost", 1.2, 0.001),
        Difference("latency_p95", 1.11, 0.01),
        Difference("m", 0.9, 1.0),
    )
    comparison = replace(compared(), differences=differences)
    found = result(Measure.BASELINE, replace(good, comparison=comparison), gate)
    assert found.seen == "HEAD: cost +20.0%, latency_p95 +11.0%, 12 windows of each"
    assert found.details == (
        "cost +20.0%, by chance 0.10%", "latency_p95 +11.0%, by chance 1.00%", "m -10.0%, by chance 100.00%"
    )  # fmt: skip
    noisy = replace(comparison, differences=differences[2:], sighted=False)
    assert result(Measure.BASELINE, replace(good, comparison=noisy), gate).details == found.details[2:]
