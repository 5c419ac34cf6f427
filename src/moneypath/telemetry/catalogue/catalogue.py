"""The catalogue: builds all metrics from a vocabulary, and reads and writes them as a file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from moneypath.telemetry.catalogue import file as catalogue_file
from moneypath.telemetry.catalogue.base_metrics import base_metrics
from moneypath.telemetry.catalogue.empty_label_sets import NOBODY, without_nobody
from moneypath.telemetry.catalogue.label_sets import (
    OPTIONAL_LABEL_SETS,
    STARTING_CHECKS,
    STARTING_SCHEMES,
    complete_vocabulary,
    names_in,
)
from moneypath.telemetry.catalogue.metric import EVERY_SERIES, Merge, MetricKind, MetricSpec, Unit
from moneypath.telemetry.errors import CatalogueInvalid

__all__ = ["Catalogue", "Merge", "MetricKind", "MetricSpec", "Unit"]

LONGEST_THRESHOLD_SECONDS = 3600.0
# What one process may expose if every combination of labels occurs; 60 providers and 4 currencies make
# 75,000. A scrape of so many series is some 10 MB, and Prometheus keeps them all in memory.
SERIES_LIMIT = 100_000
# So many series of a histogram with an objective are made before they are needed.
PRECREATED_SERIES_MAXIMUM = 4_000
# Reserved, so that a team's metric never collides with one that we add later.
PREFIX = "moneypath_"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All metrics by name, sorted. Metrics whose names collide in an exposition are refused."""

    metrics: Mapping[str, MetricSpec]

    @classmethod
    def of(cls, specs: Iterable[MetricSpec]) -> "Catalogue":
        """Make a catalogue of metrics. Raises CatalogueInvalid if two have the same name or collide."""
        metrics: dict[str, MetricSpec] = {}
        owners: dict[str, str] = {}
        for spec in sorted(specs, key=lambda spec: spec.name):
            if spec.name in metrics:
                raise CatalogueInvalid(f"Metric {spec.name} is declared twice.")
            # OpenMetrics reserves the family's name too, so a gauge `x` collides with a counter `x_total`.
            for name in {spec.family, *spec.sample_names}:
                if name in owners:
                    raise CatalogueInvalid(f"Metric {spec.name}: {name} collides with {owners[name]}.")
                owners[name] = spec.name
            metrics[spec.name] = spec
        return cls(metrics)

    @classmethod
    def build(
        cls,
        vocabulary: Mapping[str, Iterable[str]],
        *,
        latency_thresholds: Mapping[str, Iterable[float]] | None = None,
        own: Iterable[MetricSpec] = (),
        series_limit: int = SERIES_LIMIT,
        may_be_empty: Iterable[str] = (),
    ) -> "Catalogue":
        """Build the catalogue of the money path from the values that its labels may take.

        `vocabulary` must have providers, currencies, checks and schemes, and may have methods, operations,
        traffic, cohorts, queues, reasons, routes, certificates, peers and drills. `latency_thresholds` maps
        the name of a histogram to the thresholds, in seconds, of its objectives. Each threshold becomes a
        bucket edge, because a rule can count only up to an edge. All label combinations of such a histogram
        exist from the first scrape if they are at most PRECREATED_SERIES_MAXIMUM. `own` are metrics of the
        team; their names must not begin with `moneypath_`. All metrics together may make at most
        `series_limit` series. Without values for a key of `may_be_empty` the metrics that need one are left
        out. Raises CatalogueInvalid for an unknown key, an unknown histogram or any broken rule.
        """
        empty = tuple(key for key in may_be_empty if not tuple(vocabulary.get(key, ())))
        filled = complete_vocabulary({**vocabulary, **dict.fromkeys(empty, (NOBODY,))})
        specs = {spec.name: spec for spec in without_nobody(base_metrics(filled))}
        for added in own:
            if added.name in specs:
                raise CatalogueInvalid(f"Metric {added.name} is declared twice.")
            if added.name.startswith(PREFIX):
                raise CatalogueInvalid(
                    f"Metric {added.name}: names that begin with {PREFIX} are reserved.",
                    hint="Begin the name with a prefix of your own.",
                )
            specs[added.name] = added
        for name, thresholds in (latency_thresholds or {}).items():
            spec = specs.get(name)
            if spec is None or spec.kind is not MetricKind.HISTOGRAM:
                known = ", ".join(s.name for s in specs.values() if s.kind is MetricKind.HISTOGRAM)
                raise CatalogueInvalid(
                    f"There is no such histogram for a latency threshold: {name}.",
                    hint=f"Use one of {known}.",
                )
            specs[name] = _with_edges(spec, thresholds)
        _require_few(specs.values(), series_limit)
        return cls.of(specs.values())

    @classmethod
    def start(
        cls,
        *,
        providers: Iterable[str],
        currencies: Iterable[str],
        queues: Iterable[str] = (),
        operations: Iterable[str] = (),
        traffic: Iterable[str] = (),
        cohorts: Iterable[str] = (),
        series_limit: int = SERIES_LIMIT,
    ) -> "Catalogue":
        """Build the catalogue of a service that has no `moneypath.yaml` yet.

        The card schemes are the common ones and `other`; the only integrity check is `ledger_balance`.
        `queues` are added to `outbox`, `notifications` and `compliance_log`. `operations` are all that the
        service has, ours without them. `traffic` and `cohorts` are added to `live` and `control`, which alone
        exist without. Raises CatalogueInvalid if providers or currencies are missing, if a name cannot be a
        label value or is given twice, and if all metrics together make more than `series_limit` series.
        """
        return cls.build(
            {
                "providers": providers,
                "currencies": currencies,
                "queues": (*OPTIONAL_LABEL_SETS["queues"], *names_in("queues", queues)),
                "operations": names_in("operations", operations) or OPTIONAL_LABEL_SETS["operations"],
                "traffic": names_in("traffic", traffic),
                "cohorts": names_in("cohorts", cohorts),
                "schemes": STARTING_SCHEMES,
                "checks": STARTING_CHECKS,
            },
            series_limit=series_limit,
        )

    @classmethod
    def load(cls, file: Path | str) -> "Catalogue":
        """Read a catalogue file. Raises CatalogueInvalid, which names the file and the key."""
        return catalogue_file.read(Path(file), cls.of)

    def to_json(self) -> str:
        """Return the catalogue as JSON, one metric a line. The same catalogue always gives the same text."""
        return catalogue_file.write(self)

    def __getitem__(self, name: str) -> MetricSpec:
        return self.metrics[name]

    def __contains__(self, name: object) -> bool:
        return name in self.metrics

    def __iter__(self) -> Iterator[MetricSpec]:
        return iter(self.metrics.values())


