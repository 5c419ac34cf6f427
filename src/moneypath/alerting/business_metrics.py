"""The business metrics of a money path, as queries on recorded series.

They follow the declaration: the success of every availability objective, the percentiles of every latency
objective, success and durability of ledger writes, lag and breaks of reconciliation, and the cost of a
transaction. A renamed objective takes its metric along; a removed one has none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from moneypath.alerting.counter_guards import ratio_recorded
from moneypath.alerting.gauge_guards import age_series
from moneypath.alerting.latency_sli import QUANTILES
from moneypath.alerting.recorded import (
    TRAFFIC_SECONDS,
    WHOLE_PATH,
    good_share_series,
    quantile_series,
    recorded,
    series_stem,
)
from moneypath.path.guards import AgeGuard, RatioGuard
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import AvailabilitySlo, EventsSlo, LatencySlo, Slo
from moneypath.telemetry.catalogue import Catalogue

LEDGER_SERIES: Final = ("moneypath_ledger_writes_total", "moneypath_ledger_probe_total")
WATERMARK: Final = "moneypath_reconciliation_watermark_timestamp_seconds"
BREAKS: Final = "moneypath_reconciliation_breaks"
COST: Final = "moneypath_cost_micro_units_total"


class BusinessUnit(StrEnum):
    """What a value counts. Micro-units are millionths of the reporting currency."""

    SECONDS = "seconds"
    RATIO = "ratio"
    COUNT = "count"
    MICRO_UNITS = "micro_units"


@dataclass(frozen=True, slots=True)
class BusinessMetric:
    """One number. `query` gives one sample, or none when the number is not known."""

    id: str
    title: str
    unit: BusinessUnit
    query: str
    higher_is_worse: bool = True


def business_metrics(path: MoneyPath) -> tuple[BusinessMetric, ...]:
    """Return the business metrics of what `path` declares."""
    catalogue = path.known_metrics()
    of_objectives = (*_availability(path), *_latency(path), *_ledger(path))
    return (*of_objectives, *_reconciliation(path, catalogue), *_cost(path, catalogue))


def objective_words(slo: Slo) -> str:
    """Return the id of an objective as words: `authorization latency`."""
    return slo.id.replace("-", " ")


def _availability(path: MoneyPath) -> Iterator[BusinessMetric]:
    for slo in path.slos:
        if isinstance(slo, AvailabilitySlo):
            yield BusinessMetric(
                slo.id.replace("-", "_"),
                objective_words(slo).capitalize(),
                BusinessUnit.RATIO,
                f"1 - max({recorded(slo, TRAFFIC_SECONDS).whole_ratio})",
                higher_is_worse=False,
            )


def _latency(path: MoneyPath) -> Iterator[BusinessMetric]:
    for slo in path.slos:
        if isinstance(slo, LatencySlo):
            for percent in QUANTILES:
                yield BusinessMetric(
                    f"{series_stem(slo)}_p{percent}",
                    f"p{percent} {objective_words(slo)}",
                    BusinessUnit.SECONDS,
                    f"max({quantile_series(slo, percent)})",
                )


def _ledger(path: MoneyPath) -> Iterator[BusinessMetric]:
    for slo in path.slos:
        if isinstance(slo, EventsSlo) and slo.series in LEDGER_SERIES:
            yield BusinessMetric(
                series_stem(slo),
                objective_words(slo).capitalize(),
                BusinessUnit.RATIO,
                f"min({good_share_series(slo)})",
                higher_is_worse=False,
            )


def _reconciliation(path: MoneyPath, catalogue: Catalogue) -> Iterator[BusinessMetric]:
    for guard in path.guards:
        if isinstance(guard, AgeGuard) and guard.series == WATERMARK:
            query = f"max({age_series(guard, catalogue)})"
            yield BusinessMetric(guard.id, _words(guard.id), BusinessUnit.SECONDS, query)
    if any(BREAKS in check.series for check in path.checks):
        query = f"sum(max by (provider, class) ({BREAKS}))"
        yield BusinessMetric("reconciliation_breaks", "Reconciliation breaks", BusinessUnit.COUNT, query)


def _cost(path: MoneyPath, catalogue: Catalogue) -> Iterator[BusinessMetric]:
    for guard in path.guards:
        if isinstance(guard, RatioGuard) and guard.numerator.series == COST:
            query = f"max({ratio_recorded(guard, catalogue, WHOLE_PATH).ratio})"
            yield BusinessMetric(guard.id, _words(guard.id), BusinessUnit.MICRO_UNITS, query)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
