"""The declaration of one metric and the rules that it must follow."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from types import MappingProxyType

from moneypath.telemetry.errors import CatalogueInvalid
from moneypath.telemetry.redaction import redact

# Prometheus' own labels, and the parameters of the recording methods, which take labels as keywords.
RESERVED_LABELS = frozenset({"le", "quantile", "job", "instance", "amount", "value", "seconds", "self"})
RESERVED_SUFFIXES = ("_bucket", "_count", "_sum", "_created", "_info")
# Units that are not base units: a reader of the name should not have to convert.
SCALED_UNITS = (
    "milliseconds",
    "millis",
    "ms",
    "microseconds",
    "us",
    "nanoseconds",
    "ns",
    "minutes",
    "hours",
    "days",
    "kilobytes",
    "megabytes",
    "percent",
    "cents",
)
# As `series_budget`: as many series as the labels make.
EVERY_SERIES = -1
NAME_LENGTH_LIMIT = 100
VALUE_LENGTH_LIMIT = 128

_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")


class MetricKind(StrEnum):
    """What kind of metric it is, as Prometheus defines it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(StrEnum):
    """How one gauge is computed from the values that several workers set.

    `latest` is the value of the worker that set it last, absent if that worker cleared it. `max` and `sum`
    ignore workers that set no value. Counters and histograms are always summed.
    """

    LATEST = "latest"
    MAX = "max"
    SUM = "sum"


class Unit(StrEnum):
    """A base unit. The name of the metric ends with it; a plain count has none."""

    NONE = ""
    SECONDS = "seconds"
    MINOR_UNITS = "minor_units"
    MICRO_UNITS = "micro_units"
    BYTES = "bytes"
    RATIO = "ratio"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """The declaration of one metric. Raises CatalogueInvalid if it breaks a rule.

    `labels` maps each label to all its values; an empty tuple is filled in by the service when it starts.
    `buckets` are upper edges in seconds, ascending, without +Inf. `series_budget` limits the exposed series
    (a histogram has one for each bucket and three more); EVERY_SERIES is replaced by what the labels make,
    and is refused while a label has no values. All label combinations of a metric with `precreate` exist
    from the start and must fit the budget; any other metric stops adding series at its budget. `merge`
    applies to gauges only.
    """

    name: str
    kind: MetricKind
    help: str
    unit: Unit = Unit.NONE
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    series_budget: int = EVERY_SERIES
    precreate: bool = False
    merge: Merge = Merge.LATEST

    def __post_init__(self) -> None:
        for problem in _type_problems(self):
            raise CatalogueInvalid(f"metric {self.name}: {problem}")
        object.__setattr__(self, "labels", MappingProxyType(dict(self.labels)))
        if self.series_budget == EVERY_SERIES and self.is_closed:
            object.__setattr__(self, "series_budget", self.all_series)
        for problem in _problems(self):
            raise CatalogueInvalid(f"metric {self.name}: {problem}")
        # A gauge adds series when it is set, and nothing stops a service from setting all combinations.
        if (self.precreate or self.kind is MetricKind.GAUGE) and self.all_series > self.series_budget:
            raise CatalogueInvalid(
                f"metric {self.name}: series_budget: {self.series_budget} is exceeded, the labels make"
                f" {self.all_series} series: {self.describe_series()}",
                hint=f"Declare fewer values, or a series_budget of at least {self.all_series}.",
            )

    @property
    def family(self) -> str:
        """Return the name that OpenMetrics gives the family: for a counter, the name without `_total`."""
        return self.name.removesuffix("_total") if self.kind is MetricKind.COUNTER else self.name

    @property
    def sample_names(self) -> tuple[str, ...]:
        """Return every name that this metric has in an exposition, to find collisions."""
        if self.kind is MetricKind.HISTOGRAM:
            return (self.name, *(f"{self.name}{suffix}" for suffix in ("_bucket", "_sum", "_count")))
        return (self.name,)

    @property
    def series_per_combination(self) -> int:
        """Return how many series one combination of labels exposes."""
        return len(self.buckets) + 3 if self.kind is MetricKind.HISTOGRAM else 1

    @property
    def all_series(self) -> int:
        """Return how many series all combinations expose; 0 while a label has no values."""
        return math.prod(map(len, self.labels.values())) * self.series_per_combination

    @property
    def is_closed(self) -> bool:
        """Return whether every label has its values."""
        return all(self.labels.values())

    def describe_series(self) -> str:
        """Return how many values each label has, as factors: `provider 15 x currency 4`."""
        factors = [f"{label} {len(values)}" for label, values in self.labels.items()]
        if self.kind is MetricKind.HISTOGRAM:
            factors.append(f"{self.series_per_combination} of a histogram")
        return " x ".join(factors)

    def combinations(self) -> Iterator[tuple[str, ...]]:
        """Yield every combination of label values, in the order of `labels`."""
        return product(*self.labels.values())


