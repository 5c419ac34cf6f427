"""Describe every metric, with the alerts and panels that read it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from moneypath.alerting import rule_groups
from moneypath.alerting.analysis import selectors, unscaled_text
from moneypath.alerting.rules import AlertRule, RuleGroup
from moneypath.dashboards.board import money_path_board
from moneypath.dashboards.model import Board
from moneypath.dashboards.queries import TimeRange, queries
from moneypath.path.model import MoneyPath
from moneypath.telemetry.catalogue.catalogue import PREFIX, Catalogue
from moneypath.telemetry.catalogue.metric import MetricSpec

# In the folder of documents that the declaration names.
METRICS_PAGE: Final = "metrics.md"

Reads = Callable[[str], frozenset[str]]
"""Which of the catalogue's metrics a PromQL expression reads, recorded series followed to their source."""


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """One metric; `alerts` and `panels` are the names of those whose queries read it."""

    spec: MetricSpec
    alerts: tuple[str, ...]
    panels: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """Return it as JSON values."""
        spec = self.spec
        return {
            "name": spec.name,
            "type": spec.kind.value,
            "unit": spec.unit.value,
            "labels": {label: list(values) for label, values in spec.labels.items()},
            "buckets": list(spec.buckets),
            "series_budget": spec.series_budget,
            "tells": spec.help,
            "alerts": list(self.alerts),
            "panels": list(self.panels),
        }


def describe_metrics(path: MoneyPath) -> tuple[MetricFacts, ...]:
    """Return every metric of the declaration, sorted by name."""
    catalogue = path.known_metrics()
    groups = rule_groups.build(path)
    reads = _reader(catalogue, groups)
    by_alert = {alert.name: reads(unscaled_text(alert.expr)) for alert in rule_groups.alerts(groups)}
    by_panel = _panels(money_path_board(path), reads)
    return tuple(
        MetricFacts(spec, _readers(by_alert, spec.name), _readers(by_panel, spec.name)) for spec in catalogue
    )


def metrics_page(facts: Sequence[MetricFacts]) -> str:
    """Return the documentation page, one section for each family."""
    lines = [
        "# Metrics",
        "",
        "Generated from `moneypath.yaml` by `moneypath generate`; `moneypath metrics` shows the same.",
        "Labels are closed: a value that is not listed is refused, and counted in",
        "`moneypath_telemetry_drops_total`.",
    ]
    titles = list(dict.fromkeys(_family(fact.spec.name) for fact in facts))
    together = sorted(facts, key=lambda fact: titles.index(_family(fact.spec.name)))
    for title, family in groupby(together, key=lambda fact: _family(fact.spec.name)):
        lines += ["", f"## {title}", ""]
        lines += ["| metric | type | labels | series, at most | what it tells | alerts | panels |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [_row(fact) for fact in family]
    return "\n".join([*lines, ""])


def _row(fact: MetricFacts) -> str:
    spec = fact.spec
    labels = "<br>".join(
        f"`{label}`: {', '.join(values) or 'closed by the service'}" for label, values in spec.labels.items()
    )
    names = [f"`{spec.name}`", spec.kind.value, labels, str(spec.series_budget), spec.help]
    return f"| {' | '.join([*names, '<br>'.join(fact.alerts), '<br>'.join(fact.panels)])} |"


def _family(name: str) -> str:
    return name.removeprefix(PREFIX).split("_")[0] if name.startswith(PREFIX) else "own and conventional"


def _reader(catalogue: Catalogue, groups: Iterable[RuleGroup]) -> Reads:
    sources = {sample: frozenset({spec.name}) for spec in catalogue for sample in spec.sample_names}
    recorded = {
        rule.record: unscaled_text(rule.expr)
        for group in groups
        for rule in group.rules
        if not isinstance(rule, AlertRule)
    }

    def reads(expression: str) -> frozenset[str]:
        found: set[str] = set()
        for series, _ in selectors(expression):
            if series not in sources and series in recorded:
                # Nothing while it is followed, so that a rule that reads itself comes to an end.
                sources[series] = frozenset()
                sources[series] = reads(recorded[series])
            found |= sources.get(series, frozenset())
        return frozenset(found)

    return reads


def _panels(board: Board, reads: Reads) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for asked in queries(board, TimeRange()):
        if asked.where.startswith("panel "):
            title = asked.where.removeprefix("panel ").split(" ", 1)[1].rsplit(", query ", 1)[0]
            found[title] = found.get(title, frozenset()) | reads(asked.expr)
    return found


def _readers(by_reader: Mapping[str, frozenset[str]], metric: str) -> tuple[str, ...]:
    return tuple(sorted(reader for reader, read in by_reader.items() if metric in read))
