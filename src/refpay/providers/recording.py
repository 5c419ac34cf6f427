"""Counts and traces every attempt, retries included."""

from typing import Final

from moneypath.telemetry.tracing import FaultDomain, SpanKind
from refpay.clock import Clock
from refpay.measures import Measures
from refpay.providers.errors import ProviderRefused
from refpay.providers.port import Answer, Call, CallKind, Provider, Verdict

_OUTCOMES: Final = {
    Verdict.DONE: "succeeded",
    Verdict.DECLINED: "declined",
    Verdict.REFUSED: "failed",
    Verdict.UNKNOWN_KEY: "failed",
}


_SPANS: Final = {kind: f"provider {kind}" for kind in CallKind}


class RecordedProvider:
    """Records the outcome and the time of each attempt, which is a span as well."""

    def __init__(self, provider: Provider, *, measures: Measures, clock: Clock) -> None:
        self._provider = provider
        self._measures = measures
        self._clock = clock
        self.name = provider.name

    async def perform(self, call: Call) -> Answer:
        """Perform and record."""
        begun = self._clock.monotonic()
        # Whatever else ends the attempt, a cancellation included, leaves its effect unknown.
        outcome = "indeterminate"
        fault: FaultDomain | None = None
        attributes = {"moneypath.provider": self.name, "moneypath.attempt": call.attempt}
        with self._measures.tracer.span(_SPANS[call.kind], SpanKind.CLIENT, attributes) as span:
            try:
                answer = await self._provider.perform(call)
                # Any answer to a query is a good one, "there is no such key" included.
                outcome = "succeeded" if call.kind is CallKind.QUERY else _OUTCOMES[answer.verdict]
                # A definitive answer is the provider's own, whatever its status.
                fault = FaultDomain.THEIRS if outcome == "failed" else None
            except ProviderRefused as problem:
                outcome = "failed"
                fault = FaultDomain.THEIRS if problem.again else FaultDomain.OURS
                raise
            else:
                return answer
            finally:
                span.end_with(outcome, fault)
                self._measures.observe_attempt(
                    provider=self.name,
                    operation=call.kind,
                    outcome=outcome,
                    seconds=self._clock.monotonic() - begun,
                )
