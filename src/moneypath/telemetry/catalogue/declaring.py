"""Helpers that declare counters, gauges and histograms with our defaults."""

from collections.abc import Mapping
from enum import StrEnum
from functools import partial

from moneypath.telemetry.catalogue.metric import MetricKind, MetricSpec, Unit

# 1 ms to 10 s in steps of about two, from a local write to a provider's time-out.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)

Vocabulary = Mapping[str, tuple[str, ...]]

counter = partial(MetricSpec, kind=MetricKind.COUNTER, precreate=True)
gauge = partial(MetricSpec, kind=MetricKind.GAUGE)
histogram = partial(MetricSpec, kind=MetricKind.HISTOGRAM, unit=Unit.SECONDS, buckets=LATENCY_BUCKETS)


def values(members: type[StrEnum]) -> tuple[str, ...]:
    """Return the values of an enumeration in their order."""
    return tuple(member.value for member in members)
