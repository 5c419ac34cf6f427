"""The test cases of guards on counters: increases in a window, and ratios of two counters."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from moneypath.alerting.counter_guards import ratio_recorded
from moneypath.alerting.promtool_tests.case import (
    STEP_SECONDS,
    AlertsAt,
    Case,
    Segment,
    ValueAt,
    counter,
    located,
    series,
)
from moneypath.path.guards import IncreaseGuard, RatioGuard, Side
from moneypath.path.selection import SeriesSelector
from moneypath.telemetry.catalogue import Catalogue

_PERCENT = Fraction(1, 100)
_BUSY = Fraction(100)
# Constant traffic needs no more before a case looks: a ratio does not wait for its window to fill.
_FILLING_SECONDS = 120


def increase_cases(job: str, guard: IncreaseGuard, catalogue: Catalogue) -> tuple[Case, ...]:
    """Return the cases of a counter, counted by `job`, that grows too fast."""
    return tuple(_increase(job, guard, catalogue))


def ratio_cases(job: str, guard: RatioGuard, catalogue: Catalogue) -> tuple[Case, ...]:
    """Return the cases of a ratio on the wrong side of its limit; `job` counts both parts."""
    tested = _Ratio(job, guard, catalogue)
    return (*_ratio_beginning(tested), *_ratio_input(tested), *_ratio_ending(tested))


def _labels(selector: SeriesSelector, catalogue: Catalogue, /, **more: str) -> dict[str, str]:
    first = {label: known[0] for label, known in catalogue[selector.series].labels.items()}
    return first | {match.label: match.values[0] for match in selector.select} | more


def _name(job: str, selector: SeriesSelector, catalogue: Catalogue, /, **more: str) -> str:
    return series(selector.series, **located(_labels(selector, catalogue, **more), job))


def _increase(job: str, guard: IncreaseGuard, catalogue: Catalogue) -> Iterator[Case]:
    name, window = _name(job, guard.counter, catalogue), guard.window_seconds
    firing = ({match.label: match.values[0] for match in guard.counter.select},)
    # So much each step is exactly the limit in a full window.
    step = Fraction(guard.at_least * STEP_SECONDS, window)
    quiet, long = Segment(Fraction(0), 2 * window), 2 * window
    yield Case("stays quiet while nothing happens", {name: counter(quiet)}, (AlertsAt(long),))
    yield Case("is silent without the counter", {}, (AlertsAt(long),))
    under = {name: counter(Segment(step * (1 - _PERCENT), long))}
    yield Case("stays quiet just under the limit", under, (AlertsAt(window), AlertsAt(long)))
    over = {name: counter(quiet, Segment(step * (1 + _PERCENT), long))}
    yield Case(
        "fires just over the limit when the window is full of it, not before",
        over,
        (AlertsAt(long + window // 2), AlertsAt(long + window + 2 * STEP_SECONDS, firing)),
    )
    burst = {name: counter(quiet, Segment(step * 10, window // 5), quiet)}
    yield Case(
        "fires within seconds for a burst, and ends a window after it",
        burst,
        (
            AlertsAt(long),
            AlertsAt(long + window // 5 + STEP_SECONDS, firing),
            AlertsAt(long + window // 5 + window + 4 * STEP_SECONDS),
        ),
    )
    again = {name: counter(*(Segment(step * 2, window // 5, reset=True) for _ in range(10)))}
    yield Case("fires although the counting process keeps restarting", again, (AlertsAt(long, firing),))
    few = {name: counter(*(Segment(step / 2, window // 5, reset=True) for _ in range(10)))}
    yield Case("takes a restarted counter for what it is", few, (AlertsAt(long),))
    for match in guard.counter.select:
        for value in sorted(set(catalogue[guard.counter.series].labels[match.label]) - set(match.values)):
            other = _name(job, guard.counter, catalogue, **{match.label: value})
            busy = {other: counter(Segment(step * 2, long))}
            yield Case(f"does not count {match.label} {value}", busy, (AlertsAt(long),))


@dataclass(frozen=True, slots=True)
class _Part:
    """Traffic for so many seconds at `rate` events a second and at `ratio`."""

    seconds: int
    ratio: Fraction
    rate: Fraction = _BUSY
    reset: bool = False


@dataclass(frozen=True, slots=True)
class _Ratio:
    job: str
    guard: RatioGuard
    catalogue: Catalogue

    @property
    def limit(self) -> Fraction:
        """Return the limit."""
        return Fraction(self.guard.limit)

    @property
    def good(self) -> Fraction:
        """Return a ratio within the limit."""
        if self.guard.fires is Side.ABOVE:
            return self.limit / 2
        return (1 + self.limit) / 2 if self.is_share else self.limit * 2

    @property
    def wrong(self) -> Fraction:
        """Return a ratio clearly beyond the limit."""
        return self.limit * 2 if self.guard.fires is Side.ABOVE else self.limit / 2

    @property
    def beyond(self) -> Fraction:
        """Return the step that makes a ratio worse by a hundredth of the limit."""
        return _PERCENT if self.guard.fires is Side.ABOVE else -_PERCENT

    @property
    def is_share(self) -> bool:
        """Tell whether the numerator's events are some of the denominator's."""
        return self.guard.numerator.series == self.guard.denominator.series

    @property
    def members(self) -> tuple[str, ...]:
        """Return the values of the label that the ratio is kept apart by."""
        by = self.guard.by
        return self.catalogue[self.guard.numerator.series].labels[by] if by else ("",)

    @property
    def firing(self) -> tuple[dict[str, str], ...]:
        """Return the instance of the first member."""
        return ({self.guard.by: self.members[0]},) if self.guard.by else ({},)

    def traffic(self, *parts: _Part, member: int = 0) -> dict[str, str]:
        """Return numerator and denominator of one member."""
        guard, catalogue = self.guard, self.catalogue
        of = {guard.by: self.members[member]} if guard.by else {}

        def grown(share: Fraction | None) -> str:
            return counter(
                *(
                    Segment(
                        part.rate * STEP_SECONDS * (part.ratio if share is None else share - part.ratio),
                        part.seconds,
                        part.reset,
                    )
                    for part in parts
                )
            )

        numerator = {_name(self.job, guard.numerator, catalogue, **of): grown(None)}
        if self.is_share:
            return numerator | {
                _name(self.job, guard.denominator, catalogue, **of, **self._rest()): grown(Fraction(1))
            }
        events = counter(*(Segment(part.rate * STEP_SECONDS, part.seconds, part.reset) for part in parts))
        return numerator | {_name(self.job, guard.denominator, catalogue, **of): events}

    def _rest(self) -> dict[str, str]:
        """Return labels of events that are in the denominator and not in the numerator."""
        taken = {match.label: match.values for match in self.guard.numerator.select}
        for match in self.guard.denominator.select:
            left = [value for value in match.values if value not in taken.get(match.label, match.values)]
            if left:
                return {match.label: left[0]}
        return {}


def _ratio_beginning(tested: _Ratio) -> Iterator[Case]:
    guard, window = tested.guard, tested.guard.window_seconds
    firing, seconds = tested.firing, tested.guard.window_seconds
    others: dict[str, str] = {}
    for index in range(1, len(tested.members)):
        others |= tested.traffic(_Part(2 * seconds, tested.good), member=index)
    yield Case(
        "fires within a window, not at once, and for that member alone",
        others | tested.traffic(_Part(seconds, tested.good), _Part(seconds, tested.wrong)),
        (AlertsAt(seconds), AlertsAt(seconds + 2 * STEP_SECONDS), AlertsAt(seconds + window, firing)),
    )
    for title, ratio, fires in (
        ("stays quiet just within the limit", tested.limit * (1 - tested.beyond), False),
        ("fires just beyond the limit", tested.limit * (1 + tested.beyond), True),
    ):
        alerts_at = AlertsAt(_FILLING_SECONDS, firing if fires else ())
        yield Case(title, tested.traffic(_Part(_FILLING_SECONDS, ratio)), (alerts_at,))
    enough = Fraction(guard.min_events, window)
    for title, factor, fires in (
        ("stays quiet while there are too few events to tell", Fraction(4, 5), False),
        ("fires as soon as there are enough events", Fraction(3, 2), True),
    ):
        part = _Part(seconds, tested.wrong, rate=enough * factor)
        yield Case(title, tested.traffic(part), (AlertsAt(seconds, firing if fires else ()),))


def _ratio_input(tested: _Ratio) -> Iterator[Case]:
    guard, seconds, firing = tested.guard, _FILLING_SECONDS, tested.firing
    names = ratio_recorded(guard, tested.catalogue, guard.by or "path")
    nothing = (ValueAt(seconds, f"count({names.ratio})", None),)
    yield Case("is silent without any series, and so is its ratio", {}, (AlertsAt(seconds),), nothing)
    idle = tested.traffic(_Part(seconds, tested.good, rate=Fraction(0)))
    yield Case("gives no ratio for zero events instead of 0/0", idle, (AlertsAt(seconds),), nothing)
    quarter = seconds // 4
    for title, ratio, fires in (
        ("takes restarted counters for what they are", tested.good, False),
        ("fires although the process keeps restarting", tested.wrong, True),
    ):
        parts = (_Part(quarter, ratio, reset=True) for _ in range(4))
        yield Case(title, tested.traffic(*parts), (AlertsAt(seconds, firing if fires else ()),))
    series = list(tested.traffic(_Part(seconds, tested.good)).items())
    fires = guard.fires is Side.BELOW
    yield Case(
        "takes a missing numerator for 0", dict(series[1:]), (AlertsAt(seconds, firing if fires else ()),)
    )
    yield Case("is silent without the denominator", dict(_others(tested, series)), (AlertsAt(seconds),))
    for label, value in _other_labels(tested):
        more = {guard.by: tested.members[0]} if guard.by else {}
        name = _name(tested.job, guard.denominator, tested.catalogue, **{label: value}, **more)
        strange = {name: counter(Segment(_BUSY * STEP_SECONDS * 100, seconds))}
        both = strange | tested.traffic(_Part(seconds, tested.good if fires else tested.wrong))
        yield Case(f"does not count {label} {value}", both, (AlertsAt(seconds, () if fires else firing),))


def _others(tested: _Ratio, series: list[tuple[str, str]]) -> list[tuple[str, str]]:
    # Of a share the numerator's events are the denominator's as well.
    return [] if tested.is_share else series[:1]


def _other_labels(tested: _Ratio) -> Iterator[tuple[str, str]]:
    """Yield a value of each selected label that is not in the denominator."""
    labels = tested.catalogue[tested.guard.denominator.series].labels
    for match in tested.guard.denominator.select:
        yield from ((match.label, value) for value in labels[match.label] if value not in match.values)


def _ratio_ending(tested: _Ratio) -> Iterator[Case]:
    window, firing = tested.guard.window_seconds, tested.firing
    onset, rest = _FILLING_SECONDS, window + 120
    outage = _Part(onset, tested.wrong)
    began, still, ended = AlertsAt(onset, firing), AlertsAt(onset + rest, firing), AlertsAt(onset + rest)
    enough = Fraction(tested.guard.min_events, window)
    for title, rate, last in (
        ("does not end by silence", Fraction(0), still),
        ("does not end on a handful of good events", enough / 2, still),
        ("ends on few good events, as long as they are enough", enough * Fraction(3, 2), ended),
        ("ends when good events flow", _BUSY, ended),
    ):
        yield Case(title, tested.traffic(outage, _Part(rest, tested.good, rate=rate)), (began, last))
