"""What stands guard besides promises and checks: ages, deadlines, levels, increases and ratios."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from moneypath.path.parts import (
    AlertName,
    Amount,
    Count,
    Declared,
    RoleIds,
    RunbookId,
    Seconds,
    SeriesName,
    Slug,
    SnakeId,
    Title,
)
from moneypath.path.problems import Location, Misfit
from moneypath.path.selection import Counted, label_misfits, selection_misfits, series_misfits
from moneypath.telemetry.catalogue import Catalogue, MetricKind, Unit


class Side(StrEnum):
    """On which side of its limit a ratio is wrong."""

    ABOVE = "above"
    BELOW = "below"


class Evidence(Declared):
    """The gauge that has to be there for each of its members: gone for so long is as bad as the limit.

    It may be the guarded series itself. Where that is absent while all is well (the oldest of an
    empty queue) it is another: what is absent then proves nothing, unless this is there.
    """

    series: SeriesName
    missing_after_seconds: Seconds


class Guard(Declared):
    """What every guard says of itself; `detect_within_seconds` is a promise that generation checks."""

    id: SnakeId
    title: Title
    stage: SnakeId = Field(description="the id of a stage")
    alert: AlertName
    detect_within_seconds: Seconds
    roles: RoleIds
    runbook: RunbookId
    dashboard: Slug


class AgeGuard(Guard):
    """Fires when the time in `series` is longer ago than `older_than_seconds`."""

    kind: Literal["age"]
    series: SeriesName
    older_than_seconds: Seconds
    evidence: Evidence | None = Field(description="a mapping, or null")


class DeadlineGuard(Guard):
    """Fires when the time in `series` has passed by `grace_seconds`."""

    kind: Literal["deadline"]
    series: SeriesName
    grace_seconds: Seconds
    evidence: Evidence | None = Field(description="a mapping, or null")


class LevelGuard(Guard):
    """Fires when `series` is above a level."""

    kind: Literal["level"]
    series: SeriesName
    above: int = Field(ge=0, le=1_000_000_000, description="a whole number from 0 to 1000000000")
    evidence: Evidence | None = Field(description="a mapping, or null")


class IncreaseGuard(Guard):
    """Fires when a counter grew by `at_least` within the window."""

    kind: Literal["increase"]
    counted: Counted
    window_seconds: Seconds
    at_least: Count


class RatioGuard(Guard):
    """Fires when `numerator` per `denominator` within the window is on the wrong side of `limit`.

    Kept apart `by` a label that both have, or over the whole path with null. Below `min_events` of
    the denominator a ratio is chance: nothing begins, and nothing ends.
    """

    kind: Literal["ratio"]
    numerator: Counted
    denominator: Counted
    by: SnakeId | None = Field(description="a label of both series, or null")
    window_seconds: Seconds
    fires: Side
    limit: Amount
    min_events: Count


GaugeGuard: TypeAlias = AgeGuard | DeadlineGuard | LevelGuard
AnyGuard: TypeAlias = Annotated[
    AgeGuard | DeadlineGuard | LevelGuard | IncreaseGuard | RatioGuard, Field(discriminator="kind")
]


def guard_misfits(location: Location, guard: AnyGuard, catalogue: Catalogue) -> Iterator[Misfit]:
    """Yield what contradicts itself or the catalogue."""
    if isinstance(guard, IncreaseGuard):
        yield from _counted_misfits((*location, "counted"), guard.counted, catalogue)
    elif isinstance(guard, RatioGuard):
        yield from _ratio_misfits(location, guard, catalogue)
    else:
        yield from _gauge_misfits(location, guard, catalogue)


def _counted_misfits(location: Location, counted: Counted, catalogue: Catalogue) -> Iterator[Misfit]:
    unknown = tuple(series_misfits((*location, "series"), counted.series, MetricKind.COUNTER, catalogue))
    yield from unknown or selection_misfits((*location, "select"), counted.series, counted.select, catalogue)


def _ratio_misfits(location: Location, guard: RatioGuard, catalogue: Catalogue) -> Iterator[Misfit]:
    for key, counted in (("numerator", guard.numerator), ("denominator", guard.denominator)):
        unknown = tuple(_counted_misfits((*location, key), counted, catalogue))
        yield from unknown
        if guard.by and not unknown:
            yield from label_misfits((*location, "by"), guard.by, counted.series, catalogue)


def _gauge_misfits(location: Location, guard: GaugeGuard, catalogue: Catalogue) -> Iterator[Misfit]:
    unknown = tuple(series_misfits((*location, "series"), guard.series, MetricKind.GAUGE, catalogue))
    yield from unknown
    if unknown:
        return
    timed = isinstance(guard, AgeGuard | DeadlineGuard)
    if timed != _is_time(guard.series, catalogue):
        times = sorted(spec.name for spec in catalogue if _is_time(spec.name, catalogue))
        what = f"{guard.series} is {'no' if timed else 'a'} time, the guard is of the kind {guard.kind}"
        allowed = ", ".join(times) if timed else "a gauge that is not a time"
        yield Misfit((*location, "series"), what, allowed)
    if guard.evidence:
        yield from _evidence_misfits((*location, "evidence", "series"), guard, guard.evidence, catalogue)


def _is_time(name: str, catalogue: Catalogue) -> bool:
    spec = catalogue[name]
    return spec.unit is Unit.SECONDS and name.endswith("_timestamp_seconds")


def _evidence_misfits(
    location: Location, guard: GaugeGuard, evidence: Evidence, catalogue: Catalogue
) -> Iterator[Misfit]:
    unknown = tuple(series_misfits(location, evidence.series, MetricKind.GAUGE, catalogue))
    yield from unknown
    if unknown:
        return
    mine: Mapping[str, tuple[str, ...]] = catalogue[guard.series].labels
    theirs = catalogue[evidence.series].labels
    if len(theirs) != 1 or tuple(theirs) != tuple(mine):
        what = (
            f"{evidence.series} has the labels {', '.join(theirs) or 'none'}, "
            f"{guard.series} has {', '.join(mine) or 'none'}"
        )
        yield Misfit(location, what, "a gauge with the same single label, whose members are all expected")
