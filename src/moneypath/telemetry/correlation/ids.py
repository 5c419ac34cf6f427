"""The id of a request: which ones are taken from a caller, and how a new one is made."""

import re
from uuid import uuid4

from moneypath.telemetry.redaction import redact

HEADER = "x-correlation-id"

_ACCEPTED = re.compile(r"[A-Za-z0-9-]{8,64}")


def mint() -> str:
    """Return a new id."""
    return str(uuid4())


def accept(candidate: str | None) -> str:
    """Return the caller's id if it is one, else a new one.

    An id that reads as a card number is replaced too: it would be echoed, logged and passed on.
    """
    if candidate is None or not _ACCEPTED.fullmatch(candidate) or redact(candidate) != candidate:
        return mint()
    return candidate
