"""Time-ordered identifiers, minted here and not by the database: time is a parameter."""

import os
from datetime import datetime
from typing import Final
from uuid import UUID

_LATEST: Final = 0xFFFF_FFFF_FFFF


def mint_id(now: datetime) -> UUID:
    """Return a version 7 UUID of this instant: 48 bits of milliseconds, 74 random bits.

    RFC 9562, section 5.7.
    """
    value = (_milliseconds(now) & _LATEST) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def first_id(at: datetime | None, *, later_by_ms: int = 0) -> UUID:
    """Return what is not above any id of an instant and above all earlier ones; of None, the outermost.

    `later_by_ms` makes it a bound from above, beyond which there is no id of the instant.
    """
    if at is None:
        return UUID(int=2**128 - 1 if later_by_ms else 0)
    return UUID(int=min(max(_milliseconds(at) + later_by_ms, 0), _LATEST) << 80)


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
