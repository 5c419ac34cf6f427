"""Taking a context out of the headers of a request or a message, and putting one in."""

from collections.abc import Mapping, MutableMapping

from moneypath.telemetry.correlation import ids, trace
from moneypath.telemetry.correlation.context import Context, get_active


def extract(carrier: Mapping[str, str]) -> Context:
    """Return the context that headers carry, with a new correlation id if they carry none that is one.

    Names of the carrier have to be in lower case.
    """
    get = carrier.get
    return Context(ids.accept(get(ids.HEADER)), trace.parse(get(trace.HEADER), get(trace.STATE_HEADER)))


def inject(carrier: MutableMapping[str, str]) -> None:
    """Put the active context into headers; outside of any context nothing is put."""
    found = get_active()
    if found is None:
        return
    carrier[ids.HEADER] = found.correlation_id
    own = found.trace
    if own is not None:
        carrier[trace.HEADER] = own.header
        if own.state:
            carrier[trace.STATE_HEADER] = own.state
