"""What `sql` of a check may hold: a statement on the team's own database, and what its rows mean."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from moneypath.path.problems import DeclarationIssue
from moneypath.path.ready_checks import (
    AnyReadyCheck,
    BalanceIsSum,
    CaptureWithoutPosting,
    Mapped,
    PostingWithoutCapture,
    ReadyCheck,
    StuckInFlight,
)

# What `moneypath exporter` shows of a check, and what its alert reads.
VIOLATIONS: Final = "moneypath_check_violations"
VIOLATIONS_MONEY: Final = "moneypath_check_violation_minor_units"

FilePath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1000,
        pattern=r"^[^\x00-\x1f]+$",
        description="a file, relative to the folder of the declaration",
    ),
]


class AmountUnit(StrEnum):
    """What the amount of a violating row is counted in; `none` says that a row stands for no money."""

    MINOR = "minor"
    MAJOR = "major"
    NONE = "none"


class SqlCheck(Mapped):
    """A check that `moneypath exporter` runs: each row that the statement returns is a violation.

    `dsn_file` holds the address of the database with its password. Either `query_file` holds the statement or
    `ready` says which of ours to run. The absolute amounts of all rows are the money at risk.
    """

    dsn_file: FilePath
    query_file: FilePath | None = None
    ready: AnyReadyCheck | None = None
    amount: AmountUnit = Field(default=AmountUnit.MINOR, description=", ".join(AmountUnit))
    every_seconds: Annotated[int, Field(ge=1, le=86_400, description="whole seconds from 1 to 86400")] = 60
    time_limit_seconds: Annotated[int, Field(ge=1, le=3_600, description="whole seconds from 1 to 3600")] = 10
    rows_max: Annotated[int, Field(ge=1, le=100_000, description="a whole number from 1 to 100000")] = 10_000


def sql_check_issues(sql: SqlCheck, stale_after_seconds: int) -> Iterator[DeclarationIssue]:
    """Yield what cannot be at once; locations are below the check."""
    if (sql.query_file is None) == (sql.ready is None):
        what = "has neither query_file nor ready" if sql.ready is None else "has both query_file and ready"
        yield DeclarationIssue(("sql",), what, "one of query_file, ready")
    # Due just after it was due, and as slow as it may be: that is no stale check yet.
    least = sql.every_seconds + sql.time_limit_seconds
    if stale_after_seconds <= least:
        what = f"{stale_after_seconds} s are not more than every_seconds and time_limit_seconds together"
        yield DeclarationIssue(("stale_after_seconds",), what, f"more than {least}")
    if sql.ready is not None:
        yield from _ready_issues(sql.ready)


def _ready_issues(ready: ReadyCheck) -> Iterator[DeclarationIssue]:
    at = ("sql", "ready")
    if isinstance(ready, StuckInFlight) and not ready.where:
        yield DeclarationIssue((*at, "where"), "does not say which rows are in flight", "a column and values")
    if isinstance(ready, CaptureWithoutPosting | PostingWithoutCapture) and (
        len(ready.captures.reference) != len(ready.postings.reference)
    ):
        what = "the references of captures and postings have not the same number of columns"
        yield DeclarationIssue(at, what, "as many columns on both sides")
    if isinstance(ready, BalanceIsSum):
        yield from _balance_issues(ready)


def _balance_issues(ready: BalanceIsSum) -> Iterator[DeclarationIssue]:
    at = ("sql", "ready")
    moves = ready.movements
    pair = (moves.source, moves.destination)
    whole = all(pair) if moves.account is None else not any(pair)
    if not whole:
        what = "does not say whose movement a row is"
        yield DeclarationIssue((*at, "movements"), what, "account, or source and destination")
    if moves.account is None and moves.side is not None:
        what = "source and destination say the sides already"
        yield DeclarationIssue((*at, "movements", "side"), what, "account, or no side")
    if ready.balances.currency is None and moves.currency is None:
        yield DeclarationIssue(
            at, "no column holds the currency", "currency in balances, in movements, or in both"
        )
