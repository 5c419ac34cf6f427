"""Operations, queues and metrics that a team adds to the catalogue, under the same rules as ours."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from pydantic import Field

from moneypath.path.parts import Count, Declared, SeriesName, SnakeId, Title
from moneypath.path.problems import DeclarationIssue, Location, repeated, suggest
from moneypath.telemetry.catalogue import Merge, MetricKind, MetricSpec, Unit
from moneypath.telemetry.catalogue.catalogue import PREFIX, SERIES_LIMIT
from moneypath.telemetry.catalogue.declaring import LATENCY_BUCKETS
from moneypath.telemetry.catalogue.label_sets import OPTIONAL_LABEL_SETS
from moneypath.telemetry.catalogue.vocabulary import Operation
from moneypath.telemetry.errors import CatalogueInvalid

OPERATIONS: Final = tuple(operation.value for operation in Operation)
QUEUES: Final = OPTIONAL_LABEL_SETS["queues"]
TRAFFIC: Final = OPTIONAL_LABEL_SETS["traffic"]
COHORTS: Final = OPTIONAL_LABEL_SETS["cohorts"]

Slots = Mapping[str, tuple[str, ...]]
CustomLabelValue = Annotated[
    str, Field(min_length=1, max_length=60, pattern=r"^[^\s{}\"\\]+$", description="a value without spaces")
]
CustomLabelValues = Annotated[
    tuple[CustomLabelValue, ...], Field(min_length=1, max_length=100, description="at least one value")
]
Edge = Annotated[float, Field(gt=0, le=86_400, description="seconds above 0")]


class CustomMetric(Declared):
    """A metric of the team's own. The values of a label are a list, or the name of a declared list."""

    name: SeriesName
    kind: MetricKind = Field(description=", ".join(MetricKind))
    unit: Unit = Field(default=Unit.NONE, description=", ".join(unit for unit in Unit if unit))
    help: Title
    labels: dict[SnakeId, SnakeId | CustomLabelValues] = Field(
        default_factory=dict, max_length=8, description="for each label a list of values, or a declared list"
    )
    buckets: tuple[Edge, ...] = Field(default=(), max_length=40, description="ascending seconds")
    series_budget: Count
    merge: Merge = Field(
        default=Merge.LATEST, description=f"for a gauge of several workers: {', '.join(Merge)}"
    )

    def spec(self, slots: Slots) -> MetricSpec:
        """Return the metric with its labels closed; raises CatalogueInvalid for a broken rule."""
        labels = {
            label: slots[given] if isinstance(given, str) else given for label, given in self.labels.items()
        }
        is_histogram = self.kind is MetricKind.HISTOGRAM
        return MetricSpec(
            name=self.name,
            kind=self.kind,
            help=self.help,
            unit=self.unit,
            labels=labels,
            buckets=self.buckets or (LATENCY_BUCKETS if is_histogram else ()),
            series_budget=self.series_budget,
            merge=self.merge,
            # The first failure counts: it is an increase from 0, not from nothing.
            precreate=self.kind is not MetricKind.GAUGE,
        )


class Extension(Declared):
    """What the services of a team record besides what every money path records.

    `exported` are metrics of the catalogue that they record although no objective, check or guard reads them.
    """

    operations: tuple[SnakeId, ...] = Field(default=(), max_length=4, description="ids of operations, or []")
    queues: tuple[SnakeId, ...] = Field(default=(), max_length=16, description="ids of queues, or []")
    traffic: tuple[SnakeId, ...] = Field(
        default=(), max_length=8, description="kinds of traffic besides live, or []"
    )
    cohorts: tuple[SnakeId, ...] = Field(
        default=(), max_length=8, description="cohorts besides control, or []"
    )
    metrics: tuple[CustomMetric, ...] = Field(
        default=(), max_length=100, description="a list of metrics, or []"
    )
    exported: tuple[SeriesName, ...] = Field(
        default=(), max_length=100, description="names of metrics that the board shows besides, or []"
    )
    series_limit: Count = Field(default=SERIES_LIMIT, description="how many series one process may expose")

    def specs(self, slots: Slots) -> tuple[MetricSpec, ...]:
        """Return every metric of the team's own; raises CatalogueInvalid for a broken rule."""
        return tuple(metric.spec(slots) for metric in self.metrics)


def extension_issues(extension: Extension, slots: Slots) -> Iterator[DeclarationIssue]:
    """Yield what the catalogue cannot hold; `slots` are the lists that a label may name."""
    yield from _added_issues(("telemetry", "operations"), extension.operations, OPERATIONS, "an operation")
    yield from _added_issues(("telemetry", "queues"), extension.queues, QUEUES, "a queue")
    yield from _added_issues(("telemetry", "traffic"), extension.traffic, TRAFFIC, "a kind of traffic")
    yield from _added_issues(("telemetry", "cohorts"), extension.cohorts, COHORTS, "a cohort")
    names = [metric.name for metric in extension.metrics]
    yield from repeated(("telemetry", "metrics"), names, "name")
    for index, metric in enumerate(extension.metrics):
        yield from _metric_issues(("telemetry", "metrics", index), metric, slots)


def _added_issues(
    at: Location, added: tuple[str, ...], known: tuple[str, ...], kind: str
) -> Iterator[DeclarationIssue]:
    yield from repeated(at, added)
    for index, given in enumerate(added):
        if given in known:
            yield DeclarationIssue((*at, index), f'"{given}" is {kind} already', "another id")


def _metric_issues(at: Location, metric: CustomMetric, slots: Slots) -> Iterator[DeclarationIssue]:
    if metric.name.startswith(PREFIX):
        yield DeclarationIssue(
            (*at, "name"), f"names that begin with {PREFIX} are the product's", "a prefix of your own"
        )
    unknown = [
        DeclarationIssue(
            (*at, "labels", label), f'there is no list "{given}"{suggest(given, slots)}', ", ".join(slots)
        )
        for label, given in metric.labels.items()
        if isinstance(given, str) and given not in slots
    ]
    yield from unknown
    if not unknown:
        try:
            metric.spec(slots)
        except CatalogueInvalid as problem:
            what = problem.what.removeprefix(f"metric {metric.name}: ")
            yield DeclarationIssue(at, what, problem.hint.removeprefix("Declare ").rstrip("."))
