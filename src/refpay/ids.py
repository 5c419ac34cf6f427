"""Time-ordered identifiers, minted here and not by the database: time is a parameter."""

import os
from datetime import datetime
from uuid import UUID


def mint_id(now: datetime) -> UUID:
    """Return a version 7 UUID of this instant: 48 bits of milliseconds, 74 random bits.

    RFC 9562, section 5.7.
    """
    milliseconds = int(now.timestamp() * 1000) & 0xFFFF_FFFF_FFFF
    value = milliseconds << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
