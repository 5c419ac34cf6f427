"""Taking a context out of the headers of a request or a message, and putting one in."""

from collections.abc import Mapping, MutableMapping

from moneypath.telemetry.correlation import ids, trace
from moneypath.telemetry.correlation.context import Context, active


def extract(carrier: Mapping[str, str]) -> Context:
    """Return the context that headers carry, with a new correlation id if they carry none that is one.

    Names of the carrier have to be in lower case.
    """
    return Context(
        ids.accept(carrier.get(ids.HEADER)),
        trace.parse(carrier.get(trace.HEADER), carrier.get(trace.STATE_HEADER)),
    )


def inject(carrier: MutableMapping[str, str]) -> None:
    """Put the active context into headers; outside of any context nothing is put."""
    context = active()
    if context is None:
        return
    carrier[ids.HEADER] = context.correlation_id
    if context.trace is not None:
        carrier[trace.HEADER] = context.trace.header
        if context.trace.state:
            carrier[trace.STATE_HEADER] = context.trace.state
