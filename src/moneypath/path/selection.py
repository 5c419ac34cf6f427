"""Select series of the catalogue by name and labels, and check that they exist."""

from collections.abc import Iterator, Mapping

from pydantic import Field

from moneypath.path.parts import Declared, LabelName, LabelValue, SeriesName
from moneypath.path.problems import DeclarationIssue, Location, repeated, suggest
from moneypath.telemetry.catalogue import Catalogue, MetricKind, MetricSpec

COUNT_SUFFIX = "_count"


class LabelMatcher(Declared):
    """Match series whose `label` has one of `values`."""

    label: LabelName
    values: tuple[LabelValue, ...] = Field(min_length=1, description="values of the label")


class SeriesSelector(Declared):
    """A counter or histogram narrowed by `select`; an empty list selects all of it."""

    series: SeriesName
    select: tuple[LabelMatcher, ...] = Field(default=(), description="mappings of label and values, or []")


def counted_metric(name: str, catalogue: Catalogue) -> MetricSpec | None:
    """Return the metric whose events `name` counts: a counter, or a histogram with `_count`."""
    if name in catalogue and catalogue[name].kind is MetricKind.COUNTER:
        return catalogue[name]
    family = family_of(name)
    if family != name and family in catalogue and catalogue[family].kind is MetricKind.HISTOGRAM:
        return catalogue[family]
    return None


def metric_of(name: str, catalogue: Catalogue) -> MetricSpec:
    """Return the metric that a counter, a gauge, or a histogram with or without `_count` belongs to."""
    return catalogue[name] if name in catalogue else catalogue[family_of(name)]


def family_of(name: str) -> str:
    """Return the histogram that `name` may be the `_count` of, or `name` itself."""
    return name.removesuffix(COUNT_SUFFIX)


def counted_issues(location: Location, name: str, catalogue: Catalogue) -> Iterator[DeclarationIssue]:
    """Yield an issue if `name` counts no events."""
    if counted_metric(name, catalogue) is None:
        names = sorted(spec.name for spec in catalogue if spec.kind is MetricKind.COUNTER)
        counts = sorted(
            f"{spec.name}{COUNT_SUFFIX}" for spec in catalogue if spec.kind is MetricKind.HISTOGRAM
        )
        what = f'there is no counter "{name}"{suggest(name, [*names, *counts])}'
        yield DeclarationIssue(location, what, ", ".join([*names, *counts]))


def series_issues(
    location: Location, name: str, kind: MetricKind, catalogue: Catalogue
) -> Iterator[DeclarationIssue]:
    """Yield an issue if the catalogue has no series of this name and kind."""
    if name not in catalogue or catalogue[name].kind is not kind:
        names = sorted(spec.name for spec in catalogue if spec.kind is kind)
        yield DeclarationIssue(
            location, f'there is no {kind} "{name}"{suggest(name, names)}', ", ".join(names)
        )


def selection_issues(
    location: Location, name: str, select: tuple[LabelMatcher, ...], catalogue: Catalogue
) -> Iterator[DeclarationIssue]:
    """Yield labels that the series does not have, and values that a label never has."""
    labels: Mapping[str, tuple[str, ...]] = metric_of(name, catalogue).labels
    yield from repeated(location, [match.label for match in select], "label")
    for index, match in enumerate(select):
        yield from label_issues((*location, index, "label"), match.label, name, catalogue)
        if match.label in labels:
            yield from value_issues(
                (*location, index, "values"), match.values, match.label, labels[match.label]
            )


def label_issues(
    location: Location, label: str, name: str, catalogue: Catalogue
) -> Iterator[DeclarationIssue]:
    """Yield an issue if the series has no such label."""
    labels = metric_of(name, catalogue).labels
    if label not in labels:
        what = f'{name} has no label "{label}"{suggest(label, labels)}'
        yield DeclarationIssue(location, what, ", ".join(labels) or "none, it has no labels")


def value_issues(
    location: Location, values: tuple[str, ...], label: str, allowed: tuple[str, ...]
) -> Iterator[DeclarationIssue]:
    """Yield values that the label never has, and values that are repeated."""
    yield from repeated(location, values)
    for index, value in enumerate(values):
        if value not in allowed:
            what = f'{label} is never "{value}"{suggest(value, allowed)}'
            yield DeclarationIssue((*location, index), what, ", ".join(allowed))
