"""A healthy past for a fresh Prometheus, so that no window is empty when the first fault comes.

The text is OpenMetrics for `promtool tsdb create-blocks-from openmetrics`. The series carry the
same labels as the live ones, so both join; the live counters start again at 0, which Prometheus
reads as a restart of the process.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction

from moneypath.alerting.conventions import LAST_SUCCESS, ROUTING
from moneypath.alerting.leaf import Leaf, decimal_text, duration_text
from moneypath.alerting.sli import PAYMENTS, RESULTS, recorded, windows
from moneypath.alerting.timing import Scale
from moneypath.path.loader import build_catalogue
from moneypath.path.model import MoneyPath
from moneypath.path.parts import Slo
from moneypath.telemetry.catalogue import Catalogue, MetricKind
from moneypath.telemetry.vocabulary import NO_PROVIDER, AuthorizationResult, Cohort, Outcome, Traffic

EVENTS_PER_SECOND = 10

# Values of a series at a number of seconds since the history began, and at a Unix time.
_Values = Callable[[int, Decimal], str]


def backfill(
    path: MoneyPath,
    *,
    until: float,
    seconds: int,
    step: int,
    events_per_second: int = EVENTS_PER_SECOND,
) -> str:
    """Return OpenMetrics text of a healthy history that ends at `until` (Unix seconds).

    There is a sample every `step` seconds. `events_per_second` is the traffic of each provider:
    give the rate of the load to come, since a busier past makes later errors a smaller share.
    """
    catalogue = build_catalogue(path)
    end = Decimal(str(round(until, 3)))
    offsets = range(0, seconds + 1, step)
    lines: list[str] = []

    def write(name: str, kind: MetricKind, samples: Iterator[tuple[dict[str, str], _Values]]) -> None:
        family = catalogue[name].family if name in catalogue else name
        lines.append(f"# TYPE {family} {kind}")
        for labels, values in samples:
            text = ",".join(f'{key}="{value}"' for key, value in labels.items())
            for offset in offsets:
                at = end - seconds + offset
                lines.append(f"{name}{{{text}}} {values(offset, at)} {at}")

    write(PAYMENTS, MetricKind.COUNTER, _payments(path, catalogue, events_per_second))
    if any(slo.bad_results for slo in path.slos):
        write(RESULTS, MetricKind.COUNTER, _results(path, catalogue, events_per_second))
    write(ROUTING, MetricKind.GAUGE, _gauge(_worker(path), catalogue, ROUTING, _one))
    write(LAST_SUCCESS, MetricKind.GAUGE, _gauge(_worker(path), catalogue, LAST_SUCCESS, _now))
    for series in dict.fromkeys(series for check in path.checks for series in check.series):
        write(series, MetricKind.GAUGE, _gauge(_worker(path), catalogue, series, _zero))
    write("up", MetricKind.GAUGE, ((_member(target.job), _one) for target in path.targets))
    return "\n".join((*lines, "# EOF\n"))


def longest_window_seconds(path: MoneyPath, scale: Scale) -> Fraction:
    """Return the longest window that any objective looks at, at `scale`."""
    return max(scale.apply(_longest(slo)) for slo in path.slos)


def window_fill_query(path: MoneyPath, scale: Scale) -> str:
    """Return PromQL for the share, 0 to 1, of the longest window that holds samples; empty means none."""
    slo = max(path.slos, key=lambda slo: windows(slo)[-1])
    span = scale.apply(_longest(slo))
    samples = decimal_text(span / scale.timing.scrape_seconds)
    providers = "|".join(path.provider_ids())
    matchers = (
        f'job="{_api(path)}",operation="{slo.operation}",outcome="{Outcome.SUCCEEDED}",'
        f'traffic="{Traffic.LIVE}",cohort="{Cohort.CONTROL}",provider=~"{providers}"'
    )
    return f"clamp_max(min(count_over_time({PAYMENTS}{{{matchers}}}[{duration_text(span)}])) / {samples}, 1)"


def _longest(slo: Slo) -> Leaf:
    return recorded(slo, windows(slo)[-1]).span


def _api(path: MoneyPath) -> str:
    """Return the job that counts payments: the target at the stage of the objectives."""
    return next(
        (target.job for target in path.targets if target.stage == path.slos[0].stage), path.targets[0].job
    )


def _worker(path: MoneyPath) -> str:
    """Return the job that exports what the database holds: the target at the stage of the checks."""
    return next(
        (target.job for target in path.targets if target.stage == path.checks[0].stage), path.targets[-1].job
    )


def _member(job: str) -> dict[str, str]:
    return {"job": job, "instance": job}


def _steady(per_second: int) -> _Values:
    return lambda offset, _: str(per_second * offset)


def _one(_offset: int, _at: Decimal) -> str:
    return "1"


def _zero(_offset: int, _at: Decimal) -> str:
    return "0"


def _now(_offset: int, at: Decimal) -> str:
    return str(at)


def _payments(path: MoneyPath, catalogue: Catalogue, rate: int) -> Iterator[tuple[dict[str, str], _Values]]:
    operations = {slo.operation.value for slo in path.slos}
    for labels in _combinations(catalogue, PAYMENTS):
        if labels["operation"] not in operations:
            continue
        healthy = (
            labels["outcome"] == Outcome.SUCCEEDED
            and labels["traffic"] == Traffic.LIVE
            and labels["cohort"] == Cohort.CONTROL
            and labels["provider"] != NO_PROVIDER
        )
        yield {**labels, **_member(_api(path))}, _steady(rate) if healthy else _zero


def _results(path: MoneyPath, catalogue: Catalogue, rate: int) -> Iterator[tuple[dict[str, str], _Values]]:
    first = {label: values[0] for label, values in catalogue[RESULTS].labels.items() if label != "provider"}
    approved: Mapping[str, str] = {**first, "result": AuthorizationResult.APPROVED.value}
    for labels in _combinations(catalogue, RESULTS):
        healthy = all(labels[label] == value for label, value in approved.items())
        yield {**labels, **_member(_api(path))}, _steady(rate) if healthy else _zero


def _gauge(
    job: str, catalogue: Catalogue, name: str, values: _Values
) -> Iterator[tuple[dict[str, str], _Values]]:
    for labels in _combinations(catalogue, name):
        yield {**labels, **_member(job)}, values


def _combinations(catalogue: Catalogue, name: str) -> Iterator[dict[str, str]]:
    spec = catalogue[name]
    return (dict(zip(spec.labels, values, strict=True)) for values in spec.combinations())
