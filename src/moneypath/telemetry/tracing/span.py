"""A span while it is open. An unsampled one costs a few stores: its ids are numbers until asked for."""

import sys
import threading
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from moneypath.telemetry.catalogue.vocabulary import Outcome
from moneypath.telemetry.correlation.context import Active, Context, get_active, reset_active, set_active
from moneypath.telemetry.correlation.ids import draw_bits
from moneypath.telemetry.correlation.trace import Trace, parse, trace_with
from moneypath.telemetry.tracing.finished import (
    FAULT_DOMAIN,
    STATUS_CODE,
    Ending,
    FaultDomain,
    Finished,
    SpanKind,
)
from moneypath.telemetry.tracing.texts import as_text, hexadecimal, text_of

if TYPE_CHECKING:
    from moneypath.telemetry.tracing.tracer import Tracer

_ILL: Final = frozenset({Outcome.FAILED, Outcome.INDETERMINATE})
_SERVER: Final = SpanKind.SERVER
_CONSUMER: Final = SpanKind.CONSUMER
# Where there is no GIL, what is one step under it needs a lock.
_DRAWING: Final = None if getattr(sys, "_is_gil_enabled", lambda: True)() else threading.Lock()
# The part of a trace id that is random for certain, and that OpenTelemetry's consistent samplers look at.
_RANDOM_MASK: Final = (1 << 56) - 1


