"""The test cases that every alert of an objective has: onset, boundary, broken input, recovery."""

from collections.abc import Iterator
from fractions import Fraction

from moneypath.alerting.promtool_tests.case import STEP_SECONDS, Case, ValueAt
from moneypath.alerting.promtool_tests.ratio_alert import FILLING_SECONDS, PERCENT, RatioAlert
from moneypath.alerting.promtool_tests.traffic import BUSY, Phase


def onset_cases(tested: RatioAlert) -> Iterator[Case]:
    """Yield when the alert begins: within its worst case, and only over its threshold."""
    healthy = tested.long_seconds
    window_part = tested.limit * healthy / tested.onset_ratio
    worst_case = int(window_part // STEP_SECONDS) * STEP_SECONDS
    before, after = worst_case - 2 * STEP_SECONDS, worst_case + 3 * STEP_SECONDS
    total = healthy + after + STEP_SECONDS
    members = ", ".join(f'{label}="{value}"' for label, value in tested.firing.items())
    ratio = f"{tested.short.ratio}{{{members}}}" if members else tested.short.ratio
    yield Case(
        "fires within its worst case, not before, and only where it fails",
        tested.events(Phase(healthy), Phase(after + STEP_SECONDS, bad=tested.onset_ratio))
        | tested.healthy_neighbour(total),
        (tested.quiet_at(healthy), tested.quiet_at(healthy + before), tested.fires_at(healthy + after)),
        (ValueAt(healthy, f"sum({ratio})", Fraction(0)),),
    )
    for title, share in (
        ("stays quiet at half the threshold", tested.limit / 2),
        ("stays quiet just under the threshold", tested.limit * (1 - PERCENT)),
    ):
        steady = tested.events(Phase(FILLING_SECONDS, bad=share))
        yield Case(title, steady, (tested.quiet_at(FILLING_SECONDS),))
    over = tested.events(Phase(FILLING_SECONDS, bad=tested.limit * (1 + PERCENT)))
    yield Case("fires just over the threshold", over, (tested.fires_at(FILLING_SECONDS),))


def broken_input_cases(tested: RatioAlert) -> Iterator[Case]:
    """Yield what happens without series, without events, and while processes restart."""
    seconds, quarter = FILLING_SECONDS, FILLING_SECONDS // 4
    no_ratio = (ValueAt(seconds, f"count({tested.short.ratio})", None),)
    yield Case(
        "is silent without any events, and so is its ratio: other alerts speak then",
        tested.routed((1, seconds)),
        (tested.quiet_at(seconds),),
        no_ratio,
    )
    idle = tested.events(Phase(seconds, rate=Fraction(0)))
    yield Case("gives no ratio for zero events instead of 0/0", idle, (tested.quiet_at(seconds),), no_ratio)
    negative = f"count({tested.short.valid} < 0) or count({tested.short.bad} < 0)"
    yield Case(
        "takes restarted counters for what they are",
        tested.events(*(Phase(quarter, reset=True) for _ in range(4))),
        (tested.quiet_at(seconds),),
        (ValueAt(seconds, negative, None), ValueAt(quarter + STEP_SECONDS, negative, None)),
    )
    yield Case(
        "fires although the failing process keeps restarting",
        tested.events(*(Phase(quarter, bad=tested.strong, reset=True) for _ in range(4))),
        (tested.fires_at(seconds),),
    )


def recovery_cases(tested: RatioAlert) -> Iterator[Case]:
    """Yield when the alert ends: on enough good events, and on nothing else."""
    onset, rest = FILLING_SECONDS, tested.short_seconds + 120
    later = onset + rest
    outage = Phase(onset, bad=tested.strong)
    per_second = Fraction(tested.floor, tested.short_seconds)
    still, ended = tested.fires_at(later), tested.quiet_at(later)
    for title, rate, last in (
        ("does not end by silence", Fraction(0), still),
        ("does not end on a handful of good events", per_second / 2, still),
        ("ends on few good events, as long as they are over the floor", per_second * 4, ended),
        ("ends when healthy events flow", BUSY, ended),
    ):
        yield Case(
            title,
            tested.events(outage, Phase(rest, rate=rate)) | tested.routed((1, later)),
            (tested.fires_at(onset), last),
        )
