"""What to run: the SQL checks of a declaration, with their statements read and written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from moneypath.checks.errors import ChecksUndeclared, QueryUnusable
from moneypath.checks.ready import statement_of
from moneypath.checks.statement import read_query
from moneypath.path.model import MoneyPath
from moneypath.path.parts import Check
from moneypath.path.sql_checks import AmountUnit, SqlCheck


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """One check: its statement, and how often, how long and how many rows it may take."""

    id: str
    title: str
    statement: str
    amount: AmountUnit
    every_seconds: float
    time_limit_seconds: float
    rows_max: int


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """One database with the checks that run on it; `lock_name` is what its exporters agree on."""

    dsn_file: Path
    lock_name: str
    checks: tuple[CheckPlan, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All SQL checks of a declaration; `exponents` are its currencies with their decimals."""

    sources: tuple[SourcePlan, ...]
    exponents: Mapping[str, int]

    @property
    def checks(self) -> tuple[CheckPlan, ...]:
        """Return the checks of all sources."""
        return tuple(check for source in self.sources for check in source.checks)


def plan(path: MoneyPath, file: Path) -> Plan:
    """Return what the declaration in `file` wants to be run; files are relative to its folder.

    Raises ChecksUndeclared and QueryUnusable.
    """
    found: dict[str, list[CheckPlan]] = {}
    for check in path.checks:
        if check.sql is not None:
            found.setdefault(check.sql.dsn_file, []).append(_check(check, check.sql, file.parent))
    if not found:
        raise ChecksUndeclared(
            f"No check in {file} has sql.", hint="Give a check `sql`; docs/guides/sql-checks.md shows how."
        )
    sources = (
        SourcePlan(file.parent / dsn_file, f"moneypath exporter\0{path.name}\0{dsn_file}", tuple(checks))
        for dsn_file, checks in found.items()
    )
    return Plan(tuple(sources), dict(path.currencies))


def _check(check: Check, sql: SqlCheck, folder: Path) -> CheckPlan:
    return CheckPlan(
        id=check.id,
        title=check.title,
        statement=_statement(check.id, sql, folder),
        amount=sql.amount,
        every_seconds=float(sql.every_seconds),
        time_limit_seconds=float(sql.time_limit_seconds),
        rows_max=sql.rows_max,
    )


def _statement(check: str, sql: SqlCheck, folder: Path) -> str:
    if sql.query_file is not None:
        return read_query(folder / sql.query_file)
    if sql.ready is None:
        raise ValueError(f"check {check} has neither a query nor a ready check")
    try:
        return statement_of(sql.ready)
    except ValueError as problem:
        raise QueryUnusable(
            f"The mapping of the check {check} cannot be written as SQL: {problem}.",
            hint="Name columns and tables as the database spells them.",
        ) from None
