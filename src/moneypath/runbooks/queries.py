"""Find the series that a PromQL query reads, from its syntax tree."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import promql_parser

from moneypath.runbooks.placeholders import fill, names

# Series that Prometheus itself makes.
PROMETHEUS_SERIES: Final = frozenset({"ALERTS", "ALERTS_FOR_STATE", "up"})


@dataclass(frozen=True, slots=True)
class QuerySeries:
    """The series that a query names, or why it cannot be parsed."""

    series: frozenset[str] = frozenset()
    error: str = ""


def read(promql: str) -> QuerySeries:
    """Return the series of a query, whose placeholders may be open.

    A selector without a plain name, such as `{__name__=~"..."}`, is an error: its series are not known.
    """
    sample = fill(promql, dict.fromkeys(names(promql), "x"))
    try:
        tree = promql_parser.parse(sample)
    except ValueError as error:
        return QuerySeries(error=str(error).strip()[:200] or "cannot be parsed")
    found = list(_selectors(tree))
    if None in found:
        return QuerySeries(error="selects series without naming them")
    return QuerySeries(frozenset(name for name in found if name))


def _selectors(tree: promql_parser.Expr) -> Iterator[str | None]:
    found: list[str | None] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node.name)

    promql_parser.walk(tree, pre_visit=visit)
    return iter(found)
