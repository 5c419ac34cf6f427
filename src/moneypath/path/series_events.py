"""Which events of a counter an availability objective counts, and which of them are good or bad."""

from collections.abc import Iterator, Mapping

from pydantic import Field

from moneypath.path.declared_series import OTHER, DeclaredSeries
from moneypath.path.parts import Declared, SeriesName
from moneypath.path.selection import LabelMatcher, family_of
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER

Labels = Mapping[str, str]


class SeriesEvents(Declared):
    """The events of a declared counter, or of a declared histogram with `_count`.

    Valid are those that match all of `valid`, by default all. Bad are those of them that match all of `bad`,
    or that have none of the values of `good`.
    """

    series: SeriesName
    valid: tuple[LabelMatcher, ...] = Field(
        default=(), max_length=10, description="mappings of label and values, or []"
    )
    good: tuple[LabelMatcher, ...] = Field(
        default=(), max_length=1, description="one mapping of label and values; everything else is bad"
    )
    bad: tuple[LabelMatcher, ...] = Field(
        default=(), max_length=10, description="mappings of label and values that have to match together"
    )


class ResolvedEvents(SeriesEvents):
    """The same with what the series says of provider and operation; made of both, never written.

    `providers` has for each provider the values of `provider_label` that stand for it; without a label all
    providers count together. `good_labels` and `bad_labels` are one example of each, but for the provider;
    they are empty if there can be none.
    """

    provider_label: str = ""
    providers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    operation: tuple[LabelMatcher, ...] = ()
    good_labels: Labels = Field(default_factory=dict)
    bad_labels: Labels = Field(default_factory=dict)

    def spelt(self, provider: str) -> tuple[str, ...]:
        """Return the values of `provider_label` that stand for `provider`."""
        return dict(self.providers).get(provider, ())

    def at(self, provider: str) -> dict[str, str]:
        """Return the label that makes an event one of `provider`; none if no value stands for it."""
        return dict.fromkeys([self.provider_label], spelt[0]) if (spelt := self.spelt(provider)) else {}

    @property
    def every_spelling(self) -> tuple[str, ...]:
        """Return the values of `provider_label` that stand for any provider."""
        return tuple(value for _, values in self.providers for value in values)


def resolved(
    events: SeriesEvents,
    declared: Mapping[str, DeclaredSeries],
    *,
    kept_apart: bool,
    operation: str,
    providers: tuple[str, ...],
) -> SeriesEvents:
    """Return `events` with what their series says; unchanged where the series is not declared."""
    series = declared.get(events.series) or declared.get(family_of(events.series))
    if series is None:
        return events
    label = series.roles.provider if kept_apart else ""
    chosen: tuple[LabelMatcher, ...] = ()
    if operation and series.roles.operation:
        values = series.spelt(series.roles.operation, operation)
        chosen = (LabelMatcher(label=series.roles.operation, values=values),) if values else ()
    found = ((each, series.spelt(label, each)) for each in providers if label and each != NO_PROVIDER)
    good, bad = _examples(series, events, chosen)
    return ResolvedEvents(
        series=events.series,
        valid=events.valid,
        good=events.good,
        bad=events.bad,
        provider_label=label,
        providers=tuple((provider, values) for provider, values in found if values),
        operation=chosen,
        good_labels={key: value for key, value in good.items() if key != label},
        bad_labels={key: value for key, value in bad.items() if key != label},
    )


def other_values(
    series: DeclaredSeries, match: LabelMatcher, valid: tuple[LabelMatcher, ...]
) -> tuple[str, ...]:
    """Return the values that valid events have for the label of `match`, but for those that it names."""
    return tuple(value for value in _valid_values(series, match.label, valid) if value not in match.values)


def _valid_values(series: DeclaredSeries, label: str, valid: tuple[LabelMatcher, ...]) -> tuple[str, ...]:
    for match in valid:
        if match.label == label:
            return match.values
    # Another value than anybody names: a label that is not closed has more.
    return series.values(label) or (f"{OTHER}_{OTHER}",)


def _examples(
    series: DeclaredSeries, events: SeriesEvents, operation: tuple[LabelMatcher, ...]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the labels of one good and of one bad event."""
    valid = (*operation, *events.valid)
    first = {label: _valid_values(series, label, valid)[0] for label in series.labels}
    named = dict(_named(events, valid))
    if len(named) < len((*events.good, *events.bad)):
        return {}, {}
    told = {**first, **named}
    for match in (*events.good, *events.bad):
        rest = other_values(series, match, valid)
        if rest:
            other = {**told, match.label: rest[0]}
            return (told, other) if events.good else (other, told)
    return ({}, told) if events.bad else (told, {})


def _named(events: SeriesEvents, valid: tuple[LabelMatcher, ...]) -> Iterator[tuple[str, str]]:
    """Yield for each label of `good` or `bad` a value that is valid, too."""
    for match in (*events.good, *events.bad):
        allowed = next((each.values for each in valid if each.label == match.label), match.values)
        both = [value for value in match.values if value in allowed]
        if both:
            yield match.label, both[0]
