"""Read amounts exactly: integers of any size in the smallest unit, from minor or major units."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from moneypath.witnesses.vocabulary import Unit

# What NUMERIC can hold before its point, so that no amount makes a reader slow.
_DIGITS_MAX: Final = 200
_SHOWN_MAX: Final = 40
_DECIMAL: Final = re.compile(rf"(-?)([0-9]{{1,{_DIGITS_MAX}}})(?:\.([0-9]{{1,{_DIGITS_MAX}}}))?")

ReadAmount = Callable[[str | None, str], tuple[int, str]]
"""Takes an amount as written and its currency; returns it in the smallest unit, or 0 and the text if it is
no whole number of these."""


def amount_reader(unit: Unit, currencies: Mapping[str, int]) -> ReadAmount:
    """Return what reads amounts of a unit; currencies have their digits after the point."""

    def read_minor(text: str | None, _currency: str) -> tuple[int, str]:
        return _read(text, 0)

    def read_major(text: str | None, currency: str) -> tuple[int, str]:
        digits = currencies.get(currency)
        return (0, _shown(text)) if digits is None else _read(text, digits)

    return read_minor if unit is Unit.MINOR else read_major


def _read(text: str | None, digits: int) -> tuple[int, str]:
    if text is None:
        return 0, "null"
    if len(text) <= _DIGITS_MAX and text.isascii() and text.isdigit():
        return int(text) * 10**digits, ""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return 0, _shown(text)
    sign, whole, fraction = match.groups()
    fraction = (fraction or "").rstrip("0")
    if len(fraction) > digits:
        return 0, _shown(text)
    amount = int(whole + fraction.ljust(digits, "0")) if digits else int(whole)
    return (-amount if sign else amount), ""


def _shown(text: str | None) -> str:
    return "null" if text is None else text[:_SHOWN_MAX] or "nothing"
