"""What counters counted between two instants, from raw samples: no extrapolation, and safe over restarts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Samples = Sequence[tuple[float, float]]
"""Unix seconds and value, ascending in time."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series' labels and raw samples."""

    labels: Mapping[str, str]
    samples: Samples


@dataclass(frozen=True, slots=True)
class Window:
    """What is measured, in Unix seconds: the load was asked for from `start` to `asked_until`.

    `end` is later: by then the last request was answered, and every process scraped once more.
    """

    start: float
    asked_until: float
    end: float

    @property
    def asked_seconds(self) -> float:
        """Return for how long the load was asked for."""
        return self.asked_until - self.start


def increase(samples: Samples, start: float, end: float) -> float:
    """Return what one counter counted from `start` to `end`.

    The base is the last sample at or before `start`. A fall is a restart, from 0; so is a series that has
    no sample before `start`, since counters are born at 0.
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
    """Return what all series together counted in the window; None when there is none: unknown, not 0."""
    parts = [increase(each.samples, window.start, window.end) for each in series]
    return math.fsum(parts) if parts else None


def by_label(series: Iterable[Series], label: str) -> dict[str, list[Series]]:
    """Return the series by the value of one label; "" where they have none."""
    groups: dict[str, list[Series]] = {}
    for each in series:
        groups.setdefault(each.labels.get(label, ""), []).append(each)
    return groups
