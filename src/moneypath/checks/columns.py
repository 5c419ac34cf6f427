"""Check that a statement returns the columns of a check, and write the SELECT that reads them in bounds."""

from collections.abc import Iterable, Mapping
from typing import Final

from asyncpg.types import Attribute

from moneypath.checks.amounts import DIGITS_MAX
from moneypath.checks.results import SUBJECT_CHARACTERS_MAX
from moneypath.path.sql_checks import AmountUnit

SYSTEM_SCHEMA: Final = "pg_catalog"
# A float is not exact, and text is no number.
AMOUNT_TYPES: Final = ("int2", "int4", "int8", "numeric")
TEXT_TYPES: Final = ("text", "varchar", "bpchar", "name")
TIME_TYPES: Final = ("timestamptz", "timestamp", "date")
CURRENCY_CHARACTERS_MAX: Final = 20


class ColumnsUnfit(Exception):
    """A statement whose columns are not those of a check."""


def require_columns(attributes: Iterable[Attribute], amount: AmountUnit) -> None:
    """Raise ColumnsUnfit if a column of a check is missing or has a type that does not fit."""
    found = {attribute.name: attribute.type for attribute in attributes}
    wanted: Mapping[str, tuple[str, ...] | None] = {
        "subject": None,
        **({} if amount is AmountUnit.NONE else {"amount_minor": AMOUNT_TYPES, "currency": TEXT_TYPES}),
        "since": TIME_TYPES,
    }
    missing = [column for column in wanted if column not in found]
    if missing:
        raise ColumnsUnfit(f"the column {missing[0]} is missing; wanted: {', '.join(wanted)}")
    for column, types in wanted.items():
        kind = found[column]
        # An enumeration or citext of the database's own is as good as text.
        own = types is TEXT_TYPES and kind.schema != SYSTEM_SCHEMA and kind.kind == "scalar"
        if types is not None and not own and kind.name not in types:
            raise ColumnsUnfit(f"the column {column} is {kind.name}; allowed: {', '.join(types)}")


def describing(statement: str) -> str:
    """Return a SELECT with the columns of a statement as they are, to ask for their types.

    Below a FROM stands nothing but one SELECT: the server refuses everything else.
    """
    return f"SELECT * FROM (\n{statement}\n) AS violating"  # noqa: S608 - the statement is the team's


def bounded(statement: str, amount: AmountUnit) -> str:
    """Return a SELECT that reads the columns of a statement as texts of bounded length."""
    money = ""
    if amount is not AmountUnit.NONE:
        money = (
            f"left(amount_minor::text, {DIGITS_MAX + 1}) AS amount, "
            f"left(currency::text, {CURRENCY_CHARACTERS_MAX}) AS currency, "
        )
    return (
        f"SELECT left(subject::text, {SUBJECT_CHARACTERS_MAX}) AS subject, {money}"  # noqa: S608 - the statement is the team's
        f"extract(epoch FROM since::timestamptz)::float8 AS since FROM (\n{statement}\n) AS violating"
    )
