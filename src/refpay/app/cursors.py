"""Cursors: where a page ended, opaque to callers, and good for the listing that gave it alone."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from refpay.app.errors import CursorInvalid

_DIGEST_BYTES: Final = 8
PATTERN: Final = r"^[A-Za-z0-9_-]{32}$"


def make_cursor(position: UUID, listing: Mapping[str, object]) -> str:
    """Return the cursor of a position; `listing` says whose it is and by which filters.

    It is no secret and needs no key: whatever it says, a query shows a caller its own rows alone.
    The digest keeps a cursor from being taken for one of other filters.
    """
    return urlsafe_b64encode(position.bytes + _digest(position, listing)).decode()


def read_cursor(cursor: str | None, listing: Mapping[str, object]) -> UUID | None:
    """Return where to go on; raises CursorInvalid for what was not made of this listing."""
    if cursor is None:
        return None
    raw = urlsafe_b64decode(cursor)
    position = UUID(bytes=raw[:16])
    if raw[16:] != _digest(position, listing):
        raise CursorInvalid("cursor: allowed: `next` of the page before, with the same filters")
    return position


def _digest(position: UUID, listing: Mapping[str, object]) -> bytes:
    said = "\n".join(f"{name}={value!r}" for name, value in sorted(listing.items()))
    return hashlib.sha256(f"{position}\n{said}".encode()).digest()[:_DIGEST_BYTES]