class Span:
    """Time a piece of work and make it the active one: made by `Tracer.span`, entered once, left once.

    Nothing of it raises. Attributes are held as they are given and looked at when the span has ended.
    """

    # `_below`: what spans below this one have to know, as soon as there is one.
    # `_bits`: 64 of the span's own, 0 until asked for; above the 128 of the trace if the span began it.
    # `_caller`: the trace that came in, or its header as long as nobody asks for ids; if it then turns out
    # to be malformed, this span begins a trace.
    # `_local`: what a span of this process above it hands down, None if there is none.
    __slots__ = (
        *("_begun", "_below", "_bits", "_caller", "_correlation_id", "_ended", "_ending", "_error"),
        *("_foreign", "_given", "_local", "_payment_id", "_token", "_tracer"),
        *("attributes", "details", "kind", "name", "outcome", "sampled"),
    )

    _begun: float
    _below: "Local | None"
    _bits: int
    _caller: Trace | str | bytes | None
    _correlation_id: str | None
    _ended: float
    _ending: Ending | None
    _error: tuple[type[BaseException], str] | None
    _foreign: object
    _given: Context | None
    _local: "Local | None"
    _payment_id: str | None
    _token: Token[Active | None] | None
    _tracer: "Tracer"
    attributes: Mapping[str, object] | None
    details: dict[str, object] | None
    kind: SpanKind
    name: str
    outcome: str | None
    sampled: bool

    def __enter__(self) -> Self:
        tracer = self._tracer
        parent: Active | None = self._given
        if parent is None:
            parent = get_active()
        if tracer.bridge is not None:
            parent = tracer.bridge.adopt(self, parent)
        if type(parent) is Span:
            self._bits = 0
            # This reads the parent's caller, if nobody has yet.
            self._local = parent._below or parent.hand_down()
            self._caller = parent._caller
            self._correlation_id = parent._correlation_id
            self._payment_id = parent._payment_id
            self.sampled = parent.sampled
        else:
            self._begin_under(None if parent is None else parent.context)
        self._token = set_active(self)
        if tracer.bridge is not None:
            self._foreign = tracer.bridge.attach(self)
        clock = tracer.clock
        self._begun = clock()
        return self

    def _begin_under(self, context: Context | None) -> None:
        self._local = None
        if context is None:
            caller = self._correlation_id = self._payment_id = None
        else:
            self._correlation_id, caller, self._payment_id = context
        self._caller = caller
        if caller is None:
            bits = self._bits = draw_bits(192)
            self.sampled = bits & _RANDOM_MASK >= self._tracer.threshold
        else:
            self._bits = 0
            self.sampled = caller.sampled

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end(error)

    def end(
        self, error: BaseException | None = None, ended: float | None = None, ending: Ending | None = None
    ) -> None:
        """End what `Tracer.begin` began, once; `error` is what the work ended with.

        `ended` is the tracer's clock, if it was read already. `ending` names the span, if it could not be
        named before.
        """
        token = self._token
        if token is None:
            return
        # The token holds what was active before, and so would every span that has ended.
        self._token = None
        tracer = self._tracer
        if ended is None:
            clock = tracer.clock
            ended = clock()
        if tracer.bridge is not None:
            tracer.bridge.detach(self._foreign)
        try:  # noqa: SIM105 - suppress() would cost as much as all the rest
            reset_active(token)
        except (ValueError, RuntimeError):
            # It ends in another task than it began in, as an asynchronous generator may.
            pass
        if ending is not None and ending.outcome is not None:
            self.end_with(ending.outcome)
        if (
            self.sampled
            or error is not None
            or ended - self._begun >= tracer.slow_seconds
            or (self.outcome is not None and self.outcome in _ILL)
        ):
            self._ended = ended
            self._ending = ending
            self._error = None if error is None else (type(error), text_of(error))
            tracer.hand_over(self)

    def hand_down(self) -> "Local":
        """Return what a span below this one has to know."""
        local, number = self._local, self._number()
        root = (self if self._caller is None else None) if local is None else local.root
        if self.kind is _SERVER or self.kind is _CONSUMER:
            request: Span | None = self
        else:
            request = None if local is None else local.request
        self._below = Local(number, root, request)
        return self._below

    def _number(self) -> int:
        """Return the bits of the ids, drawn when first asked for: most spans end without being asked."""
        if not self._bits:
            begins_trace = self._local is None and self._read_caller() is None
            drawn = draw_bits(192 if begins_trace else 64)
            if _DRAWING is None:
                # Under the GIL no thread comes in between these two (see recording.cells): all get one id.
                if not self._bits:
                    self._bits = drawn
            else:
                with _DRAWING:
                    self._bits = self._bits or drawn
        return self._bits

    def finish(self) -> Finished:
        """Write down what the span leaves behind; called off the path, once it has ended."""
        trace = self.trace
        if self._local is None:
            parent = self._read_caller()
        else:
            parent_id = hexadecimal(self._local.parent_bits)
            parent = Trace(trace.trace_id, parent_id, self.sampled, trace.state)
        ending, details = self._ending, self.details
        name, attributes = self.name, self.attributes or {}
        if ending is not None:
            name, attributes = ending.name, ending.attributes
        if details:
            ending, attributes = None, {**attributes, **details}
        return Finished(
            name,
            self.kind,
            trace,
            parent,
            self._begun,
            self._ended,
            self.outcome,
            self.payment_id,
            attributes,
            self._error,
            ending,
        )

    def _read_caller(self) -> Trace | None:
        caller = self._caller
        if isinstance(caller, str | bytes):
            # Two threads that meet here read the same.
            caller = self._caller = parse(as_text(caller))
        return caller

    def set(self, name: str, value: object) -> None:
        """Set an attribute; texts are redacted and bounded before they leave the process."""
        try:
            if self.details is None:
                self.details = {name: value}
            else:
                self.details[name] = value
        except TypeError:
            # A name that cannot be one.
            return

    def end_with(
        self,
        outcome: str | None = None,
        fault_domain: FaultDomain | None = None,
        status_code: int | None = None,
    ) -> None:
        """Say how the work ended; what is not said is judged by `finished.judge_outcome` and `judge_fault`.

        `failed` and `indeterminate` are kept whatever was sampled.
        """
        if outcome is not None:
            # As a plain text: one with ways of its own could raise where the span ends.
            self.outcome = str.__str__(outcome) if isinstance(outcome, str) else repr(outcome)
        if fault_domain is not None:
            self.set(FAULT_DOMAIN, fault_domain)
        if status_code is not None:
            self.set(STATUS_CODE, status_code)

    @property
    def trace(self) -> Trace:
        """Return the span's own ids."""
        caller = self._read_caller()
        bits = self._bits or self._number()
        if caller is not None:
            # Quicker than formatting a number, and this is asked by every log line and call.
            return trace_with(caller, bits.to_bytes(8, "big").hex())
        root = self if self._local is None else self._local.root
        return Trace(f"{(root or self)._number():048x}"[16:], hexadecimal(bits), self.sampled)

    @property
    def correlation_id(self) -> str:
        """Return the id of the request; work that no request began is known by its trace."""
        return self._correlation_id or self.trace.trace_id

    @property
    def payment_id(self) -> str | None:
        """Return the payment that the span is about, if it is known."""
        if self._payment_id is None and self._local is not None and self._local.request is not None:
            return self._local.request.payment_id
        return self._payment_id

    @property
    def context(self) -> Context:
        """Write out what others may read."""
        return Context(self.correlation_id, self.trace, self.payment_id)

    def name_payment(self, payment_id: str) -> None:
        """Say which payment this span and the rest of its request are about."""
        self._payment_id = payment_id
        if self._local is not None and self._local.request is not None:
            self._local.request._payment_id = payment_id


class Local(NamedTuple):
    """What a span knows of those above it in its process.

    No link to the parent itself: a task that starts its own successor would hold all that went before.
    `root` began the trace, unless a caller did. `request` is the nearest span of a request or message; it is
    told which payment it turned out to be about.
    """

    parent_bits: int
    root: Span | None
    request: Span | None
