"""Find card numbers in requests, so that the service never stores or logs one."""

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
# The random part of a token may be all digits; it is suspect only if it repeats the card range.
_SHORTEST: Final = 13
_TOKEN: Final = re.compile(r"tok_([0-9]{6})_(?!\1)[0-9a-f]{4,64}")
# A quick test that most requests fail: without this pattern there is no card number.
_may_hold_one: Final = re.compile(rb"[2-6](?:[0-9][ -]?){12}").search
# One span id in 37,000 looks like a card number, so a well-formed traceparent is skipped.
_is_traceparent: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch


def refuse_card_data_around(scope: Scope) -> None:
    """Raise CardDataRefused if a request's path, query or headers contain a card number.

    Header names are checked too, and escapes are decoded first. The error does not quote what was found.
    """
    if contains_card_number(scope["path"]):
        raise CardDataRefused("The path contains a card number.", CardPlace.PATH)
    query = scope["query_string"]
    if query and contains_card_number(unquote_plus(query.decode("latin-1"))):
        raise CardDataRefused("The query contains a card number.", CardPlace.QUERY)
    headers = scope["headers"]
    if _may_hold_one(b"\n".join([part for header in headers for part in header])):
        for name, value in headers:
            if name == b"traceparent" and _is_traceparent(value):
                continue
            if contains_card_number(f"{name.decode('latin-1')}\n{value.decode('latin-1')}"):
                raise CardDataRefused("A header contains a card number.", CardPlace.HEADER)


def refuse_card_data(value: Any, where: str = "body") -> None:
    """Raise CardDataRefused, naming the place, if a text or key of a JSON value contains a card number."""
    if isinstance(value, str):
        if contains_card_number(value):
            raise CardDataRefused(f"A value contains a card number: {where}.")
    elif isinstance(value, dict):
        for key, item in value.items():
            if contains_card_number(key):
                raise CardDataRefused(f"A key contains a card number, in: {where}.")
            refuse_card_data(item, f"{where}.{key[:64]}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            refuse_card_data(item, f"{where}[{index}]")


def contains_card_number(text: str) -> bool:
    """Return whether the text contains 13 to 19 digits that pass the Luhn check (ISO/IEC 7812-1, annex B)."""
    if len(text) < _SHORTEST or _TOKEN.fullmatch(text):
        return False
    return any(_passes_luhn(re.sub("[ -]", "", found.group())) for found in _CANDIDATE.finditer(text))


def _passes_luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0
