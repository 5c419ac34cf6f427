"""A span while it is open.

An unsampled span costs a few stores: its ids are not made until they are needed.
"""

import sys
import threading
from collections.abc import Callable, Mapping
from contextvars import Token
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

from moneypath.telemetry.catalogue.vocabulary import Outcome
from moneypath.telemetry.correlation.context import Active, Context, get_active, reset_active, set_active
from moneypath.telemetry.correlation.ids import draw_bits
from moneypath.telemetry.correlation.trace import Trace, parse, trace_with
from moneypath.telemetry.tracing.span_data import (
    FAULT_DOMAIN,
    STATUS_CODE,
    FaultDomain,
    SpanData,
    SpanKind,
    SpanPreset,
)
from moneypath.telemetry.tracing.texts import as_text, hexadecimal, text_of

_FAILED_OUTCOMES: Final = frozenset({Outcome.FAILED, Outcome.INDETERMINATE})
_SERVER: Final = SpanKind.SERVER
_CONSUMER: Final = SpanKind.CONSUMER
# Drawing an id needs a lock on builds without the GIL.
_ID_LOCK: Final = None if getattr(sys, "_is_gil_enabled", lambda: True)() else threading.Lock()
# The part of a trace id that is certainly random, which OpenTelemetry's consistent samplers use.
_RANDOM_MASK: Final = (1 << 56) - 1


class Bridge(Protocol):
    """Connects our spans with another tracing system in the process. Its methods must not raise."""

    def adopt(self, span: "Span", parent: Active | None) -> Active | None:
        """Return the parent of the span, given what is active in our context."""
        ...

    def attach(self, span: "Span") -> object:
        """Make the span the current one of the other system. Return the token for `detach`."""
        ...

    def detach(self, token: object) -> None:
        """Undo `attach`."""
        ...


class SpanOwner(Protocol):
    """What a span needs of the tracer that made it.

    `threshold` is the least value of a trace id's random bits that is sampled.
    """

    bridge: Bridge | None
    clock: Callable[[], float]
    slow_seconds: float
    threshold: int

    def on_span_end(self, span: "Span") -> None:
        """Take an ended span that has to be exported."""
        ...


