"""Leave out of a board what no service of the money path exports, as far as its declaration tells.

A panel that stays empty teaches people to look past empty panels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from moneypath.alerting.analysis import known_series, selectors
from moneypath.alerting.recorded import TRAFFIC_SECONDS, recorded
from moneypath.dashboards.model import Panel, Query, Row, Variable
from moneypath.dashboards.queries import TimeRange, substitute
from moneypath.dashboards.render import ALL
from moneypath.dashboards.thresholds import Thresholds
from moneypath.path.exported import exported
from moneypath.path.model import MoneyPath
from moneypath.path.objectives import PAYMENTS, Per

# A variable takes its values from the first of these that is exported, or else from any.
_FIRST: Final = ("moneypath_provider_routing_active", "moneypath_money_at_risk_minor_units", PAYMENTS)


def rows_of_exported(
    thresholds: Thresholds, rows: Iterable[Row], variables: Iterable[str]
) -> tuple[Row, ...]:
    """Return the rows with those queries that read exported metrics and recorded series alone."""
    path, chosen = thresholds.path, dict.fromkeys(variables, ALL)
    there = exported(path)
    hidden = {
        sample for spec in path.known_metrics() if spec.name not in there for sample in spec.sample_names
    }
    shown_series = known_series(path, thresholds.groups).keys() - hidden

    def is_exported(query: Query) -> bool:
        read = selectors(substitute(query.expr, chosen, TimeRange()))
        return all(series in shown_series for series, _ in read)

    def panels(row: Row) -> Iterator[Panel]:
        for panel in row.panels:
            if kept := tuple(query for query in panel.queries if is_exported(query)):
                yield replace(panel, queries=kept)

    shown = (replace(row, panels=tuple(panels(row))) for row in rows)
    return tuple(row for row in shown if row.panels)


def variables_of(
    path: MoneyPath, rows: Iterable[Row], titles: Iterable[tuple[str, str]]
) -> Iterator[Variable]:
    """Yield a variable for each name and title that a query of `rows` holds."""
    written = "\n".join(query.expr for row in rows for panel in row.panels for query in panel.queries)
    catalogue, there = path.known_metrics(), exported(path)
    for name, title in titles:
        have = [spec for spec in catalogue if spec.name in there and name in spec.labels]
        have.sort(key=lambda spec: _FIRST.index(spec.name) if spec.name in _FIRST else len(_FIRST))
        if not have and name == Per.PROVIDER and f"${{{name}:" in written:
            # Only a declared series knows the providers, by another name; what is recorded of it has ours.
            slo = next(slo for slo in path.availability_slos() if slo.per)
            yield Variable(name, title, recorded(slo, TRAFFIC_SECONDS).valid, name, path.provider_ids())
        if have and f"${{{name}:" in written:
            yield Variable(name, title, have[0].sample_names[-1], name, have[0].labels[name])
