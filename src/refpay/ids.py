"""Mint time-ordered identifiers here and not in the database, because time is a parameter."""

import os
import re
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from asyncpg.pgproto import pgproto
from pydantic import BeforeValidator

# The one spelling of an id: as it is answered. Another one would be a second name of the same payment.
ID_PATTERN: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_SPELLED: Final = re.compile(ID_PATTERN.strip("^$"))
_LATEST: Final = 0xFFFF_FFFF_FFFF
_RANDOM_BYTES: Final = 10
_DRAWN: Final[list[bytes]] = []
# Two processes must not use the same random bytes.
os.register_at_fork(after_in_child=_DRAWN.clear)


def mint_id(now: datetime) -> UUID:
    """Return a version 7 UUID of this instant: 48 bits of milliseconds, 74 random bits.

    RFC 9562, section 5.7.
    """
    value = (_milliseconds(now) & _LATEST) << 80 | int.from_bytes(_draw())
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return pgproto.UUID(value.to_bytes(16))


def read_id(text: str) -> UUID | None:
    """Return the id that a text is, or None unless it is a UUID in lower case with hyphens."""
    return UUID(text) if _SPELLED.fullmatch(text) else None


def _require_id(text: object) -> UUID:
    found = read_id(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("allowed: a UUID in lower case with hyphens")
    return found


# An id in the input of another party.
Id = Annotated[UUID, BeforeValidator(_require_id)]


def first_id(at: datetime | None, *, later_by_ms: int = 0) -> UUID:
    """Return the lowest possible id of an instant, or the lowest of all for None.

    With `later_by_ms` it is an upper bound: no id of the instant is above it, and None gives the highest of
    all.
    """
    if at is None:
        return UUID(int=2**128 - 1 if later_by_ms else 0)
    return UUID(int=min(max(_milliseconds(at) + later_by_ms, 0), _LATEST) << 80)


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _draw() -> bytes:
    # Drawn for many ids at once: the system call costs more than the rest of an id.
    try:
        return _DRAWN.pop()
    except IndexError:
        some = os.urandom(512 * _RANDOM_BYTES)
        _DRAWN.extend(some[at : at + _RANDOM_BYTES] for at in range(_RANDOM_BYTES, len(some), _RANDOM_BYTES))
        # Not taken from the list, which other threads may have emptied meanwhile.
        return some[:_RANDOM_BYTES]
