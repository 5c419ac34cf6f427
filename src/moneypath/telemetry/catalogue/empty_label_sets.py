"""Leave out what a money path has nothing of: a metric by provider where no provider is declared."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from moneypath.telemetry.catalogue.metric import EVERY_SERIES, MetricSpec

# Stands for the values of an empty label set while the metrics are built; it is in no catalogue.
NOBODY: Final = "nobody_is_declared"


def without_nobody(specs: Iterable[MetricSpec]) -> Iterator[MetricSpec]:
    """Yield `specs` without the value NOBODY, and without those of which a label then has no value."""
    for spec in specs:
        labels = {
            label: tuple(value for value in values if value != NOBODY)
            for label, values in spec.labels.items()
        }
        if labels == dict(spec.labels):
            yield spec
        elif all(labels.values()):
            budget = EVERY_SERIES if spec.series_budget == spec.all_series else spec.series_budget
            yield replace(spec, labels=labels, series_budget=budget)
