"""Correlation ids: which ones are accepted from a caller, and how new ones are made."""

import os
import random
import re
from typing import Final

from moneypath.telemetry.redaction import redact

HEADER = "x-correlation-id"

_ACCEPTED = re.compile(r"[A-Za-z0-9-]{8,64}").fullmatch
# Most ids are UUIDs. The pattern is negated, so that no match object is made for them; redaction leaves
# UUIDs alone.
_is_no_uuid = re.compile(r"(?![0-9a-f]{8}+-(?:[0-9a-f]{4}+-){3}[0-9a-f]{12}+\Z)").match

# A generator of our own, because an application that seeds the module's generator would repeat ids in every
# process. Ids are not secrets, only unique, so a forked child reseeds.
_RANDOM: Final = random.Random()  # noqa: S311
draw_bits: Final = _RANDOM.getrandbits

# Ids made in advance. Within a request each line of Python costs about three times as much as in a loop, so
# ids are made in batches.
_IDS_IN_STOCK: Final[list[str]] = []
_BATCH: Final = 64
_FIRST_BITS: Final = 32
_FIRST_MASK: Final = (1 << _FIRST_BITS) - 1
# Odd, so that it visits each 32-bit number once; these bits, so that consecutive ids look different.
_STRIDE: Final = 0x9E3779B1
# RFC 9562, version 8: of the 96 bits after the first group, four are the version and two the variant.
_REST_BITS: Final = 96
_REST_FREE: Final = ~(0xF << 76 | 0x3 << 62) & (1 << _REST_BITS) - 1
_REST_FIXED: Final = 0x8 << 76 | 0x2 << 62


def _forget() -> None:
    """Reseed in a forked child and drop the ids that the parent made in advance."""
    _RANDOM.seed()
    _IDS_IN_STOCK.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

_take: Final = _IDS_IN_STOCK.pop


def mint() -> str:
    """Return a new id: a version 8 UUID with 122 random bits.

    Ids are made in batches. The ids of one batch share 90 random bits and differ in the first group, in
    which no number repeats.
    """
    try:
        return _take()
    except IndexError:
        return _mint_batch()


def _mint_batch() -> str:
    rest = (draw_bits(_REST_BITS) & _REST_FREE | _REST_FIXED).to_bytes(12, "big").hex()
    tail = f"-{rest[:4]}-{rest[4:8]}-{rest[8:12]}-{rest[12:]}"
    first = draw_bits(_FIRST_BITS)
    numbers = range(first, first + _BATCH * _STRIDE, _STRIDE)
    own, *ahead = [f"{number & _FIRST_MASK:08x}{tail}" for number in numbers]
    # The first id is returned to the caller: other threads may take all the others.
    _IDS_IN_STOCK.extend(ahead)
    return own


def accept(candidate: str | None) -> str:
    """Return the caller's id if it is valid, else a new one.

    An id that looks like a card number or a key is replaced as well, because it would be logged and passed
    on.
    """
    if candidate is None:
        return mint()
    if not _is_no_uuid(candidate):
        return candidate
    if not _ACCEPTED(candidate) or redact(candidate) != candidate:
        return mint()
    return candidate
