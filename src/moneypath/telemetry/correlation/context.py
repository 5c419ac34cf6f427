"""What ties together all that is done for one request, across tasks, processes and queues."""

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final, NamedTuple, Protocol

from moneypath.telemetry.correlation.trace import Trace


class Context(NamedTuple):
    """Name the request, the payment it is about once that is known, and the span that works on it."""

    correlation_id: str
    trace: Trace | None = None
    payment_id: str | None = None

    @property
    def sampled(self) -> bool:
        """Tell whether the trace at work is kept."""
        return self.trace is not None and self.trace.sampled

    @property
    def context(self) -> "Context":
        """Return itself; a span that is active writes its context out."""
        return self

    def name_payment(self, payment_id: str) -> None:
        """Make a copy that knows its payment the active one."""
        ACTIVE.set(self._replace(payment_id=payment_id))


class Active(Protocol):
    """What can be active: a context, or a span that writes one out when somebody asks."""

    @property
    def correlation_id(self) -> str:
        """Return the id of the request."""
        ...

    @property
    def trace(self) -> Trace | None:
        """Return the span at work."""
        ...

    @property
    def sampled(self) -> bool:
        """Tell whether the trace at work is kept."""
        ...

    @property
    def context(self) -> Context:
        """Return all of it."""
        ...

    def name_payment(self, payment_id: str) -> None:
        """Take in which payment the rest of the request is about."""
        ...


ACTIVE: Final[ContextVar[Active | None]] = ContextVar("moneypath_context", default=None)
# Looked up once: looking a method up costs as much as calling it.
get_active: Final = ACTIVE.get
set_active: Final = ACTIVE.set
reset_active: Final = ACTIVE.reset


def active() -> Context | None:
    """Return the context of the work at hand, or None outside of any."""
    found = get_active()
    return None if found is None else found.context


def sampled_trace() -> Trace | None:
    """Return the span at work if its trace is kept, as an exemplar wants it; None otherwise."""
    found = get_active()
    return found.trace if found is not None and found.sampled else None


class Entered:
    """Holds a context active for a block."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._token: Token[Active | None] | None = None

    def __enter__(self) -> Context:
        self._token = set_active(self._context)
        return self._context

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            leave(self._token)


def leave(token: Token[Active | None]) -> None:
    """Make active again what was before `token`.

    A block that ends in another task than it began in changes nothing there; an asynchronous generator
    that the event loop closes ends like that.
    """
    try:
        reset_active(token)
    except (ValueError, RuntimeError):
        return


def entered(context: Context) -> Entered:
    """Make the context the active one for the block, and for the tasks it starts."""
    return Entered(context)


def current() -> str | None:
    """Return the correlation id of the request being handled, or None outside of one."""
    found = get_active()
    return None if found is None else found.correlation_id


def bound(correlation_id: str) -> Entered:
    """Make the id the current one for the block; whatever else the context holds is kept."""
    context = active()
    return Entered(
        Context(correlation_id) if context is None else context._replace(correlation_id=correlation_id)
    )


def name_payment(payment_id: str) -> None:
    """Say which payment the rest of this request is about; outside of a request nothing happens."""
    found = get_active()
    if found is not None:
        found.name_payment(payment_id)
