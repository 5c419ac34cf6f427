"""The contradictions of declared series, and of the objectives that count them."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from moneypath.path.declaration import Declaration
from moneypath.path.declared_series import DeclaredMetric, DeclaredSeries
from moneypath.path.exported import family_of_events
from moneypath.path.guards import IncreaseGuard, RatioGuard
from moneypath.path.objectives import AvailabilitySlo, LatencySlo
from moneypath.path.parts import SNAKE_ID
from moneypath.path.presets import PRESETS
from moneypath.path.problems import DeclarationIssue, Location, suggest
from moneypath.path.selection import LabelMatcher, counted_issues, selection_issues
from moneypath.path.series_events import SeriesEvents, other_values
from moneypath.telemetry.catalogue import Catalogue, MetricKind
from moneypath.telemetry.catalogue.catalogue import PREFIX
from moneypath.telemetry.catalogue.metric import SCALED_UNITS
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER

# Prometheus and our rules make these themselves. `job` tells two services apart that export one name.
_MADE: Final = frozenset({"le", "quantile", "instance"})
# An alert has these labels for itself, and a gauge hands its own on to the alert.
_OF_ALERTS: Final = frozenset(
    {"alertname", "alertstate", "check", "environment", "job", "roles", "severity", "slo", "stage", "tier"}
)
_OF_HISTOGRAMS: Final = ("_bucket", "_count", "_sum")


def declared_series_issues(path: Declaration) -> Iterator[DeclarationIssue]:
    """Yield what a declared series cannot be, by itself and beside the rest of the declaration."""
    own = {metric.name for metric in path.telemetry.metrics}
    for name, series in path.series.items():
        at: Location = ("series", name)
        if name.startswith(PREFIX) or name in own:
            where = "of the product" if name.startswith(PREFIX) else "declared in telemetry.metrics"
            yield DeclarationIssue(at, f"{name} is {where}", "a series that the services export without us")
        yield from _kind_issues(at, name, series)
        yield from _label_issues(at, series, tuple(target.job for target in path.targets))
        yield from _role_issues(at, series, path)


def _kind_issues(at: Location, name: str, series: DeclaredSeries) -> Iterator[DeclarationIssue]:
    preset = series.known_preset(name)
    if series.preset and preset is None:
        names = PRESETS[series.preset]
        what = f"{series.preset} exports no {name}{suggest(name, names)}"
        yield DeclarationIssue((*at, "preset"), what, ", ".join(names))
        return
    if series.kind is None:
        yield DeclarationIssue((*at, "kind"), "missing key", f"{', '.join(MetricKind)}; or a preset")
        return
    if preset and series.kind is not preset.kind:
        yield DeclarationIssue((*at, "kind"), f"{series.preset} exports a {preset.kind}", preset.kind)
    if series.time and series.kind is not MetricKind.GAUGE:
        yield DeclarationIssue((*at, "time"), f"a {series.kind} holds no time", "true only for a gauge")
    yield from _bucket_issues(at, name, series)


def _bucket_issues(at: Location, name: str, series: DeclaredSeries) -> Iterator[DeclarationIssue]:
    if series.kind is not MetricKind.HISTOGRAM:
        if series.buckets:
            yield DeclarationIssue((*at, "buckets"), f"a {series.kind} has no buckets", "[]")
        return
    if name.endswith(_OF_HISTOGRAMS):
        what = f"{name} is one of the series of a histogram"
        yield DeclarationIssue(at, what, "the histogram's name, without _bucket, _count or _sum")
    if not series.buckets:
        yield DeclarationIssue((*at, "buckets"), "a histogram has edges", "its upper edges, without +Inf")
    elif list(series.buckets) != sorted(set(series.buckets)):
        yield DeclarationIssue((*at, "buckets"), "the edges do not ascend", "each edge once, ascending")


def _label_issues(at: Location, series: DeclaredSeries, jobs: tuple[str, ...]) -> Iterator[DeclarationIssue]:
    for label, values in series.labels.items():
        here: Location = (*at, "labels", label)
        if label in _MADE or (label in _OF_ALERTS and series.kind is MetricKind.GAUGE):
            whose = "Prometheus" if label in _MADE else "an alert"
            yield DeclarationIssue(
                here, f"{label} is a label of {whose}", "labels that the service itself sets"
            )
        if not isinstance(values, tuple):
            if label == "job":
                yield DeclarationIssue(here, "the jobs are known", ", ".join(jobs))
            continue
        for index, value in enumerate(values):
            if value in values[:index]:
                yield DeclarationIssue((*here, index), f'"{value}" stands twice', "each once")
            if label == "job" and value not in jobs:
                what = f'there is no target "{value}"{suggest(value, jobs)}'
                yield DeclarationIssue((*here, index), what, ", ".join(jobs))


def _role_issues(at: Location, series: DeclaredSeries, path: Declaration) -> Iterator[DeclarationIssue]:
    allowed = {
        "provider": (*path.provider_ids(), NO_PROVIDER),
        "currency": tuple(path.currencies),
        "operation": (),
    }
    known: set[str] = set()
    for role, ids in allowed.items():
        label: str = getattr(series.roles, role)
        if not label:
            continue
        here: Location = (*at, "roles", role)
        if label not in series.labels:
            what = f'there is no label "{label}"{suggest(label, series.labels)}'
            yield DeclarationIssue(here, what, ", ".join(series.labels) or "none, it has no labels")
            continue
        values = series.values(label)
        if not values:
            what = f"any value of {label} may occur, so nobody knows which {role} it is"
            yield DeclarationIssue((*at, "labels", label), what, "the list of its values")
        known |= set(values)
        for value in values:
            yield from _meaning_issues(at, role, label, value, series.id_of(value), ids)
    for value in series.ids:
        if value not in known:
            what = f'no label with a role has the value "{value}"{suggest(value, known)}'
            yield DeclarationIssue(
                (*at, "ids", value), what, ", ".join(sorted(known)) or "none, without roles"
            )


def _meaning_issues(
    at: Location, role: str, label: str, value: str, meaning: str, ids: tuple[str, ...]
) -> Iterator[DeclarationIssue]:
    fits = meaning in ids if ids else re.fullmatch(SNAKE_ID, meaning) is not None
    if not fits:
        what = f'{label} has "{value}", which is no {role}{suggest(meaning, ids)}'
        names = ", ".join(ids) or "words joined by _, such as top_up"
        yield DeclarationIssue((*at, "ids"), what, f"for {value} one of: {names}")


def counted_series_issues(path: Declaration, catalogue: Catalogue) -> Iterator[DeclarationIssue]:
    """Yield what objectives, checks and guards cannot ask of a declared series."""
    for index, slo in enumerate(path.slos):
        at: Location = ("slos", index)
        if isinstance(slo, AvailabilitySlo) and slo.events:
            yield from _events_issues(at, slo, slo.events, path, catalogue)
        elif isinstance(slo, LatencySlo):
            yield from _threshold_issues(at, slo, catalogue)
    for index, check in enumerate(path.checks):
        for place, name in enumerate(check.series):
            if name in path.series:
                what = f"{name} does not say when it was last checked, so the check would be stale forever"
                hint = "a guard of the kind level with `above: 0` and evidence"
                yield DeclarationIssue(("checks", index, "series", place), what, hint)
    yield from _evidence_issues(path, catalogue)


def _threshold_issues(at: Location, slo: LatencySlo, catalogue: Catalogue) -> Iterator[DeclarationIssue]:
    name = slo.histogram.series
    metric = catalogue.metrics.get(name)
    if not isinstance(metric, DeclaredMetric) or metric.kind is not MetricKind.HISTOGRAM:
        return
    here: Location = (*at, "threshold_seconds")
    scaled = next((unit for unit in SCALED_UNITS if name.endswith(f"_{unit}")), "")
    if scaled:
        what = f"{name} is in {scaled}, and a threshold in seconds is no edge of it"
        yield DeclarationIssue((*at, "histogram", "series"), what, "a histogram in seconds")
        return
    edges = [Decimal(repr(edge)) for edge in metric.buckets]
    if slo.threshold_seconds not in edges:
        below = [edge for edge in edges if edge < slo.threshold_seconds][-1:]
        above = [edge for edge in edges if edge > slo.threshold_seconds][:1]
        near = " or ".join(f'"{edge.normalize():f}"' for edge in (*below, *above) if edge > 0)
        what = f"{slo.threshold_seconds} s is no bucket edge of {name}: every event would count as slow"
        yield DeclarationIssue(here, what, f"{near}, or an edge that the service has and buckets lacks")


def _events_issues(
    at: Location, slo: AvailabilitySlo, events: SeriesEvents, path: Declaration, catalogue: Catalogue
) -> Iterator[DeclarationIssue]:
    here: Location = (*at, "events")
    unknown = tuple(counted_issues((*here, "series"), events.series, catalogue))
    if unknown:
        yield from unknown
        return
    series = path.series.get(family_of_events(path, events.series))
    if series is None:
        what = f"{events.series} is recorded by our library"
        yield DeclarationIssue(
            (*here, "series"), what, "a name of `series`; or an objective of the kind events"
        )
        return
    for key in ("excluded_outcomes", "bad_outcomes", "bad_results"):
        if key in slo.model_fields_set:
            yield DeclarationIssue(
                (*at, key), "events of a declared series have no outcomes", "valid, good or bad"
            )
    if bool(events.good) == bool(events.bad):
        which = "neither good nor bad" if not events.good else "both good and bad"
        yield DeclarationIssue(here, f"says {which}", "one of good, bad")
    found = tuple(
        issue
        for key, select in (("valid", events.valid), ("good", events.good), ("bad", events.bad))
        for issue in selection_issues((*here, key), events.series, select, catalogue)
    )
    yield from found
    yield from _operation_issues(at, slo, series, events)
    yield from _provider_issues(at, slo, series, events, path)
    if not found:
        yield from _sides_issues(here, series, events)


def _operation_issues(
    at: Location, slo: AvailabilitySlo, series: DeclaredSeries, events: SeriesEvents
) -> Iterator[DeclarationIssue]:
    label = series.roles.operation
    if slo.operation and label in {match.label for match in (*events.valid, *events.good, *events.bad)}:
        what = f"{label} is selected by operation already"
        yield DeclarationIssue((*at, "events"), what, "other labels, or no operation")
    known = sorted({series.id_of(value) for value in series.values(label)}) if label else []
    if slo.operation and slo.operation not in known:
        what = f'the series knows no operation "{slo.operation}"{suggest(slo.operation, known)}'
        yield DeclarationIssue((*at, "operation"), what, ", ".join(known) or "none without roles.operation")


def _provider_issues(
    at: Location, slo: AvailabilitySlo, series: DeclaredSeries, events: SeriesEvents, path: Declaration
) -> Iterator[DeclarationIssue]:
    label = series.roles.provider
    if slo.per is None:
        return
    if not label:
        what = "no label of the series names a provider"
        yield DeclarationIssue((*at, "per"), what, "null, or roles.provider of the series")
        return
    for key, select in (("valid", events.valid), ("good", events.good), ("bad", events.bad)):
        for index, match in enumerate(select):
            if match.label == label:
                what = f"{label} names the provider, by which the objective is kept apart"
                yield DeclarationIssue(
                    (*at, "events", key, index, "label"), what, "another label, or per: null"
                )
    missing = [each for each in path.provider_ids() if not series.spelt(label, each)]
    if len(missing) == len(path.providers):
        what = f"{label} has a value for no provider"
        yield DeclarationIssue((*at, "per"), what, "null, or a value for a provider")
    elif slo.traffic and missing:
        what = f"{label} has no value for {', '.join(missing)}, so its traffic would be missing forever"
        yield DeclarationIssue((*at, "traffic"), what, "null, or a value for each provider")


def _sides_issues(here: Location, series: DeclaredSeries, events: SeriesEvents) -> Iterator[DeclarationIssue]:
    """Yield selections that leave nothing that could be good, or nothing that could be bad."""
    for key, select in (("good", events.good), ("bad", events.bad)):
        for index, match in enumerate(select):
            allowed = _valid_of(events, match)
            if allowed and not set(match.values) & set(allowed):
                at: Location = (*here, key, index, "values")
                yield DeclarationIssue(at, f"{', '.join(match.values)} is never valid", ", ".join(allowed))
    select = events.good or events.bad
    if select and not any(other_values(series, match, events.valid) for match in select):
        key, left = ("good", "bad") if events.good else ("bad", "good")
        what = f"every valid event is {key}, so none is {left}"
        yield DeclarationIssue((*here, key), what, "fewer values, or more in valid")


def _valid_of(events: SeriesEvents, match: LabelMatcher) -> tuple[str, ...]:
    return next((each.values for each in events.valid if each.label == match.label), ())


def _evidence_issues(path: Declaration, catalogue: Catalogue) -> Iterator[DeclarationIssue]:
    """Yield evidence whose members another series knows otherwise: one list says who is expected."""
    known: dict[str, tuple[str, ...]] = {"provider": path.provider_ids()}
    for index, guard in enumerate(path.guards):
        if isinstance(guard, IncreaseGuard | RatioGuard) or not guard.evidence:
            continue
        name, at = guard.evidence.series, ("guards", index, "evidence", "series")
        open_labels = [
            label
            for label, values in (path.series[name].labels.items() if name in path.series else ())
            if not isinstance(values, tuple)
        ]
        if open_labels:
            what = f"any value of {open_labels[0]} may occur, so nobody knows which are missing"
            yield DeclarationIssue(at, what, "a gauge whose labels have lists of values, or evidence: null")
            continue
        for label, values in (catalogue[name].labels if name in catalogue else {}).items():
            if label not in known:
                known[label] = values
            elif name in path.series and set(known[label]) != set(values):
                what = f"{label} of {name} has other values than it has elsewhere"
                yield DeclarationIssue(at, what, f"{', '.join(known[label])}; or evidence: null")
