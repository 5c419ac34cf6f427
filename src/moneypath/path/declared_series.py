"""Series that a team's services export already, under names and labels of their own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from moneypath.path.parts import Declared, LabelName, LabelValue
from moneypath.path.presets import PRESETS, Preset, PresetSeries
from moneypath.telemetry.catalogue import Catalogue, MetricKind, MetricSpec

ANY: Final = "any"
# What a label without a closed list is tested with besides the values that somebody selects.
OTHER: Final = "other"

Edge = Annotated[float, Field(ge=0, le=1e15, description="a number from 0")]
LabelValues: TypeAlias = (
    Literal["any"] | Annotated[tuple[LabelValue, ...], Field(min_length=1, max_length=200)]
)
RoleValue = Annotated[
    str,
    Field(
        pattern=r"^(?:[a-z][a-z0-9]*(?:_[a-z0-9]+)*|[A-Z][A-Z0-9]{2,11})$",
        max_length=60,
        description="the id of a provider or operation, a currency, or none",
    ),
]


class SeriesRoles(Declared):
    """Which labels of a series name the provider, the currency and the operation."""

    provider: LabelName = ""
    currency: LabelName = ""
    operation: LabelName = ""


class DeclaredSeries(Declared):
    """A counter, gauge or histogram that the services export without our library.

    A label has the list of its values, or `any` where only the service knows them. `ids` says what a value of
    a label with a role stands for, where the two are spelt differently. `buckets` are the upper edges of a
    histogram, without +Inf. `time` is a gauge that holds a Unix time in seconds. A `preset` knows kind,
    labels and edges; labels and edges that are declared besides take the place of its own.
    """

    preset: Preset | None = Field(default=None, description=", ".join(Preset))
    kind: MetricKind | None = Field(default=None, description=", ".join(MetricKind))
    labels: dict[LabelName, LabelValues] = Field(
        default={}, max_length=20, description="for each label the list of its values, or any"
    )
    roles: SeriesRoles = SeriesRoles()
    ids: dict[LabelValue, RoleValue] = Field(
        default={}, max_length=200, description="for a value of a label with a role what it stands for"
    )
    buckets: tuple[Edge, ...] = Field(
        default=(), max_length=100, description="the ascending upper edges of a histogram, without +Inf"
    )
    time: bool = Field(default=False, description="true for a gauge that holds a Unix time in seconds")

    def known_preset(self, name: str) -> PresetSeries | None:
        """Return what the preset knows of the series `name`, if there is one and it knows that."""
        return PRESETS[self.preset].get(name) if self.preset else None

    def values(self, label: str) -> tuple[str, ...]:
        """Return the closed list of a label's values; empty for `any` and for an unknown label."""
        given = self.labels.get(label, ())
        return given if isinstance(given, tuple) else ()

    def id_of(self, value: str) -> str:
        """Return what a value of a label with a role stands for."""
        return self.ids.get(value, value)

    def spelt(self, label: str, wanted: str) -> tuple[str, ...]:
        """Return the values of `label` that stand for the id `wanted`."""
        return tuple(value for value in self.values(label) if self.id_of(value) == wanted)


def completed_series(name: str, series: DeclaredSeries) -> DeclaredSeries:
    """Return a series with the kind, labels and edges of its preset."""
    preset = series.known_preset(name)
    if preset is None:
        return series
    labels: dict[str, LabelValues] = {
        label: ANY if values is None else values for label, values in preset.labels.items()
    }
    return series.model_copy(
        update={
            "kind": series.kind or preset.kind,
            "labels": {**labels, **series.labels},
            "buckets": series.buckets or preset.buckets,
        }
    )


@dataclass(frozen=True, slots=True)
class DeclaredMetric(MetricSpec):
    """A declared series among the metrics that rules may read; the naming rules of ours are not for it.

    A label without a closed list has the values that somebody selects, and one more.
    """

    is_time: bool = False

    def __post_init__(self) -> None:
        """Keep every name as it is: a metric of others follows no rule of ours."""


def declared_metric(
    name: str, series: DeclaredSeries, selected: Mapping[str, Iterable[str]]
) -> DeclaredMetric:
    """Return a completed series as a metric. `selected` are the values that selectors of any part name."""
    labels = {
        label: values if isinstance(values, tuple) else _with_another(tuple(selected.get(label, ())))
        for label, values in series.labels.items()
    }
    kind = series.kind or MetricKind.COUNTER
    metric = DeclaredMetric(
        name=name,
        kind=kind,
        help="Exported by the services already.",
        labels=labels,
        buckets=tuple(map(float, series.buckets)),
        is_time=series.time,
    )
    object.__setattr__(metric, "series_budget", metric.all_series)
    return metric


def with_declared(catalogue: Catalogue, metrics: Iterable[DeclaredMetric]) -> Catalogue:
    """Return the catalogue with declared series, which take the place of ours of the same name.

    That is `http_server_request_duration_seconds`, which we call as OpenTelemetry does. Raises
    CatalogueInvalid for names that collide in a scrape.
    """
    declared = {metric.name: metric for metric in metrics}
    return Catalogue.of([*(spec for spec in catalogue if spec.name not in declared), *declared.values()])


def _with_another(selected: tuple[str, ...]) -> tuple[str, ...]:
    another = OTHER
    while another in selected:
        another += "_" + OTHER
    return (*dict.fromkeys(selected), another)
