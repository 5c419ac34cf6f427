"""The id of a request: which ones are taken from a caller, and how a new one is made."""

import os
import random
import re
from typing import Final

from moneypath.telemetry.redaction import redact

HEADER = "x-correlation-id"

_ACCEPTED = re.compile(r"[A-Za-z0-9-]{8,64}").fullmatch
# A UUID, as most are, is taken at one look: no match is made of one, and redaction leaves it alone.
_is_no_uuid = re.compile(r"(?![0-9a-f]{8}+-(?:[0-9a-f]{4}+-){3}[0-9a-f]{12}+\Z)").match

# Of our own, because an application that seeds the module's generator would repeat its ids in every
# process. Ids are no secrets; they have to be unique, and so a child draws from a seed of its own.
_RANDOM: Final = random.Random()  # noqa: S311
draw_bits: Final = _RANDOM.getrandbits

# Ids that nobody has taken yet. Between the parts of a request each line of Python costs about three times of
# what it does in a loop, so they are made in one.
_MINTED: Final[list[str]] = []
_BATCH: Final = 64
_FIRST_BITS: Final = 32
_FIRST_MASK: Final = (1 << _FIRST_BITS) - 1
# Odd, so that it comes by each number of that many bits once; of these bits, so that neighbours look apart.
_STRIDE: Final = 0x9E3779B1
# RFC 9562, version 8: of the 90 bits behind the first group, four say the version, two the variant.
_REST_BITS: Final = 96
_REST_FREE: Final = ~(0xF << 76 | 0x3 << 62) & (1 << _REST_BITS) - 1
_REST_FIXED: Final = 0x8 << 76 | 0x2 << 62


def _forget() -> None:
    """Make a child's ids its own: it has its parent's seed, and what its parent made ahead."""
    _RANDOM.seed()
    _MINTED.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

_take: Final = _MINTED.pop


def mint() -> str:
    """Return a new id: a UUID of version 8, of 122 random bits.

    Those of one batch have 90 of them in common and are told apart by the first group, in which no number
    comes twice.
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
    # The first is kept for who made them: other threads may have taken all the others by now.
    _MINTED.extend(ahead)
    return own


def accept(candidate: str | None) -> str:
    """Return the caller's id if it is one, else a new one.

    An id that reads as a card number or a key is replaced too: it would be echoed, logged and passed on.
    """
    if candidate is None:
        return mint()
    if not _is_no_uuid(candidate):
        return candidate
    if not _ACCEPTED(candidate) or redact(candidate) != candidate:
        return mint()
    return candidate
