"""A circuit breaker: a provider that is down is not waited for. It fails fast and fails over to nobody."""

from collections import deque
from typing import Final

from refpay.clock import Clock
from refpay.measures import Measures
from refpay.providers.errors import CircuitOpened, ProviderError
from refpay.providers.port import Answer, Call, Provider

# High on purpose: a partial outage is for people to judge, and a breaker that trips on it would turn a third
# of the failures into all of them.
_FAILURES_SHARE: Final = 0.9
_WINDOW_SECONDS: Final = 10.0
_OPEN_SECONDS: Final = 1.0


class BreakingProvider:
    """Opens when nine tenths of the last `calls` calls failed, all of them lately.

    Counts whole calls, retries included; while open, one call at a time goes through to probe.
    """

    def __init__(self, provider: Provider, *, clock: Clock, measures: Measures, calls: int = 20) -> None:
        self._provider = provider
        self._clock = clock
        self._measures = measures
        # When each of the last calls ended, and whether well.
        self._recent: deque[tuple[float, bool]] = deque(maxlen=calls)
        self._failures_least = calls * _FAILURES_SHARE
        self._probe_at: float | None = None
        self._probing = False
        self.name = provider.name
        measures.set_circuit(self.name, opened=False)

    def require_closed(self) -> None:
        """Raise CircuitOpened if a call made now would not be sent; takes nothing."""
        if self._probe_at is not None and (self._probing or self._clock.monotonic() < self._probe_at):
            raise CircuitOpened(self.name)

    async def perform(self, call: Call) -> Answer:
        """Perform, or raise CircuitOpened at once."""
        self.require_closed()
        probing = self._probing = self._probe_at is not None
        # Cancelled or broken on our side says nothing about the provider; a probe is then without an answer.
        healthy = not probing
        try:
            answer = await self._provider.perform(call)
            healthy = True
        except ProviderError:
            healthy = False
            raise
        else:
            return answer
        finally:
            if probing:
                self._probing = False
            self._note(healthy=healthy, probing=probing)

    def _note(self, *, healthy: bool, probing: bool) -> None:
        now = self._clock.monotonic()
        if probing:
            if healthy:
                self._recent.clear()
            self._set(None if healthy else now + _OPEN_SECONDS)
        # Not a straggler from before the circuit opened.
        elif self._probe_at is None:
            self._recent.append((now, healthy))
            lately = now - _WINDOW_SECONDS
            # One more that went well opens nothing.
            failures = 0 if healthy else sum(at >= lately and not good for at, good in self._recent)
            if failures >= self._failures_least:
                self._set(now + _OPEN_SECONDS)

    def _set(self, probe_at: float | None) -> None:
        self._probe_at = probe_at
        self._measures.set_circuit(self.name, opened=probe_at is not None)
