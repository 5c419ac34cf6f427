"""What a query returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of an instant query."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels, and its samples as Unix seconds and value, ascending in time."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]