def _with_edges(spec: MetricSpec, thresholds: Iterable[float]) -> MetricSpec:
    edges = set(spec.buckets)
    for threshold in thresholds:
        if not isinstance(threshold, int | float) or not 0 < threshold <= LONGEST_THRESHOLD_SECONDS:
            raise CatalogueInvalid(
                f"The latency threshold {threshold} on {spec.name} is not above 0 and at most "
                f"{LONGEST_THRESHOLD_SECONDS:g} seconds."
            )
        edges.add(float(threshold))
    budget = EVERY_SERIES if spec.series_budget == spec.all_series else spec.series_budget
    widened = replace(spec, buckets=tuple(sorted(edges)), series_budget=budget)
    most = min(widened.series_budget, PRECREATED_SERIES_MAXIMUM)
    # The series of an objective exist from the first scrape; else their first increase would be missed.
    return replace(widened, precreate=widened.precreate or widened.all_series <= most)


def _require_few(specs: Iterable[MetricSpec], limit: object) -> None:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise CatalogueInvalid(f"series_limit is {limit!r}, allowed: a whole number from 1.")
    largest = sorted(specs, key=lambda spec: (-spec.series_budget, spec.name))
    total = sum(spec.series_budget for spec in largest)
    if total > limit:
        made = "; ".join(f"{one.name} {one.series_budget} ({one.describe_series()})" for one in largest[:3])
        raise CatalogueInvalid(
            f"What is declared makes {total} series, allowed: series_limit {limit}. Most of them: {made}.",
            hint=f"Declare fewer values, or a series_limit of at least {total} if Prometheus has room.",
        )
