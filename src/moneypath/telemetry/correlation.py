"""One id that ties a request's logs, responses and outgoing calls together."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import uuid4

from moneypath.telemetry.redact import redact

HEADER = "x-correlation-id"

_ACCEPTED = re.compile(r"[A-Za-z0-9-]{8,64}")
_current: ContextVar[str | None] = ContextVar("moneypath_correlation_id", default=None)


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


def current() -> str | None:
    """Return the id of the request being handled, or None outside of one."""
    return _current.get()


@contextmanager
def bound(correlation_id: str) -> Iterator[None]:
    """Make the id the current one for the block, and for the tasks it starts."""
    token = _current.set(correlation_id)
    try:
        yield
    finally:
        _current.reset(token)
