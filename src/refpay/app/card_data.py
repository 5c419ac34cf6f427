"""Finds card numbers, so that they never enter."""

import re
from typing import Any, Final
from urllib.parse import unquote_plus

from starlette.types import Scope

from refpay.app.errors import CardDataRefused, CardPlace

# A run of 13 to 19 digits, or the printed groups of four; not inside a longer word or number.
# Cards begin with 2 to 6 (ISO/IEC 7812), milliseconds since 1970 with 1.
_RUN: Final = r"[2-6][0-9]{12,18}"
_GROUPS: Final = r"[2-6][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,4}(?:\1[0-9]{1,3})?"
_AMEX_GROUPS: Final = r"3[47][0-9]{2}([ -])[0-9]{6}\2[0-9]{5}"
_CANDIDATE: Final = re.compile(rf"(?<![0-9A-Za-z])(?:{_GROUPS}|{_AMEX_GROUPS}|{_RUN})(?![0-9A-Za-z])")
# The random part of a token may happen to be all digits; it is suspect only if it repeats the range.
_SHORTEST: Final = 13
_TOKEN: Final = re.compile(r"tok_([0-9]{6})_(?!\1)[0-9a-f]{4,64}")
# Nothing that lacks this holds a card number: most requests are done with at one look.
_may_hold_one: Final = re.compile(rb"[2-6](?:[0-9][ -]?){12}").search
# One span id in 37,000 would pass for a card number, and it has its place and its form.
_is_traceparent: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch


def refuse_card_data_around(scope: Scope) -> None:
    """Raise CardDataRefused if a card number stands in a request's path, query or headers.

    Names of headers count too; escapes are undone. Nothing of what was found is said.
    """
    if contains_card_number(scope["path"]):
        raise CardDataRefused("card number in: path", CardPlace.PATH)
    query = scope["query_string"]
    if query and contains_card_number(unquote_plus(query.decode("latin-1"))):
        raise CardDataRefused("card number in: query", CardPlace.QUERY)
    headers = scope["headers"]
    if _may_hold_one(b"\n".join([part for header in headers for part in header])):
        for name, value in headers:
            if name == b"traceparent" and _is_traceparent(value):
                continue
            if contains_card_number(f"{name.decode('latin-1')}\n{value.decode('latin-1')}"):
                raise CardDataRefused("card number in: header", CardPlace.HEADER)


def refuse_card_data(value: Any, where: str = "body") -> None:
    """Raise CardDataRefused, naming the place, if a card number stands in any text or key of a JSON value."""
    if isinstance(value, str):
        if contains_card_number(value):
            raise CardDataRefused(f"card number in: {where}")
    elif isinstance(value, dict):
        for key, item in value.items():
            if contains_card_number(key):
                raise CardDataRefused(f"card number in a key of: {where}")
            refuse_card_data(item, f"{where}.{key[:64]}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            refuse_card_data(item, f"{where}[{index}]")


def contains_card_number(text: str) -> bool:
    """Return whether 13 to 19 digits of the text pass the Luhn check (ISO/IEC 7812-1, annex B)."""
    if len(text) < _SHORTEST or _TOKEN.fullmatch(text):
        return False
    return any(_passes_luhn(re.sub("[ -]", "", found.group())) for found in _CANDIDATE.finditer(text))


def _passes_luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0
