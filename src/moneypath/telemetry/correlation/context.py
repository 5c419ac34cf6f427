"""What ties together all that is done for one request, across tasks, processes and queues."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from moneypath.telemetry.correlation.trace import Trace


@dataclass(frozen=True, slots=True)
class Context:
    """Name the request, the payment it is about once that is known, and the span that works on it."""

    correlation_id: str
    trace: Trace | None = None
    payment_id: str | None = None

    @property
    def sampled(self) -> bool:
        """Tell whether the trace at work is kept."""
        return self.trace is not None and self.trace.sampled


ACTIVE: ContextVar[Context | None] = ContextVar("moneypath_context", default=None)


def active() -> Context | None:
    """Return the context of the work at hand, or None outside of any."""
    return ACTIVE.get()


@contextmanager
def entered(context: Context) -> Iterator[Context]:
    """Make the context the active one for the block, and for the tasks it starts."""
    token = ACTIVE.set(context)
    try:
        yield context
    finally:
        ACTIVE.reset(token)


def current() -> str | None:
    """Return the correlation id of the request being handled, or None outside of one."""
    context = ACTIVE.get()
    return None if context is None else context.correlation_id


@contextmanager
def bound(correlation_id: str) -> Iterator[None]:
    """Make the id the current one for the block; whatever else the context holds is kept."""
    context = ACTIVE.get()
    known = Context(correlation_id) if context is None else replace(context, correlation_id=correlation_id)
    with entered(known):
        yield


def name_payment(payment_id: str) -> None:
    """Say which payment the rest of this request is about; outside of a request nothing happens."""
    context = ACTIVE.get()
    if context is not None:
        ACTIVE.set(replace(context, payment_id=payment_id))
