"""Resources of a build: what a transaction takes, and how fast levels rise over the window."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Final

from moneypath.capacity.counters import Window

# Fewer do not show a slope, and a slope takes the square of their number in time.
LEAST_SAMPLES: Final = 10
MOST_SAMPLES: Final = 100


@dataclass(frozen=True, slots=True)
class ResourceSample:
    """What the processes of a build use at an instant (Unix seconds); the last two only grow.

    Processor seconds and bytes written are those of its processes and of its database server.
    """

    at: float
    pss_bytes: int
    cpu_seconds: float
    written_bytes: int


def inside(samples: Sequence[ResourceSample], window: Window) -> tuple[ResourceSample, ...]:
    """Return the samples of the time in which load was sent."""
    return tuple(each for each in samples if window.start <= each.at <= window.asked_until)


def growth(samples: Sequence[ResourceSample], level: Callable[[ResourceSample], float]) -> float | None:
    """Return how much a level rose from the first sample to the last, by a robust slope.

    The slope is the median over all pairs (Theil and Sen), which up to 29 % of wild samples cannot move far.
    None for fewer than LEAST_SAMPLES samples.
    """
    step = -(-len(samples) // MOST_SAMPLES) or 1
    chosen = samples[::step]
    if len(chosen) < LEAST_SAMPLES:
        return None
    slopes = [
        (level(later) - level(earlier)) / (later.at - earlier.at)
        for earlier, later in combinations(chosen, 2)
        if later.at > earlier.at
    ]
    return median(slopes) * (samples[-1].at - samples[0].at) if slopes else None


def per_transaction(
    samples: Sequence[ResourceSample], counter: Callable[[ResourceSample], float], rate: float
) -> float | None:
    """Return what one transaction took at `rate` a second; None without samples or transactions."""
    if len(samples) < LEAST_SAMPLES or rate <= 0:
        return None
    first, last = samples[0], samples[-1]
    return (counter(last) - counter(first)) / ((last.at - first.at) * rate)
