"""Money on a board: in major units, each currency for itself, because minor units of two never add up."""

from collections.abc import Callable, Iterator

from moneypath.dashboards.model import Look, Query
from moneypath.path.model import MoneyPath

CURRENCY = 'currency=~"${currency:regex}"'
PROVIDER = 'provider=~"${provider:regex}"'


def queries(path: MoneyPath, minor_units: Callable[[str], str]) -> tuple[Query, ...]:
    """Return one instant query a currency; `minor_units` writes the expression for its matchers."""
    return tuple(Query(each, "{{currency}}", instant=True) for each in _each(path, minor_units))


def table_query(path: MoneyPath, minor_units: Callable[[str], str], *, quiet: str) -> Query:
    """Return one instant query for all currencies: a table would give each query a column of its own."""
    return Query("\nor\n".join(_each(path, minor_units)), instant=True, quiet=quiet)


def _each(path: MoneyPath, minor_units: Callable[[str], str]) -> Iterator[str]:
    for code, exponent in path.currencies.items():
        only = f'currency="{code}", {CURRENCY}'
        yield f"{minor_units(only)} / {10**exponent}"


def looks(path: MoneyPath) -> dict[str, Look]:
    """Return unit and decimals of each currency's series."""
    return {
        code: Look(unit=f"suffix:{code}", decimals=exponent) for code, exponent in path.currencies.items()
    }
