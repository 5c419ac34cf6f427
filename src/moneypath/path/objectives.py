"""The objectives of a money path: availability, latency, and the share of good events."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import Field

from moneypath.path.parts import (
    DEFAULT_DASHBOARD,
    AlertName,
    Count,
    Declared,
    LabelName,
    LabelValue,
    PositiveDecimal,
    Ratio,
    RoleIds,
    RunbookId,
    Seconds,
    SeriesName,
    Slug,
    SnakeId,
    StageId,
    Title,
)
from moneypath.path.problems import DeclarationIssue, Location, repeated, suggest
from moneypath.path.selection import (
    LabelMatcher,
    SeriesSelector,
    counted_issues,
    label_issues,
    metric_of,
    selection_issues,
    series_issues,
    value_issues,
)
from moneypath.path.series_events import ResolvedEvents, SeriesEvents
from moneypath.telemetry.catalogue import Catalogue, MetricKind
from moneypath.telemetry.catalogue.catalogue import LONGEST_THRESHOLD_SECONDS
from moneypath.telemetry.catalogue.vocabulary import AuthorizationResult, Operation, Outcome

# So few events of the short window are no evidence that an outage has ended.
DEFAULT_EVENTS: Final = 5
PAYMENTS: Final = "moneypath_payments_total"
DURATIONS: Final = "moneypath_payment_duration_seconds"
RESULTS: Final = "moneypath_authorization_results_total"


class Per(StrEnum):
    """The label by which an objective is kept apart, so that no average hides one provider's outage."""

    PROVIDER = "provider"


class TierId(StrEnum):
    """The speed at which the error budget must burn for this tier to fire."""

    FAST = "fast"
    SLOW = "slow"


class Burn(Declared):
    """The burn tiers that page, and how fast they must detect which share of bad answers.

    Without `detect_at_ratio` that is a total outage. Without `detect_within_seconds` nothing is promised.
    """

    tiers: tuple[TierId, ...] = Field(default=(TierId.FAST,), min_length=1)
    detect_at_ratio: Ratio | None = Field(
        default=None, description='a decimal in quotes above 0 and below 1, such as "0.3"'
    )
    detect_within_seconds: Seconds | None = Field(default=None, description="whole seconds from 1 to 86400")


class NamedBurn(Burn):
    """A burn whose alert has a name of its own. It ends only on `min_events` in its short window."""

    alert: AlertName = ""
    min_events: Count = DEFAULT_EVENTS


class HardDown(Declared):
    """The alert of a total outage: `bad_share` over one minute with at least `min_events`."""

    bad_share: Ratio = Decimal("0.5")
    min_events: Count = 10
    detect_within_seconds: Seconds | None = Field(default=None, description="whole seconds from 1 to 86400")


class Traffic(Declared):
    """The fewest valid events in five minutes; with fewer, missing traffic is an alert by itself."""

    min_events: Count
    roles: RoleIds = ()
    runbook: RunbookId = ""


# What is answered without a provider would make providers look fast.
_AUTHORIZATIONS: Final = SeriesSelector(
    series=DURATIONS,
    select=(
        LabelMatcher(label="operation", values=(Operation.AUTHORIZE,)),
        LabelMatcher(
            label="outcome",
            values=tuple(each for each in Outcome if each not in {Outcome.REJECTED, Outcome.BLOCKED}),
        ),
    ),
)


class Objective(Declared):
    """The keys that every objective has."""

    id: Slug
    title: Title = ""
    stage: StageId = ""
    objective: Ratio
    window_days: int = Field(default=30, ge=7, le=90, description="whole days from 7 to 90")
    roles: RoleIds = ()
    runbook: RunbookId = ""
    dashboard: Slug = DEFAULT_DASHBOARD


class AvailabilitySlo(Objective):
    """An objective on the answers to one operation, each provider apart unless `per` is null.

    Valid is every outcome except `excluded_outcomes`. Bad is `bad_outcomes` plus `bad_results`. With `events`
    a declared series is counted instead of our payments. Without `traffic` no alert tells that payments have
    stopped.
    """

    kind: Literal["availability"]
    operation: SnakeId = Field(default=Operation.AUTHORIZE.value, description="the id of an operation")
    per: Per | None = Field(default=Per.PROVIDER, description="provider, or null for all together")
    excluded_outcomes: tuple[Outcome, ...] = (Outcome.REJECTED, Outcome.BLOCKED)
    bad_outcomes: tuple[Outcome, ...] = Field(
        default=(Outcome.FAILED, Outcome.INDETERMINATE, Outcome.SHED), min_length=1
    )
    bad_results: tuple[AuthorizationResult, ...] = ()
    events: SeriesEvents | None = Field(default=None, description="a mapping, or null for our payments")
    burn: Burn = Burn()
    hard_down: HardDown | None = Field(default=HardDown(), description="a mapping, or null")
    traffic: Traffic | None = Field(default=None, description="a mapping, or null")

    @property
    def counted(self) -> ResolvedEvents | None:
        """Return the events of a declared series, or None if our payments are counted."""
        return self.events if isinstance(self.events, ResolvedEvents) else None


