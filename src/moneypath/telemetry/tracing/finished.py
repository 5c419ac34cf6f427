"""A span that has ended, as it leaves the path: small, immutable, not yet judged or redacted."""

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
KEPT: Final = "moneypath.kept"
PAYMENT_ID: Final = "moneypath.payment_id"
PROVIDER: Final = "moneypath.provider"


class SpanKind(StrEnum):
    """On which side of a boundary the work was done."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class FaultDomain(StrEnum):
    """Whose fault it is that a call across a boundary did not succeed.

    OURS: it was never sent, or our request was wrong, or our own code failed. THEIRS: they refused it,
    broke down, or answered what the contract does not know. IN_FLIGHT: sent, and no answer; whether it
    had an effect is not known.
    """

    OURS = "ours"
    THEIRS = "theirs"
    IN_FLIGHT = "in_flight"


class Kept(StrEnum):
    """Why a span is exported although its trace is not sampled."""

    ERROR = "error"
    SLOW = "slow"
    INDETERMINATE = "indeterminate"


class Ending:
    """What a span turned out to be, of a closed set: made once, and told to each span that ends like that.

    Nobody changes one, and two are told apart by being two: what redaction makes of it is remembered.
    """

    __slots__ = ("attributes", "name", "outcome")

    def __init__(self, name: str, attributes: Mapping[str, object], outcome: str | None = None) -> None:
        self.name = name
        self.attributes = MappingProxyType({**attributes})
        self.outcome = outcome


class Finished(NamedTuple):
    """What a span leaves behind. `begun` and `ended` are seconds of the tracer's clock."""

    name: str
    kind: SpanKind
    trace: Trace
    parent: Trace | None
    begun: float
    ended: float
    outcome: str | None
    payment_id: str | None
    attributes: Mapping[str, object]
    # The error's class and its text; the error itself would keep the frames alive that it passed.
    error: tuple[type[BaseException], str] | None
    # Where name and attributes are from, if nothing was added to them.
    ending: Ending | None = None


_UNANSWERED: Final = (TimeoutError, ConnectionError)
_CALLS: Final = (SpanKind.CLIENT, SpanKind.PRODUCER)
_TOO_MANY: Final = 429
_REQUEST_TIMEOUT: Final = 408


def judge_outcome(span: Finished) -> str | None:
    """Return the outcome that was stated, else what an error makes of it; None if nothing is known.

    A call that an error or a cancellation ended may have reached its goal: indeterminate, unless the
    connection was refused.
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


def judge_fault(span: Finished, outcome: str | None) -> str | None:
    """Return whose fault an ill outcome of a call is; see FaultDomain. What was stated stands."""
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


def judge_keeping(span: Finished, outcome: str | None) -> Kept | None:
    """Return why a span of an unsampled trace is exported; None for one of a sampled trace."""
    if span.trace.sampled:
        return None
    if outcome == Outcome.INDETERMINATE:
        return Kept.INDETERMINATE
    if outcome == Outcome.FAILED or span.error is not None:
        return Kept.ERROR
    return Kept.SLOW