class Span:
    """Times a piece of work and makes it active. `Tracer.span` makes it; enter it once and leave it once.

    Its methods never raise. Attributes are stored as given and examined after the span has ended.
    """

    # `_child_ancestry`: the ancestry of spans below this one, set when the first one begins. `_id_bits`:
    # the 64 bits of the span id, 0 until they are needed; if the span began the trace, the 128 bits of the
    # trace id above them. `_remote_parent`: the caller's trace, or its unparsed header until somebody asks
    # for ids; if the header is malformed, this span begins a trace. `_ancestry`: what a parent span in this
    # process passes on, None without one.
    __slots__ = (
        "_ancestry",
        "_bridge_token",
        "_child_ancestry",
        "_correlation_id",
        "_ended",
        "_error",
        "_explicit_parent",
        "_id_bits",
        "_payment_id",
        "_preset",
        "_remote_parent",
        "_started_at",
        "_token",
        "_tracer",
        "attributes",
        "details",
        "kind",
        "name",
        "outcome",
        "sampled",
    )

    _started_at: float
    _child_ancestry: "Ancestry | None"
    _id_bits: int
    _remote_parent: Trace | str | bytes | None
    _correlation_id: str | None
    _ended: float
    _preset: SpanPreset | None
    _error: tuple[type[BaseException], str] | None
    _bridge_token: object
    _explicit_parent: Context | None
    _ancestry: "Ancestry | None"
    _payment_id: str | None
    _token: Token[Active | None] | None
    _tracer: SpanOwner
    attributes: Mapping[str, object] | None
    details: dict[str, object] | None
    kind: SpanKind
    name: str
    outcome: str | None
    sampled: bool

    def __enter__(self) -> Self:
        tracer = self._tracer
        parent: Active | None = self._explicit_parent
        if parent is None:
            parent = get_active()
        if tracer.bridge is not None:
            parent = tracer.bridge.adopt(self, parent)
        if type(parent) is Span:
            self._id_bits = 0
            # This parses the parent's remote header if that has not happened yet.
            self._ancestry = parent._child_ancestry or parent.make_child_ancestry()
            self._remote_parent = parent._remote_parent
            self._correlation_id = parent._correlation_id
            self._payment_id = parent._payment_id
            self.sampled = parent.sampled
        else:
            self._begin_under(None if parent is None else parent.context)
        self._token = set_active(self)
        if tracer.bridge is not None:
            self._bridge_token = tracer.bridge.attach(self)
        clock = tracer.clock
        self._started_at = clock()
        return self

    def _begin_under(self, context: Context | None) -> None:
        self._ancestry = None
        if context is None:
            caller = self._correlation_id = self._payment_id = None
        else:
            self._correlation_id, caller, self._payment_id = context
        self._remote_parent = caller
        if caller is None:
            bits = self._id_bits = draw_bits(192)
            self.sampled = bits & _RANDOM_MASK >= self._tracer.threshold
        else:
            self._id_bits = 0
            self.sampled = caller.sampled

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end(error)

    def end(
        self, error: BaseException | None = None, ended: float | None = None, preset: SpanPreset | None = None
    ) -> None:
        """End a span that `Tracer.begin` began, once. `error` is the exception that ended the work.

        `ended` is the tracer's clock if the caller has read it. `preset` gives the span a name and
        attributes that were not known earlier.
        """
        token = self._token
        if token is None:
            return
        # The token references what was active before; an ended span must not keep that alive.
        self._token = None
        tracer = self._tracer
        if ended is None:
            clock = tracer.clock
            ended = clock()
        if tracer.bridge is not None:
            tracer.bridge.detach(self._bridge_token)
        try:  # noqa: SIM105 - suppress() would cost as much as all the rest
            reset_active(token)
        except (ValueError, RuntimeError):
            # The span ends in another task than it began in, as an asynchronous generator may.
            pass
        if preset is not None and preset.outcome is not None:
            self.end_with(preset.outcome)
        if (
            self.sampled
            or error is not None
            or ended - self._started_at >= tracer.slow_seconds
            or (self.outcome is not None and self.outcome in _FAILED_OUTCOMES)
        ):
            self._ended = ended
            self._preset = preset
            self._error = None if error is None else (type(error), text_of(error))
            tracer.on_span_end(self)

    def make_child_ancestry(self) -> "Ancestry":
        """Return the ancestry of spans below this one."""
        ancestry, number = self._ancestry, self._draw_id_bits()
        root = (self if self._remote_parent is None else None) if ancestry is None else ancestry.root
        if self.kind is _SERVER or self.kind is _CONSUMER:
            request: Span | None = self
        else:
            request = None if ancestry is None else ancestry.request
        self._child_ancestry = Ancestry(number, root, request)
        return self._child_ancestry

    def _draw_id_bits(self) -> int:
        """Return the bits of the ids.

        They are drawn at the first call, because most spans end without one.
        """
        if not self._id_bits:
            begins_trace = self._ancestry is None and self._read_remote_parent() is None
            drawn = draw_bits(192 if begins_trace else 64)
            if _ID_LOCK is None:
                # With the GIL no thread switch happens between check and store (see recording.handles): all
                # threads get the same id.
                if not self._id_bits:
                    self._id_bits = drawn
            else:
                with _ID_LOCK:
                    self._id_bits = self._id_bits or drawn
        return self._id_bits

    def to_data(self) -> SpanData:
        """Return the data of the ended span. Called off the hot path."""
        trace = self.trace
        if self._ancestry is None:
            parent = self._read_remote_parent()
        else:
            parent_id = hexadecimal(self._ancestry.parent_bits)
            parent = Trace(trace.trace_id, parent_id, self.sampled, trace.state)
        preset, details = self._preset, self.details
        name, attributes = self.name, self.attributes or {}
        if preset is not None:
            name, attributes = preset.name, preset.attributes
        if details:
            preset, attributes = None, {**attributes, **details}
        return SpanData(
            name,
            self.kind,
            trace,
            parent,
            self._started_at,
            self._ended,
            self.outcome,
            self.payment_id,
            attributes,
            self._error,
            preset,
        )

    def _read_remote_parent(self) -> Trace | None:
        caller = self._remote_parent
        if isinstance(caller, str | bytes):
            # Two threads at once parse the same header and store the same result.
            caller = self._remote_parent = parse(as_text(caller))
        return caller

    def set(self, name: str, value: object) -> None:
        """Set an attribute. Texts are redacted and bounded before they leave the process."""
        try:
            if self.details is None:
                self.details = {name: value}
            else:
                self.details[name] = value
        except TypeError:
            # The name is not hashable.
            return

    def end_with(
        self,
        outcome: str | None = None,
        fault_domain: FaultDomain | None = None,
        status_code: int | None = None,
    ) -> None:
        """Set how the work ended. What is not set is inferred from the error and the status.

        Spans that are `failed` or `indeterminate` are exported even if their trace is not sampled.
        """
        if outcome is not None:
            # As a plain string: a subclass with its own methods could raise when the span ends.
            self.outcome = str.__str__(outcome) if isinstance(outcome, str) else repr(outcome)
        if fault_domain is not None:
            self.set(FAULT_DOMAIN, fault_domain)
        if status_code is not None:
            self.set(STATUS_CODE, status_code)

    @property
    def trace(self) -> Trace:
        """Return the ids of this span."""
        caller = self._read_remote_parent()
        bits = self._id_bits or self._draw_id_bits()
        if caller is not None:
            # Faster than formatting a number; every log line and outgoing call needs it.
            return trace_with(caller, bits.to_bytes(8, "big").hex())
        root = self if self._ancestry is None else self._ancestry.root
        return Trace(f"{(root or self)._draw_id_bits():048x}"[16:], hexadecimal(bits), self.sampled)

    @property
    def correlation_id(self) -> str:
        """Return the id of the request; the trace id if no request began this work."""
        return self._correlation_id or self.trace.trace_id

    @property
    def payment_id(self) -> str | None:
        """Return the payment that the span is about, or None."""
        if self._payment_id is None and self._ancestry is not None and self._ancestry.request is not None:
            return self._ancestry.request.payment_id
        return self._payment_id

    @property
    def context(self) -> Context:
        """Return the context of this span, for callers that pass it on."""
        return Context(self.correlation_id, self.trace, self.payment_id)

    def name_payment(self, payment_id: str) -> None:
        """Set the payment of this span and of the rest of its request."""
        self._payment_id = payment_id
        if self._ancestry is not None and self._ancestry.request is not None:
            self._ancestry.request._payment_id = payment_id


class Ancestry(NamedTuple):
    """What a span passes on to spans below it in this process.

    It has no reference to the parent span, because a task that starts its successor would keep all earlier
    spans alive. `root` is the span that began the trace, None if a caller did. `request` is the nearest
    span of a request or message; it gets the payment id that a span below it names.
    """

    parent_bits: int
    root: Span | None
    request: Span | None
