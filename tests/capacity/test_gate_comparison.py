"""The comparison of windows: how often it is wrong about one build, and what it finds."""

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from moneypath.capacity.figures import Comparison, Figures
from moneypath.capacity.gate_file import Gate
from moneypath.capacity.permutation import (
    WindowMeasures,
    _median,
    _ranks,
    compare_windows,
    least_chance,
    would_find,
)
from moneypath.capacity.resources import LEAST_SAMPLES, growth, per_transaction
from moneypath.capacity.verdict import GateOutcome, decide

from .changed_figures import PROMISES, compared, one_sample

WINDOWS = 12
MEASURES = ("bytes_written", "cost", "latency_median", "latency_p95", "processor_time")


def _windows(draw: Random) -> list[WindowMeasures]:
    """Draw 40 windows of one build: noise that all measures share, noise of each, and two that are wild."""
    drawn: list[WindowMeasures] = []
    for number in range(40):
        shared = draw.gauss(0, 0.02)
        wild = 1 + draw.paretovariate(2) if number % 20 == 0 else 1.0
        own = {name: math.exp(shared + draw.gauss(0, 0.015)) for name in MEASURES}
        own["latency_p95"] *= wild * math.exp(draw.gauss(0, 0.05))
        own["latency_median"] *= math.sqrt(wild)
        drawn.append(own)
    return drawn


def _two_of_one_build(
    draw: Random, windows: list[WindowMeasures]
) -> tuple[list[WindowMeasures], list[WindowMeasures]]:
    chosen = draw.sample(windows, 2 * WINDOWS)
    return chosen[:WINDOWS], chosen[WINDOWS:]


def _fails(
    build: Sequence[WindowMeasures], baseline: Sequence[WindowMeasures], gate: Gate, margin: float
) -> bool:
    differences = compare_windows(build, baseline, margin=margin)
    return differences[0].chance <= float(gate.baseline.level)


@pytest.mark.heavy
@pytest.mark.parametrize("margin", [0.0, 0.03])
def test_windows_of_one_build_are_seldom_told_apart(gate: Gate, margin: float) -> None:
    """100 draws from 40 windows of one build, all measures together: at most three false verdicts.

    Also without the margin, which takes differences that do not matter from what is found.
    """
    draw = Random(7)  # noqa: S311 - windows, not a secret
    windows = _windows(draw)
    false = sum(_fails(*_two_of_one_build(draw, windows), gate, margin) for _ in range(100))
    assert false <= 3


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("seed", range(5))
def test_ten_percent_more_is_found_every_time(gate: Gate, measure: str, seed: int) -> None:
    """In whichever measure; the p95 of a short window is so noisy that it takes 25 %."""
    draw = Random(seed)  # noqa: S311 - windows, not a secret
    same, baseline = _two_of_one_build(draw, _windows(draw))
    worse = 1.25 if measure == "latency_p95" else 1.10
    build = [{**each, measure: worse * each[measure]} for each in same]
    differences = compare_windows(build, baseline, margin=float(gate.baseline.worse_at_most_ratio))
    assert differences[0].measure == measure
    assert differences[0].chance <= 0.01


def test_a_difference_that_does_not_matter_is_not_found() -> None:
    """However clear it is."""
    baseline = [{"m": 1.0 + each / 1000} for each in range(WINDOWS)]
    build = [{"m": 1.02 * each["m"]} for each in baseline]
    assert compare_windows(build, baseline, margin=0.03)[0].chance > 0.5
    assert compare_windows(build, baseline, margin=0.0)[0].chance <= 0.01


@pytest.mark.parametrize(("noise", "sighted"), [(0.01, True), (0.5, False)])
def test_noisy_windows_are_known_to_be_blind(noise: float, sighted: bool) -> None:
    """On a busy machine "not worse" would be said of a slower build too."""
    draw = Random(2)  # noqa: S311 - windows, not a secret
    windows = [{"latency_median": math.exp(draw.gauss(0, noise)), "cost": 1.0} for _ in range(2 * WINDOWS)]
    build, baseline = windows[:WINDOWS], windows[WINDOWS:]
    assert compare_windows(build, baseline, margin=0.03)[0].chance > 0.01
    found = would_find(build, baseline, "latency_median", worse=0.10, margin=0.03, level=0.01)
    assert found is sighted


def test_better_is_not_worse(gate: Gate) -> None:
    """The test has one side."""
    draw = Random(3)  # noqa: S311 - windows, not a secret
    same, baseline = _two_of_one_build(draw, _windows(draw))
    build = [{name: 0.5 * value for name, value in each.items()} for each in same]
    assert not _fails(build, baseline, gate, 0.0)


def test_a_chance_is_exact_where_all_splits_can_be_counted() -> None:
    """Six windows of each have 924 splits; the clearest order is one of them."""
    build = [{"m": 10.0 + each} for each in range(6)]
    baseline = [{"m": 1.0 + each} for each in range(6)]
    (found,) = compare_windows(build, baseline, margin=0.0)
    assert found.chance == 1 / 924
    assert least_chance(6) == 1 / 924
    (other,) = compare_windows(baseline, build, margin=0.0)
    assert other.chance == 1.0
    assert least_chance(12) == 1 / 5_000


