"""Write a healthy history for a fresh Prometheus, so that no window is empty when the first fault comes.

The text is OpenMetrics for `promtool tsdb create-blocks-from openmetrics`. The series carry the same
labels as the live ones, so they continue each other. The live counters start again at 0, which Prometheus
reads as a restart of the process.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction

from moneypath.alerting.availability_sli import PAYMENTS
from moneypath.alerting.baseline import (
    CounterBaseline,
    GaugeBaseline,
    api_job,
    counter_baselines,
    gauge_baselines,
    job_at_stage,
    operations,
    worker_job,
)
from moneypath.alerting.conventions import SILENCES, SILENCES_JOB, silence_check
from moneypath.alerting.matchers import one_of, selector
from moneypath.alerting.recorded import windows
from moneypath.alerting.rules import RuleLiteral, decimal_text, duration_text, window
from moneypath.alerting.timing import Scale
from moneypath.path.declared_series import DeclaredMetric
from moneypath.path.guards import IncreaseGuard, RatioGuard
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import DURATIONS, AvailabilitySlo, LatencySlo
from moneypath.path.selection import LabelMatcher
from moneypath.telemetry.catalogue import Catalogue, MetricKind
from moneypath.telemetry.catalogue.vocabulary import NO_PROVIDER, Cohort, Outcome, Traffic

# Between the edges 0.05 and 0.1 of our histograms: a healthy provider's answer.
_HEALTHY_SECONDS = Decimal("0.08")

EVENTS_PER_SECOND = Fraction(10)

# Values of a series at a number of seconds since the history began, and at a Unix time.
_Values = Callable[[int, Decimal], str]
_Series = tuple[str, dict[str, str], _Values]
# What OpenMetrics wants together at each instant: one series, or all of one histogram.
_Point = tuple[_Series, ...]


def backfill(
    path: MoneyPath,
    *,
    until: float,
    seconds: int,
    step: int,
    events_per_second: Fraction = EVENTS_PER_SECOND,
) -> str:
    """Return OpenMetrics text of a healthy history that ends at `until` (Unix seconds).

    There is a sample every `step` seconds. `events_per_second` is the traffic of each provider:
    give the rate of the load to come, since a busier past makes later errors a smaller share.
    """
    catalogue = path.known_metrics()
    end = Decimal(str(round(until, 3)))
    times = [(offset, end - seconds + offset) for offset in range(0, seconds + 1, step)]
    lines: list[str] = []

    def write(name: str, kind: MetricKind, points: Iterator[_Point]) -> None:
        lines.append(f"# TYPE {name} {kind}")
        for point in points:
            named = [(f"{sample}{{{_inside(labels)}}}", values) for sample, labels, values in point]
            lines.extend(
                f"{series} {values(offset, at)} {at}" for offset, at in times for series, values in named
            )

    for counter in counter_baselines(path):
        spec = catalogue[counter.name]
        write(spec.family, spec.kind, _counter_points(path, catalogue, counter, events_per_second))
    for gauge in gauge_baselines(path):
        write(gauge.name, MetricKind.GAUGE, _gauge_points(path, catalogue, gauge))
    up = ((("up", _member(target.job), _constant(1)),) for target in path.targets)
    write("up", MetricKind.GAUGE, up)
    return "\n".join((*lines, "# EOF\n"))


def longest_window_seconds(path: MoneyPath, scale: Scale) -> Fraction:
    """Return the longest window that any rule reads, at `scale`."""
    return scale.apply(_longest(path))


def window_fill_query(path: MoneyPath, scale: Scale) -> str:
    """Return PromQL for the share of the longest window that holds samples, 0 to 1; no result means none.

    As in every query of a drill, the window is that of production and has to be dilated by the same `scale`.
    """
    longest = _longest(path)
    samples = decimal_text(scale.apply(longest) / scale.timing.scrape_seconds)
    window_text = duration_text(longest.value)
    return f"clamp_max(min(count_over_time({_healthy_series(path)}[{window_text}])) / {samples}, 1)"


def payments_selector(path: MoneyPath) -> str | None:
    """Return the series that count live payments as objectives see them, or None if none looks at them."""
    if slos := [slo for slo in path.availability_slos() if slo.events is None]:
        return f'{PAYMENTS}{{operation="{slos[0].operation}",traffic="{Traffic.LIVE}"}}'
    for slo in path.slos:
        if isinstance(slo, LatencySlo) and slo.histogram.series == DURATIONS:
            return f"{slo.histogram.series}_count{selector(slo.histogram.select)}"
    return None


def _healthy_series(path: MoneyPath) -> str:
    """Return the series that grow while all is well: those of the first availability objective, if any."""
    slos = path.availability_slos()
    if slos and slos[0].counted:
        counted = slos[0].counted
        first = counted.at(counted.providers[0][0]) if counted.providers else {}
        good = {"job": api_job(path), **counted.good_labels, **first}
        return f"{counted.series}{{{', '.join(one_of(key, (value,)) for key, value in good.items())}}}"
    if slos:
        providers = "|".join(path.provider_ids() or (NO_PROVIDER,))
        matchers = (
            f'job="{api_job(path)}",operation="{slos[0].operation}",outcome="{Outcome.SUCCEEDED}",'
            f'traffic="{Traffic.LIVE}",cohort="{Cohort.CONTROL}",provider=~"{providers}"'
        )
        return f"{PAYMENTS}{{{matchers}}}"
    slo = next(slo for slo in path.slos if not isinstance(slo, AvailabilitySlo))
    here = one_of("job", (job_at_stage(path, slo.stage),))
    if isinstance(slo, LatencySlo):
        name, select = f"{slo.histogram.series}_count", slo.histogram.select
    else:
        name, select = slo.series, (*slo.select, LabelMatcher(label=slo.label, values=slo.good[:1]))
    # The first value of each label is what the history that is filled in has.
    chosen = tuple(one_of(match.label, match.values[:1]) for match in select)
    return f"{name}{{{', '.join((here, *chosen))}}}"


def _longest(path: MoneyPath) -> RuleLiteral:
    seconds = [each for slo in path.slos for each in windows(slo)]
    counted = (guard for guard in path.guards if isinstance(guard, IncreaseGuard | RatioGuard))
    return window(max((*seconds, *(guard.window_seconds for guard in counted))), "longest")


def _inside(labels: dict[str, str]) -> str:
    return ",".join(f'{key}="{value}"' for key, value in labels.items())


def _member(job: str) -> dict[str, str]:
    return {"job": job, "instance": job}


def _steady(per_second: Fraction) -> _Values:
    if per_second.denominator == 1:
        whole = per_second.numerator
        return lambda offset, _: str(whole * offset)
    return lambda offset, _: decimal_text(per_second * offset)


def _constant(value: int) -> _Values:
    return lambda _offset, _at: str(value)


def _ahead(seconds: int) -> _Values:
    return lambda _offset, at: str(at + seconds)


def _counter_points(
    path: MoneyPath, catalogue: Catalogue, counter: CounterBaseline, rate: Fraction
) -> Iterator[_Point]:
    spec, looked_at = catalogue[counter.name], operations(path)
    if isinstance(spec, DeclaredMetric):
        yield from _declared_points(spec, counter, rate)
        return
    # Without the label one series counts for all providers.
    alone = counter.share * rate * (1 if "provider" in spec.labels else max(1, len(path.providers)))
    for labels in _combinations(catalogue, counter.name):
        if labels.get("operation", "") not in {"", *looked_at}:
            continue
        per_second = alone if counter.is_healthy(labels, catalogue) else Fraction(0)
        here = {**labels, **_member(counter.job)}
        if spec.kind is MetricKind.HISTOGRAM:
            yield tuple(_timed(counter.name, spec.buckets, here, per_second))
        else:
            yield ((counter.name, here, _steady(per_second)),)


def _declared_points(spec: DeclaredMetric, counter: CounterBaseline, rate: Fraction) -> Iterator[_Point]:
    """Yield the healthy series alone: a service that we know less of may have any number of others."""
    first = {label: values[0] for label, values in spec.labels.items()}
    found = [{**_member(counter.job), **first, **chosen} for chosen in counter.healthy]
    for here in (labels for index, labels in enumerate(found) if labels not in found[:index]):
        if spec.kind is MetricKind.HISTOGRAM:
            yield tuple(_timed(spec.name, spec.buckets, here, counter.share * rate))
        else:
            yield ((spec.name, here, _steady(counter.share * rate)),)


def _timed(
    name: str, edges: tuple[float, ...], labels: dict[str, str], per_second: Fraction
) -> Iterator[_Series]:
    for edge in edges:
        fits = Decimal(str(edge)) >= _HEALTHY_SECONDS
        # Written like our exposition writes it, or the live series would not continue this one.
        yield f"{name}_bucket", {**labels, "le": str(edge)}, _steady(per_second if fits else Fraction(0))
    yield f"{name}_bucket", {**labels, "le": "+Inf"}, _steady(per_second)
    yield f"{name}_count", labels, _steady(per_second)
    yield f"{name}_sum", labels, _steady(per_second * Fraction(_HEALTHY_SECONDS))


def _gauge_points(path: MoneyPath, catalogue: Catalogue, gauge: GaugeBaseline) -> Iterator[_Point]:
    values = _ahead(gauge.value) if gauge.is_time else _constant(gauge.value)
    for labels in _combinations(catalogue, gauge.name):
        yield ((gauge.name, {**labels, **_member(_gauge_job(path, gauge.name, labels))}, values),)


def _gauge_job(path: MoneyPath, name: str, labels: dict[str, str]) -> str:
    """Return the job that exports a gauge: the worker's, unless it is about silences."""
    check = silence_check(path)
    is_asked_elsewhere = name == SILENCES or (check is not None and labels.get("check") == check.id)
    return SILENCES_JOB if is_asked_elsewhere else worker_job(path)


def _combinations(catalogue: Catalogue, name: str) -> Iterator[dict[str, str]]:
    spec = catalogue[name]
    return (dict(zip(spec.labels, values, strict=True)) for values in spec.combinations())
