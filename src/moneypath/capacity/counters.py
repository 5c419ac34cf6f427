"""The increase of counters between two instants, from raw samples: exact, and safe over restarts."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from moneypath.prometheus import Series

Samples = Sequence[tuple[float, float]]
"""Unix seconds and value, ascending in time."""


@dataclass(frozen=True, slots=True)
class Window:
    """The measured window, in Unix seconds: load was sent from `start` to `asked_until`.

    At `end`, which is later, the last request has been answered and every process scraped once more.
    """

    start: float
    asked_until: float
    end: float

    @property
    def asked_seconds(self) -> float:
        """Return for how long load was sent."""
        return self.asked_until - self.start


def increase(samples: Samples, start: float, end: float) -> float:
    """Return the increase of one counter from `start` to `end`.

    The base is the last sample at or before `start`. A fall is a restart from 0. A series without a sample
    before `start` begins at 0.
    """
    before = 0.0
    counted = 0.0
    for at, value in samples:
        if at > end:
            break
        if at > start:
            counted += value - before if value >= before else value
        before = value
    return counted


def total(series: Iterable[Series], window: Window) -> float | None:
    """Return the increase of all series together; None (unknown) when there is no series."""
    parts = [increase(each.samples, window.start, window.end) for each in series]
    return math.fsum(parts) if parts else None


def by_label(series: Iterable[Series], label: str) -> dict[str, list[Series]]:
    """Return the series by the value of one label; "" where they have none."""
    groups: dict[str, list[Series]] = {}
    for each in series:
        groups.setdefault(each.labels.get(label, ""), []).append(each)
    return groups
