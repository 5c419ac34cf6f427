"""The four metrics of payments and the drops account for everything that is recorded."""

import math
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from moneypath.telemetry import Catalogue, Recorder, setup
from moneypath.telemetry.catalogue.vocabulary import Cohort, Operation, Outcome, Traffic
from moneypath.telemetry.exposition.samples import MetricSamples
from moneypath.telemetry.recording.handles import LARGEST

PROVIDERS = ("north", "south", "none")


@cache
def catalogue() -> Catalogue:
    """Return a catalogue with two providers."""
    return Catalogue.build(
        {
            "providers": PROVIDERS[:2],
            "currencies": ("EUR",),
            "checks": ("a",),
            "schemes": ("visa",),
            "traffic": ("canary", "drill"),
            "cohorts": ("candidate",),
        }
    )


@dataclass(frozen=True)
class Payment:
    """A payment as a caller may record it, valid or not. Without seconds it has not ended."""

    operation: str
    traffic: str
    cohort: str
    outcome: str
    provider: str
    seconds: float | None
    fee: float

    @property
    def begins(self) -> bool:
        """Return whether its labels allow it to start."""
        return self.operation in [*Operation] and self.traffic in [*Traffic] and self.cohort in [*Cohort]

    @property
    def is_recorded(self) -> bool:
        """Return whether everything but the fee is valid."""
        known = self.begins and self.outcome in [*Outcome] and self.provider in PROVIDERS
        return known and self.seconds is not None and 0 <= self.seconds <= LARGEST


def one_of(*values: str) -> st.SearchStrategy[str]:
    """Draw a declared value, and sometimes an undeclared one."""
    return st.sampled_from([*values, *values, *values, "undeclared"])


numbers = st.floats(0, 30) | st.sampled_from([0.001, 0.25, 10.0, math.nan, math.inf, -1.0, 1e300])
payments = st.builds(
    Payment,
    operation=one_of("authorize", "refund"),
    traffic=one_of("live", "drill"),
    cohort=one_of("control", "candidate"),
    outcome=one_of("succeeded", "failed"),
    provider=one_of(*PROVIDERS),
    seconds=st.none() | numbers,
    fee=st.integers(0, 2**31).map(float) | st.integers(0, 2**31) | st.sampled_from([math.nan, -1, 1e300]),
)


def record(recorder: Recorder, payment: Payment) -> None:
    """Record it with `begin` and `finish`."""
    handle = recorder.begin(payment.operation, payment.traffic, payment.cohort)
    if payment.seconds is not None:
        handle.finish(payment.seconds, payment.outcome, payment.provider, payment.fee)


@given(st.lists(payments, max_size=30))
def test_every_payment_is_counted_once_in_all_metrics_or_dropped(given_payments: list[Payment]) -> None:
    """Count, duration, fee and in-flight agree with what was recorded; the rest is in the drops."""
    recorder = setup(catalogue(), service="api")
    for payment in given_payments:
        record(recorder, payment)
    found = {samples.spec.name: samples for samples in recorder.snapshot()}
    taken = [payment for payment in given_payments if payment.is_recorded]

    counted = Counter((p.operation, p.outcome, p.provider, p.traffic, p.cohort) for p in taken)
    values = found["moneypath_payments_total"].values
    assert {key: value for key, value in values.items() if value} == counted
    assert_durations(found["moneypath_payment_duration_seconds"], taken)

    fees: Counter[str] = Counter()
    for payment in taken:
        if 0 <= payment.fee <= LARGEST:
            fees[payment.provider] += int(payment.fee)
    cost = found["moneypath_cost_micro_units_total"].values
    assert {key[1]: value for key, value in cost.items() if value} == {
        p: fee for p, fee in fees.items() if fee
    }

    started_at = Counter(p.operation for p in given_payments if p.begins and p.seconds is None)
    flights = found["moneypath_payments_in_flight"].values
    assert {key[0]: value for key, value in flights.items() if value} == started_at

    ended = [p for p in given_payments if p.seconds is not None or not p.begins]
    bad_fees = sum(not 0 <= p.fee <= LARGEST for p in taken)
    drops = sum(found["moneypath_telemetry_drops_total"].values.values())
    assert drops == len(ended) - len(taken) + bad_fees


def assert_durations(samples: MetricSamples, taken: list[Payment]) -> None:
    """Assert that each duration is in its bucket and in the sum."""
    edges = samples.spec.buckets
    buckets = Counter((p.operation, p.outcome, bisect_left(edges, p.seconds or 0.0)) for p in taken)
    shown = {
        (*key, place): count
        for key, point in samples.histograms.items()
        for place, count in enumerate(point[1:])
        if count
    }
    assert shown == buckets
    total = sum(point[0] for point in samples.histograms.values())
    assert math.isclose(total, sum(p.seconds or 0.0 for p in taken), abs_tol=1e-9)
