"""Amounts in requests and reports: integers of minor units, or decimal major units as text."""

import re
from typing import Final

from acquirers.errors import InstructionInvalid

# A table of our own: with the service's table, a wrong exponent would be wrong in both books.
EXPONENTS: Final = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}
_SCALES: Final = (1, 10, 100, 1000)
LARGEST_MINOR: Final = 2**63 - 1

_MAJOR: Final = re.compile(r"(0|[1-9][0-9]{0,18})(?:\.([0-9]{1,18}))?")


def read_currency(value: object) -> str:
    """Return the ISO code; raises InstructionInvalid for currencies that this acquirer does not settle."""
    if not isinstance(value, str) or value not in EXPONENTS:
        raise InstructionInvalid(f"currency: must be one of {', '.join(EXPONENTS)}")
    return value


def read_minor(value: object) -> int:
    """Return an amount given as an integer of minor units, from 1 to 2^63 - 1."""
    # In Python bool is an int: `true` must not become one cent.
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_MINOR:
        raise InstructionInvalid(f"amount: must be an integer of minor units from 1 to {LARGEST_MINOR}")
    return value


def read_major(text: str, currency: str) -> int:
    """Return the minor units of a decimal text such as "12.34", exactly.

    Raises InstructionInvalid for more decimals than the currency has, a sign, an exponent,
    leading zeros, zero, and anything over 2^63 - 1 minor units.
    """
    exponent = EXPONENTS[currency]
    match = _MAJOR.fullmatch(text)
    if match is None:
        raise InstructionInvalid(f"amount: must be a decimal number with at most {exponent} decimals")
    whole, decimals = match[1], match[2] or ""
    if len(decimals) > exponent:
        raise InstructionInvalid(f"amount: {currency} has {exponent} decimals, got {len(decimals)}")
    minor = int(whole) * _SCALES[exponent] + int(decimals.ljust(exponent, "0") or "0")
    if not 1 <= minor <= LARGEST_MINOR:
        raise InstructionInvalid(f"amount: must be from 1 to {LARGEST_MINOR} minor units")
    return minor


def write_major(minor: int, currency: str) -> str:
    """Return minor units, at least 0, as a decimal text with all decimals of the currency."""
    exponent = EXPONENTS[currency]
    whole, decimals = divmod(minor, _SCALES[exponent])
    return f"{whole}.{decimals:0{exponent}}" if exponent else str(whole)
