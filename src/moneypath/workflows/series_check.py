"""Compare the declared series with what a Prometheus has: names, labels, values, bucket edges."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moneypath.errors import MoneypathError
from moneypath.path.declared_series import DeclaredSeries
from moneypath.path.problems import suggest
from moneypath.prometheus import Prometheus, QueryFailed
from moneypath.target.conformance.look import prometheus_of
from moneypath.target.exchange import Exchange
from moneypath.target.loader import load_target
from moneypath.telemetry.catalogue import MetricKind
from moneypath.telemetry.redaction import redact
from moneypath.workflows.declaration import load_declaration

MOST_SHOWN: Final = 5
# A failure that has not happened since a service started has no series; a restart ends those before it.
LOOKED_BACK: Final = "1h"


class SeriesDiffer(MoneypathError):
    """Declared series that Prometheus does not have, or has otherwise."""

    code = "series_differ"


class NoSeriesDeclared(MoneypathError):
    """A declaration without the section `series`."""

    code = "no_series_declared"


@dataclass(frozen=True, slots=True)
class SeriesProblem:
    """What is wrong with one declared series, as a sentence."""

    series: str
    what: str


@dataclass(frozen=True, slots=True)
class SeriesCheck:
    """The result. `unseen` are declared values that have not occurred yet, which is no mistake."""

    series: int
    problems: tuple[SeriesProblem, ...]
    unseen: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Return the result as one sentence."""
        return f"{self.series} declared series, {len(self.problems)} of what they say is not so"


async def prometheus_of_target(file: Path) -> Prometheus:
    """Return the Prometheus of a target's file; raises DeclarationInvalid and SecretFileUnusable."""
    return await prometheus_of(Exchange.of(load_target(file)))


async def check_series(project: Path, prometheus: Prometheus) -> SeriesCheck:
    """Ask `prometheus` for each declared series of the last hour.

    Raises NoSeriesDeclared, QueryFailed, and what reading the declaration raises.
    """
    path = load_declaration(project)
    if not path.series:
        raise NoSeriesDeclared(
            "No series is declared.",
            hint="Name what the services export under `series` in moneypath.yaml.",
        )
    problems: list[SeriesProblem] = []
    unseen: list[str] = []
    for name, series in path.series.items():
        found, missing = await _compare(prometheus, name, series)
        problems += [SeriesProblem(name, what) for what in found]
        unseen += missing
    return SeriesCheck(len(path.series), tuple(problems), tuple(unseen))


def require(result: SeriesCheck) -> None:
    """Raise SeriesDiffer with every problem unless there is none."""
    if result.problems:
        lines = "\n".join(f"  {each.series}: {each.what}" for each in result.problems)
        raise SeriesDiffer(
            f"series not as declared: {result.sentence}\n{lines}",
            hint="Correct `series` in moneypath.yaml, or see that the services are scraped and have traffic.",
        )


async def _compare(prometheus: Prometheus, name: str, series: DeclaredSeries) -> tuple[list[str], list[str]]:
    is_histogram = series.kind is MetricKind.HISTOGRAM
    sample = f"{name}_count" if is_histogram else name
    if not await prometheus.query(f"count({_recent(sample)})"):
        return [await _absent(prometheus, name, series)], []
    problems: list[str] = []
    unseen: list[str] = []
    preset = series.known_preset(name)
    for label in series.labels:
        seen = await _values(prometheus, label, sample)
        if not seen and preset is not None and label in preset.labels:
            # Some have a label only where something failed, or where a route matched.
            unseen.append(f"{name} with the label {label}")
            continue
        if not seen:
            problems.append(f"has no label {label}")
            continue
        declared = series.values(label)
        strange = sorted(seen - set(declared)) if declared else []
        if strange:
            problems.append(f"{label} has values that are not declared: {_some(strange)}")
        unseen += [f'{name} with {label}="{value}"' for value in declared if value not in seen]
    if is_histogram:
        problems += [each async for each in _edge_problems(prometheus, name, series)]
    return problems, unseen


async def _absent(prometheus: Prometheus, name: str, series: DeclaredSeries) -> str:
    """Return that a series is not there, and what it may be mistaken for."""
    other = name if series.kind is MetricKind.HISTOGRAM else f"{name}_count"
    if await prometheus.query(f"count({_recent(other)})"):
        if series.kind is MetricKind.HISTOGRAM:
            return "is no histogram"
        return f"is a histogram or a summary, and no {series.kind}"
    try:
        alike = await prometheus.query(f'group by (__name__) ({{__name__=~"{name.split("_", 1)[0]}_.*"}})')
    except QueryFailed:
        # Too many names begin alike: then none is suggested.
        alike = ()
    names = sorted({sample.labels.get("__name__", "") for sample in alike})
    return f"is not there{suggest(name, names)}"


async def _edge_problems(prometheus: Prometheus, name: str, series: DeclaredSeries) -> AsyncIterator[str]:
    seen = {float(edge) for edge in await _values(prometheus, "le", f"{name}_bucket")}
    lacking = [edge for edge in series.buckets if edge not in seen]
    if lacking:
        there = ", ".join(f"{edge:g}" for edge in sorted(seen - {float("inf")})) or "none"
        yield f"has no bucket edge {', '.join(f'{edge:g}' for edge in lacking)}; it has {there}"


async def _values(prometheus: Prometheus, label: str, sample: str) -> set[str]:
    samples = await prometheus.query(f"group by ({label}) ({_recent(sample)})")
    return {value for each in samples if (value := each.labels.get(label, ""))}


def _recent(sample: str) -> str:
    return f"last_over_time({sample}[{LOOKED_BACK}])"


def _some(values: list[str]) -> str:
    shown = [redact(value) for value in values[:MOST_SHOWN]]
    left = len(values) - len(shown)
    return ", ".join([*shown, *([f"and {left} more"] if left else [])])
