"""Select series of the catalogue by name and labels, and check that they exist."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field

from moneypath.path.parts import Declared, SeriesName, SnakeId
from moneypath.path.problems import DeclarationIssue, Location, repeated, suggest
from moneypath.telemetry.catalogue import Catalogue, MetricKind

LabelValue = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=60, description="a value of the label")]


class LabelMatcher(Declared):
    """Match series whose `label` has one of `values`."""

    label: SnakeId = Field(description="a label of the series")
    values: tuple[LabelValue, ...] = Field(min_length=1, description="values of the label")


class SeriesSelector(Declared):
    """A counter or histogram narrowed by `select`; an empty list selects all of it."""

    series: SeriesName
    select: tuple[LabelMatcher, ...] = Field(default=(), description="mappings of label and values, or []")


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
    labels: Mapping[str, tuple[str, ...]] = catalogue[name].labels
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
    labels = catalogue[name].labels
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
