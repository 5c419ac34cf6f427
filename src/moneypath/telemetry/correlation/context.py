"""The context of a request: it follows the request across tasks, processes and queues."""

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final, NamedTuple, Protocol

from moneypath.telemetry.correlation.trace import Trace


class Context(NamedTuple):
    """The ids of a request, its payment once that is known, and its current span."""

    correlation_id: str
    trace: Trace | None = None
    payment_id: str | None = None

    @property
    def sampled(self) -> bool:
        """Return whether the current trace is sampled."""
        return self.trace is not None and self.trace.sampled

    @property
    def context(self) -> "Context":
        """Return the context itself, as `Active` asks for."""
        return self

    def name_payment(self, payment_id: str) -> None:
        """Activate a copy of the context with this payment id."""
        ACTIVE.set(self._replace(payment_id=payment_id))


class Active(Protocol):
    """What can be active: a context, or a span that makes a context on request."""

    @property
    def correlation_id(self) -> str:
        """Return the id of the request."""
        ...

    @property
    def trace(self) -> Trace | None:
        """Return the current span's ids."""
        ...

    @property
    def sampled(self) -> bool:
        """Return whether the current trace is sampled."""
        ...

    @property
    def context(self) -> Context:
        """Return the whole context."""
        ...

    def name_payment(self, payment_id: str) -> None:
        """Set the payment id for the rest of the request."""
        ...


ACTIVE: Final[ContextVar[Active | None]] = ContextVar("moneypath_context", default=None)
# Bound once, because looking up a method costs as much as calling it.
get_active: Final = ACTIVE.get
set_active: Final = ACTIVE.set
reset_active: Final = ACTIVE.reset


def active() -> Context | None:
    """Return the active context, or None."""
    found = get_active()
    return None if found is None else found.context


def sampled_trace() -> Trace | None:
    """Return the ids of the current span if its trace is sampled, else None. Used for exemplars."""
    found = get_active()
    return found.trace if found is not None and found.sampled else None


class ContextScope:
    """Keeps a context active for a `with` block."""

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
            restore_active(self._token)


def restore_active(token: Token[Active | None]) -> None:
    """Make active again what was active before `token` was made.

    Does nothing if the block ends in another task than it began in. That happens when the event loop closes
    an asynchronous generator.
    """
    try:
        reset_active(token)
    except (ValueError, RuntimeError):
        return


def entered(context: Context) -> ContextScope:
    """Return a context manager that makes the context active for its block and for tasks started there."""
    return ContextScope(context)


def current() -> str | None:
    """Return the correlation id of the current request, or None outside a request."""
    found = get_active()
    return None if found is None else found.correlation_id


def bound(correlation_id: str) -> ContextScope:
    """Return a context manager that changes only the correlation id of the active context."""
    context = active()
    return ContextScope(
        Context(correlation_id) if context is None else context._replace(correlation_id=correlation_id)
    )


def name_payment(payment_id: str) -> None:
    """Set the payment id for the rest of this request. Does nothing outside a request."""
    found = get_active()
    if found is not None:
        found.name_payment(payment_id)