class LatencySlo(Objective):
    """An objective on the time of events in a histogram; its threshold becomes a bucket edge."""

    RENAMED_KEYS: ClassVar[Mapping[str, str]] = {"timed": "histogram"}

    kind: Literal["latency"]
    histogram: SeriesSelector = _AUTHORIZATIONS
    threshold_seconds: PositiveDecimal
    burn: NamedBurn | None = Field(
        default=NamedBurn(), description="a mapping, or null when nothing pages for it"
    )


class EventsSlo(Objective):
    """An objective on events that the `label` of a counter tells apart; other values do not count.

    A histogram with `_count` is a counter, too. `select` narrows the counter by its other labels.
    """

    kind: Literal["events"]
    series: SeriesName
    select: tuple[LabelMatcher, ...] = Field(default=(), description="mappings of label and values, or []")
    label: LabelName
    good: tuple[LabelValue, ...] = Field(min_length=1, description="values of the label")
    bad: tuple[LabelValue, ...] = Field(min_length=1, description="values of the label")
    burn: NamedBurn | None = Field(
        default=NamedBurn(), description="a mapping, or null when nothing pages for it"
    )


Slo: TypeAlias = Annotated[AvailabilitySlo | LatencySlo | EventsSlo, Field(discriminator="kind")]


def objective_issues(location: Location, slo: Slo, catalogue: Catalogue) -> Iterator[DeclarationIssue]:
    """Yield contradictions within an objective, and between it and the catalogue."""
    if isinstance(slo, AvailabilitySlo):
        # What counts a declared series has no operation of ours; `declared_issues` reads it.
        if slo.events is None:
            yield from _availability_issues(location, slo, catalogue)
    elif isinstance(slo, LatencySlo):
        yield from _latency_issues(location, slo, catalogue)
    else:
        yield from _event_issues(location, slo, catalogue)
    if slo.burn:
        yield from repeated((*location, "burn", "tiers"), slo.burn.tiers)


def _availability_issues(
    location: Location, slo: AvailabilitySlo, catalogue: Catalogue
) -> Iterator[DeclarationIssue]:
    operations = catalogue[PAYMENTS].labels["operation"]
    if slo.operation not in operations:
        what = f'there is no operation "{slo.operation}"{suggest(slo.operation, operations)}'
        yield DeclarationIssue((*location, "operation"), what, ", ".join(operations))
    both = sorted(set(slo.excluded_outcomes) & set(slo.bad_outcomes))
    if both:
        what = f"{', '.join(both)} cannot be bad and left out at the same time"
        yield DeclarationIssue(
            (*location, "bad_outcomes"), what, "outcomes that are not in excluded_outcomes"
        )
    yield from repeated((*location, "bad_outcomes"), slo.bad_outcomes)
    yield from repeated((*location, "excluded_outcomes"), slo.excluded_outcomes)
    yield from repeated((*location, "bad_results"), slo.bad_results)
    if slo.bad_results and slo.operation != Operation.AUTHORIZE:
        what = "only authorizations have results"
        yield DeclarationIssue((*location, "bad_results"), what, f"[] when the operation is {slo.operation}")
    if slo.bad_results and RESULTS not in catalogue:
        what = "results are counted by provider, and none is declared"
        yield DeclarationIssue((*location, "bad_results"), what, "[] without providers")


def _latency_issues(location: Location, slo: LatencySlo, catalogue: Catalogue) -> Iterator[DeclarationIssue]:
    at: Location = (*location, "histogram")
    unknown = tuple(series_issues((*at, "series"), slo.histogram.series, MetricKind.HISTOGRAM, catalogue))
    yield from unknown or selection_issues(
        (*at, "select"), slo.histogram.series, slo.histogram.select, catalogue
    )
    if slo.threshold_seconds > Decimal(str(LONGEST_THRESHOLD_SECONDS)):
        what = f"{slo.threshold_seconds} s is no latency"
        yield DeclarationIssue(
            (*location, "threshold_seconds"), what, f"at most {LONGEST_THRESHOLD_SECONDS:g}"
        )


def _event_issues(location: Location, slo: EventsSlo, catalogue: Catalogue) -> Iterator[DeclarationIssue]:
    unknown = tuple(counted_issues((*location, "series"), slo.series, catalogue))
    unknown = unknown or tuple(label_issues((*location, "label"), slo.label, slo.series, catalogue))
    if unknown:
        yield from unknown
        return
    yield from selection_issues((*location, "select"), slo.series, slo.select, catalogue)
    for index, match in enumerate(slo.select):
        if match.label == slo.label:
            what = f"{slo.label} tells good from bad, so it selects nothing"
            yield DeclarationIssue((*location, "select", index, "label"), what, "another label of the series")
    allowed = metric_of(slo.series, catalogue).labels[slo.label]
    yield from value_issues((*location, "good"), slo.good, slo.label, allowed)
    yield from value_issues((*location, "bad"), slo.bad, slo.label, allowed)
    both = sorted(set(slo.good) & set(slo.bad))
    if both:
        what = f"{', '.join(both)} cannot be good and bad at the same time"
        yield DeclarationIssue((*location, "bad"), what, "values that are not in good")
