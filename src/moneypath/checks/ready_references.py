"""Write the ready checks of movements of money: posted, captured, moved once, not stuck."""

from collections.abc import Sequence

from moneypath.checks.quoting import quote_identifier as name
from moneypath.checks.quoting import quote_table
from moneypath.checks.ready_balances import conditions
from moneypath.path.ready_checks import Counterparts, DuplicateReference, Moved, StuckInFlight


def without_counterpart(moved: Moved, counterparts: Counterparts, deadline_seconds: int) -> str:
    """Return the movements older than the deadline that lead to no row with their reference.

    A movement without a reference or without a time is one of them.
    """
    same = " AND ".join(
        f"other.{name(theirs)} = moved.{name(ours)}"
        for theirs, ours in zip(counterparts.reference, moved.reference, strict=True)
    )
    at = f"moved.{name(moved.at)}"
    narrowed = conditions(moved, alias="moved.", first="AND")
    others = f"{same}{conditions(counterparts, alias='other.', first='AND')}"
    return f"""SELECT {subject(moved.reference, "moved.")} AS subject,
       moved.{name(moved.amount)} AS amount_minor, moved.{name(moved.currency)} AS currency, {at} AS since
FROM {quote_table(moved.table)} AS moved
WHERE {older_than(at, deadline_seconds)}{narrowed}
  AND NOT EXISTS (SELECT FROM {quote_table(counterparts.table)} AS other WHERE {others})"""  # noqa: S608 - names are quoted


def duplicate_reference(check: DuplicateReference) -> str:
    """Return the rows beyond the first of a reference; rows without one are not compared."""
    columns = ", ".join(name(column) for column in check.reference)
    known = " AND ".join(f"{name(column)} IS NOT NULL" for column in check.reference)
    table, narrowed = quote_table(check.table), conditions(check, first="AND")
    # Counted first, so that the sort has only the rows of doubled references.
    return f"""WITH doubled AS (
    SELECT {columns} FROM {table} WHERE {known}{narrowed} GROUP BY {columns} HAVING count(*) > 1
),
placed AS (
    SELECT {subject(check.reference)} AS subject, {name(check.amount)} AS amount_minor,
           {name(check.currency)} AS currency, {name(check.at)} AS since,
           row_number() OVER (PARTITION BY {columns} ORDER BY {name(check.at)}) AS place
    FROM {table} JOIN doubled USING ({columns}) WHERE {known}{narrowed}
)
SELECT subject, amount_minor, currency, since FROM placed WHERE place > 1"""  # noqa: S608 - names are quoted


def stuck_in_flight(check: StuckInFlight) -> str:
    """Return the rows that are in flight for longer than the deadline, or for an unknown time."""
    return f"""SELECT {name(check.id)} AS subject, {name(check.amount)} AS amount_minor,
       {name(check.currency)} AS currency, {name(check.at)} AS since
FROM {quote_table(check.table)}
WHERE {older_than(name(check.at), check.deadline_seconds)}{conditions(check, first="AND")}"""  # noqa: S608 - names are quoted


def older_than(at: str, seconds: int) -> str:
    """Return the condition that a time is longer ago, or unknown."""
    return f"({at} IS NULL OR {at} < now() - interval '{seconds:d} seconds')"


def subject(columns: Sequence[str], alias: str = "") -> str:
    """Return what names a row: its reference, the columns joined by a slash."""
    texts = [f"{alias}{name(column)}::text" for column in columns]
    return texts[0] if len(texts) == 1 else f"concat_ws('/', {', '.join(texts)})"
