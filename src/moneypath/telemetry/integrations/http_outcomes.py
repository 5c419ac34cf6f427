"""What every integration of an HTTP client does with a request to a provider: name its outcome, record it."""

from collections.abc import Callable, MutableMapping
from time import perf_counter
from typing import Generic, TypeVar

from moneypath.telemetry import correlation
from moneypath.telemetry.catalogue.vocabulary import Outcome
from moneypath.telemetry.correlation.context import ACTIVE
from moneypath.telemetry.recording.endings import state_outcome
from moneypath.telemetry.recording.recorder import Recorder
from moneypath.telemetry.tracing import FaultDomain, Span, SpanKind, current_span
from moneypath.telemetry.tracing.finished import ATTEMPT, PROVIDER

ATTEMPTS = "moneypath_provider_attempts_total"
DURATIONS = "moneypath_provider_request_duration_seconds"
# A longer answer is not kept to be classified: its status alone decides.
ANSWER_LIMIT_BYTES = 64 * 1024

Request = TypeVar("Request")
Answer = TypeVar("Answer")


def of_status(status: int) -> Outcome:
    """Return what a status says of an attempt on its own.

    504 is a gateway that passed the request on and heard nothing: that is indeterminate. A redirect is an
    answer, yet not to what was asked: failed. Whose 500 or 502 may hide an effect needs `classify`.
    """
    if 200 <= status < 300:
        return Outcome.SUCCEEDED
    if status == 429:
        return Outcome.SHED
    if 400 <= status < 500:
        return Outcome.REJECTED
    return Outcome.INDETERMINATE if status == 504 else Outcome.FAILED


def of_broken_answer(status: int) -> Outcome:
    """Return what is known when an answer breaks off behind its status; of a success, only its body tells."""
    return Outcome.INDETERMINATE if 200 <= status < 300 else of_status(status)


class ProviderCalls(Generic[Request, Answer]):
    """Record the requests of one client to one provider.

    `operation` is one of the catalogue's, or a function that names it from a request. `classify` names the
    outcome of an answer, or returns None to leave it to the status; it is how a decline is told, since it
    comes with 200 as a rule. Raises LabelsUnknown for a provider or operation that is not declared.
    """

    def __init__(
        self,
        recorder: Recorder,
        provider: str,
        operation: str | Callable[[Request], str],
        classify: Callable[[Answer], str | None] | None,
    ) -> None:
        self._attempts = recorder.counter(ATTEMPTS)
        self._durations = recorder.histogram(DURATIONS)
        # Whatever a function will name, the provider has to be right.
        named = self._attempts.spec.labels["operation"][0] if callable(operation) else operation
        self._attempts.bind(provider=provider, operation=named, outcome=Outcome.SUCCEEDED.value)
        self._tracer = recorder.tracer
        self._provider = provider
        self._operation = operation
        self._classify = classify

    @property
    def classifies(self) -> bool:
        """Tell whether an answer has to be kept until it is classified."""
        return self._classify is not None

    def begin(self, request: Request, headers: MutableMapping[str, str]) -> "ProviderCall[Request, Answer]":
        """Start the clock and the span of one attempt, and put the span's context into its headers.

        The span is the active one for no longer: the answer may be read elsewhere, or much later.
        """
        operation = self._named(request)
        span = self._tracer.span(
            f"provider {operation}", SpanKind.CLIENT, {PROVIDER: self._provider, ATTEMPT: _attempt(operation)}
        )
        active = ACTIVE.get()
        span.__enter__()
        correlation.inject(headers)
        ACTIVE.set(active)
        return ProviderCall(self, operation, span)

    def outcome_of(self, status: int, answer: Answer | None) -> str:
        """Return the outcome of an answer; None stands for one that was not kept."""
        if self._classify is not None and answer is not None:
            try:
                classified = self._classify(answer)
            except Exception:  # noqa: BLE001 - whatever the caller's function raises, the payment goes on
                self._drop()
            else:
                if classified is not None:
                    return classified
        return of_status(status)

    def record(self, operation: str, outcome: str, seconds: float) -> None:
        """Take one attempt; a label that is not declared is counted as dropped."""
        provider = self._provider
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
        # No such labels: this counts one drop.
        self._attempts.inc(provider=self._provider, operation="", outcome="")


class ProviderCall(Generic[Request, Answer]):
    """One attempt; the first that is told of its end is its end."""

    __slots__ = ("_begun", "_calls", "_operation", "_span")

    def __init__(self, calls: ProviderCalls[Request, Answer], operation: str, span: Span) -> None:
        self._calls = calls
        self._operation = operation
        self._span = span
        self._begun: float | None = perf_counter()

    def answered(self, status: int, answer: Answer | None = None) -> None:
        """End with an answer; None if it was not kept."""
        if self._begun is not None:
            self._span.end_with(status_code=status)
            self._end(self._calls.outcome_of(status, answer), None)

    def broke(self, error: BaseException, outcome: Outcome, *, status: int | None = None) -> None:
        """End with what kept the answer away, or its body behind `status`.

        A payment that this exception leaves has the same outcome.
        """
        state_outcome(error, outcome)
        if self._begun is not None:
            fault = FaultDomain.IN_FLIGHT if outcome is Outcome.INDETERMINATE else None
            self._span.end_with(fault_domain=fault, status_code=status)
            self._end(outcome, error)

    def _end(self, outcome: str, error: BaseException | None) -> None:
        begun = self._begun
        if begun is None:
            return
        self._begun = None
        self._calls.record(self._operation, outcome, perf_counter() - begun)
        self._span.end_with(outcome)
        # It was not active any more, so its end must not make active what was before it.
        active = ACTIVE.get()
        self._span.end(error)
        ACTIVE.set(active)


def _attempt(operation: str) -> int:
    """Return this attempt's number among those of its operation in the span at work, and keep it there."""
    parent = current_span()
    name = f"moneypath.attempts.{operation}"
    before = (parent.details or {}).get(name, 0)
    number = before + 1 if isinstance(before, int) else 1
    parent.set(name, number)
    return number