def _type_problems(spec: MetricSpec) -> Iterator[str]:
    """Yield each field whose value has the wrong type, before other rules read it."""
    kinds = {"name": str, "kind": MetricKind, "help": str, "unit": Unit, "series_budget": int}
    for key, kind in {
        **kinds,
        "labels": Mapping,
        "buckets": tuple,
        "precreate": bool,
        "merge": Merge,
    }.items():
        value = getattr(spec, key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            allowed = f", allowed: {', '.join(map(str, kind))}" if issubclass(kind, StrEnum) else ""
            yield f"{key}: {value!r} is not of type {kind.__name__}{allowed}"
            return
    for label, values in spec.labels.items():
        # Iterating a single string would yield its letters.
        if not isinstance(values, tuple) or not all(isinstance(each, str) for each in (label, *values)):
            yield f"label {label}: {values!r} is not a tuple of strings"
    for edge in spec.buckets:
        if not isinstance(edge, int | float):
            yield f"buckets: {edge!r} is not a number"


def _problems(spec: MetricSpec) -> Iterator[str]:
    yield from _name_problems(spec)
    yield from _kind_problems(spec)
    for label, values in spec.labels.items():
        yield from _label_problems(label, values)
    if spec.series_budget == EVERY_SERIES:
        yield f"series_budget: missing; {_open_label(spec)} has no values yet, and nothing else is a bound"
    elif spec.series_budget < 1:
        yield f"series_budget: {spec.series_budget} is below 1"


def _open_label(spec: MetricSpec) -> str:
    return next(f"the label {label}" for label, values in spec.labels.items() if not values)


def _name_problems(spec: MetricSpec) -> Iterator[str]:
    stem = spec.name.removesuffix("_total")
    if is_sensitive(spec.name):
        yield "name: looks like a card number or a secret"
    if not _NAME.fullmatch(spec.name) or len(spec.name) > NAME_LENGTH_LIMIT:
        yield f"name: must be lower_snake_case of at most {NAME_LENGTH_LIMIT} characters"
    if (spec.kind is MetricKind.COUNTER) != spec.name.endswith("_total"):
        yield f"name: _total ends the names of counters only, and this is a {spec.kind}"
    scaled = next((unit for unit in SCALED_UNITS if stem.endswith(f"_{unit}")), None)
    if scaled is not None:
        yield f"name: {scaled} is not a base unit; use one of {', '.join(unit for unit in Unit if unit)}"
    if stem.endswith(RESERVED_SUFFIXES):
        yield f"name: must not end in any of {', '.join(RESERVED_SUFFIXES)}"
    if spec.unit and not stem.endswith(f"_{spec.unit}"):
        yield f"name: the unit {spec.unit} must end the name (before _total)"
    for unit in Unit:
        if unit and unit is not spec.unit and stem.endswith(f"_{unit}"):
            yield f"unit: the name ends in {unit} but the unit is {spec.unit.value or 'none'!r}"


def _kind_problems(spec: MetricSpec) -> Iterator[str]:
    if not spec.help.strip() or "\n" in spec.help:
        yield "help: must be one line that says what is counted"
    if is_sensitive(spec.help):
        yield "help: holds a card number or a secret"
    if spec.kind is MetricKind.GAUGE and spec.precreate:
        yield "precreate: not allowed for a gauge, which is absent until it is set"
    if spec.kind is not MetricKind.GAUGE and spec.merge is not Merge.LATEST:
        yield f"merge: only a gauge has it; the values of a {spec.kind} are always added"
    if spec.kind is not MetricKind.HISTOGRAM:
        if spec.buckets:
            yield f"buckets: only a histogram has them, and this is a {spec.kind}"
        return
    if spec.unit is not Unit.SECONDS:
        yield "unit: histograms are in seconds"
    if not spec.buckets or not all(math.isfinite(edge) and edge > 0 for edge in spec.buckets):
        yield "buckets: must have at least one edge, each finite and above 0"
    elif list(spec.buckets) != sorted(set(spec.buckets)):
        yield "buckets: must be ascending without duplicates"


def is_sensitive(text: str) -> bool:
    """Return whether a text holds a card number or a secret, which must not be exposed."""
    return redact(text) != text


def _label_problems(label: str, values: tuple[str, ...]) -> Iterator[str]:
    if not _NAME.fullmatch(label) or label in RESERVED_LABELS:
        reserved = ", ".join(sorted(RESERVED_LABELS))
        yield f"label {label}: must be lower_snake_case and none of {reserved}"
    if len(set(values)) != len(values):
        yield f"label {label}: a value stands twice"
    for value in values:
        if not value or len(value) > VALUE_LENGTH_LIMIT or not value.isprintable():
            yield f"label {label}: value {redact(value)[:40]!r} is empty, too long or not printable"
        if is_sensitive(value):
            yield f"label {label}: value {redact(value)[:40]!r} looks like a card number or a secret"
