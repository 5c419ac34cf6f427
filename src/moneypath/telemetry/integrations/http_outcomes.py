"""The outcome of an HTTP request to a provider, and how it is recorded.

All HTTP client integrations use it.
"""

from asyncio import CancelledError
from collections.abc import Callable, MutableMapping
from time import perf_counter
from typing import Generic, TypeVar

from moneypath.telemetry import correlation
from moneypath.telemetry.catalogue.vocabulary import Outcome
from moneypath.telemetry.correlation.context import ACTIVE
from moneypath.telemetry.recording.error_outcomes import state_outcome
from moneypath.telemetry.recording.observed_calls import CallNote, get_calls
from moneypath.telemetry.recording.recorder import Recorder
from moneypath.telemetry.tracing import FaultDomain, Span, SpanKind, current_span
from moneypath.telemetry.tracing.span_data import ATTEMPT, PROVIDER

ATTEMPTS = "moneypath_provider_attempts_total"
DURATIONS = "moneypath_provider_request_duration_seconds"
# A longer response body is not kept for `classify`; its status decides.
RESPONSE_LIMIT_BYTES = 64 * 1024

Request = TypeVar("Request")
Response = TypeVar("Response")


def outcome_of_status(status: int) -> Outcome:
    """Return the outcome that a status alone implies.

    504 is indeterminate: a gateway passed the request on and got no response. A redirect is failed, because
    it does not response the request. If a provider's 500 or 502 may hide an effect, use `classify`.
    """
    if 200 <= status < 300:
        return Outcome.SUCCEEDED
    if status == 429:
        return Outcome.SHED
    if 400 <= status < 500:
        return Outcome.REJECTED
    return Outcome.INDETERMINATE if status == 504 else Outcome.FAILED


def outcome_of_broken_response(status: int) -> Outcome:
    """Return the outcome of a response that broke off: indeterminate for a success, whose body decides."""
    return Outcome.INDETERMINATE if 200 <= status < 300 else outcome_of_status(status)


class ProviderCalls(Generic[Request, Response]):
    """Records the requests of one client to one provider.

    `operation` is one of the catalogue's, or a function that returns it for a request. `classify` returns
    the outcome of a response, or None to decide by its status; declines usually come with status 200 and
    need it. Raises LabelsUnknown for a provider or operation that is not declared.
    """

    def __init__(
        self,
        recorder: Recorder,
        provider: str,
        operation: str | Callable[[Request], str],
        classify: Callable[[Response], str | None] | None,
    ) -> None:
        self._attempts = recorder.counter(ATTEMPTS)
        self._durations = recorder.histogram(DURATIONS)
        # If a function names the operation, this checks the provider at least.
        named = self._attempts.spec.labels["operation"][0] if callable(operation) else operation
        self._attempts.bind(provider=provider, operation=named, outcome=Outcome.SUCCEEDED.value)
        recorder.observe_calls()
        self._stray_calls = recorder.stray_calls
        self._tracer = recorder.tracer
        self.provider = provider
        self._operation = operation
        self._classify = classify

    @property
    def classifies(self) -> bool:
        """Return whether a response must be kept for `classify`."""
        return self._classify is not None

    def begin(self, request: Request, headers: MutableMapping[str, str]) -> "ProviderCall[Request, Response]":
        """Start the clock and the span of one attempt, and add the span's context to the headers.

        The span is active only here, because the response may be read elsewhere or much later.
        """
        operation = self._named(request)
        span = self._tracer.span(
            f"provider {operation}", SpanKind.CLIENT, {PROVIDER: self.provider, ATTEMPT: _attempt(operation)}
        )
        active = ACTIVE.get()
        span.__enter__()
        correlation.inject(headers)
        ACTIVE.set(active)
        payment = get_calls()
        if payment is None:
            self._stray_calls.add(operation)
        note = None if payment is None else payment.begin(self.provider, operation)
        return ProviderCall(self, operation, span, note)

    def outcome_of(self, status: int, response: Response | None) -> str:
        """Return the outcome of a response; `response` is None if it was not kept."""
        if self._classify is not None and response is not None:
            try:
                classified = self._classify(response)
            except Exception:  # noqa: BLE001 - whatever the caller's function raises, the payment goes on
                self._drop()
            else:
                if classified is not None:
                    return classified
        return outcome_of_status(status)

    def record(self, operation: str, outcome: str, seconds: float) -> None:
        """Record one attempt. An undeclared label is counted as a drop."""
        provider = self.provider
        self._attempts.inc(provider=provider, operation=operation, outcome=outcome)
        self._durations.observe(seconds, provider=provider, operation=operation, outcome=outcome)

    def _named(self, request: Request) -> str:
        if not callable(self._operation):
            return self._operation
        try:
            return self._operation(request)
        except Exception:  # noqa: BLE001 - whatever the caller's function raises, the payment goes on
            return ""

    def _drop(self) -> None:
        # Undeclared labels, so this counts one drop.
        self._attempts.inc(provider=self.provider, operation="", outcome="")


class ProviderCall(Generic[Request, Response]):
    """One attempt. Only its first end counts."""

    __slots__ = ("_calls", "_note", "_operation", "_span", "_started_at")

    def __init__(
        self, calls: ProviderCalls[Request, Response], operation: str, span: Span, note: CallNote | None
    ) -> None:
        self._calls = calls
        # In the payment that was active when the call began.
        self._note = note
        self._operation = operation
        self._span = span
        self._started_at: float | None = perf_counter()

    def record_response(self, status: int, response: Response | None = None) -> None:
        """End the attempt with a response; `response` is None if it was not kept."""
        if self._started_at is not None:
            self._span.end_with(status_code=status)
            self._end(self._calls.outcome_of(status, response), None)

    def record_error(self, error: BaseException, outcome: Outcome, *, status: int | None = None) -> None:
        """End the attempt with the error that prevented a response or its body.

        Outcome and provider are stored on the exception, for a payment that it ends.
        """
        state_outcome(error, outcome, self._calls.provider)
        if self._started_at is not None:
            fault = FaultDomain.IN_FLIGHT if outcome is Outcome.INDETERMINATE else None
            self._span.end_with(fault_domain=fault, status_code=status)
            self._end(outcome, error)

    def _end(self, outcome: str, error: BaseException | None) -> None:
        started_at = self._started_at
        if started_at is None:
            return
        self._started_at = None
        if self._note is not None:
            self._note.end(outcome, is_cancelled=isinstance(error, CancelledError))
        self._calls.record(self._operation, outcome, perf_counter() - started_at)
        self._span.end_with(outcome)
        # The span is not active any more; ending it must not change what is active.
        active = ACTIVE.get()
        self._span.end(error)
        ACTIVE.set(active)


def _attempt(operation: str) -> int:
    """Return the number of this attempt at its operation within the current span, and store it there."""
    parent = current_span()
    name = f"moneypath.attempts.{operation}"
    before = (parent.details or {}).get(name, 0)
    number = before + 1 if isinstance(before, int) else 1
    parent.set(name, number)
    return number
