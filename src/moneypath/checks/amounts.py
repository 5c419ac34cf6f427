"""Read the amount of a violating row exactly: an integer of minor units of any size, or unreadable."""

import re
from collections.abc import Mapping
from typing import Final

from moneypath.path.sql_checks import AmountUnit

# What a row may bring; a numeric of PostgreSQL may have 147,000 digits.
DIGITS_MAX: Final = 400
_NUMBER: Final = re.compile(r"(?P<sign>-?)(?P<whole>\d+)(?:\.(?P<fraction>\d+))?", re.ASCII)


def read_amount(
    text: str | None, currency: str | None, unit: AmountUnit, exponents: Mapping[str, int]
) -> int | None:
    """Return an amount in minor units; None for one that cannot be read.

    That is a missing, overlong or non-numeric amount, a currency that is not in `exponents`, and anything
    smaller than a minor unit: nothing is rounded. Zeros after the point are no fraction.
    """
    found = None if text is None or len(text) > DIGITS_MAX else _NUMBER.fullmatch(text)
    if found is None or currency is None or currency not in exponents:
        return None
    decimals = exponents[currency] if unit is AmountUnit.MAJOR else 0
    fraction = (found["fraction"] or "").rstrip("0")
    if len(fraction) > decimals:
        return None
    minor = int(found["whole"] + fraction.ljust(decimals, "0"))
    return -minor if found["sign"] else minor
