"""Time-ordered identifiers, minted here and not by the database: time is a parameter."""

import os
from datetime import datetime
from typing import Final
from uuid import UUID

from asyncpg.pgproto import pgproto

_LATEST: Final = 0xFFFF_FFFF_FFFF
_RANDOM_BYTES: Final = 10
_DRAWN: Final[list[bytes]] = []
# Two processes must not use what one has drawn.
os.register_at_fork(after_in_child=_DRAWN.clear)


def mint_id(now: datetime) -> UUID:
    """Return a version 7 UUID of this instant: 48 bits of milliseconds, 74 random bits.

    RFC 9562, section 5.7.
    """
    value = (_milliseconds(now) & _LATEST) << 80 | int.from_bytes(_draw())
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return pgproto.UUID(value.to_bytes(16))


def first_id(at: datetime | None, *, later_by_ms: int = 0) -> UUID:
    """Return what is not above any id of an instant and above all earlier ones; of None, the outermost.

    `later_by_ms` makes it a bound from above, beyond which there is no id of the instant.
    """
    if at is None:
        return UUID(int=2**128 - 1 if later_by_ms else 0)
    return UUID(int=min(max(_milliseconds(at) + later_by_ms, 0), _LATEST) << 80)


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _draw() -> bytes:
    # For many ids at once: to ask the system costs more than all the rest of an id.
    try:
        return _DRAWN.pop()
    except IndexError:
        some = os.urandom(512 * _RANDOM_BYTES)
        _DRAWN.extend(some[at : at + _RANDOM_BYTES] for at in range(_RANDOM_BYTES, len(some), _RANDOM_BYTES))
        # Not out of the list again, which other threads empty meanwhile.
        return some[:_RANDOM_BYTES]
