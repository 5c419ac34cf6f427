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
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_RANDOM.seed)

draw_bits: Final = _RANDOM.getrandbits

# RFC 9562, version 4: four bits say the version, two the variant, the rest is random.
_UUID_FREE: Final = ~(0xF << 76 | 0x3 << 62) & (1 << 128) - 1
_UUID_FIXED: Final = 0x4 << 76 | 0x2 << 62


def mint() -> str:
    """Return a new id, a random UUID."""
    text = (draw_bits(128) & _UUID_FREE | _UUID_FIXED).to_bytes(16, "big").hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


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