def test_a_chance_of_sampled_splits_is_never_nothing() -> None:
    """Of twelve windows each not all splits are tried: the one that was seen counts among them."""
    build = [{"m": 10.0 + each} for each in range(12)]
    baseline = [{"m": 1.0 + each} for each in range(12)]
    assert compare_windows(build, baseline, margin=0.0)[0].chance == least_chance(12)
    (mixed,) = compare_windows(build, [{"m": 9.0 + 1.1 * each} for each in range(12)], margin=0.0)
    assert 0.01 < mixed.chance < 1.0
    assert compare_windows(build, [{"m": 9.0 + 1.1 * each} for each in range(12)], margin=0.0) == (mixed,)


def test_differences_are_those_of_medians_and_the_clearest_is_first() -> None:
    """At the same chance the larger one; a single window of each is compared too."""
    build, baseline = {"a": 2.0, "b": 6.0, "c": 1.0}, {"a": 1.0, "b": 2.0, "c": 4.0}
    found = compare_windows([build], [baseline], margin=0.0)
    assert [(each.measure, each.ratio) for each in found] == [("b", 3.0), ("a", 2.0), ("c", 0.25)]


@pytest.mark.parametrize(
    ("values", "ranks", "median"),
    [
        ([5.0], [1], 5.0),
        ([3.0, 1.0, 2.0], [3, 1, 2], 2.0),
        ([4.0, 1.0, 3.0, 2.0], [4, 1, 3, 2], 2.5),
        ([2.0, 1.0, 2.0, 9.0, 2.0], [3, 1, 3, 5, 3], 2.0),
        ([6.0, 5.0, 4.0, 3.0, 2.0, 1.0], [6, 5, 4, 3, 2, 1], 3.5),
    ],
)
def test_ranks_and_medians_of_few_values(values: list[float], ranks: list[float], median: float) -> None:
    """Equal values share the mean of their ranks."""
    assert _ranks(values) == ranks
    assert _median(values) == median


def test_windows_that_can_show_just_the_level_are_enough() -> None:
    """A chance at the level is found."""
    build, baseline = ([{"m": low + each / 100} for each in range(6)] for low in (1.0, 1.0))
    level = least_chance(6)
    assert would_find(build, baseline, "m", worse=1.0, margin=0.03, level=level)
    assert not would_find(build, baseline, "m", worse=1.0, margin=0.03, level=level * 0.99)


def test_one_measure_among_many_has_to_be_clearer() -> None:
    """The level holds for all measures together: each of them is another way to be wrong by chance."""
    draw = Random(1)  # noqa: S311 - windows, not a secret
    build = [{f"m{n}": draw.random() + 0.6 * (n == 0) for n in range(20)} for _ in range(6)]
    baseline = [{f"m{n}": draw.random() for n in range(20)} for _ in range(6)]
    alone = compare_windows(
        [{"m0": each["m0"]} for each in build], [{"m0": each["m0"]} for each in baseline], margin=0
    )
    together = {each.measure: each for each in compare_windows(build, baseline, margin=0)}
    assert together["m0"].chance > alone[0].chance


def test_equal_windows_show_nothing() -> None:
    """Ties share a rank."""
    same = [{"m": 1.0}] * 6
    assert compare_windows(same, same, margin=0.0)[0].chance == 1.0


@pytest.mark.parametrize(
    ("comparison", "outcome"),
    [
        (compared(0.02), GateOutcome.PASSED),
        (compared(0.0001), GateOutcome.FAILED),
        (compared(0.0001, unusable="measured on another machine"), GateOutcome.INCONCLUSIVE),
        (compared(0.0001, windows=4), GateOutcome.INCONCLUSIVE),
        (compared(0.5, sighted=False), GateOutcome.INCONCLUSIVE),
        (compared(0.0001, sighted=False), GateOutcome.FAILED),
        (Comparison("HEAD"), GateOutcome.FAILED),
    ],
)
def test_a_comparison_that_proves_nothing_is_inconclusive(
    good: Figures, gate: Gate, comparison: Comparison, outcome: GateOutcome
) -> None:
    """Another machine, or too few windows for any chance below the level; none at all fails."""
    verdict = decide(replace(good, comparison=comparison), gate, PROMISES, build="b")
    assert verdict.outcome is outcome
    if comparison.unusable:
        assert comparison.unusable in verdict.summary


def test_a_slope_is_not_moved_by_wild_samples() -> None:
    """A quarter of them may be anything."""
    samples = [
        replace(one_sample(float(at)), pss_bytes=10**9 if at % 4 == 0 else 100 + 2 * at) for at in range(40)
    ]
    risen = growth(samples, lambda sample: sample.pss_bytes)
    assert risen == pytest.approx(2 * 39, rel=0.2)
    assert growth(samples[: LEAST_SAMPLES - 1], lambda sample: sample.pss_bytes) is None


def test_a_counter_is_divided_by_the_checkouts_between_its_samples() -> None:
    """At 60 checkouts a second; without checkouts nothing is known."""
    samples = [one_sample(float(at)) for at in range(20)]
    assert per_transaction(samples, lambda sample: sample.cpu_seconds, 60.0) == pytest.approx(0.01)
    assert per_transaction(samples, lambda sample: sample.cpu_seconds, 0.0) is None
