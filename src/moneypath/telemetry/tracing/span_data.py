"""The data of an ended span: immutable, not yet redacted."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from moneypath.telemetry.catalogue.vocabulary import Outcome
from moneypath.telemetry.correlation import Trace

STATUS_CODE: Final = "http.response.status_code"
ATTEMPT: Final = "moneypath.attempt"
OUTCOME: Final = "moneypath.outcome"
FAULT_DOMAIN: Final = "moneypath.fault_domain"
KEEP_REASON: Final = "moneypath.kept"
PAYMENT_ID: Final = "moneypath.payment_id"
PROVIDER: Final = "moneypath.provider"


class SpanKind(StrEnum):
    """The role of a span at a process boundary, as OpenTelemetry defines it."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class FaultDomain(StrEnum):
    """Who is responsible for a failed call.

    OURS: it was never sent, our request was wrong, or our code failed. THEIRS: the other side refused it,
    broke down, or gave an answer outside the contract. IN_FLIGHT: it was sent and no answer came, so its
    effect is unknown.
    """

    OURS = "ours"
    THEIRS = "theirs"
    IN_FLIGHT = "in_flight"


class KeepReason(StrEnum):
    """Why a span of an unsampled trace is exported."""

    ERROR = "error"
    SLOW = "slow"
    INDETERMINATE = "indeterminate"


class SpanPreset:
    """The name, attributes and outcome that many spans have in common. Built once, passed to `Span.end`.

    It is immutable and compared by identity, because the result of redacting it is cached.
    """

    __slots__ = ("attributes", "name", "outcome")

    def __init__(self, name: str, attributes: Mapping[str, object], outcome: str | None = None) -> None:
        self.name = name
        self.attributes = MappingProxyType({**attributes})
        self.outcome = outcome


class SpanData(NamedTuple):
    """An ended span. `started_at` and `ended` are seconds of the tracer's clock."""

    name: str
    kind: SpanKind
    trace: Trace
    parent: Trace | None
    started_at: float
    ended: float
    outcome: str | None
    payment_id: str | None
    attributes: Mapping[str, object]
    # The error's class and text. The error itself would keep its frames alive.
    error: tuple[type[BaseException], str] | None
    # The preset that name and attributes come from, if nothing was added to them.
    preset: SpanPreset | None = None


_UNANSWERED: Final = (TimeoutError, ConnectionError)
_CALLS: Final = (SpanKind.CLIENT, SpanKind.PRODUCER)
_TOO_MANY: Final = 429
_REQUEST_TIMEOUT: Final = 408


def infer_outcome(span: SpanData) -> str | None:
    """Return the outcome that was set, else the one that the error implies; None if there is no error either.

    A call that ended with an error or a cancellation may have had its effect, so it is indeterminate unless
    the connection was refused.
    """
    if span.outcome is not None or span.error is None:
        return span.outcome
    if span.kind not in _CALLS:
        return Outcome.FAILED
    kind = span.error[0]
    if issubclass(kind, ConnectionRefusedError):
        return Outcome.FAILED
    unknown = issubclass(kind, _UNANSWERED) or not issubclass(kind, Exception)
    return Outcome.INDETERMINATE if unknown else Outcome.FAILED


def infer_fault_domain(span: SpanData, outcome: str | None) -> str | None:
    """Return the fault domain that was set, else the one that the outcome of a call implies."""
    stated = span.attributes.get(FAULT_DOMAIN)
    if stated is not None:
        return str(stated)
    if span.kind not in _CALLS or outcome not in (Outcome.FAILED, Outcome.INDETERMINATE):
        return None
    status = span.attributes.get(STATUS_CODE)
    if isinstance(status, int):
        is_our_request = 400 <= status < 500 and status not in (_TOO_MANY, _REQUEST_TIMEOUT)
        return FaultDomain.OURS if is_our_request else FaultDomain.THEIRS
    if outcome == Outcome.INDETERMINATE:
        return FaultDomain.IN_FLIGHT
    refused = span.error is not None and issubclass(span.error[0], ConnectionRefusedError)
    return FaultDomain.THEIRS if refused else FaultDomain.OURS


def infer_keep_reason(span: SpanData, outcome: str | None) -> KeepReason | None:
    """Return why a span of an unsampled trace is exported; None if its trace is sampled."""
    if span.trace.sampled:
        return None
    if outcome == Outcome.INDETERMINATE:
        return KeepReason.INDETERMINATE
    if outcome == Outcome.FAILED or span.error is not None:
        return KeepReason.ERROR
    return KeepReason.SLOW
