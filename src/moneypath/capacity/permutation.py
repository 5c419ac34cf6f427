"""Compare windows of two builds: a permutation test over the largest statistic of all measures."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Final

# More ways than this to split the windows are sampled, with a seed, so that a verdict can be repeated.
EXACT_SPLITS: Final = 13_000
SAMPLED_SPLITS: Final = 4_999
SEED: Final = 1

WindowMeasures = Mapping[str, float]
"""What one short window measured, by name; above 0, and more is worse."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How a measure of the build compares with the baseline's.

    `ratio` is that of the medians. `chance` is how often windows of one build would show so large a statistic
    in any of the measures.
    """

    measure: str
    ratio: float
    chance: float


def least_chance(windows: int) -> float:
    """Return the smallest chance that so many windows of each build can show."""
    splits = math.comb(2 * windows, windows)
    return 1 / splits if splits <= EXACT_SPLITS else 1 / (SAMPLED_SPLITS + 1)


def compare_windows(
    build: Sequence[WindowMeasures], baseline: Sequence[WindowMeasures], *, margin: float
) -> tuple[Difference, ...]:
    """Return the difference of each measure, the clearest first.

    The question is whether the build is worse by more than `margin`. Each measure's statistic is the rank sum
    of the build's windows, after the margin is taken from them: one wild window moves it by one rank. The
    chance is that of the largest statistic of all measures under a random split of the windows (Westfall and
    Young), so that one level holds for all measures together.
    """
    names = sorted(build[0])
    ranks = {
        name: _ranks([each[name] / (1 + margin) for each in build] + [each[name] for each in baseline])
        for name in names
    }
    seen = {name: sum(ranks[name][: len(build)]) for name in names}
    splits = list(_splits(len(build), len(baseline)))
    table = list(ranks.values())
    largest = [max(sum(map(row.__getitem__, split)) for row in table) for split in splits]
    exact = math.comb(len(build) + len(baseline), len(build)) <= EXACT_SPLITS
    extra = 0 if exact else 1
    found = []
    for name in names:
        as_large = sum(value >= seen[name] for value in largest)
        ratio = _median([each[name] for each in build]) / _median([each[name] for each in baseline])
        found.append(Difference(name, ratio, (as_large + extra) / (len(largest) + extra)))
    return tuple(sorted(found, key=lambda each: (each.chance, -each.ratio)))


def would_find(
    build: Sequence[WindowMeasures],
    baseline: Sequence[WindowMeasures],
    measure: str,
    *,
    worse: float,
    margin: float,
    level: float,
) -> bool:
    """Return whether the same windows would show a build that is worse by the ratio `worse` in a measure.

    Where they would not, "not worse" says only that the machine was noisy.
    """
    slower = [{**each, measure: each[measure] * (1 + worse)} for each in build]
    found = compare_windows(slower, baseline, margin=margin)
    return any(each.measure == measure and each.chance <= level for each in found)


def _splits(build: int, baseline: int) -> Iterator[Sequence[int]]:
    indexes = range(build + baseline)
    if math.comb(build + baseline, build) <= EXACT_SPLITS:
        yield from combinations(indexes, build)
        return
    draw = Random(SEED)  # noqa: S311 - a test that can be repeated, not a secret
    for _ in range(SAMPLED_SPLITS):
        yield draw.sample(indexes, build)


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value from 1; equal values share the mean of their ranks."""
    ascending = sorted(values)
    first = {value: ascending.index(value) for value in values}
    return [first[value] + (ascending.count(value) + 1) / 2 for value in values]


def _median(values: Sequence[float]) -> float:
    ascending = sorted(values)
    middle = len(ascending) // 2
    return ascending[middle] if len(ascending) % 2 else (ascending[middle - 1] + ascending[middle]) / 2
