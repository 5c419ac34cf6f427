"""The catalogue: every metric once, built from a vocabulary, written to and read from a small file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from moneypath.telemetry.catalogue import file as catalogue_file
from moneypath.telemetry.catalogue.base_metrics import base_metrics
from moneypath.telemetry.catalogue.metric import Merge, MetricKind, MetricSpec, Unit
from moneypath.telemetry.catalogue.slots import (
    OPTIONAL_SLOTS,
    STARTING_CHECKS,
    STARTING_SCHEMES,
    fill_slots,
    names_in,
)
from moneypath.telemetry.errors import CatalogueInvalid

__all__ = ["Catalogue", "Merge", "MetricKind", "MetricSpec", "Unit"]

LONGEST_THRESHOLD_SECONDS = 3600.0
# Ours, so that no metric of a team ever collides with one that is still to come.
PREFIX = "moneypath_"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Hold the metrics by name, sorted; two that would collide in an exposition are refused."""

    metrics: Mapping[str, MetricSpec]

    @classmethod
    def of(cls, specs: Iterable[MetricSpec]) -> "Catalogue":
        """Collect metrics; raises CatalogueInvalid if a name is declared twice or two collide."""
        metrics: dict[str, MetricSpec] = {}
        owners: dict[str, str] = {}
        for spec in sorted(specs, key=lambda spec: spec.name):
            if spec.name in metrics:
                raise CatalogueInvalid(f"metric {spec.name}: declared twice")
            # OpenMetrics reserves a family's name too, so a gauge `x` collides with a counter `x_total`.
            for name in {spec.family, *spec.sample_names}:
                if name in owners:
                    raise CatalogueInvalid(f"metric {spec.name}: {name} collides with {owners[name]}")
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
    ) -> "Catalogue":
        """Build the catalogue of the money path from the values that its labels may take.

        `vocabulary` needs providers, currencies, checks, schemes and may give methods, operations,
        queues, reasons, routes, certificates, peers and drills. `latency_thresholds` maps a histogram's
        name to the thresholds, in seconds, of the objectives on it; each becomes a bucket edge, or no rule
        could count what lies under it, and every combination of its labels exists from the first scrape if
        the series budget allows. `own` are metrics of the team's, under names of its own.
        Raises CatalogueInvalid for an unknown slot or histogram and for any broken rule.
        """
        specs = {spec.name: spec for spec in base_metrics(fill_slots(vocabulary))}
        for added in own:
            if added.name in specs:
                raise CatalogueInvalid(f"metric {added.name}: declared twice")
            if added.name.startswith(PREFIX):
                raise CatalogueInvalid(
                    f"metric {added.name}: names that begin with {PREFIX} are the product's"
                )
            specs[added.name] = added
        for name, thresholds in (latency_thresholds or {}).items():
            spec = specs.get(name)
            if spec is None or spec.kind is not MetricKind.HISTOGRAM:
                known = ", ".join(s.name for s in specs.values() if s.kind is MetricKind.HISTOGRAM)
                raise CatalogueInvalid(
                    f"latency threshold on {name}: no such histogram", hint=f"allowed: {known}"
                )
            specs[name] = _with_edges(spec, thresholds)
        return cls.of(specs.values())

    @classmethod
    def start(
        cls, *, providers: Iterable[str], currencies: Iterable[str], queues: Iterable[str] = ()
    ) -> "Catalogue":
        """Build the catalogue of a service that has no `moneypath.yaml` yet, from what it has to know.

        Card schemes are the usual ones and `other`, the one integrity check is `ledger_balance`; `queues`
        are those of the team beside `outbox`, `notifications` and `compliance_log`. Raises CatalogueInvalid
        if providers or currencies are missing, and for what is no label value or stands there already.
        """
        return cls.build(
            {
                "providers": providers,
                "currencies": currencies,
                "queues": (*OPTIONAL_SLOTS["queues"], *names_in("queues", queues)),
                "schemes": STARTING_SCHEMES,
                "checks": STARTING_CHECKS,
            }
        )

    @classmethod
    def load(cls, file: Path | str) -> "Catalogue":
        """Read a catalogue file; raises CatalogueInvalid naming the file and the key."""
        return catalogue_file.read(Path(file), cls.of)

    def to_json(self) -> str:
        """Write the catalogue as JSON, one metric a line, the same text for the same catalogue."""
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
                f"latency threshold on {spec.name}: {threshold} is not within 0 to "
                f"{LONGEST_THRESHOLD_SECONDS:g} seconds"
            )
        edges.add(float(threshold))
    judged = replace(spec, buckets=tuple(sorted(edges)))
    # What bears an objective exists from the first scrape, or its first slow one would be no increase.
    return replace(judged, precreate=judged.precreate or judged.all_series <= judged.series_budget)
