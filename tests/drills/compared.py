"""A comparison of the metrics that finds no lie, as an event of the log holds it."""

from dataclasses import asdict
from typing import Any

from moneypath.drills.metric_comparison import MetricComparison
from moneypath.oracle.metric_totals import ComparedTotal

ROWS = (
    ComparedTotal("payments live authorize succeeded", "clients", 900, 900, 900.0),
    ComparedTotal("payments live authorize failed or shed", "clients", 60, 62, 61.0),
    ComparedTotal("payments live capture succeeded", "ledger", 880, 890, 880.0),
    ComparedTotal("captured EUR", "ledger", 4_500_000, 4_500_000, 4_500_000.0),
    ComparedTotal("fees north", "ledger", 99_000_000, 99_000_000, 99_000_000.0),
    ComparedTotal("attempts north authorize", "providers", 1_020, 1_040, 1_020.0),
)


def compared(*rows: ComparedTotal, **changed: Any) -> dict[str, Any]:
    """Return the payload of the event; `rows` replace those of the same series."""
    replaced = {row.series: row for row in rows}
    comparison = MetricComparison(tuple(replaced.pop(row.series, row) for row in ROWS), seconds=90.0)
    assert not replaced, "every changed row is one of those that are compared"
    return comparison.payload | changed


def altered(series: str, **changed: Any) -> ComparedTotal:
    """Return one of the rows with other numbers."""
    (row,) = (row for row in ROWS if row.series == series)
    return ComparedTotal(**asdict(row) | changed)
