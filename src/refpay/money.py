"""Money: integer minor units with a currency; never a float, never summed across currencies."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from refpay.errors import InvariantViolation

MAXIMUM_MINOR: Final = 2**63 - 1
# An amount in the input of another party.
AmountMinor = Annotated[
    int, Field(strict=True, ge=1, le=MAXIMUM_MINOR, description="Minor units of the payment's currency.")
]


class Currency(StrEnum):
    """ISO 4217 codes that this service moves."""

    EUR = "EUR"
    USD = "USD"
    JPY = "JPY"
    KWD = "KWD"


EXPONENTS: Final[dict[Currency, int]] = {
    Currency.EUR: 2,
    Currency.USD: 2,
    Currency.JPY: 0,
    Currency.KWD: 3,
}
_MAJOR: Final = re.compile(r"(0|[1-9][0-9]{0,30})(?:\.([0-9]{1,3}))?")


def read_major(text: str, currency: Currency) -> int | None:
    """Return the minor units, 0 included, of a decimal major amount; None if it is none of the currency."""
    match = _MAJOR.fullmatch(text)
    exponent = EXPONENTS[currency]
    if match is None or len(match[2] or "") > exponent:
        return None
    return int(match[1] + (match[2] or "").ljust(exponent, "0"))


@dataclass(frozen=True, slots=True)
class Money:
    """A positive amount: 1 to 2^63-1 minor units."""

    amount_minor: int
    currency: Currency

    def __post_init__(self) -> None:
        if not 1 <= self.amount_minor <= MAXIMUM_MINOR:
            raise InvariantViolation(f"amount out of range: {self.amount_minor}, allowed: 1..{MAXIMUM_MINOR}")

    def to_major(self) -> str:
        """Return the decimal major amount without a float in between: 1234 KWD is `1.234`, 12 JPY is `12`."""
        exponent = EXPONENTS[self.currency]
        if exponent == 0:
            return str(self.amount_minor)
        digits = str(self.amount_minor).rjust(exponent + 1, "0")
        return f"{digits[:-exponent]}.{digits[-exponent:]}"
