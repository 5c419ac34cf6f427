"""Read one field of a parsed row; an error names the field and the allowed values."""

import json
import math
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import TypeVar

from moneypath.oracle.errors import FieldInvalid

Row = Mapping[str, object]
Member = TypeVar("Member", bound=StrEnum)

_MINOR_MAX = 2**63 - 1
_TEXT_MAX = 256


def parse_object(text: str | bytes) -> dict[str, object]:
    """Parse one JSON object; raises FieldInvalid, which does not quote the text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise FieldInvalid("not JSON") from None
    if not isinstance(value, dict):
        raise FieldInvalid(f"must be a JSON object, not {type(value).__name__}")
    return value


def require_keys(row: Row, keys: Collection[str]) -> None:
    """Raise FieldInvalid if a key is missing or unknown."""
    if row.keys() != set(keys):
        missing, extra = sorted(set(keys) - row.keys()), sorted(row.keys() - set(keys))
        parts = [f"missing: {', '.join(missing)}"] if missing else []
        parts += [f"unknown: {', '.join(extra)}"] if extra else []
        raise FieldInvalid(f"{'; '.join(parts)}; allowed: {', '.join(sorted(keys))}")


def read_text(row: Row, key: str) -> str:
    """Return a text of 1 to 256 characters."""
    value = row.get(key)
    if not isinstance(value, str) or not 1 <= len(value) <= _TEXT_MAX:
        raise FieldInvalid(f"{key}: must be a text of 1 to {_TEXT_MAX} characters")
    return value


def read_text_or_none(row: Row, key: str) -> str | None:
    """Return a text of 1 to 256 characters, or None for null."""
    return None if row.get(key) is None else read_text(row, key)


def read_integer(row: Row, key: str, lowest: int = 0, highest: int = _MINOR_MAX) -> int:
    """Return an integer; floats and booleans are refused."""
    value = row.get(key)
    if type(value) is not int or not lowest <= value <= highest:
        raise FieldInvalid(f"{key}: must be an integer from {lowest} to {highest}")
    return value


def read_amount(row: Row, key: str) -> tuple[int, str]:
    """Return an amount and an empty text, or 0 and the amount as it is written if it is no integer.

    An amount may be larger than what a database holds. One that is left out, negative or a text is refused.
    """
    value = row.get(key)
    if type(value) is int and value >= 0:
        return value, ""
    if key in row and (value is None or isinstance(value, float)):
        return 0, "null" if value is None else repr(value)
    raise FieldInvalid(f"{key}: must be an integer from 0")


def read_flag(row: Row, key: str) -> bool:
    """Return a boolean."""
    value = row.get(key)
    if not isinstance(value, bool):
        raise FieldInvalid(f"{key}: must be true or false")
    return value


def read_instant(row: Row, key: str) -> float:
    """Return a time in Unix seconds."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FieldInvalid(f"{key}: must be a time in Unix seconds")
    return float(value)


def read_currency(row: Row, key: str) -> str:
    """Return a currency code of three capital letters."""
    value = row.get(key)
    if (
        not isinstance(value, str)
        or len(value) != 3
        or not (value.isascii() and value.isalpha() and value.isupper())
    ):
        raise FieldInvalid(f"{key}: must be a currency code of three capital letters")
    return value


def read_member(row: Row, key: str, members: type[Member]) -> Member:
    """Return a member of a closed set."""
    value = row.get(key)
    if isinstance(value, str):
        try:
            return members(value)
        except ValueError:
            pass
    raise FieldInvalid(f"{key}: must be one of {', '.join(members)}")
