"""Reads a context from the headers of a request or message, and writes one to them."""

from collections.abc import Mapping, MutableMapping

from moneypath.telemetry.correlation import ids, trace
from moneypath.telemetry.correlation.context import Context, get_active


def extract(carrier: Mapping[str, str]) -> Context:
    """Return the context in the headers, with a new correlation id if they have no valid one.

    The names of the headers must be in lower case.
    """
    get = carrier.get
    return Context(ids.accept(get(ids.HEADER)), trace.parse(get(trace.HEADER), get(trace.STATE_HEADER)))


def inject(carrier: MutableMapping[str, str]) -> None:
    """Write the active context to the headers. Does nothing without an active context."""
    found = get_active()
    if found is None:
        return
    carrier[ids.HEADER] = found.correlation_id
    own = found.trace
    if own is not None:
        carrier[trace.HEADER] = own.header
        if own.state:
            carrier[trace.STATE_HEADER] = own.state
