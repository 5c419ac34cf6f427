"""Count and trace every attempt, retries included."""

from typing import Final

from moneypath.telemetry.tracing import FaultDomain, SpanKind
from refpay.clock import Clock
from refpay.measures import ServiceMetrics
from refpay.providers.errors import ProviderRefused
from refpay.providers.port import Answer, Call, CallKind, Provider, ProviderResult

_OUTCOMES: Final = {
    ProviderResult.DONE: "succeeded",
    ProviderResult.DECLINED: "declined",
    ProviderResult.REFUSED: "failed",
    ProviderResult.UNKNOWN_KEY: "failed",
}


_SPANS: Final = {kind: f"provider {kind}" for kind in CallKind}


class RecordedProvider:
    """Records the outcome and the duration of each attempt, as metrics and as a span."""

    def __init__(self, provider: Provider, *, measures: ServiceMetrics, clock: Clock) -> None:
        self._provider = provider
        self._measures = measures
        self._clock = clock
        self.name = provider.name

    async def perform(self, call: Call) -> Answer:
        begun = self._clock.monotonic()
        # Any other end of the attempt, a cancellation too, leaves the outcome unknown.
        outcome = "indeterminate"
        fault: FaultDomain | None = None
        attributes = {"moneypath.provider": self.name, "moneypath.attempt": call.attempt}
        with self._measures.tracer.span(_SPANS[call.kind], SpanKind.CLIENT, attributes) as span:
            try:
                answer = await self._provider.perform(call)
                # Every answer to a query is a success, "unknown key" too.
                outcome = "succeeded" if call.kind is CallKind.QUERY else _OUTCOMES[answer.result]
                # A definitive answer is caused by the provider, whatever its status.
                fault = FaultDomain.THEIRS if outcome == "failed" else None
            except ProviderRefused as problem:
                outcome = "failed"
                fault = FaultDomain.THEIRS if problem.may_resend else FaultDomain.OURS
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
