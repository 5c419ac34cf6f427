"""What a team adds to the catalogue: operations and metrics of its own, under the rules that ours keep."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from pydantic import Field

from moneypath.path.parts import Count, Declared, SeriesName, SnakeId, Title
from moneypath.path.problems import Location, Misfit, repeated, suggest
from moneypath.telemetry.catalogue import Merge, MetricKind, MetricSpec, Unit
from moneypath.telemetry.catalogue.catalogue import PREFIX
from moneypath.telemetry.catalogue.declaring import LATENCY_BUCKETS
from moneypath.telemetry.catalogue.slots import OPTIONAL_SLOTS
from moneypath.telemetry.catalogue.vocabulary import Operation
from moneypath.telemetry.errors import CatalogueInvalid

OPERATIONS: Final = tuple(operation.value for operation in Operation)
QUEUES: Final = OPTIONAL_SLOTS["queues"]

Slots = Mapping[str, tuple[str, ...]]
OwnValue = Annotated[
    str, Field(min_length=1, max_length=60, pattern=r"^[^\s{}\"\\]+$", description="a value without spaces")
]
OwnValues = Annotated[
    tuple[OwnValue, ...], Field(min_length=1, max_length=100, description="at least one value")
]
Edge = Annotated[float, Field(gt=0, le=86_400, description="seconds above 0")]


class OwnMetric(Declared):
    """A metric of the team's. A label's values are a list, or the name of a list that is declared anyway."""

    name: SeriesName
    kind: MetricKind = Field(description=", ".join(MetricKind))
    unit: Unit = Field(default=Unit.NONE, description=", ".join(unit for unit in Unit if unit))
    help: Title
    labels: dict[SnakeId, SnakeId | OwnValues] = Field(
        default_factory=dict, max_length=8, description="for each label a list of values, or a declared list"
    )
    buckets: tuple[Edge, ...] = Field(default=(), max_length=40, description="ascending seconds")
    series_budget: Count
    merge: Merge = Field(
        default=Merge.LATEST, description=f"for a gauge of several workers: {', '.join(Merge)}"
    )

    def spec(self, slots: Slots) -> MetricSpec:
        """Return the declaration with its labels closed; raises CatalogueInvalid for a broken rule."""
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
    """What a team's services record beside what every money path does."""

    operations: tuple[SnakeId, ...] = Field(max_length=4, description="ids of operations, or []")
    queues: tuple[SnakeId, ...] = Field(default=(), max_length=16, description="ids of queues, or []")
    metrics: tuple[OwnMetric, ...] = Field(max_length=100, description="a list of metrics, or []")

    def specs(self, slots: Slots) -> tuple[MetricSpec, ...]:
        """Return every metric of the team's; raises CatalogueInvalid for a broken rule."""
        return tuple(metric.spec(slots) for metric in self.metrics)


def extension_misfits(extension: Extension, slots: Slots) -> Iterator[Misfit]:
    """Yield what cannot stand in the catalogue; `slots` are the lists that a label may name."""
    yield from _added_misfits(("telemetry", "operations"), extension.operations, OPERATIONS, "an operation")
    yield from _added_misfits(("telemetry", "queues"), extension.queues, QUEUES, "a queue")
    names = [metric.name for metric in extension.metrics]
    yield from repeated(("telemetry", "metrics"), names, "name")
    for index, metric in enumerate(extension.metrics):
        yield from _metric_misfits(("telemetry", "metrics", index), metric, slots)


def _added_misfits(
    at: Location, added: tuple[str, ...], known: tuple[str, ...], kind: str
) -> Iterator[Misfit]:
    yield from repeated(at, added)
    for index, given in enumerate(added):
        if given in known:
            yield Misfit((*at, index), f'"{given}" is {kind} already', "another id")


def _metric_misfits(at: Location, metric: OwnMetric, slots: Slots) -> Iterator[Misfit]:
    if metric.name.startswith(PREFIX):
        yield Misfit(
            (*at, "name"), f"names that begin with {PREFIX} are the product's", "a prefix of your own"
        )
    unknown = [
        Misfit((*at, "labels", label), f'there is no list "{given}"{suggest(given, slots)}', ", ".join(slots))
        for label, given in metric.labels.items()
        if isinstance(given, str) and given not in slots
    ]
    yield from unknown
    if not unknown:
        try:
            metric.spec(slots)
        except CatalogueInvalid as problem:
            yield Misfit(at, problem.what.removeprefix(f"metric {metric.name}: "))
