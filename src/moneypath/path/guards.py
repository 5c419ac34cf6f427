"""The guards of a money path: alerts on ages, deadlines, levels, increases and ratios."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from moneypath.path.declared_series import DeclaredMetric
from moneypath.path.parts import (
    DEFAULT_DASHBOARD,
    DEFAULT_STALE_SECONDS,
    AlertName,
    Count,
    Declared,
    LabelName,
    Level,
    PositiveDecimal,
    RoleIds,
    RunbookId,
    Seconds,
    SeriesName,
    Slug,
    SnakeId,
    StageId,
    Title,
)
from moneypath.path.problems import DeclarationIssue, Location
from moneypath.path.selection import SeriesSelector, label_issues, selection_issues, series_issues
from moneypath.telemetry.catalogue import Catalogue, MetricKind, Unit


class Side(StrEnum):
    """The side of its limit on which a ratio is wrong."""

    ABOVE = "above"
    BELOW = "below"


class Evidence(Declared):
    """The gauge that must be there for each member; when it is missing for too long, the guard fires.

    It may be the guarded series itself. Where that series is absent while all is well (the oldest message
    of an empty queue), name another gauge of the same members: only its presence shows that the guard works.
    """

    series: SeriesName
    missing_after_seconds: Seconds = DEFAULT_STALE_SECONDS


class Guard(Declared):
    """The keys that every guard has. Generation fails when `detect_within_seconds` cannot be kept."""

    id: SnakeId
    title: Title = ""
    stage: StageId = ""
    alert: AlertName = ""
    detect_within_seconds: Seconds | None = Field(default=None, description="whole seconds from 1 to 86400")
    roles: RoleIds = ()
    runbook: RunbookId = ""
    dashboard: Slug = DEFAULT_DASHBOARD


class AgeGuard(Guard):
    """Fire when the time in `series` is longer ago than `older_than_seconds`."""

    kind: Literal["age"]
    series: SeriesName
    older_than_seconds: Seconds
    evidence: Evidence | None = Field(description="a mapping, or null")


class DeadlineGuard(Guard):
    """Fire when the time in `series` has passed by `grace_seconds`."""

    kind: Literal["deadline"]
    series: SeriesName
    grace_seconds: Seconds
    evidence: Evidence | None = Field(description="a mapping, or null")


class LevelGuard(Guard):
    """Fire when `series` is above a level."""

    kind: Literal["level"]
    series: SeriesName
    above: Level
    evidence: Evidence | None = Field(description="a mapping, or null")


class IncreaseGuard(Guard):
    """Fire when a counter grew by `at_least` within the window."""

    RENAMED_KEYS: ClassVar[Mapping[str, str]] = {"counted": "counter"}

    kind: Literal["increase"]
    counter: SeriesSelector
    window_seconds: Seconds
    at_least: Count


class RatioGuard(Guard):
    """Fire when `numerator` per `denominator` within the window is on the wrong side of `limit`.

    It is kept apart `by` a label of both series; null means over the whole path. With fewer than `min_events`
    of the denominator the ratio is chance, so the alert neither begins nor ends.
    """

    kind: Literal["ratio"]
    numerator: SeriesSelector
    denominator: SeriesSelector
    by: LabelName | None = Field(default=None, description="a label of both series, or null")
    window_seconds: Seconds
    fires: Side
    limit: PositiveDecimal
    min_events: Count


GaugeGuard: TypeAlias = AgeGuard | DeadlineGuard | LevelGuard
AnyGuard: TypeAlias = Annotated[
    AgeGuard | DeadlineGuard | LevelGuard | IncreaseGuard | RatioGuard, Field(discriminator="kind")
]


def guard_issues(location: Location, guard: AnyGuard, catalogue: Catalogue) -> Iterator[DeclarationIssue]:
    """Yield contradictions within a guard, and between it and the catalogue."""
    if isinstance(guard, IncreaseGuard):
        yield from _selector_issues((*location, "counter"), guard.counter, catalogue)
    elif isinstance(guard, RatioGuard):
        yield from _ratio_issues(location, guard, catalogue)
    else:
        yield from _gauge_issues(location, guard, catalogue)


def _selector_issues(
    location: Location, selector: SeriesSelector, catalogue: Catalogue
) -> Iterator[DeclarationIssue]:
    unknown = tuple(series_issues((*location, "series"), selector.series, MetricKind.COUNTER, catalogue))
    yield from unknown or selection_issues((*location, "select"), selector.series, selector.select, catalogue)


def _ratio_issues(location: Location, guard: RatioGuard, catalogue: Catalogue) -> Iterator[DeclarationIssue]:
    for key, selector in (("numerator", guard.numerator), ("denominator", guard.denominator)):
        unknown = tuple(_selector_issues((*location, key), selector, catalogue))
        yield from unknown
        if guard.by and not unknown:
            yield from label_issues((*location, "by"), guard.by, selector.series, catalogue)


def _gauge_issues(location: Location, guard: GaugeGuard, catalogue: Catalogue) -> Iterator[DeclarationIssue]:
    unknown = tuple(series_issues((*location, "series"), guard.series, MetricKind.GAUGE, catalogue))
    yield from unknown
    if unknown:
        return
    is_timestamp_guard = isinstance(guard, AgeGuard | DeadlineGuard)
    if is_timestamp_guard != _is_time(guard.series, catalogue):
        times = sorted(spec.name for spec in catalogue if _is_time(spec.name, catalogue))
        is_a = "is no" if is_timestamp_guard else "is a"
        what = f"{guard.series} {is_a} time, the guard is of the kind {guard.kind}"
        allowed = ", ".join(times) if is_timestamp_guard else "a gauge that is not a time"
        yield DeclarationIssue((*location, "series"), what, allowed)
    if guard.evidence:
        yield from _evidence_issues((*location, "evidence", "series"), guard, guard.evidence, catalogue)


def _is_time(name: str, catalogue: Catalogue) -> bool:
    spec = catalogue[name]
    if isinstance(spec, DeclaredMetric):
        return spec.is_time
    return spec.unit is Unit.SECONDS and name.endswith("_timestamp_seconds")


def _evidence_issues(
    location: Location, guard: GaugeGuard, evidence: Evidence, catalogue: Catalogue
) -> Iterator[DeclarationIssue]:
    unknown = tuple(series_issues(location, evidence.series, MetricKind.GAUGE, catalogue))
    yield from unknown
    if unknown:
        return
    mine: Mapping[str, tuple[str, ...]] = catalogue[guard.series].labels
    theirs = catalogue[evidence.series].labels
    if len(theirs) > 1 or tuple(theirs) != tuple(mine):
        what = (
            f"{evidence.series} has the labels {', '.join(theirs) or 'none'}, "
            f"{guard.series} has {', '.join(mine) or 'none'}"
        )
        yield DeclarationIssue(
            location,
            what,
            "a gauge with the same single label, whose members are all expected, or both without labels",
        )
