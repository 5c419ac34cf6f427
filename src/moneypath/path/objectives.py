"""The promises of a money path: availability, latency, and the share of good events."""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from moneypath.path.parts import (
    AlertName,
    Amount,
    Count,
    Declared,
    Ratio,
    RoleIds,
    RunbookId,
    Seconds,
    SeriesName,
    Slug,
    SnakeId,
    Title,
)
from moneypath.path.problems import Location, Misfit, repeated
from moneypath.path.selection import (
    Counted,
    LabelValue,
    label_misfits,
    selection_misfits,
    series_misfits,
    value_misfits,
)
from moneypath.telemetry.catalogue import Catalogue, MetricKind
from moneypath.telemetry.catalogue.catalogue import LONGEST_THRESHOLD_SECONDS
from moneypath.telemetry.catalogue.vocabulary import AuthorizationResult, Operation, Outcome


class Per(StrEnum):
    """What an objective is kept apart by, so that one provider's outage is not hidden in the average."""

    PROVIDER = "provider"


class TierId(StrEnum):
    """How fast a burn alert of this tier eats the error budget."""

    FAST = "fast"
    SLOW = "slow"


class Burn(Declared):
    """Which burn tiers page, and how fast they have to at which share of bad answers."""

    tiers: tuple[TierId, ...] = Field(min_length=1)
    detect_at_ratio: Ratio
    detect_within_seconds: Seconds


class PathBurn(Burn):
    """The burn of an objective over the whole path; it ends on `min_events` in its short window."""

    alert: AlertName
    min_events: Count


class HardDown(Declared):
    """The alert of a total outage: `bad_share` over one minute with at least `min_events`."""

    bad_share: Ratio
    min_events: Count
    detect_within_seconds: Seconds


class Traffic(Declared):
    """The floor of traffic: valid events in five minutes, below which nothing is proven."""

    min_events: Count
    roles: RoleIds
    runbook: RunbookId


class Objective(Declared):
    """What every promise says of itself."""

    id: Slug
    title: Title
    stage: SnakeId = Field(description="the id of a stage")
    objective: Ratio
    window_days: int = Field(ge=7, le=90, description="whole days from 7 to 90")
    roles: RoleIds
    runbook: RunbookId
    dashboard: Slug


class AvailabilitySlo(Objective):
    """A promise about the answers to one operation, each provider apart.

    Valid is every outcome but `excluded_outcomes`; bad is `bad_outcomes` plus `bad_results`.
    """

    kind: Literal["availability"]
    operation: Operation
    per: Per
    excluded_outcomes: tuple[Outcome, ...]
    bad_outcomes: tuple[Outcome, ...] = Field(min_length=1)
    bad_results: tuple[AuthorizationResult, ...]
    burn: Burn
    hard_down: HardDown | None = Field(description="a mapping, or null")
    traffic: Traffic


class LatencySlo(Objective):
    """A promise that what a histogram times ends within a threshold, which becomes a bucket edge."""

    kind: Literal["latency"]
    timed: Counted
    threshold_seconds: Amount
    burn: PathBurn | None = Field(description="a mapping, or null when nothing pages for it")


class EventsSlo(Objective):
    """A promise about events that a counter's `label` tells apart; values in neither list are left out."""

    kind: Literal["events"]
    series: SeriesName
    label: SnakeId = Field(description="a label of the series")
    good: tuple[LabelValue, ...] = Field(min_length=1, description="values of the label")
    bad: tuple[LabelValue, ...] = Field(min_length=1, description="values of the label")
    burn: PathBurn | None = Field(description="a mapping, or null when nothing pages for it")


PathSlo: TypeAlias = LatencySlo | EventsSlo
Slo: TypeAlias = Annotated[AvailabilitySlo | LatencySlo | EventsSlo, Field(discriminator="kind")]


def objective_misfits(location: Location, slo: Slo, catalogue: Catalogue) -> Iterator[Misfit]:
    """Yield what contradicts itself or the catalogue."""
    if isinstance(slo, AvailabilitySlo):
        yield from _availability_misfits(location, slo)
    elif isinstance(slo, LatencySlo):
        yield from _latency_misfits(location, slo, catalogue)
    else:
        yield from _event_misfits(location, slo, catalogue)
    if slo.burn:
        yield from repeated((*location, "burn", "tiers"), slo.burn.tiers)


def _availability_misfits(location: Location, slo: AvailabilitySlo) -> Iterator[Misfit]:
    both = sorted(set(slo.excluded_outcomes) & set(slo.bad_outcomes))
    if both:
        what = f"{', '.join(both)} cannot be bad and left out at the same time"
        yield Misfit((*location, "bad_outcomes"), what, "outcomes that are not in excluded_outcomes")
    yield from repeated((*location, "bad_outcomes"), slo.bad_outcomes)
    yield from repeated((*location, "excluded_outcomes"), slo.excluded_outcomes)
    yield from repeated((*location, "bad_results"), slo.bad_results)
    if slo.bad_results and slo.operation is not Operation.AUTHORIZE:
        what = "only authorizations have results"
        yield Misfit((*location, "bad_results"), what, f"[] when the operation is {slo.operation}")


def _latency_misfits(location: Location, slo: LatencySlo, catalogue: Catalogue) -> Iterator[Misfit]:
    at: Location = (*location, "timed")
    unknown = tuple(series_misfits((*at, "series"), slo.timed.series, MetricKind.HISTOGRAM, catalogue))
    yield from unknown or selection_misfits((*at, "select"), slo.timed.series, slo.timed.select, catalogue)
    if slo.threshold_seconds > Decimal(str(LONGEST_THRESHOLD_SECONDS)):
        what = f"{slo.threshold_seconds} s is no latency"
        yield Misfit((*location, "threshold_seconds"), what, f"at most {LONGEST_THRESHOLD_SECONDS:g}")


def _event_misfits(location: Location, slo: EventsSlo, catalogue: Catalogue) -> Iterator[Misfit]:
    unknown = tuple(series_misfits((*location, "series"), slo.series, MetricKind.COUNTER, catalogue))
    unknown = unknown or tuple(label_misfits((*location, "label"), slo.label, slo.series, catalogue))
    if unknown:
        yield from unknown
        return
    allowed = catalogue[slo.series].labels[slo.label]
    yield from value_misfits((*location, "good"), slo.good, slo.label, allowed)
    yield from value_misfits((*location, "bad"), slo.bad, slo.label, allowed)
    both = sorted(set(slo.good) & set(slo.bad))
    if both:
        what = f"{', '.join(both)} cannot be good and bad at the same time"
        yield Misfit((*location, "bad"), what, "values that are not in good")
