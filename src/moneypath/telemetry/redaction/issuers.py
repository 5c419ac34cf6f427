"""Recognises card numbers by the issuer's prefix, the issued lengths and the check digit."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

SHORTEST_CARD = 12
LONGEST_CARD = 19
# The number of digits that identify an issuer in the table.
PREFIX_DIGITS = 4
PREFIXES = 10_000


@dataclass(frozen=True, slots=True)
class Issuer:
    """A range of prefixes of the same width, both ends included, and the lengths of its card numbers.

    `usual` are the lengths of nearly all cards in circulation.
    """

    network: str
    first: int
    last: int
    lengths: tuple[int, ...]
    usual: tuple[int, ...] = (16,)


_ANY = tuple(range(16, 20))
_DINERS = tuple(range(14, 20))
_MAESTRO = tuple(range(12, 20))

# ISO/IEC 7812 ranges as published by the networks. Maestro's prefixes are listed one by one, because its
# whole range with lengths from 12 would match one number in a hundred. UATP (15 digits that begin with 1)
# is left out, because timestamps in milliseconds to nanoseconds begin like that.
ISSUERS = (
    Issuer("Visa", 4, 4, (13, 16, 19)),
    Issuer("Mastercard", 51, 55, (16,)),
    Issuer("Mastercard", 2221, 2720, (16,)),
    Issuer("American Express", 34, 34, (15,), (15,)),
    Issuer("American Express", 37, 37, (15,), (15,)),
    Issuer("Diners Club", 300, 305, _DINERS, (14, 16)),
    Issuer("Diners Club", 3095, 3095, _DINERS, (14, 16)),
    Issuer("Diners Club", 36, 36, _DINERS, (14, 16)),
    Issuer("Diners Club", 38, 39, _DINERS, (14, 16)),
    Issuer("JCB", 3528, 3589, _ANY),
    Issuer("Discover", 6011, 6011, _ANY),
    Issuer("Discover", 644, 649, _ANY),
    Issuer("Discover", 65, 65, _ANY),
    Issuer("UnionPay", 62, 62, _ANY, (16, 19)),
    Issuer("UnionPay", 81, 81, _ANY, (16, 19)),
    Issuer("Mir", 2200, 2204, _ANY),
    Issuer("Borica", 2205, 2205, (16,)),
    Issuer("RuPay", 60, 60, (16,)),
    Issuer("RuPay", 508, 508, (16,)),
    Issuer("Verve", 5060, 5061, (16, 18, 19)),
    Issuer("Elo", 5066, 5067, (16,)),
    Issuer("Elo", 5090, 5090, (16,)),
    Issuer("Dankort", 5019, 5019, (16,)),
    Issuer("InterPayment", 636, 636, _ANY),
    Issuer("InstaPayment", 637, 639, (16,)),
    Issuer("Uzcard", 8600, 8600, (16,)),
    Issuer("Troy", 9792, 9792, (16,)),
    Issuer("Humo", 9860, 9860, (16,)),
    Issuer("Maestro", 5018, 5018, _MAESTRO, (16, 18, 19)),
    Issuer("Maestro", 5020, 5020, _MAESTRO, (16, 18, 19)),
    Issuer("Maestro", 5038, 5038, _MAESTRO, (16, 18, 19)),
    Issuer("Maestro", 5893, 5893, _MAESTRO, (16, 18, 19)),
    Issuer("Maestro", 6304, 6304, _MAESTRO, (16, 18, 19)),
    Issuer("Maestro", 6759, 6759, _MAESTRO, (16, 18, 19)),
    Issuer("Maestro", 6761, 6763, _MAESTRO, (16, 18, 19)),
)

_DOUBLED = str.maketrans("0123456789", "0246813579")


def is_card_number(digits: str) -> bool:
    """Return whether ASCII digits have the length, prefix and check digit of a card number."""
    return len(digits) in issued_lengths(digits[:PREFIX_DIGITS]) and is_luhn_valid(digits)


@lru_cache(maxsize=PREFIXES)
def issued_lengths(prefix: str) -> tuple[int, ...]:
    """Return the lengths of card numbers with this four-digit prefix, longest first."""
    return tuple(sorted({length for issuer in _issuers(prefix) for length in issuer.lengths}, reverse=True))


@lru_cache(maxsize=PREFIXES)
def usual_lengths(prefix: str) -> tuple[int, ...]:
    """Return the lengths of nearly all cards with this four-digit prefix, longest first."""
    return tuple(sorted({length for issuer in _issuers(prefix) for length in issuer.usual}, reverse=True))


def _issuers(prefix: str) -> Iterator[Issuer]:
    for issuer in ISSUERS:
        leading = prefix[: len(str(issuer.first))]
        if len(prefix) == PREFIX_DIGITS and issuer.first <= int(leading) <= issuer.last:
            yield issuer


def is_luhn_valid(digits: str) -> bool:
    """Return whether the last digit is the check digit of the others (Luhn, ISO/IEC 7812-1, annex B)."""
    # Every second digit from the right is doubled and the digits of the result are summed: 5 becomes 10,
    # then 1.
    plain, doubled = digits[::-2], digits[-2::-2].translate(_DOUBLED)
    return (sum(map(int, plain)) + sum(map(int, doubled))) % 10 == 0


def chance_share(length: int) -> float:
    """Return the share of random digit strings of a length that pass every check for a card number.

    The result is exact: the share of prefixes with cards of this length, times one check digit in ten.
    """
    prefixes = (f"{number:0{PREFIX_DIGITS}}" for number in range(PREFIXES))
    return sum(length in issued_lengths(prefix) for prefix in prefixes) / PREFIXES / 10
