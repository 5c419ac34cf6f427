"""Show money in major units, each currency by itself, because amounts of two currencies never add up."""

from collections.abc import Callable, Iterator

from moneypath.dashboards.model import FieldOverride, Query
from moneypath.path.model import MoneyPath

CURRENCY = 'currency=~"${currency:regex}"'
PROVIDER = 'provider=~"${provider:regex}"'


def queries(path: MoneyPath, minor_units: Callable[[str], str]) -> tuple[Query, ...]:
    """Return one instant query for each currency; `minor_units` writes the expression for its matchers."""
    return tuple(Query(each, "{{currency}}", instant=True) for each in _each(path, minor_units))


def table_query(path: MoneyPath, minor_units: Callable[[str], str], *, empty_when: str) -> Query:
    """Return one instant query for all currencies: in a table each query would be a column of its own."""
    return Query("\nor\n".join(_each(path, minor_units)), instant=True, empty_when=empty_when)


def _each(path: MoneyPath, minor_units: Callable[[str], str]) -> Iterator[str]:
    for code, exponent in path.currencies.items():
        only = f'currency="{code}", {CURRENCY}'
        yield f"{minor_units(only)} / {10**exponent}"


def overrides(path: MoneyPath) -> dict[str, FieldOverride]:
    """Return unit and decimals of each currency's series."""
    return {
        code: FieldOverride(unit=f"suffix:{code}", decimals=exponent)
        for code, exponent in path.currencies.items()
    }
